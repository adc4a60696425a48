package testca

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// A List says what a revocation list should hold. The zero List is signed by the
// intermediate, has number 0, revokes nothing, was issued an hour ago and is due for
// renewal in 23 hours.
type List struct {
	Number  int64
	Revoked []*x509.Certificate
	// Entries are revoked too, with dates, reasons and extensions of their own.
	Entries []x509.RevocationListEntry

	// ThisUpdate and NextUpdate default to an hour before and 23 hours after now.
	ThisUpdate, NextUpdate time.Time

	// ByRoot has the root sign it, for intermediates.
	ByRoot bool

	// Modify, if not nil, changes the template last, just before it is signed.
	Modify func(*x509.RevocationList)
}

// CRL signs a revocation list and returns it in DER form.
func (ca *CA) CRL(tb testing.TB, l List) []byte {
	tb.Helper()
	now := time.Now()
	t := &x509.RevocationList{
		Number: big.NewInt(l.Number), ThisUpdate: l.ThisUpdate, NextUpdate: l.NextUpdate,
		RevokedCertificateEntries: l.Entries,
	}
	if t.ThisUpdate.IsZero() {
		t.ThisUpdate = now.Add(-time.Hour)
	}
	if t.NextUpdate.IsZero() {
		t.NextUpdate = now.Add(23 * time.Hour)
	}
	for _, c := range l.Revoked {
		t.RevokedCertificateEntries = append(t.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: t.ThisUpdate})
	}
	if l.Modify != nil {
		l.Modify(t)
	}
	issuer, key := ca.intermediate, ca.key
	if l.ByRoot {
		issuer, key = ca.root, ca.rootKey
	}
	der, err := x509.CreateRevocationList(rand.Reader, t, issuer, key)
	if err != nil {
		tb.Fatalf("testca: signing a revocation list: %v", err)
	}
	return der
}

// CRLPEM is lists in DER form as PEM blocks.
func CRLPEM(ders ...[]byte) []byte {
	var out []byte
	for _, der := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})...)
	}
	return out
}

// IntermediateCert is the certificate that signs leaves and lists.
func (ca *CA) IntermediateCert() *x509.Certificate { return ca.intermediate }

// IntermediateKey signs what List and Leaf have no words for, such as an OCSP
// response.
func (ca *CA) IntermediateKey() crypto.Signer { return ca.key }

// Sibling is an authority under the same root with an intermediate of its own.
func (ca *CA) Sibling(tb testing.TB) *CA {
	tb.Helper()
	key := newKey(tb)
	t := *ca.intermediate
	t.SerialNumber = serial(tb)
	t.Subject.CommonName = "testca intermediate " + serial(tb).Text(36)
	t.SubjectKeyId, t.AuthorityKeyId, t.RawSubject = nil, nil, nil
	return &CA{root: ca.root, rootKey: ca.rootKey, intermediate: sign(tb, &t, ca.root, key.Public(), ca.rootKey), key: key}
}

// CrossSigned is the same intermediate, certified by another root: leaves of the one
// verify with the certificate of the other.
func (ca *CA) CrossSigned(tb testing.TB, by *CA) *x509.Certificate {
	tb.Helper()
	t := *ca.intermediate
	t.SerialNumber = serial(tb)
	return sign(tb, &t, by.root, ca.key.Public(), by.rootKey)
}

// Reissued is the same intermediate with another certificate for the same key, which
// modify has changed.
func (ca *CA) Reissued(tb testing.TB, modify func(*x509.Certificate)) *CA {
	tb.Helper()
	t := *ca.intermediate
	t.SerialNumber = serial(tb)
	modify(&t)
	return &CA{root: ca.root, rootKey: ca.rootKey, intermediate: sign(tb, &t, ca.root, ca.key.Public(), ca.rootKey), key: ca.key}
}

// RootKey is the trust anchor's.
func (ca *CA) RootKey() crypto.Signer { return ca.rootKey }
