package certs

import (
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"github.com/pyrossl/pyrossl/validator"
)

// Change is trust that somebody thinks of taking away.
type Change struct {
	Without []*x509.Certificate // authorities that are trusted no longer
	CRLs    []*CRL              // revocation lists that come in, beside those that there are
	// Deny are entries for the deny list, each as a line of [ParseDenyList]: the word
	// serial, key, ca or principal, and what it is about.
	Deny []string
}

// Changed gives the material as it would be after a change, so that [VerifyPeer] can
// tell beforehand who would be refused. It refuses what a [FileSource] would not take
// up: an authority that is not there or the last one, and a revocation list that is
// older than the one in use or not signed by its authority.
func (m *Material) Changed(c Change, now time.Time) (*Material, error) {
	if !m.made() {
		return nil, reasonf("material was not made by NewMaterial or Load")
	}
	next, e := m.without(c.Without)
	if e != nil {
		return nil, e
	}
	config := m.revocations.settings()
	if len(c.CRLs) == 0 && len(c.Deny) == 0 {
		return next, nil
	}
	for _, l := range c.CRLs {
		if e := l.replaces(config.CRLs, now); e != nil {
			return nil, e
		}
	}
	config.CRLs = append(config.CRLs, c.CRLs...)
	if config.Deny, e = config.Deny.with(c.Deny); e != nil {
		return nil, e
	}
	r, e := newRevocations(config)
	if e != nil {
		return nil, e
	}
	return next.WithRevocations(r)
}

// without takes authorities away.
func (m *Material) without(gone []*x509.Certificate) (*Material, *Error) {
	if len(gone) == 0 {
		return m, nil
	}
	roots := slices.Clone(m.Roots)
	for _, c := range gone {
		if c == nil {
			return nil, reasonf("a certificate is nil")
		}
		before := len(roots)
		if roots = slices.DeleteFunc(roots, c.Equal); len(roots) == before {
			return nil, reasonf("%s is not among the authorities that are trusted here", subject(c))
		}
	}
	if e := checkRoots(roots); e != nil {
		return nil, e
	}
	next := newMaterial(m.Chain, m.Key, roots)
	return next.with(m.revocations, next.chains), nil
}

// settings are what the revocations were made of.
func (r *Revocations) settings() (c RevocationConfig) {
	if r != nil {
		c = r.config
	}
	c.CRLs = slices.Clone(c.CRLs)
	return c
}

// replaces checks that the list may come after those that there are.
func (l *CRL) replaces(others []*CRL, now time.Time) *Error {
	if l == nil {
		return reasonf("a revocation list is nil")
	}
	if l.early(now) {
		return reasonf("%s was issued in the future, on %s", l, day(l.thisUpdate)).fix("compare the clocks of this machine and of the authority")
	}
	for _, o := range others {
		if o.issuer == l.issuer && o.scopeID == l.scopeID && o.number.Cmp(l.number) > 0 && o.alike(l) {
			return reasonf("%s is older than number %s, which is in use", l, o.number).fix("take the authority's newest list")
		}
	}
	return nil
}

// with is the list and more entries. Without entries it is the list itself.
func (d *DenyList) with(entries []string) (*DenyList, *Error) {
	if len(entries) == 0 {
		return d, nil
	}
	next := &DenyList{
		number: 1, serials: make(map[string][]*denyEntry), keys: make(map[keyHash]*denyEntry), principals: make(map[validator.Principal]*denyEntry),
	}
	if d != nil {
		next.file, next.number, next.issued, next.maxAge, next.entries = d.file, d.number, d.issued, d.maxAge, slices.Clone(d.entries)
	}
	for _, text := range entries {
		words := strings.Fields(text)
		if len(text) > maxDenyLine || len(words) == 0 || !slices.Contains([]string{"serial", "key", "ca", "principal"}, words[0]) {
			return nil, reasonf("%s is no entry of a deny list, want serial, key, ca or principal, and what it is about", denyQuote(text))
		}
		e := denyEntry{kind: words[0]}
		if err := e.parse(words[1:]); err != nil {
			return nil, err
		}
		next.entries = append(next.entries, e)
	}
	next.index()
	return next, nil
}
