package validator

import "testing"

// TestStillIdentified: a session lives no longer than its identification is allowed.
func TestStillIdentified(t *testing.T) {
	daemon := must(New(Config{Admit: []Peer{AnyIdentity()}, Iterations: 4096}))
	client := new(Default)
	steps, mine := must(StepsOf(daemon)), must(StepsOf(client))
	allow := func(ids ...Identification) {
		t.Helper()
		if err := daemon.SetAllowedIdentifications(ids); err != nil {
			t.Fatal(err)
		}
	}
	alice, door := Login{Name: "alice", Passphrase: Passphrase("rabbit hole 1")}, Passphrase("open sesame 2")
	identified := func(ident any) *Exchange {
		t.Helper()
		binding := make([]byte, bindingSize)
		ours := &Exchange{ChannelBinding: binding}
		munged := must(mine.MungeIdent(ident))
		theirs := &Exchange{ChannelBinding: binding, Ident: munged}
		message, denial := steps.Challenge(t.Context(), ours)
		for round := 0; denial == nil && round < 4; round++ {
			token, err := mine.CreateAuthToken(t.Context(), theirs, message)
			if err != nil {
				t.Fatal(err)
			}
			var done bool
			if message, done, denial = steps.AcceptIdentification(t.Context(), ours, token); done {
				return ours
			}
		}
		t.Fatalf("not accepted: %v", denial)
		return nil
	}
	none := &Exchange{}
	before := steps.Version()
	if d := steps.StillIdentified(none); d != nil {
		t.Errorf("no identification asked for: %v", d)
	}
	allow(alice, door)
	if steps.Version() == before {
		t.Error("the version is the same")
	}
	byName, byPhrase := identified(alice), identified(door)
	tests := []struct {
		name                   string
		now                    []Identification
		none, byName, byPhrase bool // still identified
	}{
		{"the same", []Identification{alice, door}, false, true, true},
		{"one withdrawn", []Identification{door}, false, false, true},
		{"the other withdrawn", []Identification{alice}, false, true, false},
		{"passphrase changed", []Identification{Login{Name: "alice", Passphrase: Passphrase("rabbit hole 3")}, door}, false, false, true},
		{"nobody", []Identification{}, false, false, false},
	}
	for _, test := range tests {
		if err := daemon.SetAllowedIdentifications(test.now); err != nil {
			t.Fatal(err)
		}
		for what, c := range map[string]struct {
			ex   *Exchange
			want bool
		}{"none": {none, test.none}, "by name": {byName, test.byName}, "by passphrase": {byPhrase, test.byPhrase}} {
			d := steps.StillIdentified(c.ex)
			if (d == nil) != c.want || d != nil && d.Check != CheckIdentification {
				t.Errorf("%s, %s: %v, want still identified %v", test.name, what, d, c.want)
			}
		}
	}
	if err := daemon.SetAllowedIdentifications(nil); err != nil || steps.StillIdentified(none) != nil {
		t.Error("identifications that are not asked for any more end a session")
	}
}
