package validator

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// Effect is what a Rule does. The zero Effect is none, and refused.
type Effect uint8

// The effects of rules.
const (
	Allow Effect = 1
	Deny  Effect = 2
)

// String gives "allow" or "deny".
func (e Effect) String() string {
	switch e {
	case Allow:
		return "allow"
	case Deny:
		return "deny"
	}
	return "no effect"
}

// A Rule allows or denies calls. It is for those who are listed in Identities or have
// one of the Roles, and for the Methods of the Objects. In all lists but Roles and
// Issuers, "*" stands for everything and "prefix*" for what begins so; there are no
// other patterns.
// Reading and writing an attribute A are the methods "get:A" and "set:A".
type Rule struct {
	// Name identifies the rule in decisions.
	Name   string
	Effect Effect
	// Identities are names as mapping rules give them, or principals like
	// "email:alice@bank.example". Only the name and the deciding principal of an
	// identity are compared, not all that its certificate carries.
	Identities []string
	Roles      []string
	// Issuers, if not empty, narrows the rule to identities that one of these trust
	// anchors vouches for, each as IssuerOf gives it.
	Issuers []string
	Objects []string
	Methods []string
}

// Rules is an Authorizer. What no rule allows is denied, and a rule that denies wins
// over all that allow. It is safe for concurrent use, and rules can be replaced while
// it is in use. The zero Rules and a nil *Rules deny everything.
type Rules struct {
	mu  sync.Mutex // serializes Replace
	set atomic.Pointer[ruleSet]
}

var (
	_ Authorizer = (*Rules)(nil)
	_ Versioned  = (*Rules)(nil)
)

// defaultRule is the name of the rule that decides when none does.
const defaultRule = "default"

// maxRules bounds a set of rules.
const maxRules = 10_000

// NewRules checks the rules. Without any, everything is denied.
func NewRules(rules ...Rule) (*Rules, error) {
	r := new(Rules)
	if err := r.Replace(rules...); err != nil {
		return nil, err
	}
	return r, nil
}

// Replace takes other rules in place of all it has. When there is an error, nothing
// has changed.
func (r *Rules) Replace(rules ...Rule) error {
	next, err := compileRules(rules)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	next.version = r.Version() + 1
	r.set.Store(next)
	return nil
}

// Version changes with each Replace.
func (r *Rules) Version() uint64 {
	if r == nil {
		return 0
	}
	if set := r.set.Load(); set != nil {
		return set.version
	}
	return 0
}

// Authorize decides by the rules. A decision that allows takes no memory.
func (r *Rules) Authorize(_ context.Context, q Request) Decision {
	if r == nil || q.Identity == nil || q.Identity.Name == "" {
		return Decision{Rule: defaultRule, Reason: "no identity may make this call"}
	}
	set := r.set.Load()
	if set == nil {
		return denied(q)
	}
	by := set.decide(&q)
	switch {
	case by == nil:
		return denied(q)
	case by.effect == Deny:
		return Decision{Rule: by.name, Reason: "a policy forbids " + plain(q.Identity.Name) + " to call " + target(q)}
	}
	return Decision{Allowed: true, Rule: by.name}
}

func denied(q Request) Decision {
	return Decision{Rule: defaultRule, Reason: "no policy lets " + plain(q.Identity.Name) + " call " + target(q)}
}

// target names the method in a reason. Both words are the caller's.
func target(q Request) string { return plain(q.Object) + "." + plain(q.Method) }

// ruleSet is a list of rules, ready to be used. It never changes.
type ruleSet struct {
	version uint64
	objects map[string][]*compiledRule // that can apply to an object of this name
	others  []*compiledRule            // that can apply to any other object
}

// decide gives the first rule that denies, else the first that allows, else nil.
func (s *ruleSet) decide(q *Request) (by *compiledRule) {
	rules, ok := s.objects[q.Object]
	if !ok {
		rules = s.others
	}
	for _, r := range rules { // those that deny come first
		if r.applies(q) {
			return r
		}
	}
	return nil
}

type compiledRule struct {
	name       string
	effect     Effect
	names      set // of identities
	principals []wantedPrincipal
	roles      []string
	issuers    []string
	objects    set
	methods    set
}

// wantedPrincipal is a principal, or the beginning of one, taken apart once.
type wantedPrincipal struct {
	kind   Kind
	value  string
	prefix bool
}

func (r *compiledRule) applies(q *Request) bool {
	return r.methods.has(q.Method) && r.objects.has(q.Object) && r.isFor(q.Identity) &&
		(len(r.issuers) == 0 || slices.Contains(r.issuers, q.Identity.Principal.Issuer))
}

func (r *compiledRule) isFor(id *Identity) bool {
	if r.names.has(id.Name) {
		return true
	}
	for _, role := range r.roles {
		if id.HasRole(role) {
			return true
		}
	}
	p := &id.Principal
	for i := range r.principals {
		if w := &r.principals[i]; w.kind == p.Kind && (w.value == p.Value || w.prefix && len(w.value) <= len(p.Value) && p.Value[:len(w.value)] == w.value) {
			return true
		}
	}
	return false
}
