package validator

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// set is a list of exact texts and beginnings.
type set struct {
	any      bool
	few      []string        // exact ones, while they are few
	many     map[string]bool // else
	prefixes []string
}

// few texts are compared faster than one is hashed.
const few = 8

func (s *set) has(text string) bool {
	if s.any {
		return true
	}
	if s.many != nil {
		if s.many[text] {
			return true
		}
	} else {
		for _, t := range s.few {
			if t == text {
				return true
			}
		}
	}
	for _, p := range s.prefixes {
		if strings.HasPrefix(text, p) {
			return true
		}
	}
	return false
}

// newSet sorts texts into a set. They have been checked.
func newSet(texts []string) set {
	var s set
	for _, t := range texts {
		switch beginning, star := strings.CutSuffix(t, "*"); {
		case t == "*":
			s.any = true
		case star:
			s.prefixes = append(s.prefixes, beginning)
		default:
			s.few = append(s.few, t)
		}
	}
	if len(s.few) > few {
		s.many = make(map[string]bool, len(s.few))
		for _, t := range s.few {
			s.many[t] = true
		}
	}
	return s
}

// compileRules checks rules and sorts them by object.
func compileRules(rules []Rule) (*ruleSet, error) {
	if len(rules) > maxRules {
		return nil, failf("", "%d rules, want at most %d", len(rules), maxRules)
	}
	var all []*compiledRule
	seen := make(map[string]bool, len(rules))
	for i, r := range rules {
		if err := checkRuleName(r.Name); err != nil {
			return nil, failf("", "rule %d: %s", i+1, inner(err))
		}
		if seen[r.Name] {
			return nil, failf("one", "two rules are named %q", r.Name)
		}
		seen[r.Name] = true
		if err := checkRule(r); err != nil {
			return nil, failf("", "rule %q: %s", r.Name, inner(err))
		}
		all = append(all, compileRule(r))
	}
	// Stable: of several rules the first one is named in decisions.
	slices.SortStableFunc(all, func(a, b *compiledRule) int { return int(b.effect) - int(a.effect) })
	s := &ruleSet{objects: make(map[string][]*compiledRule)}
	for _, r := range all {
		for _, name := range r.objects.few {
			s.objects[name] = nil
		}
	}
	for _, r := range all {
		if r.objects.any || len(r.objects.prefixes) > 0 {
			s.others = append(s.others, r)
			for name := range s.objects {
				if r.objects.has(name) {
					s.objects[name] = append(s.objects[name], r)
				}
			}
			continue
		}
		for _, name := range r.objects.few {
			s.objects[name] = append(s.objects[name], r)
		}
	}
	return s, nil
}

func compileRule(r Rule) *compiledRule {
	c := &compiledRule{name: r.Name, effect: r.Effect, roles: slices.Clone(r.Roles), issuers: slices.Clone(r.Issuers),
		names: newSet(r.Identities), objects: newSet(r.Objects), methods: newSet(r.Methods)}
	for _, text := range r.Identities {
		kind, value, colon := strings.Cut(text, ":")
		if !colon || checkers[Kind(kind)] == nil {
			continue
		}
		value, star := strings.CutSuffix(value, "*")
		c.principals = append(c.principals, wantedPrincipal{Kind(kind), value, star})
	}
	return c
}

// checkRule refuses rules that do not say what they mean.
func checkRule(r Rule) error {
	switch {
	case r.Name == defaultRule:
		return failf("another name", "the name stands for the decision where no rule applies")
	case r.Effect != Allow && r.Effect != Deny:
		return failf("Allow or Deny", "it has no effect")
	case len(r.Identities) == 0 && len(r.Roles) == 0:
		return failf("Identities or Roles", "it is for nobody")
	case len(r.Objects) == 0:
		return failf(`Objects; "*" for all`, "it names no object")
	case len(r.Methods) == 0:
		return failf(`Methods; "*" for all`, "it names no method")
	}
	for _, list := range []struct {
		what  string
		texts []string
		check func(string) error
	}{
		{"identity", r.Identities, checkIdentityPattern},
		{"object", r.Objects, checkObjectPattern},
		{"method", r.Methods, checkMethodPattern},
		{"role", r.Roles, checkRole},
		{"issuer", r.Issuers, checkIssuer},
	} {
		seen := make(map[string]bool, len(list.texts))
		for _, t := range list.texts {
			if seen[t] {
				return failf("it once", "the %s %s is named twice", list.what, quote(t))
			}
			seen[t] = true
			if err := list.check(t); err != nil {
				return err
			}
		}
	}
	return nil
}

// star takes the "*" from the end of a pattern.
func star(what, s string) (beginning string, all bool, err error) {
	switch beginning, star := strings.CutSuffix(s, "*"); {
	case s == "":
		return "", false, failf("", "%s is empty", what)
	case len(s) > maxURI:
		return "", false, failf("", "%s %s", what, over(len(s), maxURI, "bytes"))
	case strings.Contains(beginning, "*"):
		return "", false, failf(`"*" alone or at the end`, "the %s %s", what, quote(s))
	default:
		return beginning, star, nil
	}
}

// checkIdentityPattern checks a name or principal of a rule, or its beginning.
func checkIdentityPattern(s string) error {
	beginning, star, err := star("identity", s)
	if err != nil {
		return err
	}
	if !star {
		if err := checkIdentityText(s); err != nil {
			return failf("", "the identity %s %s", quote(s), inner(err))
		}
		return nil
	}
	if !utf8.ValidString(beginning) {
		return failf("", "the identity %s is not UTF-8", quote(s))
	}
	if err := checkVisible(beginning); err != nil {
		return failf("", "the identity %s %s", quote(s), inner(err))
	}
	return nil
}

// checkObjectPattern checks the name of an object, or its beginning.
func checkObjectPattern(s string) error {
	beginning, _, err := star("object", s)
	if err != nil {
		return err
	}
	if beginning != "" && !only(beginning, lower+upper+number+"._:/@+,=~-") {
		return failf("", `the object %s has other characters than ASCII letters, digits and "._:/@+,=~-"`, quote(s))
	}
	return nil
}

// checkMethodPattern checks the name of a method, a Go identifier, or its beginning.
// Reading and writing an attribute are methods too: "get:" or "set:" and its name.
func checkMethodPattern(s string) error {
	name, all, err := star("method", s)
	if err != nil {
		return err
	}
	for _, access := range []string{"get:", "set:"} {
		attribute, is := strings.CutPrefix(name, access)
		if !is {
			continue
		}
		if name = attribute; name == "" && !all {
			return failf(access+"NAME or "+access+"*", "the method %s names no attribute", quote(s))
		}
		break
	}
	for _, r := range name {
		if r == utf8.RuneError || r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return failf("", "the method %s has other characters than letters, digits and \"_\", behind get: or set: for an attribute", quote(s))
		}
	}
	return nil
}
