package validator

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xdg-go/scram"
)

// binding is a connection's tls-exporter value.
func binding(n byte) []byte { return bytes.Repeat([]byte{n}, bindingSize) }

// conversation runs an identification as daemon and client do, each with its own
// view of the connection, and returns the user and what each side says.
func conversation(t testing.TB, server, client Steps, ident any, serverBinding, clientBinding []byte) (user string, denied *Denial, refused error) {
	t.Helper()
	sx, cx := &Exchange{ChannelBinding: serverBinding}, &Exchange{ChannelBinding: clientBinding}
	if ident != nil {
		munged, err := client.MungeIdent(ident)
		if err != nil {
			return "", nil, err
		}
		cx.Ident = munged
	}
	message, d := server.Challenge(t.Context(), sx)
	if d != nil || message == nil {
		return "", d, nil
	}
	for range 4 {
		token, err := client.CreateAuthToken(t.Context(), cx, message)
		if err != nil {
			return "", nil, err
		}
		var done bool
		if message, done, d = server.AcceptIdentification(t.Context(), sx, token); d != nil {
			return "", d, nil
		}
		if done {
			cx.Final = true
			_, err := client.CreateAuthToken(t.Context(), cx, message)
			return sx.User, nil, err
		}
	}
	t.Fatal("the identification does not end")
	return
}

// fast is a Default with the least work factor.
func fast(t testing.TB, ids ...Identification) *Default {
	t.Helper()
	d := must(New(Config{Iterations: minIterations}))
	if ids == nil {
		ids = []Identification{}
	}
	if err := d.SetAllowedIdentifications(ids); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestIdentification(t *testing.T) {
	stored := must(Munge(minIterations, Login{"carol", Passphrase("three")}, Passphrase("stored")))
	again := must(ParseStoredIdent("carol", stored[0].Text()))
	server := must(StepsOf(fast(t, Passphrase("one"), Passphrase("two"), Login{"alice", Passphrase("a,=b c")}, again, stored[1])))
	client := must(StepsOf(new(Default)))
	for _, c := range []struct {
		ident any
		ok    bool
		user  string
	}{
		{Passphrase("one"), true, ""},
		{Passphrase("two"), true, ""},
		{Passphrase("stored"), true, ""},
		{Passphrase("three"), false, ""},
		{Passphrase("on"), false, ""},
		{Login{"alice", Passphrase("a,=b c")}, true, "alice"},
		{Login{"carol", Passphrase("three")}, true, "carol"},
		{Login{"carol", Passphrase("one")}, false, ""},
		{Login{"Alice", Passphrase("a,=b c")}, false, ""},
		{Login{"alice=2C", Passphrase("a,=b c")}, false, ""},
		{Login{"nobody", Passphrase("one")}, false, ""},
		{Passphrase("a,=b c"), false, ""},
	} {
		for range 2 { // the second time with kept keys
			user, d, err := conversation(t, server, client, c.ident, binding(1), binding(1))
			switch {
			case err != nil:
				t.Errorf("%v: the client refuses: %v", c.ident, err)
			case c.ok && (d != nil || user != c.user):
				t.Errorf("%v: user %q, %v, want %q", c.ident, user, d, c.user)
			case !c.ok && (d == nil || d.Code != DeniedSecurity || d.Check != CheckIdentification || d.Got != "an identification that is not accepted"):
				t.Errorf("%v: got %v, want a denial", c.ident, d)
			}
		}
	}
}

func TestIdentificationOnAndOff(t *testing.T) {
	d := must(New(Config{Iterations: minIterations}))
	server, client := must(StepsOf(d)), must(StepsOf(new(Default)))
	ident := Passphrase("one")
	if _, denied, err := conversation(t, server, client, nil, binding(1), binding(1)); denied != nil || err != nil {
		t.Errorf("off at first: %v, %v", denied, err)
	}
	for _, step := range []struct {
		ids  []Identification
		want bool
	}{
		{[]Identification{ident}, true},
		{[]Identification{}, false},
		{[]Identification{Login{"all", ident}}, false}, // no sentinels
		{[]Identification{Passphrase("all")}, false},
		{nil, true},
		{[]Identification{ident}, true},
	} {
		if err := d.SetAllowedIdentifications(step.ids); err != nil {
			t.Fatal(err)
		}
		if _, denied, err := conversation(t, server, client, ident, binding(1), binding(1)); err != nil || (denied == nil) != step.want {
			t.Errorf("%v: %v, %v", step.ids, denied, err)
		}
	}
	// Asked for one, a client that has none says so itself.
	if _, _, err := conversation(t, server, client, nil, binding(1), binding(1)); err == nil || !strings.Contains(err.Error(), "validator.Passphrase") {
		t.Errorf("without an identification: %v", err)
	}
}

// What is set while an identification is under way counts at its end.
func TestIdentificationChangedMeanwhile(t *testing.T) {
	d := fast(t, Passphrase("one"))
	server, client := must(StepsOf(d)), must(StepsOf(new(Default)))
	sx, cx := &Exchange{ChannelBinding: binding(1)}, &Exchange{ChannelBinding: binding(1), Ident: Passphrase("one")}
	challenge, _ := server.Challenge(t.Context(), sx)
	first, _ := client.CreateAuthToken(t.Context(), cx, challenge)
	reply, _, denied := server.AcceptIdentification(t.Context(), sx, first)
	if denied != nil {
		t.Fatal(denied)
	}
	final := must(client.CreateAuthToken(t.Context(), cx, reply))
	if err := d.SetAllowedIdentifications([]Identification{}); err != nil {
		t.Fatal(err)
	}
	if _, done, denied := server.AcceptIdentification(t.Context(), sx, final); done || denied == nil {
		t.Error("accepted by an identification that is allowed no longer")
	}
}

func TestSetAllowedRefuses(t *testing.T) {
	d := fast(t, Passphrase("one"))
	before := d.allowed.Load()
	two := append(must(Munge(minIterations, Passphrase("a"))), must(Munge(minIterations, Passphrase("b")))...)
	many := make([]Identification, maxNameless+1)
	for i := range many {
		many[i] = must(ParseStoredIdent("", two[0].Text()))
	}
	for want, ids := range map[string][]Identification{
		"empty passphrase":       {Passphrase("")},
		"an empty passphrase":    {Secret{}},
		"1024":                   {Passphrase(strings.Repeat("x", 1025))},
		"SASLprep":               {Passphrase("pass\x07word")},
		"a login without a name": {Login{"", Passphrase("x")}},
		"printable ASCII":        {Login{"al ice", Passphrase("x")}},
		"64":                     {Login{strings.Repeat("x", 65), Passphrase("x")}},
		`named "a"`:              {Login{"a", Passphrase("x")}, Login{"a", Passphrase("y")}},
		"different salts":        {two[0], two[1]},
		"too many":               many,
		"cannot be read":         {StoredIdent{}},
		"type <nil>":             {nil},
	} {
		err := d.SetAllowedIdentifications(ids)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), "validator: ") != 1 {
			t.Errorf("want an error with %q, got %v", want, err)
		}
		if d.allowed.Load() != before {
			t.Errorf("%s: the allowed identifications have changed", want)
		}
	}
}

func TestMungeIdent(t *testing.T) {
	s := must(StepsOf(new(Default)))
	for _, ident := range []any{nil, Passphrase("x"), Login{"a", Passphrase("x")}} {
		if got, err := s.MungeIdent(ident); err != nil || got != ident {
			t.Errorf("%T: got %v, %v, want it unchanged", ident, got, err)
		}
	}
	if must(s.MungeIdent(Passphrase("x"))) != must(s.MungeIdent(Passphrase("x"))) || must(s.MungeIdent(Passphrase("x"))) == must(s.MungeIdent(Passphrase("y"))) {
		t.Error("equal passphrases must compare equal, others not")
	}
	for _, ident := range []any{"hunter2", []string{"hunter2"}, Passphrase(""), Login{"hunter2 ", Passphrase("x")}, must(Munge(minIterations, Passphrase("hunter2")))[0]} {
		got, err := s.MungeIdent(ident)
		if err == nil || got != nil {
			t.Errorf("%T: got %v, want an error", ident, got)
		} else if _, isLogin := ident.(Login); !isLogin && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%T: the error shows the passphrase: %v", ident, err)
		}
	}
}

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

func TestStoredText(t *testing.T) {
	// As PostgreSQL stores "pencil": computed here from the definitions of RFC 5802.
	s := must(Munge(minIterations, Login{"user", Passphrase("pencil")}))[0]
	c := must(s.credentials())
	mac := func(key, data []byte) []byte { m := hmac.New(sha256.New, key); m.Write(data); return m.Sum(nil) }
	u := mac([]byte("pencil"), append([]byte(c.Salt), 0, 0, 0, 1))
	salted := bytes.Clone(u)
	for range minIterations - 1 {
		u = mac([]byte("pencil"), u)
		for i := range salted {
			salted[i] ^= u[i]
		}
	}
	storedKey := sha256.Sum256(mac(salted, []byte("Client Key")))
	b64 := base64.StdEncoding.EncodeToString
	want := fmt.Sprintf("SCRAM-SHA-256$4096:%s$%s:%s", b64([]byte(c.Salt)), b64(storedKey[:]), b64(mac(salted, []byte("Server Key"))))
	if s.Text() != want || s.Name() != "user" {
		t.Errorf("got %s for %q, want %s", s.Text(), s.Name(), want)
	}
	// RFC 7677 section 3 gives another one.
	rfc := must(ParseStoredIdent("user", "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="))
	client := must(scram.SHA256.NewClient("user", "pencil", ""))
	k := must(rfc.credentials())
	if got := must(client.GetStoredCredentialsWithError(k.KeyFactors)); !bytes.Equal(got.StoredKey, k.StoredKey) || !bytes.Equal(got.ServerKey, k.ServerKey) {
		t.Errorf("the keys of RFC 7677's example are %x and %x", got.StoredKey, got.ServerKey)
	}

	parts := strings.FieldsFunc(want, func(r rune) bool { return r == '$' || r == ':' })
	for what, text := range map[string]string{
		"empty":              "",
		"plain":              "pencil",
		"other scheme":       strings.Replace(want, "256", "1", 1),
		"no keys":            strings.Join(parts[:2], "$"),
		"few iterations":     strings.Replace(want, "4096", "4095", 1),
		"many iterations":    strings.Replace(want, "4096", "2000001", 1),
		"sign":               strings.Replace(want, "4096", "+4096", 1),
		"short key":          strings.Replace(want, parts[3], "AAAA", 1),
		"newline in base64":  strings.Replace(want, parts[4], parts[4][:4]+"\n"+parts[4][4:], 1),
		"newline at the end": want + "\n",
		"short salt":         strings.Replace(want, parts[2], "AAAA", 1),
		"one more field":     want + "$",
		"not base64":         strings.Replace(want, parts[2], "!"+parts[2][1:], 1),
		"long salt":          strings.Replace(want, parts[2], b64(make([]byte, 65)), 1),
	} {
		if got, err := ParseStoredIdent("user", text); err == nil {
			t.Errorf("%s: read as %v", what, got)
		} else if text != "" && len(parts[3]) > 0 && strings.Contains(err.Error(), parts[3]) {
			t.Errorf("%s: the error shows a key", what)
		}
	}
	if _, err := Munge(1, Passphrase("x")); err == nil {
		t.Error("Munge takes 1 iteration")
	}
}

// The default work factor is what is advised, and the client pays it once.
func TestDefaultIterations(t *testing.T) {
	d := new(Default)
	if err := d.SetAllowedIdentifications([]Identification{Passphrase("one")}); err != nil {
		t.Fatal(err)
	}
	server, client := must(StepsOf(d)), must(StepsOf(new(Default)))
	if f := serverFirst(t, server, ""); !strings.HasSuffix(f, ",i=600000") {
		t.Errorf("the daemon asks for %q", f)
	}
	var took [2]time.Duration
	for i := range took {
		start := time.Now()
		if _, denied, err := conversation(t, server, client, Passphrase("one"), binding(1), binding(1)); denied != nil || err != nil {
			t.Fatal(denied, err)
		}
		took[i] = time.Since(start)
	}
	if took[1] > took[0]/2 {
		t.Errorf("the first identification takes %v, the second %v", took[0], took[1])
	}
}

// A client keeps a bounded number of keys, whatever daemons make it compute.
func TestClientKeysAreBounded(t *testing.T) {
	d := new(Default)
	for i := range 3 * maxClients {
		must(d.keysOf(Login{fmt.Sprint("u", i), Passphrase("x")}))
	}
	if len(d.clients) > maxClients {
		t.Errorf("%d logins are kept", len(d.clients))
	}
	client := must(StepsOf(d))
	l := Login{"u", Passphrase("x")}
	for i := range 3 * maxFactors {
		ex := &Exchange{Ident: l, ChannelBinding: binding(1)}
		first := string(must(client.CreateAuthToken(t.Context(), ex, []byte(mechanism))))
		_, nonce, _ := strings.Cut(first, ",r=")
		salt := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "salt number %d", i))
		if _, err := client.CreateAuthToken(t.Context(), ex, []byte("r="+nonce+"x,s="+salt+",i=4096")); err != nil {
			t.Fatal(err)
		}
		if k := d.clients[l]; k != nil && len(k.factors) > maxFactors {
			t.Fatalf("keys for %d salts are kept", len(k.factors))
		}
	}
}

func TestSetAllowedConcurrently(t *testing.T) {
	d := fast(t, Passphrase("one"))
	server, client := must(StepsOf(d)), must(StepsOf(new(Default)))
	sets := [][]Identification{nil, {}, must2(Munge(minIterations, Passphrase("one"))), must2(Munge(minIterations, Passphrase("two"), Login{"a", Passphrase("x")}))}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			if err := d.SetAllowedIdentifications(sets[i%len(sets)]); err != nil {
				t.Error(err)
			}
		}
	})
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for range 50 {
				if _, _, err := conversation(t, server, client, Passphrase("one"), binding(1), binding(1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	cancel()
	all.Wait()
}

func must2(s []StoredIdent, err error) []Identification {
	var all []Identification
	for _, s := range must(s, err) {
		all = append(all, s)
	}
	return all
}

// table is a validator with names and passwords of its own, sent as they are: the
// connection is encrypted and both sides are known.
type table struct {
	*Default
	passwords map[string]string
}

type credentials struct{ Name, Password string }

func (v *table) MungeIdent(ident any) (any, error) {
	if c, ok := ident.(credentials); ok && c.Name != "" {
		return c, nil
	}
	return nil, errors.New("want credentials")
}

func (v *table) CreateAuthChallenge(context.Context, *Exchange) ([]byte, error) {
	return []byte("name and password?"), nil
}

func (v *table) CreateAuthToken(_ context.Context, ex *Exchange, challenge []byte) ([]byte, error) {
	c, ok := ex.Ident.(credentials)
	if !ok {
		return nil, errors.New("no credentials are set")
	}
	if ex.Final {
		return nil, nil
	}
	return []byte(c.Name + "\x00" + c.Password), nil
}

func (v *table) AcceptIdentification(_ context.Context, ex *Exchange, token []byte) ([]byte, bool, error) {
	name, password, _ := strings.Cut(string(token), "\x00")
	if want, ok := v.passwords[name]; !ok || !hmac.Equal([]byte(want), []byte(password)) {
		return nil, false, &Denial{Code: DeniedSecurity, Got: "wrong name or password"}
	}
	ex.User = name
	return nil, true, nil
}

func TestCustomIdentification(t *testing.T) {
	v := must(StepsOf(&table{Default: new(Default), passwords: map[string]string{"alice": "sesame"}}))
	if user, d, err := conversation(t, v, v, credentials{"alice", "sesame"}, binding(1), binding(1)); user != "alice" || d != nil || err != nil {
		t.Errorf("user %q, %v, %v", user, d, err)
	}
	if _, d, _ := conversation(t, v, v, credentials{"alice", "guess"}, binding(1), binding(1)); d == nil || d.Got != "wrong name or password" || d.Check != CheckIdentification {
		t.Errorf("got %v", d)
	}
	if _, _, err := conversation(t, v, v, "x", binding(1), binding(1)); err == nil || err.Error() != "want credentials" {
		t.Errorf("got %v, want the validator's own error", err)
	}
	if _, _, err := conversation(t, v, v, nil, binding(1), binding(1)); err == nil || err.Error() != "no credentials are set" {
		t.Errorf("got %v, want the validator's own error", err)
	}
	// One who expects something else says what.
	if _, _, err := conversation(t, v, must(StepsOf(new(Default))), Passphrase("x"), binding(1), binding(1)); err == nil || !strings.Contains(err.Error(), "name and password?") {
		t.Errorf("got %v", err)
	}
}

// A validator may wrap the Default's identification, and refuse more.
func TestWrappedIdentification(t *testing.T) {
	d := fast(t, Login{"alice", Passphrase("one")}, Login{"bob", Passphrase("two")})
	o := &odd{Default: d}
	o.accept = func(ex *Exchange, token []byte) ([]byte, bool, error) {
		reply, done, err := d.AcceptIdentification(context.Background(), ex, token)
		if done && ex.User == "bob" {
			return nil, false, &Denial{Code: DeniedSecurity, Got: "bob is on holiday"}
		}
		return reply, done, err
	}
	server, client := must(StepsOf(o)), must(StepsOf(new(Default)))
	if user, denied, err := conversation(t, server, client, Login{"alice", Passphrase("one")}, binding(1), binding(1)); user != "alice" || denied != nil || err != nil {
		t.Errorf("user %q, %v, %v", user, denied, err)
	}
	if _, denied, _ := conversation(t, server, client, Login{"bob", Passphrase("two")}, binding(1), binding(1)); denied == nil || denied.Got != "bob is on holiday" {
		t.Errorf("got %v", denied)
	}
}
