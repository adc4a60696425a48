package validator

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// A MapRule gives a name and roles to certificates that carry a matching name.
type MapRule struct {
	// Name identifies the rule in messages.
	Name string
	// Match is the kind of name that is looked at. The common name is read only
	// for a rule with CN.
	Match Kind
	// Pattern must match the whole name. It is a regular expression as package
	// regexp has them (RE2), always anchored at both ends; DNS names and the
	// domains of e-mail names are in lower case. A dot in a name is written \.
	Pattern string
	// Issuer, if not empty, is the trust anchor that must vouch for the name, as
	// IssuerOf gives it. It is compared as a whole with the Issuer of the principal.
	Issuer string
	// As is the name to give: text with $1 or ${name} where a capture of Pattern is
	// inserted, and $$ for a dollar sign. Empty means the principal itself, like
	// "email:alice@bank.example".
	As string
	// Roles are given together with the name.
	Roles []string
}

// A Mapper makes an Identity of a certificate by rules. It never changes and is safe
// for concurrent use. A nil *Mapper has the rule that a certificate must carry
// exactly one URI, DNS or e-mail name.
//
// Only names of the kinds that some rule matches are read; one bad name among them
// refuses the certificate. Every rule is tried on every name. If none matches, or two
// would give different names, the certificate is refused; if several give the same
// name, it gets the roles of all.
type Mapper struct {
	rules []*compiledMapRule
	kinds []Kind
	pins  bool // some rule names an issuer
}

// maxMapRules bounds a Mapper. With the bound on names it keeps mapping a hostile
// certificate to some milliseconds.
const maxMapRules = 1000

// NewMapper checks and compiles the rules.
func NewMapper(rules ...MapRule) (*Mapper, error) {
	if len(rules) == 0 {
		return nil, failf("at least one; or a nil Mapper, which takes a certificate's only name", "no mapping rules")
	}
	if len(rules) > maxMapRules {
		return nil, failf("", "%d mapping rules, want at most %d", len(rules), maxMapRules)
	}
	m := new(Mapper)
	seen := make(map[string]bool, len(rules))
	for i, r := range rules {
		if err := checkRuleName(r.Name); err != nil {
			return nil, failf("", "mapping rule %d: %s", i+1, inner(err))
		}
		if seen[r.Name] {
			return nil, failf("one", "two mapping rules are named %q", r.Name)
		}
		seen[r.Name] = true
		c, err := compileMapRule(r)
		if err != nil {
			return nil, failf("", "mapping rule %q: %s", r.Name, inner(err))
		}
		m.rules = append(m.rules, c)
		m.pins = m.pins || r.Issuer != ""
		if !slices.Contains(m.kinds, r.Match) {
			m.kinds = append(m.kinds, r.Match)
		}
	}
	return m, nil
}

// Identify gives the identity of a verified chain, leaf first and trust anchor last.
func (m *Mapper) Identify(chain []*x509.Certificate) (Identity, error) {
	if m == nil {
		return onlyName(chain)
	}
	names, err := principals(chain, m.kinds)
	if err != nil {
		return Identity{}, err
	}
	id, by := identityOf(chain, names), ""
	for _, r := range m.rules {
		for _, p := range names {
			name, ok, err := r.apply(p)
			if err != nil {
				return Identity{}, failf("", "mapping rule %q on %s: %s", r.name, shown(p), inner(err))
			}
			switch {
			case !ok:
				continue
			case by == "":
				id.Principal, id.Name, by = p, name, r.name
			case name != id.Name && by == r.name:
				return Identity{}, failf("one name", "mapping rule %q gives this certificate two names, %s and %s", by, quote(id.Name), quote(name))
			case name != id.Name:
				return Identity{}, failf("one name", "mapping rules %q and %q give this certificate different names, %s and %s", by, r.name, quote(id.Name), quote(name))
			}
			id.Roles = append(id.Roles, r.roles...)
		}
	}
	if by == "" {
		return Identity{}, failf("a name that a mapping rule matches", "%s", m.carries(chain))
	}
	slices.Sort(id.Roles)
	id.Roles = slices.Compact(id.Roles)
	return id, nil
}

// carries says what a certificate has instead of what the rules match.
func (m *Mapper) carries(chain []*x509.Certificate) string {
	text := "a certificate for " + carried(chain[0])
	if m.pins {
		text += " vouched for by " + IssuerOf(chain[len(chain)-1])
	}
	return text
}

// onlyName is the rule where there are no rules.
func onlyName(chain []*x509.Certificate) (Identity, error) {
	names, err := Principals(chain)
	if err != nil {
		return Identity{}, err
	}
	if len(names) != 1 {
		return Identity{}, failf("exactly one URI, DNS or e-mail name, or a mapping rule", "a certificate for %s", carried(chain[0]))
	}
	id := identityOf(chain, names)
	id.Principal, id.Name = names[0], names[0].String()
	return id, nil
}

// identityOf fills in what does not depend on rules.
func identityOf(chain []*x509.Certificate, names []Principal) Identity {
	leaf := chain[0]
	spki := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	id := Identity{Principals: names, NotAfter: leaf.NotAfter, SPKI: hex.EncodeToString(spki[:])}
	if leaf.SerialNumber != nil {
		id.Serial = leaf.SerialNumber.Text(16)
	}
	for _, c := range chain {
		if c.NotAfter.Before(id.NotAfter) {
			id.NotAfter = c.NotAfter
		}
	}
	return id
}

// carried lists the names of a certificate for a message, bad ones too.
func carried(leaf *x509.Certificate) string {
	var all []string
	// Whatever cannot be read has been reported already.
	_ = eachAltName(leaf, func(kind Kind, value string) error {
		all = append(all, shown(Principal{Kind: kind, Value: value}))
		return nil
	})
	for _, cn := range commonNames(leaf) {
		all = append(all, shown(Principal{Kind: CN, Value: cn}))
	}
	if len(all) == 0 {
		return "nobody (it has no name)"
	}
	return list(all)
}

// shown is a principal in a message: as it is when it is plain, else quoted.
func shown(p Principal) string { return plain(p.String()) }

// compiledMapRule is a MapRule that is ready to be used.
type compiledMapRule struct {
	name    string
	kind    Kind
	issuer  string
	pattern *pattern
	as      template // nil: the principal
	roles   []string
}

func compileMapRule(r MapRule) (*compiledMapRule, error) {
	if checkers[r.Match] == nil {
		return nil, failf(`"uri", "dns", "email" or "cn"`, "it matches %s", quote(string(r.Match)))
	}
	if r.Issuer != "" {
		if err := checkIssuer(r.Issuer); err != nil {
			return nil, err
		}
	}
	for i, role := range r.Roles {
		if err := checkRole(role); err != nil {
			return nil, err
		}
		if slices.Contains(r.Roles[:i], role) {
			return nil, failf("one", "it gives the role %q twice", role)
		}
	}
	c := &compiledMapRule{name: r.Name, kind: r.Match, issuer: r.Issuer, roles: slices.Clone(r.Roles)}
	var err error
	if c.pattern, err = compilePattern(r.Pattern); err != nil {
		return nil, err
	}
	if r.As != "" {
		if c.as, err = parseTemplate(r.As, c.pattern); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// apply gives the name for a principal, and whether the rule matches it at all.
func (r *compiledMapRule) apply(p Principal) (name string, ok bool, err error) {
	if p.Kind != r.kind || r.issuer != "" && p.Issuer != r.issuer {
		return "", false, nil
	}
	captures := r.pattern.match(p.Value)
	if captures == nil {
		return "", false, nil
	}
	if r.as == nil {
		return p.String(), true, nil
	}
	if name, err = r.as.expand(p.Value, captures); err != nil {
		return "", false, err
	}
	if err := checkGiven(name, p); err != nil {
		return "", false, err
	}
	return name, true, nil
}

// checkGiven checks a name that a rule gives. It must not pass for a principal that
// the certificate does not prove: rules and logs know peers by either.
func checkGiven(name string, p Principal) error {
	if err := checkLabel(name); err != nil {
		return failf("", "the name %s it gives %s", quote(name), inner(err))
	}
	kind, _, colon := strings.Cut(name, ":")
	if colon && checkers[Kind(kind)] != nil && name != p.String() {
		return failf("", "the name %s it gives looks like a principal that the certificate does not carry", quote(name))
	}
	return nil
}

// String tells how many rules there are.
func (m *Mapper) String() string {
	if m == nil {
		return "no mapping rules: the certificate's only name"
	}
	return fmt.Sprintf("%d mapping rules", len(m.rules))
}
