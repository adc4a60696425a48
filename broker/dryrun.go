package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/session"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

// Change is trust that somebody thinks of taking away. What is empty stays as it is.
type Change struct {
	// WithoutCA has certificates of authorities, in PEM, that are trusted no longer.
	WithoutCA []byte `json:"without_ca,omitempty"`
	// CRLs are files with revocation lists, as certs.ParseCRLs reads them, that come in
	// beside those that the daemon has.
	CRLs [][]byte `json:"crls,omitempty"`
	// Deny has new entries of the deny list: "serial:1f2a", "spki:HASH" for a key,
	// "ca:HASH" for an authority's, "principal:uri:spiffe://bank.example/teller".
	Deny []string `json:"deny,omitempty"`
	// Identities and Rules stand for those that the daemon has.
	Identities []validator.MapRule `json:"identities,omitempty"`
	Rules      []validator.Rule    `json:"rules,omitempty"`
}

// Cut is a live connection that a change would end, or take rights from.
type Cut struct {
	LiveConnection
	// Ends is whether the connection would end, by Check, as Got and Want say.
	Ends  bool   `json:"ends"`
	Check string `json:"check,omitempty"`
	Got   string `json:"got,omitempty"`
	Want  string `json:"want,omitempty"`
	// Denied are calls in flight, and rights that were used, which would be denied:
	// object.method.
	Denied []string `json:"denied,omitempty"`
}

// maxDenyTried bounds Change.Deny. The rest is bounded where it is read.
const maxDenyTried = 10_000

// WouldCut tells which connections a change would end, and why, with the very code that
// ends them when something has changed. It changes nothing, and writes neither log nor
// audit nor record. What [Daemon.Reevaluate] has added is not gone over: such things
// can only end, not say beforehand whether they would.
func (s *Self) WouldCut(ctx context.Context, change Change) ([]Cut, error) {
	d := s.daemon
	if !d.trial.TryLock() {
		return nil, errors.New("another dry run is under way, try again when it is done")
	}
	defer d.trial.Unlock()
	t, err := d.try(change)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, reviewTime)
	defer cancel()
	all := []Cut{}
	for _, c := range d.connections() {
		cut, ok := t.cut(ctx, c)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("the dry run took longer than %v: %w", reviewTime, ctx.Err())
		}
		if ok {
			all = append(all, cut)
		}
	}
	slices.SortFunc(all, func(a, b Cut) int {
		return cmp.Or(cmp.Compare(a.Identity, b.Identity), a.Since.Compare(b.Since), cmp.Compare(a.Session, b.Session))
	})
	return all, nil
}

// trial is what the daemon would go by.
type trial struct {
	criteria
	rules *validator.Rules // nil: as they are
}

// try reads a change.
func (d *Daemon) try(change Change) (t trial, err error) {
	t.criteria = d.criteria()
	if t.material, err = change.material(t.material); err != nil {
		return t, err
	}
	if len(change.Identities) > 0 {
		mapper, err := validator.NewMapper(change.Identities...)
		if err != nil {
			return t, err
		}
		t.steps = t.steps.WithIdentities(mapper)
	}
	if len(change.Rules) > 0 {
		if _, ok := d.config.Authorizer.(*validator.Rules); !ok {
			return t, errors.New("this daemon does not decide calls by rules, so that others cannot be tried")
		}
		t.rules, err = validator.NewRules(change.Rules...)
	}
	return t, err
}

// material is m after the change.
func (c *Change) material(m *certs.Material) (*certs.Material, error) {
	if len(c.WithoutCA) == 0 && len(c.CRLs) == 0 && len(c.Deny) == 0 {
		return m, nil
	}
	var change certs.Change
	var err error
	if len(c.WithoutCA) > 0 {
		if change.Without, err = certs.ParseCertificates(c.WithoutCA); err != nil {
			return nil, err
		}
	}
	for _, data := range c.CRLs {
		lists, err := certs.ParseCRLs(data)
		if err != nil {
			return nil, err
		}
		change.CRLs = append(change.CRLs, lists...)
	}
	if len(c.Deny) > maxDenyTried {
		return nil, fmt.Errorf("%d entries for the deny list, want at most %d", len(c.Deny), maxDenyTried)
	}
	for _, text := range c.Deny {
		kind, value, _ := strings.Cut(text, ":")
		if kind == "spki" {
			kind = "key"
		}
		change.Deny = append(change.Deny, kind+" "+value)
	}
	return m.Changed(change, time.Now())
}

// cut says what would become of a connection.
func (t *trial) cut(ctx context.Context, c *connection) (cut Cut, ok bool) {
	if denial := t.lost(ctx, c.peer, &c.grounds); denial != nil {
		return Cut{LiveConnection: c.live(), Ends: true, Check: string(denial.Check), Got: denial.Got, Want: denial.Want}, true
	}
	if t.rules == nil {
		return cut, false
	}
	denied := t.denied(ctx, c)
	if len(denied) == 0 {
		return cut, false
	}
	return Cut{LiveConnection: c.live(), Denied: denied}, true
}

// denied lists the calls in flight, and the rights that were used, that the rules would
// deny.
func (t *trial) denied(ctx context.Context, c *connection) (all []string) {
	ask := func(m *method, kind validator.CallKind) {
		if !c.consult(ctx, t.rules, m.object, m.name, kind).Allowed {
			all = append(all, m.object+"."+m.name)
		}
	}
	c.session.Each(func(_ *session.Incoming, mark any) {
		r := mark.(*running)
		ask(r.method, r.kind)
	})
	if known := c.decisions.p.Load(); known != nil {
		for key, decision := range known.of {
			if decision.Allowed {
				ask(key.method, key.kind)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
