package certs

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"hash"
	"slices"
	"sync"
	"time"

	"github.com/pyrossl/pyrossl/validator"
)

// chains remembers what crypto/x509 has found out about the certificates that peers
// presented, so that a thousand live connections can be checked again at once.
//
// Whether x509.Certificate.Verify accepts a chain depends on three things: on the
// certificates themselves (signatures, names, constraints, purposes: always the same
// for the same bytes and purpose), on the date, and on whether the last one is among
// the roots. Only the first is remembered. So a chain that was accepted once is
// accepted by other material, too, if its anchor is among the roots by its bytes and
// each certificate is within its dates; nothing else is concluded. What is not
// remembered, or does not hold any more, goes to Verify.
type chains struct {
	mu    sync.RWMutex
	known map[presentedKey]verified
	// issuers are the certificates above the leaves, each once: every connection
	// brings its own copies of them.
	issuers map[[sha256.Size]byte]*x509.Certificate
}

// Bounds of what is remembered: some 300 bytes for each peer, and some KiB for each
// intermediate.
const (
	maxChains  = 8192
	maxIssuers = 512
)

// presentedKey identifies what a peer has presented, and for which purpose.
type presentedKey [sha256.Size]byte

// verified is what Verify gave, at a time and with a set of roots.
type verified struct {
	found [][]*x509.Certificate // without the leaf, which whoever asks has
	at    time.Time
	roots [sha256.Size]byte
}

// all reports whether Verify would find no other chain now: the roots are the same,
// and nothing that was not valid then can have become valid.
func (v verified) all(presented []*x509.Certificate, m *Material, now time.Time) bool {
	later := func(c *x509.Certificate) bool { return c.NotBefore.After(v.at) }
	return v.roots == m.rootsID && !now.Before(v.at) && !slices.ContainsFunc(presented, later) && !slices.ContainsFunc(m.Roots, later)
}

func keyOfPresented(presented []*x509.Certificate, purpose Purpose) (k presentedKey) {
	h := sha256.New()
	h.Write([]byte{byte(purpose)})
	hashCertificates(h, presented)
	h.Sum(k[:0])
	return k
}

// hashCertificates writes them so that no other list gives the same bytes.
func hashCertificates(h hash.Hash, all []*x509.Certificate) {
	var size [4]byte
	for _, c := range all {
		binary.BigEndian.PutUint32(size[:], uint32(len(c.Raw)))
		h.Write(size[:])
		h.Write(c.Raw)
	}
}

// remember takes what Verify gave. Which chains go when there are too many is left to
// the order of the map: forgetting costs time and nothing else.
func (s *chains) remember(k presentedKey, v verified) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = make(map[presentedKey]verified)
	}
	for old := range s.known {
		if len(s.known) < maxChains {
			break
		}
		delete(s.known, old)
	}
	above := make([][]*x509.Certificate, len(v.found))
	for i, chain := range v.found {
		for _, c := range chain[1:] {
			above[i] = append(above[i], s.once(c))
		}
	}
	v.found = above
	s.known[k] = v
}

// once gives the copy of a certificate that is kept.
func (s *chains) once(c *x509.Certificate) *x509.Certificate {
	k := sha256.Sum256(c.Raw)
	if kept := s.issuers[k]; kept != nil {
		return kept
	}
	if s.issuers == nil || len(s.issuers) >= maxIssuers {
		s.issuers = make(map[[sha256.Size]byte]*x509.Certificate)
	}
	s.issuers[k] = c
	return c
}

// recall gives what is remembered, with the leaf in its place.
func (s *chains) recall(k presentedKey, leaf *x509.Certificate) verified {
	s.mu.RLock()
	v := s.known[k]
	s.mu.RUnlock()
	whole := make([][]*x509.Certificate, len(v.found))
	for i, above := range v.found {
		whole[i] = append([]*x509.Certificate{leaf}, above...)
	}
	v.found = whole
	return v
}

// holds reports whether a chain that was accepted once is still good.
func (m *Material) holds(chain []*x509.Certificate, now time.Time) bool {
	if len(chain) == 0 {
		return false
	}
	for _, c := range chain {
		if now.Before(c.NotBefore) || now.After(c.NotAfter) {
			return false
		}
	}
	_, ok := m.anchors[string(chain[len(chain)-1].Raw)]
	return ok
}

// verify gives the chain from what a peer presented to one of our authorities: the
// first that nothing revokes. A chain that is remembered and still good comes before
// others, so that a live connection goes on by the one that it came with.
func (m *Material) verify(presented []*x509.Certificate, purpose Purpose, now time.Time) ([]*x509.Certificate, error) {
	key := keyOfPresented(presented, purpose)
	v := m.chains.recall(key, presented[0])
	held := slices.DeleteFunc(v.found, func(chain []*x509.Certificate) bool { return !m.holds(chain, now) })
	if len(held) > 0 {
		chain, err := m.unrevoked(held, purpose, now)
		if err == nil || v.all(presented, m, now) {
			return chain, err
		}
	}
	found, err := m.verifyAnew(presented, purpose, now)
	if err != nil {
		return nil, &tls.CertificateVerificationError{UnverifiedCertificates: presented, Err: err}
	}
	m.chains.remember(key, verified{found, now, m.rootsID})
	return m.unrevoked(found, purpose, now)
}

// accepted takes over what crypto/tls has verified a moment ago, in a full handshake
// with our roots.
func (m *Material) accepted(presented []*x509.Certificate, found [][]*x509.Certificate, purpose Purpose, now time.Time) {
	m.chains.remember(keyOfPresented(presented, purpose), verified{found, now.Add(-time.Minute), m.rootsID})
}

// unrevoked gives the first of the verified chains that nothing revokes, or the
// reason against the first.
func (m *Material) unrevoked(found [][]*x509.Certificate, purpose Purpose, now time.Time) ([]*x509.Certificate, error) {
	var first *validator.Denial
	for _, chain := range found {
		d := m.revocations.Check(chain, now)
		if d == nil {
			return chain, nil
		}
		if first == nil {
			first = d
		}
	}
	if first == nil {
		return nil, unverified()
	}
	return nil, ofPeer(first, purpose)
}

func (m *Material) verifyAnew(presented []*x509.Certificate, purpose Purpose, now time.Time) ([][]*x509.Certificate, error) {
	if checkDates(presented[0], now) == nil && !m.reachable(presented) {
		return nil, x509.UnknownAuthorityError{Cert: presented[0]}
	}
	opts := x509.VerifyOptions{
		Roots: m.pool, Intermediates: x509.NewCertPool(), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{purpose.usage()},
	}
	for _, c := range presented[1:] {
		opts.Intermediates.AddCert(c)
	}
	return presented[0].Verify(opts)
}

// reachable reports whether one of the certificates names one of our authorities as
// its issuer, or is one. If not, no chain can end at an authority of ours: Verify
// goes from a certificate to those whose subject is its issuer, byte by byte, and the
// last of a chain is a root.
func (m *Material) reachable(presented []*x509.Certificate) bool {
	return slices.ContainsFunc(presented, func(c *x509.Certificate) bool {
		_, named := m.anchorNames[string(c.RawIssuer)]
		_, is := m.anchors[string(c.Raw)]
		return named || is
	})
}
