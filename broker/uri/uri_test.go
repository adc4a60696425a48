package uri_test

import (
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/pyrossl/pyrossl/broker/uri"
)

// vectors reads the lines of a file in testdata/uri that are not comments.
func vectors(tb testing.TB, file string) []string {
	tb.Helper()
	data, err := os.ReadFile("../../testdata/uri/" + file)
	if err != nil {
		tb.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	if len(lines) < 10 {
		tb.Fatalf("%s has %d vectors", file, len(lines))
	}
	return lines
}

// literal reads a string literal at the beginning of s.
func literal(tb testing.TB, s string) (text, rest string) {
	tb.Helper()
	quoted, err := strconv.QuotedPrefix(s)
	if err != nil {
		tb.Fatalf("vector %s: %v", s, err)
	}
	text, err = strconv.Unquote(quoted)
	if err != nil {
		tb.Fatalf("vector %s: %v", s, err)
	}
	return text, strings.TrimSpace(s[len(quoted):])
}

func valid(tb testing.TB) (texts [][2]string) {
	tb.Helper()
	for _, line := range vectors(tb, "valid.txt") {
		in, rest := literal(tb, line)
		want := in
		if rest != "=" {
			want, rest = literal(tb, rest)
			if rest != "" || want == in {
				tb.Fatalf(`vector %s: want two different literals, or one and "="`, line)
			}
		}
		texts = append(texts, [2]string{in, want})
	}
	return texts
}

func TestValid(t *testing.T) {
	for _, v := range valid(t) {
		u, err := uri.Parse(v[0])
		if err != nil {
			t.Error(err)
			continue
		}
		if got := u.String(); got != v[1] {
			t.Errorf("%q prints as %q, want %q", v[0], got, v[1])
		}
		if again, err := uri.Parse(v[1]); err != nil || again != u {
			t.Errorf("%q: its own spelling gives %+v, %v, want %+v", v[0], again, err, u)
		}
		if err := u.Check(); err != nil {
			t.Errorf("%q: Check: %v", v[0], err)
		}
	}
}

func TestInvalid(t *testing.T) {
	for _, line := range vectors(t, "invalid.txt") {
		class, rest, _ := strings.Cut(line, " ")
		in, rest := literal(t, strings.TrimSpace(rest))
		if rest != "" {
			t.Fatalf("vector %s: more than one literal", line)
		}
		part, plaintext := uri.Part(class), class == "plaintext"
		if plaintext {
			part = uri.PartScheme
		}
		u, err := uri.Parse(in)
		var e *uri.Error
		switch {
		case err == nil:
			t.Errorf("%q was read as %+v", in, u)
		case u != (uri.URI{}):
			t.Errorf("%q: got %+v with an error", in, u)
		case !errors.As(err, &e) || e.Part != part || e.Input != in:
			t.Errorf("%q: got %#v, want an error about its %s", in, err, class)
		case errors.Is(err, uri.ErrPlaintext) != plaintext:
			t.Errorf("%q: got %v, plaintext is %v", in, err, plaintext)
		case !strings.HasPrefix(err.Error(), "uri: ") || strings.Count(err.Error(), "uri: ") != 1 || strings.ContainsAny(err.Error(), "\n\x00"):
			t.Errorf("%q: error text %q", in, err)
		}
	}
}

func TestFields(t *testing.T) {
	for _, tt := range []struct {
		in      string
		want    uri.URI
		address string
	}{
		{"PYROSSL://Bank.example/bank?id=spiffe://a/b", uri.URI{uri.PYROSSL, "bank.example", 7766, "bank", "uri:spiffe://a/b"}, "bank.example:7766"},
		{"PYROLOCSSL://[::1]:80/:x.y", uri.URI{uri.PYROLOCSSL, "::1", 80, ":x.y", ""}, "[::1]:80"},
		{"PYRONAME://bank", uri.URI{uri.PYRONAME, "", 0, "bank", ""}, ""},
		{"PYRONAME://ns/bank", uri.URI{uri.PYRONAME, "ns", 0, "bank", ""}, "ns:7766"},
		{"PYRONAMESSL://ns:9090/bank", uri.URI{uri.PYRONAMESSL, "ns", 9090, "bank", ""}, "ns:9090"},
	} {
		u, err := uri.Parse(tt.in)
		if err != nil || u != tt.want {
			t.Errorf("%s: got %+v, %v, want %+v", tt.in, u, err, tt.want)
		}
		if got := u.Address(); got != tt.address {
			t.Errorf("%s: address %q, want %q", tt.in, got, tt.address)
		}
	}
}

func TestLengths(t *testing.T) {
	long := func(n int) string { return strings.Repeat("a", n) }
	host := long(63) + "." + long(63) + "." + long(63) + "." + long(61) // 253
	for _, tt := range []struct {
		in   string
		part uri.Part // empty: it is read
	}{
		{"PYROSSL://" + host + ":7766/x", ""},
		{"PYROSSL://a" + host + ":7766/x", uri.PartHost},
		{"PYROSSL://a:1/" + long(255), ""},
		{"PYROSSL://a:1/" + long(256), uri.PartObject},
		{"PYROSSL://a:1/x?id=spiffe://b/" + long(2048-11), ""},
		{"PYROSSL://a:1/x?id=spiffe://b/" + long(2049-11), uri.PartID},
		{"PYROSSL://a:1/x?id=email:" + long(64) + "@b", ""},
		{"PYROSSL://a:1/x?id=email:" + long(65) + "@b", uri.PartID},
		{"PYROSSL://" + host + "/" + long(255) + "?id=spiffe://b/" + long(2048-11), ""}, // the longest there is
		{"PYROSSL://a:1/" + long(4096-14), uri.PartObject},
		{"PYROSSL://a:1/" + long(4097-14), uri.PartLength},
	} {
		u, err := uri.Parse(tt.in)
		var e *uri.Error
		errors.As(err, &e)
		switch {
		case (e == nil) != (tt.part == ""), e != nil && e.Part != tt.part:
			t.Errorf("%d bytes: got error %v, want one about %q", len(tt.in), err, tt.part)
		case err != nil && len(err.Error()) > 600:
			t.Errorf("%d bytes: the error has %d", len(tt.in), len(err.Error()))
		case err == nil && u.Check() != nil:
			t.Errorf("%d bytes: %v", len(tt.in), u.Check())
		}
	}
}

func TestErrorText(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"PYROSSL://bank.example:99999/bank", `uri: port "99999" in "PYROSSL://bank.example:99999/bank" is not 1–65535`},
		{"pyrossl://bank.example/bank", `uri: scheme "pyrossl" in "pyrossl://bank.example/bank" is written PYROSSL`},
		{"PYROLOC://a/b", `uri: scheme "PYROLOC" in "PYROLOC://a/b" is plaintext, for which there is no path here; serve the object over TLS and use PYROLOCSSL://`},
		{"PYROSSL://bank.example", `uri: object in "PYROSSL://bank.example" is missing; want "PYROSSL://host:port/object"`},
		{strings.Repeat("x", 5000), `uri: length 5000 in "` + strings.Repeat("x", 160) + `"… is more than 4096`},
		{"PYROSSL://a/" + strings.Repeat("é", 100), `has other characters than letters, digits and "_.-"`},
	} {
		if _, err := uri.Parse(tt.in); err == nil || !strings.HasSuffix(err.Error(), tt.want) {
			t.Errorf("got %v\nwant %v", err, tt.want)
		}
	}
}

// TestCheck is about URIs that no text gives.
func TestCheck(t *testing.T) {
	good := uri.MustParse("PYROSSL://bank.example:7766/bank?id=uri:spiffe://a/b")
	for _, tt := range []struct {
		name   string
		change func(*uri.URI)
		part   uri.Part
	}{
		{"zero", func(u *uri.URI) { *u = uri.URI{} }, uri.PartScheme},
		{"no port", func(u *uri.URI) { u.Port = 0 }, uri.PartSpelling},
		{"upper case", func(u *uri.URI) { u.Host = "Bank.example" }, uri.PartSpelling},
		{"bare id", func(u *uri.URI) { u.ID = "spiffe://a/b" }, uri.PartSpelling},
		{"query in the object", func(u *uri.URI) { u.Object, u.ID = "bank?id=uri:spiffe://a/b", "" }, uri.PartSpelling},
		{"port in the host", func(u *uri.URI) { u.Host, u.Port = "bank.example:1", 0 }, uri.PartHost},
		{"brackets in the host", func(u *uri.URI) { u.Host = "[::1]" }, uri.PartHost},
		{"path in the host", func(u *uri.URI) { u.Host, u.Port = "a/b", 0 }, uri.PartObject},
		{"no host", func(u *uri.URI) { u.Host = "" }, uri.PartHost},
		{"port without a host", func(u *uri.URI) { u.Scheme, u.Host = uri.PYRONAME, "" }, uri.PartSpelling},
		{"plaintext", func(u *uri.URI) { u.Scheme = "PYRO" }, uri.PartScheme},
		{"no object", func(u *uri.URI) { u.Object = "" }, uri.PartObject},
	} {
		u := good
		tt.change(&u)
		var e *uri.Error
		if err := u.Check(); !errors.As(err, &e) || e.Part != tt.part {
			t.Errorf("%s: got %v, want an error about its %s", tt.name, err, tt.part)
		}
		if _, err := u.MarshalText(); err == nil {
			t.Errorf("%s: it was marshalled", tt.name)
		}
	}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
}

func TestText(t *testing.T) {
	type message struct{ Where uri.URI }
	in := message{uri.MustParse("PYROSSL://bank.example/bank")}
	data, err := json.Marshal(in)
	if err != nil || string(data) != `{"Where":"PYROSSL://bank.example:7766/bank"}` {
		t.Fatalf("got %s, %v", data, err)
	}
	var out message
	if err := json.Unmarshal(data, &out); err != nil || out != in {
		t.Errorf("got %+v, %v, want %+v", out, err, in)
	}
	for _, bad := range []string{"", "PYRO://bank.example/bank", strings.Repeat("x", 1<<20)} {
		if err := out.Where.UnmarshalText([]byte(bad)); err == nil || out != in {
			t.Errorf("%.20q: error %v, and the value is %+v", bad, err, out)
		}
	}
}

func TestMustParse(t *testing.T) {
	defer func() {
		if err, ok := recover().(error); !ok || !errors.Is(err, uri.ErrPlaintext) {
			t.Errorf("panicked with %v, want the error", err)
		}
	}()
	uri.MustParse("PYRO://bank.example/bank")
}
