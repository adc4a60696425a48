package validator

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Between client and daemon stands somebody with good certificates for both sides.
func TestRelayIsRefused(t *testing.T) {
	server, client := must(StepsOf(fast(t, Passphrase("one"), Login{"alice", Passphrase("two")}))), must(StepsOf(new(Default)))
	for _, ident := range []any{Passphrase("one"), Login{"alice", Passphrase("two")}, Login{"nobody", Passphrase("two")}} {
		_, d, err := conversation(t, server, client, ident, binding(1), binding(2))
		if err != nil || d == nil || !strings.Contains(d.Got, "another connection") {
			t.Errorf("%v: got %v, %v, want a denial", ident, d, err)
		}
		if d != nil && (strings.Contains(fmt.Sprint(d.Err), "0202") || strings.Contains(d.Error(), "0101")) {
			t.Errorf("the denial shows the connection's binding: %v, %v", d, d.Err)
		}
	}
}

// A recorded proof is worth nothing on any other connection, even one with the same
// nonce of the client.
func TestReplayIsRefused(t *testing.T) {
	server, client := must(StepsOf(fast(t, Passphrase("one")))), must(StepsOf(new(Default)))
	sx, cx := &Exchange{ChannelBinding: binding(1)}, &Exchange{ChannelBinding: binding(1), Ident: Passphrase("one")}
	challenge, _ := server.Challenge(t.Context(), sx)
	first := must(client.CreateAuthToken(t.Context(), cx, challenge))
	reply, _, _ := server.AcceptIdentification(t.Context(), sx, first)
	final := must(client.CreateAuthToken(t.Context(), cx, reply))
	if _, done, d := server.AcceptIdentification(t.Context(), sx, final); !done || d != nil {
		t.Fatal("the recorded identification was not good", d)
	}
	if _, done, d := server.AcceptIdentification(t.Context(), sx, final); done || d == nil {
		t.Error("the same exchange accepts twice")
	}
	for _, b := range []byte{1, 2} {
		sx := &Exchange{ChannelBinding: binding(b)}
		server.Challenge(t.Context(), sx)
		if _, _, d := server.AcceptIdentification(t.Context(), sx, first); d != nil {
			t.Fatal(d)
		}
		if _, done, d := server.AcceptIdentification(t.Context(), sx, final); done || d == nil {
			t.Errorf("replayed on connection %d: accepted", b)
		}
	}
}

// Each message in turn is changed; nothing that was changed is accepted.
func TestTamperedMessages(t *testing.T) {
	server, client := must(StepsOf(fast(t, Passphrase("one"), Login{"alice", Passphrase("two")}))), must(StepsOf(new(Default)))
	good := func(change func(n int, message string) string) (denied *Denial, refused error) {
		sx, cx := &Exchange{ChannelBinding: binding(1)}, &Exchange{ChannelBinding: binding(1), Ident: Passphrase("one")}
		message, _ := server.Challenge(t.Context(), sx)
		for n := 0; ; n += 2 {
			token, err := client.CreateAuthToken(t.Context(), cx, []byte(change(n, string(message))))
			if err != nil || cx.Final {
				return nil, err
			}
			var done bool
			var d *Denial
			if message, done, d = server.AcceptIdentification(t.Context(), sx, []byte(change(n+1, string(token)))); d != nil {
				return d, nil
			}
			cx.Final = done
		}
	}
	if d, err := good(func(_ int, m string) string { return m }); d != nil || err != nil {
		t.Fatal(d, err)
	}
	replace := func(at int, old, new string) func(int, string) string {
		return func(n int, m string) string {
			if n != at {
				return m
			}
			if !strings.Contains(m, old) {
				t.Fatalf("message %d is %q, without %q", n, m, old)
			}
			return strings.Replace(m, old, new, 1)
		}
	}
	appendTo := func(at int, s string) func(int, string) string {
		return func(n int, m string) string {
			if n == at {
				return m + s
			}
			return m
		}
	}
	for what, change := range map[string]func(int, string) string{
		"mechanism without binding": replace(0, "-PLUS tls-exporter", ""),
		"no binding":                replace(1, "p=tls-exporter", "n"),
		"binding not offered":       replace(1, "p=tls-exporter", "y"),
		"weaker binding":            replace(1, "p=tls-exporter", "p=tls-unique"),
		"authorization id":          replace(1, ",,n=", ",a=root,n="),
		"extension":                 replace(1, ",,n=", ",,m=x,n="),
		"another name":              replace(1, "n=,", "n=alice,"),
		"bad escape":                replace(1, "n=,", "n==41,"),
		"short nonce":               replace(1, ",r=", ",r=x,y="),
		"client nonce":              replace(1, ",r=", ",r=x"),
		"more attributes":           appendTo(1, ",x=y"),
		"server nonce":              replace(2, "r=", "r=x"),
		"too few iterations":        replace(2, "i=4096", "i=4095"),
		"too many iterations":       replace(2, "i=4096", "i=2000001"),
		"absurd iterations":         replace(2, "i=4096", "i=999999999999999999999"),
		"other iterations":          replace(2, "i=4096", "i=4097"),
		"salt":                      replace(2, "s=", "s=AAAA"),
		"no salt":                   replace(2, "s=", "x="),
		"server extension":          appendTo(2, ",x=y"),
		"proof":                     replace(3, "p=", "p=AAAA"),
		"binding in the end":        replace(3, "c=cD10", "c=cD11"),
		"nonce in the end":          replace(3, ",r=", ",r=x"),
		"final extension":           replace(3, ",p=", ",x=y,p="),
		"server proof":              replace(4, "v=", "v=AAAA"),
		"server error":              replace(4, "v=", "e="),
		"no server proof":           func(n int, m string) string { return map[bool]string{true: "", false: m}[n == 4] },
	} {
		if d, err := good(change); d == nil && err == nil {
			t.Errorf("%s: accepted", what)
		} else if d != nil && (d.Check != CheckIdentification || d.Code != DeniedSecurity) {
			t.Errorf("%s: denied as %v", what, d)
		}
	}
}

// A daemon that does not know the passphrase cannot end the identification.
func TestClientVerifiesTheServer(t *testing.T) {
	liar := must(StepsOf(&odd{Default: new(Default),
		begin: func(*Exchange) ([]byte, error) { return []byte(mechanism), nil },
		accept: func(_ *Exchange, token []byte) ([]byte, bool, error) {
			if nonce, ok := strings.CutPrefix(string(token), gs2Header+"n=,r="); ok {
				return []byte("r=" + nonce + "abc,s=AAAAAAAAAAAAAAAAAAAAAA==,i=4096"), false, nil
			}
			return []byte("v=" + base64.StdEncoding.EncodeToString(make([]byte, 32))), true, nil
		},
	}))
	if _, _, err := conversation(t, liar, must(StepsOf(new(Default))), Passphrase("one"), binding(1), binding(1)); err == nil {
		t.Error("the client believes a daemon without the passphrase")
	}
	hasty := must(StepsOf(&odd{Default: new(Default),
		begin:  func(*Exchange) ([]byte, error) { return []byte(mechanism), nil },
		accept: func(*Exchange, []byte) ([]byte, bool, error) { return []byte("v=AAAA"), true, nil },
	}))
	if _, _, err := conversation(t, hasty, must(StepsOf(new(Default))), Passphrase("one"), binding(1), binding(1)); err == nil {
		t.Error("the client believes a daemon that did not let it finish")
	}
}

// serverFirst asks the server about a name.
func serverFirst(t testing.TB, server Steps, name string) string {
	t.Helper()
	ex := &Exchange{ChannelBinding: binding(1)}
	if _, d := server.Challenge(t.Context(), ex); d != nil {
		t.Fatal(d)
	}
	reply, _, d := server.AcceptIdentification(t.Context(), ex, []byte(gs2Header+"n="+name+",r=abcdefghijklmnopqrstuvwxyz"))
	if d != nil {
		t.Fatal(d)
	}
	_, factors, _ := strings.Cut(string(reply), ",")
	return factors
}

// A name that exists looks like one that does not: the salt stays the same from one
// question to the next, and so does its length and the work factor.
func TestUnknownNamesLookKnown(t *testing.T) {
	d := fast(t, Login{"alice", Passphrase("one")}, Passphrase("two"))
	server := must(StepsOf(d))
	for _, name := range []string{"", "alice", "bob", "carol"} {
		a, b := serverFirst(t, server, name), serverFirst(t, server, name)
		if a != b || !strings.HasSuffix(a, ",i=4096") || len(a) != len(serverFirst(t, server, "alice")) {
			t.Errorf("name %q: %q, then %q", name, a, b)
		}
	}
	if serverFirst(t, server, "bob") == serverFirst(t, server, "carol") {
		t.Error("all unknown names have the same salt")
	}
	// Becoming known, or unknown, does not show either.
	before := serverFirst(t, server, "bob")
	if err := d.SetAllowedIdentifications([]Identification{Login{"bob", Passphrase("three")}}); err != nil {
		t.Fatal(err)
	}
	if after := serverFirst(t, server, "bob"); after != before {
		t.Errorf("bob has become known: %q, then %q", before, after)
	}
	// Names with other parameters are not alone with them.
	strong := must(Munge(2*minIterations, Login{"dave", Passphrase("x")}))
	if err := d.SetAllowedIdentifications([]Identification{Login{"bob", Passphrase("three")}, strong[0]}); err != nil {
		t.Fatal(err)
	}
	shapes := make(map[string]int)
	for i := range 64 {
		f := serverFirst(t, server, fmt.Sprint("stranger", i))
		shapes[f[strings.LastIndex(f, ","):]]++
	}
	if len(shapes) != 2 {
		t.Errorf("strangers have the work factors %v, want those of both who exist", shapes)
	}
}

// The work for a name does not depend on whether it exists: the same number of keys
// is tried, and each to its end.
func TestConstantWork(t *testing.T) {
	a := fast(t, Login{"alice", Passphrase("one")}, Passphrase("two"), Passphrase("three")).allowed.Load()
	for name, want := range map[string]int{"alice": 1, "bob": 1, "": 2} {
		if got := len(a.of(name)); got != want {
			t.Errorf("%d keys are tried for %q, want %d", got, name, want)
		}
	}
	server := must(StepsOf(fast(t, Login{"alice", Passphrase("one")})))
	client := must(StepsOf(new(Default)))
	measure := func(l Login) time.Duration {
		best := time.Hour
		for range 50 {
			start := time.Now()
			if _, d, _ := conversation(t, server, client, l, binding(1), binding(1)); d == nil {
				t.Fatal("accepted")
			}
			best = min(best, time.Since(start))
		}
		return best
	}
	known, unknown := measure(Login{"alice", Passphrase("wrong")}), measure(Login{"bobby", Passphrase("wrong")})
	if known > 5*unknown || unknown > 5*known {
		t.Errorf("a known name takes %v, an unknown one %v", known, unknown)
	}
}
