package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"time"

	"github.com/pyrossl/pyrossl/validator"
)

// VerifyPeer verifies the certificates that a peer presented, its own first, against
// the material: chain, purpose, dates, and whether it was revoked. It gives the
// verified chain, leaf first and trust anchor last; where several paths lead to our
// authorities, the first one without a revoked certificate. Whoever derives an
// identity from a peer that was not refused uses this chain, which need not be the
// first one of tls.ConnectionState.
func VerifyPeer(presented []*x509.Certificate, m *Material, purpose Purpose, now time.Time) ([]*x509.Certificate, error) {
	if !m.made() {
		return nil, reasonf("material was not made by NewMaterial or Load")
	}
	if len(presented) == 0 || slices.Contains(presented, nil) {
		return nil, unverified()
	}
	chain, err := m.verify(presented, purpose, now)
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted {
		return nil, err
	}
	// Before a revocation is told: what the holder could have known comes first.
	if d := CheckLeaf(presented[0], purpose, now); d != nil {
		return nil, ofPeer(d, purpose)
	}
	return chain, err
}

// Recheck verifies a peer that was accepted once again, by material that may have
// changed since: whether our authorities still vouch for it, its purpose and dates,
// and whether it was revoked. chain is what the peer presented
// (tls.ConnectionState.PeerCertificates), and purpose what its certificate is for.
// Nil means that the connection may go on. The denial may be shown to the peer.
//
// Whether a server has the name that was asked for is not looked at again: neither
// changes.
//
// A daemon calls it after the handshake, if its [ServerConfig] has the option
// [RecheckAfterHandshake]; for each live connection whenever the material changes;
// and at the time that [ValidUntil] gives.
//
// It takes some microseconds, since chains are remembered across the materials of one
// [FileSource] and across [Material.WithRevocations].
func Recheck(chain []*x509.Certificate, m *Material, purpose Purpose, now time.Time) *validator.Denial {
	_, err := VerifyPeer(chain, m, purpose, now)
	if err == nil {
		return nil
	}
	if d := (view{ours: m, peer: purpose}).explain(err); d != nil {
		return d
	}
	d := security(validator.CheckChain, purpose.peer()+" certificate that cannot be verified", "one issued anew for the "+purpose.String())
	d.Err = err
	return d
}

// ValidUntil gives the last moment at which a chain is good by the material, as far
// as that is known: when the first of its certificates expires, or the revocation
// list that vouches for one, or the deny list, becomes stale. chain is a verified
// one, as VerifyPeer gives it. After that moment the peer has to be checked again,
// with [Recheck], since there may be newer lists, or another chain, by then.
//
// It is the zero time for no chain.
func ValidUntil(chain []*x509.Certificate, m *Material) time.Time {
	if !m.made() || len(chain) == 0 || slices.Contains(chain, nil) {
		return time.Time{}
	}
	until := chain[0].NotAfter
	sooner := func(t time.Time) {
		if !t.IsZero() && t.Before(until) {
			until = t
		}
	}
	for _, c := range chain[1:] {
		sooner(c.NotAfter)
	}
	r := m.revocations
	if r == nil || r.config.InsecureAllowStaleLists {
		return until
	}
	for i := range chain[:len(chain)-1] {
		sooner(r.goodUntil(chain, i))
	}
	if r.config.Deny != nil {
		sooner(r.config.Deny.until())
	}
	return until
}
