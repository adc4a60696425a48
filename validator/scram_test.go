package validator

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
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
