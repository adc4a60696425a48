package certs

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"sync"
	"sync/atomic"
)

// proof is what is known of who signed a list. A signature is checked once for each
// key that could have made it: the result cannot change.
type proof struct {
	signer atomic.Pointer[signer] // nil until the key is known

	mu sync.Mutex
	// unsigned is what the signature is over, until it has been found good. A long
	// list is then needed as a map only.
	unsigned *x509.RevocationList
	not      map[keyHash]struct{} // keys that have not signed it
}

// maxNotSigners bounds proof.not. Only certificates of trusted chains come there, and
// only those with the issuer's name.
const maxNotSigners = 64

type signer struct {
	cert *x509.Certificate
	key  keyHash
}

// signedBy checks that the authority has issued the list. The error completes "the
// list".
func (l *CRL) signedBy(c *x509.Certificate) *Error {
	return l.signedByKey(c, sha256.Sum256(c.RawSubjectPublicKeyInfo))
}

// signedByKey is signedBy where the hash of the authority's key is known.
func (l *CRL) signedByKey(c *x509.Certificate, key keyHash) *Error {
	switch {
	case l.issuer != string(c.RawSubject):
		return reasonf("is not by %s", subject(c))
	case c.Version != 3 || !c.BasicConstraintsValid || !c.IsCA:
		return reasonf("is by %s, which is no authority", subject(c))
	case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCRLSign == 0:
		// RFC 5280, section 6.3.3 (f).
		return reasonf("is by %s, which may not sign lists: its key usage lacks cRLSign", subject(c)).
			fix("have the authority's certificate issued with cRLSign")
	}
	return l.proof.check(c, key)
}

func (p *proof) check(c *x509.Certificate, key keyHash) *Error {
	if s := p.signer.Load(); s != nil {
		if s.key == key {
			return nil
		}
		return otherKey(c)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.signer.Load(); s != nil {
		if s.key == key {
			return nil
		}
		return otherKey(c)
	}
	if _, known := p.not[key]; known {
		return otherKey(c)
	}
	if err := p.unsigned.CheckSignatureFrom(c); err != nil {
		if p.not == nil {
			p.not = make(map[keyHash]struct{})
		}
		if len(p.not) < maxNotSigners {
			p.not[key] = struct{}{}
		}
		return otherKey(c)
	}
	p.signer.Store(&signer{c, key})
	p.unsigned, p.not = nil, nil
	return nil
}

func otherKey(c *x509.Certificate) *Error {
	return reasonf("has a signature that is not by the key of %s", subject(c))
}

// known gives the certificate whose key is known to have signed the list, or nil.
func (p *proof) known() *x509.Certificate {
	if s := p.signer.Load(); s != nil {
		return s.cert
	}
	return nil
}

// doubted reports whether an authority of the list's name has been seen that has not
// signed it, and none that has.
func (p *proof) doubted() bool {
	if p.signer.Load() != nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.not) > 0
}

// provenBy looks among the authorities for the one that has signed the list. It is
// false without an error when none of them could have: the list's authority is one
// that peers will show, or has another key than those here.
func (l *CRL) provenBy(authorities []*x509.Certificate) (bool, *Error) {
	var no *Error
	sameKey := false
	for _, c := range authorities {
		if l.issuer != string(c.RawSubject) {
			continue
		}
		e := l.signedBy(c)
		if e == nil {
			return true, nil
		}
		no = e
		// Without key identifiers on both sides the name alone has to decide.
		sameKey = sameKey || len(l.keyID) == 0 || len(c.SubjectKeyId) == 0 || bytes.Equal(l.keyID, c.SubjectKeyId)
	}
	if !sameKey {
		return false, nil
	}
	no.Reason = fmt.Sprintf("%s %s", l, no.Reason)
	if no.Fix == "" {
		no.Fix = "fetch the list again, from the authority itself"
	}
	return false, no
}
