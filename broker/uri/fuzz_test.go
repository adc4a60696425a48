package uri_test

import (
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pyrossl/pyrossl/broker/uri"
)

// FuzzParse: whatever is read prints as one spelling that is read as the same
// URI, keeps every promise of the package's documentation, and nothing panics.
func FuzzParse(f *testing.F) {
	for _, v := range valid(f) {
		f.Add(v[0])
	}
	for _, line := range vectors(f, "invalid.txt") {
		_, rest, _ := strings.Cut(line, " ")
		in, _ := literal(f, strings.TrimSpace(rest))
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := uri.Parse(s)
		if err != nil {
			if text := err.Error(); !strings.HasPrefix(text, "uri: ") || len(text) > 1500 || !utf8.ValidString(text) {
				t.Errorf("%q: error %q", s, text)
			}
			return
		}
		text := u.String()
		if again, err := uri.Parse(text); err != nil || again != u || again.String() != text {
			t.Fatalf("%q prints as %q, which gives %+v, %v", s, text, again, err)
		}
		if err := u.Check(); err != nil {
			t.Errorf("%q: Check: %v", s, err)
		}
		invariants(t, s, u)
	})
}

func invariants(t *testing.T, s string, u uri.URI) {
	text := u.String()
	if len(s) > 4096 || len(text) > 4096 {
		t.Errorf("%q: longer than 4096", s)
	}
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c > '~' || strings.IndexByte(`%#\"<>{}|^`+"`", c) >= 0 {
			t.Errorf("%q: %q holds %q", s, text, c)
		}
	}
	switch u.Scheme {
	case uri.PYROSSL, uri.PYROLOCSSL:
		if u.Host == "" || u.Port == 0 {
			t.Errorf("%q: no host or port: %+v", s, u)
		}
	case uri.PYRONAME, uri.PYRONAMESSL:
		if u.Host == "" && (u.Port != 0 || u.Address() != "") {
			t.Errorf("%q: a port without a host: %+v", s, u)
		}
	default:
		t.Errorf("%q: scheme %q", s, u.Scheme)
	}
	if strings.ToLower(u.Host) != u.Host || strings.HasSuffix(u.Host, ".") {
		t.Errorf("%q: host %q", s, u.Host)
	}
	if ip, err := netip.ParseAddr(u.Host); err == nil && (ip.String() != u.Host || ip.Zone() != "" || ip.Is4In6() || ip.IsUnspecified()) {
		t.Errorf("%q: IP host %q", s, u.Host)
	}
	if u.Object == "" || len(u.Object) > 255 || strings.ContainsAny(u.Object, "/?&=@") || strings.LastIndex(u.Object, ":") > 0 {
		t.Errorf("%q: object %q", s, u.Object)
	}
	if u.ID != "" {
		kind, value, ok := strings.Cut(u.ID, ":")
		if !ok || value == "" || kind != "uri" && kind != "dns" && kind != "email" || strings.ContainsAny(u.ID, "?&") {
			t.Errorf("%q: id %q", s, u.ID)
		}
	}
}
