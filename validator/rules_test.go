package validator

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

func person(name string, p Principal, roles ...string) *Identity {
	return &Identity{Name: name, Principal: p, Roles: roles}
}

var (
	ourIssuer   = issuerPrefix + strings.Repeat("0", 32)
	theirIssuer = issuerPrefix + strings.Repeat("1", 32)

	alice = person("alice", Principal{Email, "alice@bank.example", ourIssuer}, "manager", "teller")
	bob   = person("bob", Principal{Email, "bob@bank.example", theirIssuer})
	calc  = person("uri:spiffe://bank.example/svc/calc", Principal{URI, "spiffe://bank.example/svc/calc", ourIssuer})
)

func TestRules(t *testing.T) {
	rules := must(NewRules(
		Rule{Name: "tellers", Effect: Allow, Roles: []string{"teller"}, Objects: []string{"bank"}, Methods: []string{"Deposit", "Get*"}},
		Rule{Name: "bob", Effect: Allow, Identities: []string{"bob"}, Objects: []string{"bank", "ledger*"}, Methods: []string{"*"}},
		Rule{Name: "services", Effect: Allow, Identities: []string{"uri:spiffe://bank.example/svc/*"}, Objects: []string{"*"}, Methods: []string{"Sync"}},
		Rule{Name: "principal", Effect: Allow, Identities: []string{"email:alice@bank.example"}, Objects: []string{"mail"}, Methods: []string{"Read"}},
		Rule{Name: "ours", Effect: Allow, Identities: []string{"*"}, Issuers: []string{ourIssuer}, Objects: []string{"echo"}, Methods: []string{"Echo"}},
		Rule{Name: "everybody", Effect: Allow, Identities: []string{"*"}, Objects: []string{"Pyro.Daemon"}, Methods: []string{"*"}},
		Rule{Name: "no-close", Effect: Deny, Identities: []string{"*"}, Objects: []string{"*"}, Methods: []string{"Close*"}},
		Rule{Name: "no-bob", Effect: Deny, Identities: []string{"bob"}, Objects: []string{"ledger-2"}, Methods: []string{"*"}},
		Rule{Name: "attributes", Effect: Allow, Identities: []string{"bob"}, Objects: []string{"meter"}, Methods: []string{"get:*", "set:Limit"}},
	))
	for _, c := range []struct {
		id             *Identity
		object, method string
		rule           string // with "-" in front when it denies
	}{
		{alice, "bank", "Deposit", "tellers"},
		{alice, "bank", "GetBalance", "tellers"},
		{alice, "bank", "Get", "tellers"},
		{alice, "bank", "getBalance", "-default"},
		{alice, "bank", "Withdraw", "-default"},
		{alice, "bank2", "Deposit", "-default"},
		{alice, "mail", "Read", "principal"},
		{bob, "mail", "Read", "-default"},
		{bob, "bank", "Withdraw", "bob"},
		{bob, "bank", "CloseAccount", "-no-close"},
		{bob, "ledger", "Read", "bob"},
		{bob, "ledger-1", "Read", "bob"},
		{bob, "ledger-2", "Read", "-no-bob"},
		{bob, "ledge", "Read", "-default"},
		{calc, "anything", "Sync", "services"},
		{calc, "bank", "Sync", "services"},
		{calc, "bank", "Deposit", "-default"},
		{alice, "echo", "Echo", "ours"},
		{bob, "echo", "Echo", "-default"},
		{bob, "Pyro.Daemon", "Ping", "everybody"},
		{bob, "Pyro.Daemon", "Close", "-no-close"},
		{bob, "", "", "-default"},
		{bob, "meter", "get:Limit", "attributes"},
		{bob, "meter", "get:Currency", "attributes"},
		{bob, "meter", "set:Limit", "attributes"},
		{bob, "meter", "set:Currency", "-default"},
		{bob, "meter", "Limit", "-default"},
	} {
		d := rules.Authorize(t.Context(), Request{Identity: c.id, Object: c.object, Method: c.method, Kind: KindCall})
		want, deny := strings.CutPrefix(c.rule, "-")
		if d.Allowed == deny || d.Rule != want || (d.Reason == "") == deny {
			t.Errorf("%s calls %s.%s: got %+v, want %s", c.id.Name, c.object, c.method, d, c.rule)
		}
	}
}

func TestReasons(t *testing.T) {
	rules := must(NewRules(Rule{Name: "secret-rule", Effect: Deny, Identities: []string{"*"}, Objects: []string{"vault"}, Methods: []string{"*"}}))
	mallory := person("email:mallory@bank.example", Principal{Email, "mallory@bank.example", ""})
	for q, want := range map[Request]string{
		{Identity: mallory, Object: "bank", Method: "Deposit"}:       "no policy lets email:mallory@bank.example call bank.Deposit",
		{Identity: mallory, Object: "vault", Method: "Open"}:         "a policy forbids email:mallory@bank.example to call vault.Open",
		{Identity: mallory, Object: "a\x1b[2J", Method: "b\nc"}:      `no policy lets email:mallory@bank.example call "a\x1b[2J"."b\nc"`,
		{Identity: nil, Object: "bank", Method: "Deposit"}:           "no identity may make this call",
		{Identity: new(Identity), Object: "bank", Method: "Deposit"}: "no identity may make this call",
	} {
		d := rules.Authorize(t.Context(), q)
		if d.Allowed || d.Reason != want || strings.Contains(d.Reason, "secret-rule") {
			t.Errorf("got %+v, want %q", d, want)
		}
	}
	long := rules.Authorize(t.Context(), Request{Identity: mallory, Object: strings.Repeat("x", 1<<20), Method: strings.Repeat("\xff", 1<<20)})
	if len(long.Reason) > 1000 {
		t.Errorf("the reason has %d bytes", len(long.Reason))
	}
}

func TestRulesDenyByDefault(t *testing.T) {
	for what, r := range map[string]*Rules{"nil": nil, "zero": new(Rules), "empty": must(NewRules())} {
		if d := r.Authorize(t.Context(), Request{Identity: alice, Object: "bank", Method: "Deposit"}); d.Allowed || d.Rule != "default" {
			t.Errorf("%s: got %+v", what, d)
		}
	}
}

func TestNewRulesRefuses(t *testing.T) {
	good := Rule{Name: "a", Effect: Allow, Identities: []string{"x"}, Objects: []string{"o"}, Methods: []string{"M"}}
	with := func(f func(*Rule)) []Rule { r := good; f(&r); return []Rule{r} }
	for what, c := range map[string]struct {
		rules []Rule
		want  string
	}{
		"no name":               {with(func(r *Rule) { r.Name = "" }), "no name"},
		"name with space":       {with(func(r *Rule) { r.Name = "a b" }), `"a b"`},
		"name of the default":   {with(func(r *Rule) { r.Name = "default" }), "another name"},
		"name twice":            {[]Rule{good, good}, `two rules are named "a"`},
		"no effect":             {with(func(r *Rule) { r.Effect = 0 }), "Allow or Deny"},
		"unknown effect":        {with(func(r *Rule) { r.Effect = 3 }), "Allow or Deny"},
		"for nobody":            {with(func(r *Rule) { r.Identities = nil }), "for nobody"},
		"no object":             {with(func(r *Rule) { r.Objects = []string{} }), "no object"},
		"no method":             {with(func(r *Rule) { r.Methods = nil }), "no method"},
		"empty identity":        {with(func(r *Rule) { r.Identities = []string{""} }), "empty"},
		"identity twice":        {with(func(r *Rule) { r.Identities = []string{"x", "x"} }), "twice"},
		"bad principal":         {with(func(r *Rule) { r.Identities = []string{"email:x"} }), "no principal"},
		"capital DNS":           {with(func(r *Rule) { r.Identities = []string{"dns:X"} }), `"dns:x"`},
		"identity with space":   {with(func(r *Rule) { r.Identities = []string{"x y"} }), "white space"},
		"identity mixed script": {with(func(r *Rule) { r.Identities = []string{"\u0430dmin"} }), "mixes"},
		"prefix mixed script":   {with(func(r *Rule) { r.Identities = []string{"\u0430dmin*"} }), "mixes"},
		"star in the middle":    {with(func(r *Rule) { r.Identities = []string{"a*b"} }), "at the end"},
		"two stars":             {with(func(r *Rule) { r.Objects = []string{"**"} }), "at the end"},
		"empty object":          {with(func(r *Rule) { r.Objects = []string{""} }), "empty"},
		"object with newline":   {with(func(r *Rule) { r.Objects = []string{"o\n"} }), "other characters"},
		"regular expression":    {with(func(r *Rule) { r.Objects = []string{"o.+|x"} }), "other characters"},
		"question mark":         {with(func(r *Rule) { r.Methods = []string{"Get?"} }), "other characters"},
		"method with dot":       {with(func(r *Rule) { r.Methods = []string{"a.B"} }), "other characters"},
		"no attribute":          {with(func(r *Rule) { r.Methods = []string{"get:"} }), "get:NAME"},
		"attribute twice":       {with(func(r *Rule) { r.Methods = []string{"get:set:a"} }), "other characters"},
		"attribute elsewhere":   {with(func(r *Rule) { r.Methods = []string{"put:a"} }), "other characters"},
		"method bad UTF-8":      {with(func(r *Rule) { r.Methods = []string{"a\xff"} }), "other characters"},
		"role with star":        {with(func(r *Rule) { r.Roles = []string{"*"} }), "other characters"},
		"bad issuer":            {with(func(r *Rule) { r.Issuers = []string{"*"} }), "hexadecimal"},
		"over-long":             {with(func(r *Rule) { r.Objects = []string{strings.Repeat("o", 2049)} }), "2048"},
		"too many":              {make([]Rule, maxRules+1), "10000"},
	} {
		if r, err := NewRules(c.rules...); err == nil || r != nil || !strings.Contains(err.Error(), c.want) || strings.Count(err.Error(), "validator: ") != 1 {
			t.Errorf("%s: got %v, want an error with %q", what, err, c.want)
		}
	}
}

func TestReplaceRules(t *testing.T) {
	allow := Rule{Name: "a", Effect: Allow, Identities: []string{"alice"}, Objects: []string{"bank"}, Methods: []string{"Deposit"}}
	rules := must(NewRules(allow))
	q := Request{Identity: alice, Object: "bank", Method: "Deposit"}
	v := rules.Version()
	if v == 0 || v == new(Rules).Version() {
		t.Errorf("version %d", v)
	}
	if err := rules.Replace(Rule{}); err == nil || rules.Version() != v || !rules.Authorize(t.Context(), q).Allowed {
		t.Errorf("a bad set of rules: %v, version %d after %d", err, rules.Version(), v)
	}
	if err := rules.Replace(); err != nil || rules.Version() == v || rules.Authorize(t.Context(), q).Allowed {
		t.Errorf("no rules: %v, version %d after %d", err, rules.Version(), v)
	}
	// The caller's slices are not kept.
	list := []string{"Deposit"}
	allow.Methods = list
	if err := rules.Replace(allow); err != nil {
		t.Fatal(err)
	}
	list[0] = "Withdraw"
	if !rules.Authorize(t.Context(), q).Allowed {
		t.Error("rules change with the caller's slices")
	}
}

// A decision is at least as new as the version that was read before it.
func TestReplaceConcurrently(t *testing.T) {
	rule := func(i uint64) Rule {
		return Rule{Name: fmt.Sprint("v", i), Effect: Allow, Identities: []string{"alice"}, Objects: []string{"bank"}, Methods: []string{"Deposit"}}
	}
	rules := must(NewRules(rule(1)))
	q := Request{Identity: alice, Object: "bank", Method: "Deposit"}
	var all sync.WaitGroup
	all.Go(func() {
		for i := uint64(2); i < 300; i++ {
			if err := rules.Replace(rule(i)); err != nil || rules.Version() != i {
				t.Errorf("version %d, %v, want %d", rules.Version(), err, i)
			}
		}
	})
	for range 4 {
		all.Go(func() {
			for range 1000 {
				before := rules.Version()
				d := rules.Authorize(t.Context(), q)
				var by uint64
				if fmt.Sscanf(d.Rule, "v%d", &by); !d.Allowed || by < before {
					t.Errorf("decided by %q at version %d", d.Rule, before)
				}
			}
		})
	}
	all.Wait()
}

// typical are rules of a size that operators have.
func typical(tb testing.TB) (*Rules, Request) {
	rules := []Rule{
		{Name: "suspended", Effect: Deny, Identities: []string{"mallory", "trent"}, Objects: []string{"*"}, Methods: []string{"*"}},
		{Name: "health", Effect: Allow, Identities: []string{"dns:probe.bank.example"}, Objects: []string{"Pyro.Daemon"}, Methods: []string{"Ping"}},
	}
	for i := range 50 {
		rules = append(rules, Rule{Name: fmt.Sprint("object", i), Effect: Allow, Roles: []string{"teller"}, Objects: []string{fmt.Sprint("object-", i)}, Methods: []string{"Get*", "Deposit", "Withdraw"}})
	}
	return must(NewRules(rules...)), Request{Identity: alice, Object: "object-33", Method: "Withdraw", Kind: KindCall}
}

func TestAuthorizeDoesNotAllocate(t *testing.T) {
	rules, q := typical(t)
	ctx := t.Context()
	if !rules.Authorize(ctx, q).Allowed {
		t.Fatal("denied")
	}
	if n := testing.AllocsPerRun(1000, func() { rules.Authorize(ctx, q) }); n != 0 {
		t.Errorf("a decision that allows makes %v allocations, want 0", n)
	}
}

func BenchmarkAuthorize(b *testing.B) {
	rules, q := typical(b)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if !rules.Authorize(ctx, q).Allowed {
			b.Fatal("denied")
		}
	}
}

func BenchmarkAuthorizeParallel(b *testing.B) {
	rules, q := typical(b)
	ctx := b.Context()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			rules.Authorize(ctx, q)
		}
	})
}
