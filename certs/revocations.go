package certs

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"slices"
	"time"

	"github.com/pyrossl/pyrossl/validator"
)

// ListRequirement is for which certificates there must be a revocation list, once
// there is any. The requirement says nothing about deny lists.
type ListRequirement uint8

const (
	// RequireLeafLists, the default, wants a list of the authority that issued the
	// peer's own certificate. An intermediate is checked where its authority has a
	// list; many roots publish none.
	RequireLeafLists ListRequirement = iota
	// RequireAllLists wants one for every certificate of the chain but the root.
	RequireAllLists
	// InsecureNoListsRequired lets certificates pass whose authority has no list here.
	// Removing a list, or renewing an authority with another key, then switches the
	// check off in silence.
	InsecureNoListsRequired
)

// RevocationConfig is what [NewRevocations] makes its checks of.
type RevocationConfig struct {
	CRLs []*CRL
	Deny *DenyList // may be nil

	// MaxAge is how long after its issue a revocation list is fresh, even if its own
	// nextUpdate lies later. Zero leaves it to nextUpdate, and a list without that is
	// then refused. A deny list has a max-age of its own.
	MaxAge time.Duration
	// Require says who must be on a list's books.
	Require ListRequirement
	// InsecureAllowStaleLists lets certificates pass that are good by a list which is
	// out of date: whoever was revoked since is let in. What a stale list revokes stays
	// revoked.
	InsecureAllowStaleLists bool
}

// Revocations are the revocation lists and the deny list of one moment. They are part
// of a [Material] and never change; what replaces them is another value. Nil means
// that none are configured, and revokes nobody.
type Revocations struct {
	config   RevocationConfig
	crls     []*CRL             // as given, for status
	byIssuer map[string][]inUse // by name of issuer (DER)
}

// inUse is a list, unless one of the newer ones has been signed by the same key.
// Which of them are signed is known only when the authority's certificate is: a
// forged list must not take the place of a real one.
type inUse struct {
	*CRL
	newer []*CRL
}

// NewRevocations checks that every list says how long it is fresh. Of two lists that
// one authority has signed for the same certificates the one with the larger number
// is in force; with the same number but different content they are refused.
func NewRevocations(config RevocationConfig) (*Revocations, error) {
	r, e := newRevocations(config)
	if e != nil {
		return nil, e
	}
	return r, nil
}

func newRevocations(config RevocationConfig) (*Revocations, *Error) {
	config.CRLs = slices.Clone(config.CRLs)
	switch {
	case config.MaxAge < 0:
		return nil, reasonf("maximum age of revocation lists is %v, want none (0) or more", config.MaxAge)
	case config.Require > InsecureNoListsRequired:
		return nil, reasonf("requirement of revocation lists is %d, want one of the constants", config.Require)
	case len(config.CRLs) > maxCRLs:
		return nil, tooManyLists(len(config.CRLs))
	case slices.Contains(config.CRLs, nil):
		return nil, reasonf("a revocation list is nil")
	}
	r := &Revocations{config: config, crls: config.CRLs, byIssuer: make(map[string][]inUse)}
	for i, l := range config.CRLs {
		if e := l.ages(config.MaxAge); e != nil {
			return nil, e
		}
		use, same := inUse{CRL: l}, false
		for j, other := range config.CRLs {
			if j == i || other.issuer != l.issuer || other.scopeID != l.scopeID {
				continue
			}
			switch order := other.number.Cmp(l.number); {
			case order > 0:
				use.newer = append(use.newer, other)
			case other.digest == l.digest:
				same = same || j < i
			case order == 0 && bytes.Equal(other.keyID, l.keyID):
				return nil, reasonf("there are two lists with different content that call themselves %s", l).
					fix("find out which one the authority has issued")
			}
		}
		if !same {
			r.byIssuer[l.issuer] = append(r.byIssuer[l.issuer], use)
		}
	}
	return r, nil
}

// ages checks that the list says how long it is fresh, or that maxAge does.
func (l *CRL) ages(maxAge time.Duration) *Error {
	if l.nextUpdate.IsZero() && maxAge == 0 {
		return reasonf("%s does not say when the next one comes (nextUpdate), so that it would be fresh for ever", l).
			fix("have the authority say it, or set a maximum age")
	}
	return nil
}

// Check looks for a reason why a verified chain must no longer be relied on: leaf
// first and trust anchor last, as [VerifyPeer] gives it. Every certificate but the
// anchor is looked up; the anchor itself can only be on the deny list. Nil means that
// there is no reason.
//
// What is revoked is refused even by a stale list. A chain that nothing revokes is
// refused when a list that should say so is stale, missing, or not signed by the
// authority that issued the certificate: the denial says which, and its Err, for our
// own log, from which file.
//
// It costs, for each certificate, one look-up in a map for each list of its
// authority, of which there is usually one.
func (r *Revocations) Check(chain []*x509.Certificate, now time.Time) *validator.Denial {
	if r == nil {
		return nil
	}
	if len(chain) == 0 || slices.Contains(chain, nil) {
		return unverified()
	}
	if d := r.denied(chain); d != nil {
		return d
	}
	var unsure *validator.Denial // a later certificate may be revoked for certain
	for i := range chain[:len(chain)-1] {
		d, certain := r.checkOne(chain, i, now)
		if certain {
			return d
		}
		if unsure == nil {
			unsure = d
		}
	}
	if unsure != nil {
		return unsure
	}
	if deny := r.config.Deny; deny != nil && !r.config.InsecureAllowStaleLists {
		if until := deny.until(); !until.IsZero() && now.After(until) {
			return deny.stale(chain[0], now)
		}
	}
	return nil
}

// denied looks into the deny list.
func (r *Revocations) denied(chain []*x509.Certificate) *validator.Denial {
	if r.config.Deny == nil {
		return nil
	}
	e, what := r.config.Deny.match(chain)
	if e == nil {
		return nil
	}
	return r.config.Deny.denial(chain[0], e, what)
}

// checkOne checks chain[i] by the lists of chain[i+1]. certain is whether it is
// revoked; else the denial says why that cannot be known.
func (r *Revocations) checkOne(chain []*x509.Certificate, i int, now time.Time) (d *validator.Denial, certain bool) {
	if len(r.byIssuer) == 0 {
		return nil, false
	}
	c, issuer := chain[i], chain[i+1]
	var buffer [32]byte
	serial := appendSerial(buffer[:0], c.SerialNumber)
	var fresh bool
	var stale, elsewhere *CRL // one of each
	var unsigned *Error
	lists := r.byIssuer[string(c.RawIssuer)]
	var key keyHash
	if len(lists) > 0 {
		key = sha256.Sum256(issuer.RawSubjectPublicKeyInfo)
	}
	for _, l := range lists {
		if e := l.signedByKey(issuer, key); e != nil {
			unsigned = e
			continue
		}
		if l.superseded(issuer, key) {
			continue
		}
		if entry, ok := l.find(serial); ok {
			return l.revoked(chain, i, entry), true
		}
		switch {
		case !l.scope.covers(c):
			elsewhere = l.CRL
		case l.early(now) || now.After(l.until(r.config.MaxAge)):
			stale = l.CRL
		default:
			fresh = true
		}
	}
	switch {
	case fresh, stale != nil && r.config.InsecureAllowStaleLists:
		return nil, false
	case stale != nil:
		return stale.stale(chain, i, now, r.config.MaxAge), false
	case r.config.Require == InsecureNoListsRequired, r.config.Require == RequireLeafLists && i > 0:
		return nil, false
	}
	return noList(chain, i, elsewhere, unsigned), false
}

// superseded reports whether the authority has signed a newer list that is here.
func (l *inUse) superseded(issuer *x509.Certificate, key keyHash) bool {
	return slices.ContainsFunc(l.newer, func(n *CRL) bool { return n.signedByKey(issuer, key) == nil })
}

// goodUntil gives the last moment at which chain[i] is covered by a fresh list, or
// the zero time where no list covers it.
func (r *Revocations) goodUntil(chain []*x509.Certificate, i int) (last time.Time) {
	issuer := chain[i+1]
	key := sha256.Sum256(issuer.RawSubjectPublicKeyInfo)
	for _, l := range r.byIssuer[string(chain[i].RawIssuer)] {
		if l.scope.covers(chain[i]) && l.signedByKey(issuer, key) == nil && !l.superseded(issuer, key) {
			if until := l.until(r.config.MaxAge); until.After(last) {
				last = until
			}
		}
	}
	return last
}
