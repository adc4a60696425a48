package certs

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Material is what one side of a connection works with: its own certificate
// chain and key, and the authorities whose certificates it accepts from others.
//
// Made by [NewMaterial], [Load] or a [Source] it has been checked, and it is never
// changed afterwards, also not by its users; the exported fields are to be read.
type Material struct {
	Chain []*x509.Certificate // own certificate first, then its intermediates
	Key   *PrivateKey         // belongs to Chain[0]
	Roots []*x509.Certificate // authorities that we trust, never empty

	pool        *x509.CertPool
	own         tls.Certificate
	anchors     map[string]struct{} // Roots by their encoding
	anchorNames map[string]struct{} // and by their subjects
	rootsID     [sha256.Size]byte   // tells one set of Roots from another
	revocations *Revocations        // nil: none are configured
	chains      *chains             // shared with materials made from this one
}

// NewMaterial checks that the key belongs to the first certificate of the chain,
// that each further one has issued the one before it, and that every root is an
// authority. It does not look at dates and purposes: they depend on the moment and
// on the side, and [CheckLeaf] does.
func NewMaterial(chain []*x509.Certificate, key *PrivateKey, roots []*x509.Certificate) (*Material, error) {
	for _, check := range []func() *Error{
		func() *Error { return checkPair(chain, key) },
		func() *Error { return checkChain(chain) },
		func() *Error { return checkRoots(roots) },
	} {
		if e := check(); e != nil {
			return nil, e
		}
	}
	return newMaterial(chain, key, roots), nil
}

// newMaterial is NewMaterial for what has been checked.
func newMaterial(chain []*x509.Certificate, key *PrivateKey, roots []*x509.Certificate) *Material {
	m := &Material{
		Chain: slices.Clone(chain), Key: key, Roots: slices.Clone(roots), pool: x509.NewCertPool(),
		anchors: make(map[string]struct{}), anchorNames: make(map[string]struct{}), chains: new(chains),
	}
	for _, c := range m.Roots {
		m.pool.AddCert(c)
		m.anchors[string(c.Raw)], m.anchorNames[string(c.RawSubject)] = struct{}{}, struct{}{}
	}
	h := sha256.New()
	hashCertificates(h, m.Roots)
	h.Sum(m.rootsID[:0])
	m.own = tls.Certificate{PrivateKey: m.Key, Leaf: m.Chain[0]}
	for _, c := range m.Chain {
		m.own.Certificate = append(m.own.Certificate, c.Raw)
	}
	return m
}

// WithRevocations gives the same material with these revocations instead of those
// that it has; nil takes them away. A list under the name of one of our authorities,
// trusted or in our own chain, must be signed by it. For lists of authorities that
// only peers will show, that is checked when they do.
func (m *Material) WithRevocations(r *Revocations) (*Material, error) {
	if !m.made() {
		return nil, reasonf("material was not made by NewMaterial or Load")
	}
	if r != nil {
		for _, l := range r.crls {
			if _, e := l.provenBy(m.authorities()); e != nil {
				return nil, e.inFileIf(l.file)
			}
		}
	}
	return m.with(r, m.chains), nil
}

// with is WithRevocations for lists that have been checked.
func (m *Material) with(r *Revocations, known *chains) *Material {
	next := *m
	next.revocations, next.chains = r, known
	return &next
}

// Revocations gives the lists that peers are checked against, nil if there are none.
func (m *Material) Revocations() *Revocations {
	if m == nil {
		return nil
	}
	return m.revocations
}

// authorities are the certificates of authorities that we know without a peer.
func (m *Material) authorities() []*x509.Certificate {
	return append(slices.Clone(m.Roots), m.Chain[1:]...)
}

// String names the certificate, its issuer and its last day.
func (m *Material) String() string {
	if m == nil || len(m.Chain) == 0 {
		return "no certificate"
	}
	return describe(m.Chain[0])
}

// Leaf gives our own certificate.
func (m *Material) Leaf() *x509.Certificate { return m.Chain[0] }

// checkPair finds the certificate that the key belongs to: it must be the first.
func checkPair(chain []*x509.Certificate, key *PrivateKey) *Error {
	switch {
	case len(chain) == 0:
		return reasonf("there is no certificate")
	case slices.Contains(chain, nil):
		return reasonf("a certificate in the chain is nil")
	case key == nil || key.signer == nil:
		return reasonf("there is no private key")
	}
	for i, c := range chain {
		if !keyOf(c, key) {
			continue
		}
		if i > 0 {
			return reasonf("chain is out of order: the private key belongs to certificate %d (%s), want it first, before its intermediates", i+1, subject(c))
		}
		return checkPublicKey(c.PublicKey)
	}
	if e := checkPublicKey(chain[0].PublicKey); e != nil {
		return e
	}
	return reasonf("private key does not match the certificate %s", subject(chain[0])).
		fix("give the key that this certificate was issued for, or issue a new pair")
}

func keyOf(c *x509.Certificate, key *PrivateKey) bool {
	public, ok := c.PublicKey.(interface{ Equal(x crypto.PublicKey) bool })
	return ok && public.Equal(key.Public())
}

// checkChain checks that each certificate was issued by the next. RFC 8446 lets a
// sender put them in any order (section 4.4.2), but not every receiver sorts.
func checkChain(chain []*x509.Certificate) *Error {
	for i, c := range chain[:len(chain)-1] {
		next := chain[i+1]
		if next.Equal(c) {
			return reasonf("certificates %d and %d are the same", i+1, i+2).fix("remove one")
		}
		if issued(next, c) {
			continue
		}
		for j, other := range chain {
			if j != i && j != i+1 && issued(other, c) {
				return reasonf("chain is out of order: certificate %d (%s) was issued by certificate %d (%s), want that next", i+1, subject(c), j+1, subject(other)).
					fix("order them: own certificate, then the one that issued it, and so on")
			}
		}
		if err := c.CheckSignatureFrom(next); err != nil && bytes.Equal(next.RawSubject, c.RawIssuer) {
			return reasonf("certificate %d (%s) has the right name but cannot have issued certificate %d (%s): %s", i+2, subject(next), i+1, subject(c), strings.TrimPrefix(err.Error(), "x509: "))
		}
		return reasonf("certificate %d (%s) did not issue certificate %d (%s), whose issuer is %s", i+2, subject(next), i+1, subject(c), issuer(c)).
			fix("keep own certificate and its intermediates only")
	}
	for _, c := range chain[1:] {
		if e := checkPublicKey(c.PublicKey); e != nil {
			e.Reason = fmt.Sprintf("intermediate %s: %s", subject(c), e.Reason)
			e.Fix = "have the authority renewed with a stronger key"
			return e
		}
	}
	return nil
}

func issued(parent, child *x509.Certificate) bool {
	return bytes.Equal(parent.RawSubject, child.RawIssuer) && child.CheckSignatureFrom(parent) == nil
}

// checkRoots refuses an empty list, which crypto/tls would read as the system's
// own, and whatever cannot be an authority.
func checkRoots(roots []*x509.Certificate) *Error {
	if len(roots) == 0 {
		return reasonf("there is no authority to trust, want at least one CA certificate")
	}
	for i, c := range roots {
		switch {
		case c == nil:
			return reasonf("authority %d is nil", i+1)
		case c.Version < 3:
			return reasonf("certificate %d (%s) is X.509 version %d, which cannot say that it is an authority, want version 3", i+1, subject(c), c.Version)
		case !c.BasicConstraintsValid || !c.IsCA:
			return reasonf("certificate %d (%s) is not an authority's, want CA certificates only", i+1, subject(c)).
				fix("trust the authority that issued it instead: %s", issuer(c))
		case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0:
			return reasonf("authority %d (%s) may not sign certificates, its key usage lacks certSign", i+1, subject(c))
		}
		if e := checkPublicKey(c.PublicKey); e != nil {
			e.Reason = fmt.Sprintf("authority %d (%s): %s", i+1, subject(c), e.Reason)
			e.Fix = "have the authority renewed with a stronger key"
			return e
		}
	}
	return nil
}

// day shows a moment of a certificate.
func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// describe gives names, issuer, purpose and dates of a certificate.
func describe(c *x509.Certificate) string {
	return fmt.Sprintf("%s, issued by %s, %s, valid %s to %s", namesOf(c), issuer(c), purposes(c), day(c.NotBefore), day(c.NotAfter))
}

// purposes says what the extended key usages of a certificate are.
func purposes(c *x509.Certificate) string {
	var all []string
	for _, u := range c.ExtKeyUsage {
		all = append(all, u.String())
	}
	for _, u := range c.UnknownExtKeyUsage {
		all = append(all, u.String())
	}
	if len(all) == 0 {
		return "names no purpose"
	}
	if len(all) > 5 {
		all = append(all[:5], "...")
	}
	return "is for " + strings.Join(all, ", ")
}
