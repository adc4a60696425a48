package rulefile_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
	"github.com/pyrossl/pyrossl/validator/rulefile"
)

const example = "testdata/example.yaml"

// The documented example does what its comments say.
func TestExampleFile(t *testing.T) {
	identities, err := rulefile.LoadIdentities(example)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := rulefile.LoadRules(example)
	if err != nil {
		t.Fatal(err)
	}
	ca := testca.New(t)
	for i := range identities {
		if identities[i].Issuer != "" {
			identities[i].Issuer = validator.IssuerOf(ca.RootCert())
		}
	}
	m, err := validator.NewMapper(identities...)
	if err != nil {
		t.Fatal(err)
	}
	r, err := validator.NewRules(rules...)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ certificate, name, object, method, rule string }{
		{"alice@bank.example", "alice", "bank", "GetBalance", "tellers"},
		{"alice@bank.example", "alice", "vault", "Open", "default"},
		{"carol@bank.example", "carol", "vault", "Open", "managers"},
		{"mallory@bank.example", "mallory", "bank", "GetBalance", "suspended"},
		{"spiffe://bank.example/service/calc-1", "service-calc-1", "bank", "Deposit", "default"},
		{"probe.bank.example", "dns:probe.bank.example", "Pyro.Daemon", "Ping", "health"},
		{"probe.bank.example", "dns:probe.bank.example", "Pyro.Daemon", "Status", "default"},
	} {
		id, err := m.Identify(append(ca.Client(t, c.certificate).Chain, ca.RootCert()))
		if err != nil || id.Name != c.name {
			t.Errorf("%s is %q, %v, want %q", c.certificate, id.Name, err, c.name)
		}
		if d := r.Authorize(t.Context(), validator.Request{Identity: &id, Object: c.object, Method: c.method}); d.Rule != c.rule {
			t.Errorf("%s calls %s.%s: got %+v, want rule %q", id.Name, c.object, c.method, d, c.rule)
		}
	}
}

const (
	goodIdentity = "identities:\n- {name: a, match: {dns: 'a'}}\n"
	goodRule     = "rules:\n- {name: a, effect: allow, identities: [x], objects: [o], methods: [M]}\n"
)

func TestParseRefuses(t *testing.T) {
	id := func(fields string) string {
		return "# comment\nidentities:\n- name: first\n  match: {dns: x}\n- " + fields + "\n"
	}
	rule := func(fields string) string { return "rules:\n- " + fields + "\n" }
	all := "effect: allow, identities: [x], objects: [o], methods: [M]"
	for what, c := range map[string]struct{ in, want string }{
		"empty":                 {"", "the file is empty"},
		"comment only":          {"# nothing\n", "the file is empty"},
		"null":                  {"~\n", "line 1: a file with rules is nothing"},
		"a list":                {"- a\n", "line 1: a file with rules is a list"},
		"a text":                {"hello\n", `line 1: a file with rules is the text "hello"`},
		"unknown section":       {goodIdentity + "policies: []\n", `line 3: unknown field "policies" in a file with rules, want one of identities, rules`},
		"section twice":         {goodIdentity + goodIdentity, "line 3: "},
		"not YAML":              {"identities: [\n", "the file is not YAML"},
		"tab":                   {"identities:\n\t- a\n", "line 2: "},
		"second document":       {goodIdentity + "---\n" + goodRule, "second document"},
		"no list":               {"identities: a\n", `line 1: "identities" is the text "a", want a list`},
		"empty list":            {"identities: []\n", `line 1: "identities" is an empty list`},
		"null list":             {"identities:\n", `"identities" is nothing, want a list`},
		"unknown field":         {id("{name: b, match: {dns: y}, role: [x]}"), `line 5: unknown field "role" in a mapping rule, want one of as, issuer, match, name, roles`},
		"field twice":           {id("name: b\n  match: {dns: y}\n  as: u\n  as: v"), "line 8: "},
		"field in capitals":     {id("{Name: b, match: {dns: y}}"), `line 5: unknown field "Name"`},
		"no name":               {id("{match: {dns: y}}"), "line 5: the rule has no name"},
		"name twice":            {id("{name: first, match: {dns: y}}"), `line 5: the name "first" is taken by the rule in line 3`},
		"no match":              {id("{name: b, as: x}"), `line 5: the mapping rule "b" has no "match"`},
		"match is text":         {id("{name: b, match: x}"), `line 5: "match" is the text "x"`},
		"match of no kind":      {id("{name: b, match: {}}"), `has no "match"`},
		"match of two kinds":    {id("name: b\n  match:\n    dns: x\n    cn: y"), "line 8: \"match\" has two kinds of names, dns and cn"},
		"unknown kind":          {id("{name: b, match: {ip: y}}"), `line 5: unknown field "ip" in "match", want one of cn, dns, email, uri`},
		"pattern number":        {id("{name: b, match: {dns: 1}}"), `line 5: "dns" is "1" (int), want text`},
		"bad pattern":           {id("{name: b, match: {dns: '('}}"), `line 5: mapping rule "b": its pattern "(": missing closing )`},
		"unknown capture":       {id("{name: b, match: {dns: x}, as: $1}"), `line 5: mapping rule "b"`},
		"role is a number":      {id("{name: b, match: {dns: x}, roles: [1]}"), `"roles" is "1" (int), want text`},
		"role is a list":        {id("{name: b, match: {dns: x}, roles: [[a]]}"), `"roles" is a list, want text`},
		"roles is text":         {id("{name: b, match: {dns: x}, roles: a}"), `"roles" is the text "a", want a list`},
		"null as":               {id("{name: b, match: {dns: x}, as: }"), `"as" is nothing, want text`},
		"empty as":              {id("{name: b, match: {dns: x}, as: ''}"), `"as" is empty`},
		"bad issuer":            {id("{name: b, match: {dns: x}, issuer: CA}"), `line 5: mapping rule "b": issuer "CA"`},
		"anchor":                {id("{name: &n b, match: {dns: x}}"), "line 5: anchors and aliases"},
		"alias":                 {"identities:\n- &r {name: b, match: {dns: x}}\n- *r\n", "line 2: anchors and aliases"},
		"merge key":             {id("{<<: {name: b}, match: {dns: x}}"), "line 5: "},
		"tag":                   {id("{name: !!str 1, match: {dns: x}}"), "line 5: tags like"},
		"list as key":           {id("{[name]: b}"), "line 5: "},
		"effect missing":        {rule("{name: a, identities: [x], objects: [o], methods: [M]}"), `line 2: the rule "a" has no "effect"`},
		"effect unknown":        {rule("{name: a, effect: Allow, identities: [x], objects: [o], methods: [M]}"), `"effect" is "Allow", want allow or deny`},
		"effect is a boolean":   {rule("{name: a, effect: true, identities: [x]}"), `"effect" is "true" (bool), want text`},
		"nobody":                {rule("{name: a, effect: deny, objects: [o], methods: [M]}"), `line 2: rule "a": it is for nobody`},
		"rule name twice":       {rule("{name: a, " + all + "}\n- {name: a, " + all + "}"), `line 3: the name "a" is taken by the rule in line 2`},
		"bad identity":          {rule("{name: a, effect: allow, identities: ['dns:X'], objects: [o], methods: [M]}"), `line 2: rule "a"`},
		"rules beside identity": {goodIdentity + "rules:\n- {name: a, effects: allow}\n", `line 4: unknown field "effects"`},
		"control character":     {id("{name: b, match: {dns: \"x\\x1b[31m(\"}}"), "line 5: "},
		"too large":             {strings.Repeat("#", rulefile.MaxSize) + "\n", "more than 1048576 bytes"},
	} {
		for _, parse := range []func([]byte) error{
			func(b []byte) error { _, err := rulefile.ParseIdentities(b); return err },
			func(b []byte) error { _, err := rulefile.ParseRules(b); return err },
		} {
			err := parse([]byte(c.in))
			if err == nil || !strings.HasPrefix(err.Error(), "rulefile: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want an error with %q", what, err, c.want)
				continue
			}
			if text := err.Error(); len(text) > 1000 || strings.ContainsAny(text, "\n\x1b\x00") || strings.Contains(text, "validator: ") {
				t.Errorf("%s: the error is not fit to be shown: %q", what, text)
			}
		}
	}
}

func TestSections(t *testing.T) {
	if _, err := rulefile.ParseIdentities([]byte(goodRule)); err == nil || !strings.Contains(err.Error(), `want a list "identities:"`) {
		t.Errorf("identities of a file without: %v", err)
	}
	if _, err := rulefile.ParseRules([]byte(goodIdentity)); err == nil || !strings.Contains(err.Error(), `want a list "rules:"`) {
		t.Errorf("rules of a file without: %v", err)
	}
	if ids, err := rulefile.ParseIdentities([]byte(goodIdentity + goodRule)); err != nil || len(ids) != 1 {
		t.Errorf("got %v, %v", ids, err)
	}
	// Words that are booleans elsewhere are text here, like any other role.
	rules, err := rulefile.ParseRules([]byte("rules:\r\n- {name: a, effect: deny, roles: [no, on], objects: ['*'], methods: ['*']}\r\n"))
	if err != nil || len(rules) != 1 || rules[0].Effect != validator.Deny || fmt.Sprint(rules[0].Roles) != "[no on]" {
		t.Errorf("got %+v, %v", rules, err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	bad := write("bad.yaml", "rules:\n- {name: a}\n")
	_, err := rulefile.LoadRules(bad)
	var e *rulefile.Error
	if !errors.As(err, &e) || e.Path != bad || e.Line != 2 || !strings.HasPrefix(err.Error(), "rulefile: "+bad+":2: ") {
		t.Errorf("got %v", err)
	}
	if _, err := rulefile.LoadRules(filepath.Join(dir, "none.yaml")); !errors.Is(err, fs.ErrNotExist) || strings.Count(err.Error(), "none.yaml") != 1 {
		t.Errorf("no file: %v", err)
	}
	if _, err := rulefile.LoadIdentities(dir); err == nil || !strings.HasPrefix(err.Error(), "rulefile: "+dir+": ") {
		t.Errorf("a directory: %v", err)
	}
	if _, err := rulefile.LoadRules(write("large.yaml", strings.Repeat("#", 2*rulefile.MaxSize))); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a large file: %v", err)
	}
}

// Aliases that would expand to billions of values cost nothing.
func TestAliasBomb(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'z'; c++ {
		p := c - 1
		bomb += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, p, p, p, p, p, p, p, p, p)
	}
	if _, err := rulefile.ParseRules([]byte(bomb)); err == nil {
		t.Error("accepted")
	}
	if _, err := rulefile.ParseRules([]byte("rules: " + strings.Repeat("[", 1<<18))); err == nil {
		t.Error("a deep file is accepted")
	}
}

// Whatever is read can be used, and is what stands there: no panic, errors fit to be
// shown.
func FuzzRulefile(f *testing.F) {
	data, err := os.ReadFile(example)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	for _, s := range []string{"", goodIdentity, goodRule, "rules: *a", "a: &a b", "---\n---\n", "rules:\n- <<: {name: a}\n", "\xff\xfe", "identities:\n- {name: a, match: {cn: '(.*)'}, as: ${1}}\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		identities, err1 := rulefile.ParseIdentities(data)
		rules, err2 := rulefile.ParseRules(data)
		for _, err := range []error{err1, err2} {
			if err == nil {
				continue
			}
			var e *rulefile.Error
			if !errors.As(err, &e) || len(err.Error()) > 4096 || strings.ContainsAny(err.Error(), "\n\r\x00\x1b") {
				t.Errorf("an error that is not fit to be shown: %T %q", err, err)
			}
		}
		if err1 == nil {
			if len(identities) == 0 {
				t.Error("no identities and no error")
			}
			if _, err := validator.NewMapper(identities...); err != nil {
				t.Errorf("identities that cannot be used: %v", err)
			}
		}
		if err2 == nil {
			if len(rules) == 0 {
				t.Error("no rules and no error")
			}
			if _, err := validator.NewRules(rules...); err != nil {
				t.Errorf("rules that cannot be used: %v", err)
			}
		}
	})
}

func ExampleLoadRules() {
	rules, err := rulefile.LoadRules("testdata/example.yaml")
	if err != nil {
		fmt.Println(err)
		return
	}
	policy, err := validator.NewRules(rules...)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(rules), "rules, version", policy.Version())
	// Output: 4 rules, version 1
}

func ExampleParseIdentities() {
	rules, err := rulefile.ParseIdentities([]byte(`
identities:
  - name: staff
    match: {email: '([a-z]+)@bank\.example'}
    as: $1
    role: [teller]
`))
	fmt.Println(rules, err)
	// Output: [] rulefile: line 6: unknown field "role" in a mapping rule, want one of as, issuer, match, name, roles
}
