package validator

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pyrossl/pyrossl/internal/testca"
)

func TestNilMapper(t *testing.T) {
	ca := testca.New(t)
	var m *Mapper
	p := ca.Client(t, "alice@bank.example")
	id, err := m.Identify(chainOf(ca, p))
	if err != nil {
		t.Fatal(err)
	}
	if id.Name != "email:alice@bank.example" || id.Principal != id.Principals[0] || id.Principal.Issuer != IssuerOf(ca.RootCert()) ||
		id.Roles != nil || id.Serial != p.Chain[0].SerialNumber.Text(16) || len(id.SPKI) != 64 {
		t.Errorf("got %+v", id)
	}
	earliest := p.Chain[0].NotAfter
	for _, c := range chainOf(ca, p) {
		if c.NotAfter.Before(earliest) {
			earliest = c.NotAfter
		}
	}
	if !id.NotAfter.Equal(earliest) {
		t.Errorf("NotAfter is %v, want the chain's earliest, %v", id.NotAfter, earliest)
	}
	for what, leaf := range map[string]testca.Leaf{
		"no name":           {},
		"common name only":  {CN: "alice"},
		"two of a kind":     {DNS: []string{"a.example", "b.example"}},
		"two kinds":         {DNS: []string{"a.example"}, Emails: []string{"a@a.example"}},
		"good and wildcard": {DNS: []string{"a.example", "*.a.example"}},
	} {
		if id, err := m.Identify(chainOf(ca, ca.Issue(t, leaf))); err == nil {
			t.Errorf("%s: mapped to %q, want an error", what, id.Name)
		}
	}
	_, err = m.Identify(chainOf(ca, ca.Issue(t, testca.Leaf{DNS: []string{"a.example"}, Emails: []string{"a@a.example"}})))
	if err == nil || !strings.Contains(err.Error(), "dns:a.example") || !strings.Contains(err.Error(), "email:a@a.example") {
		t.Errorf("the error does not list what the certificate carries: %v", err)
	}
}

func TestMapper(t *testing.T) {
	ca, other := testca.New(t), testca.New(t)
	m := must(NewMapper(
		MapRule{Name: "staff", Match: Email, Pattern: `([a-z]+)@bank\.example`, As: "$1", Roles: []string{"teller"}},
		MapRule{Name: "managers", Match: Email, Pattern: `(carol|dave)@bank\.example`, As: "${1}", Roles: []string{"manager", "teller"}},
		MapRule{Name: "services", Match: URI, Pattern: `spiffe://bank\.example/(?P<unit>[a-z]+)/(?P<name>[a-z]+)`, As: "svc-${unit}-${name}$$", Issuer: IssuerOf(ca.RootCert())},
		MapRule{Name: "hosts", Match: DNS, Pattern: `[a-z]+\.bank\.example`},
		MapRule{Name: "optional", Match: DNS, Pattern: `opt(-[a-z]+)?`, As: "user$1"},
		MapRule{Name: "forged", Match: URI, Pattern: `spiffe://forge/(.+)`, As: "$1"},
		MapRule{Name: "longname", Match: URI, Pattern: `spiffe://long/(.+)`, As: "$1"},
	))
	cases := []struct {
		what  string
		leaf  testca.Leaf
		from  *testca.CA
		name  string
		roles []string
		want  string // of the error
	}{
		{"one rule", testca.Leaf{Emails: []string{"alice@bank.example"}}, ca, "alice", []string{"teller"}, ""},
		{"domain folded", testca.Leaf{Emails: []string{"alice@BANK.example"}}, ca, "alice", []string{"teller"}, ""},
		{"roles merged", testca.Leaf{Emails: []string{"carol@bank.example"}}, ca, "carol", []string{"manager", "teller"}, ""},
		{"named captures", testca.Leaf{URIs: []string{"spiffe://bank.example/loans/calc"}}, ca, "svc-loans-calc$", nil, ""},
		{"other issuer", testca.Leaf{URIs: []string{"spiffe://bank.example/loans/calc"}}, other, "", nil, "vouched for by " + IssuerOf(other.RootCert())},
		{"principal as name", testca.Leaf{DNS: []string{"a.bank.example"}}, ca, "dns:a.bank.example", nil, ""},
		{"anchored at the end", testca.Leaf{Emails: []string{"alice@bank.example.evil.example"}}, ca, "", nil, "want a name that a mapping rule matches"},
		{"anchored at the start", testca.Leaf{Emails: []string{"Xalice@bank.example"}}, ca, "", nil, "email:Xalice@bank.example"},
		{"unmatched name beside", testca.Leaf{Emails: []string{"alice@bank.example", "x.y@elsewhere.example"}}, ca, "alice", []string{"teller"}, ""},
		{"two names by one rule", testca.Leaf{Emails: []string{"alice@bank.example", "bob@bank.example"}}, ca, "", nil, `rule "staff" gives this certificate two names, "alice" and "bob"`},
		{"two names by two rules", testca.Leaf{Emails: []string{"alice@bank.example"}, DNS: []string{"a.bank.example"}}, ca, "", nil, `rules "staff" and "hosts" give this certificate different names`},
		{"bad name of another kind that counts", testca.Leaf{Emails: []string{"alice@bank.example"}, DNS: []string{"*.bank.example"}}, ca, "", nil, "wildcard"},
		{"empty capture", testca.Leaf{DNS: []string{"opt"}}, ca, "", nil, "capture 1 is empty"},
		{"common name does not count", testca.Leaf{CN: "alice@bank.example"}, ca, "", nil, "mapping rule matches"},
		{"name like a principal", testca.Leaf{URIs: []string{"spiffe://forge/email:alice@bank.example"}}, ca, "", nil, "looks like a principal"},
		{"name too long", testca.Leaf{URIs: []string{"spiffe://long/" + strings.Repeat("a", 257)}}, ca, "", nil, "256"},
	}
	for _, c := range cases {
		id, err := m.Identify(chainOf(c.from, c.from.Issue(t, c.leaf)))
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Count(err.Error(), "validator: ") != 1 {
				t.Errorf("%s: got %q, %v, want an error with %q", c.what, id.Name, err, c.want)
			}
			continue
		}
		if err != nil || id.Name != c.name || !slices.Equal(id.Roles, c.roles) {
			t.Errorf("%s: got %q %v, %v, want %q %v", c.what, id.Name, id.Roles, err, c.name, c.roles)
		}
	}
}

func TestMapperWithoutRulesForAKindIgnoresIt(t *testing.T) {
	ca := testca.New(t)
	m := must(NewMapper(MapRule{Name: "mail", Match: Email, Pattern: ".*"}))
	id, err := m.Identify(chainOf(ca, ca.Issue(t, testca.Leaf{Emails: []string{"a@b.example"}, DNS: []string{"*.b.example"}})))
	if err != nil || id.Name != "email:a@b.example" || len(id.Principals) != 1 {
		t.Errorf("got %+v, %v", id, err)
	}
}

func TestNewMapperRefuses(t *testing.T) {
	good := MapRule{Name: "a", Match: DNS, Pattern: "x"}
	with := func(f func(*MapRule)) []MapRule { r := good; f(&r); return []MapRule{r} }
	for what, c := range map[string]struct {
		rules []MapRule
		want  string
	}{
		"none":               {nil, "no mapping rules"},
		"too many":           {make([]MapRule, 1001), "1000"},
		"no name":            {with(func(r *MapRule) { r.Name = "" }), "mapping rule 1: the rule has no name"},
		"name with newline":  {with(func(r *MapRule) { r.Name = "a\nb" }), `"a\nb"`},
		"name twice":         {[]MapRule{good, good}, `two mapping rules are named "a"`},
		"no kind":            {with(func(r *MapRule) { r.Match = "" }), `"uri", "dns", "email" or "cn"`},
		"unknown kind":       {with(func(r *MapRule) { r.Match = "ip" }), `"ip"`},
		"no pattern":         {with(func(r *MapRule) { r.Pattern = "" }), "empty"},
		"bad pattern":        {with(func(r *MapRule) { r.Pattern = "(" }), "missing closing )"},
		"pattern that opens": {with(func(r *MapRule) { r.Pattern = `x)|(?:.*` }), "unexpected )"},
		"back reference":     {with(func(r *MapRule) { r.Pattern = `(a)\1` }), "escape"},
		"pattern too long":   {with(func(r *MapRule) { r.Pattern = strings.Repeat("a", 1025) }), "1024"},
		"unknown capture":    {with(func(r *MapRule) { r.As = "$1" }), `capture "1"`},
		"unknown name":       {with(func(r *MapRule) { r.Pattern = "(?P<x>.)"; r.As = "${y}" }), `capture "y"`},
		"empty capture":      {with(func(r *MapRule) { r.As = "${}" }), `capture ""`},
		"negative":           {with(func(r *MapRule) { r.As = "${-1}" }), `capture "-1"`},
		"dollar alone":       {with(func(r *MapRule) { r.As = "a$" }), `"$" alone`},
		"dollar name":        {with(func(r *MapRule) { r.Pattern = "(?P<x>.)"; r.As = "$x" }), `"$" alone`},
		"not closed":         {with(func(r *MapRule) { r.As = "${1" }), "without an end"},
		"bad issuer":         {with(func(r *MapRule) { r.Issuer = "Bank CA" }), "hexadecimal"},
		"issuer in capitals": {with(func(r *MapRule) { r.Issuer = "sha256:" + strings.Repeat("A", 32) }), "lower case"},
		"empty role":         {with(func(r *MapRule) { r.Roles = []string{""} }), "role is empty"},
		"role with space":    {with(func(r *MapRule) { r.Roles = []string{"a b"} }), `"a b"`},
		"role twice":         {with(func(r *MapRule) { r.Roles = []string{"a", "a"} }), "twice"},
	} {
		if m, err := NewMapper(c.rules...); err == nil || m != nil || !strings.Contains(err.Error(), c.want) || strings.Count(err.Error(), "validator: ") != 1 {
			t.Errorf("%s: got %v, %v, want an error with %q", what, m, err, c.want)
		}
	}
}

// A certificate with a thousand names costs little with a thousand rules.
func TestMappingIsBounded(t *testing.T) {
	ca := testca.New(t)
	var rules []MapRule
	for i := range maxMapRules {
		rules = append(rules, MapRule{Name: fmt.Sprint("r", i), Match: DNS, Pattern: fmt.Sprintf(`(?:[a-z0-9]+-)*x%d\.example`, i)})
	}
	m := must(NewMapper(rules...))
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprintf("a-b-c-d-%d.bank.example", i))
	}
	for _, n := range []int{1000, maxNames} {
		chain := chainOf(ca, ca.Issue(t, testca.Leaf{DNS: names[:n]}))
		_, err := m.Identify(chain) // which would not end in this world if it tried everything
		if err == nil {
			t.Fatalf("%d names were mapped", n)
		}
		if len(err.Error()) > 1000 {
			t.Errorf("%d names: the error has %d bytes", n, len(err.Error()))
		}
	}
}
