package validator

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// Whatever a secret is given to, in whatever structure, does not show it.
func TestSecretsDoNotPrint(t *testing.T) {
	const canary = "hunter2-canary"
	s := Passphrase(canary)
	stored := must(Munge(minIterations, s, Login{"alice", s}))
	key := stored[0].Text()[strings.LastIndex(stored[0].Text(), ":")+1:]
	d := fast(t, s)
	if _, err := d.keysOf(Login{"alice", s}); err != nil {
		t.Fatal(err)
	}
	type hidden struct {
		s     Secret
		any   any
		ptr   *Secret
		login Login
		ident Identification
		text  StoredIdent
	}
	values := []any{s, &s, Login{"alice", s}, &Login{"alice", s}, []Secret{s}, map[string]Secret{"a": s}, map[Secret]int{s: 1},
		struct{ s Secret }{s}, hidden{s, s, &s, Login{"a", s}, s, stored[0]}, &hidden{s: s, any: Login{"a", s}, text: stored[1]},
		stored, stored[0], &stored[1], Exchange{Ident: s, State: Login{"a", s}}, &Exchange{Ident: Login{"a", s}}}
	verbs := []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%t", "%c", "%U", "%e", "%p", "%b", "%o", "%T", "%w", "%!", "%10.3s"}
	show := func(how, text string) {
		if strings.Contains(text, canary) || strings.Contains(strings.ToLower(text), fmt.Sprintf("%x", canary)) || strings.Contains(text, key) {
			t.Errorf("%s shows the secret: %s", how, text)
		}
	}
	for i, v := range values {
		for _, verb := range verbs {
			show(fmt.Sprintf("value %d with %s", i, verb), fmt.Sprintf(verb, v))
		}
		var b bytes.Buffer
		slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
		if text, err := json.Marshal(v); err == nil {
			b.Write(text)
		}
		if text, err := xml.Marshal(v); err == nil {
			b.Write(text)
		}
		_ = gob.NewEncoder(&b).Encode(v)
		show(fmt.Sprintf("value %d encoded", i), b.String())
	}
	if s.Reveal() != canary || (Secret{}).Reveal() != "" || fmt.Sprint(s) != secretText || (Secret{}).String() != secretText {
		t.Error("a secret is not what it was made of")
	}
}
