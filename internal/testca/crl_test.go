package testca_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/internal/testca"
)

func TestCRL(t *testing.T) {
	ca := testca.New(t)
	leaf := ca.Client(t, "alice@bank.example").Chain[0]
	now := time.Now()
	for _, c := range []struct {
		name    string
		list    testca.List
		by      *x509.Certificate
		revoked int
	}{
		{"empty", testca.List{}, ca.IntermediateCert(), 0},
		{"revoked", testca.List{Number: 7, Revoked: []*x509.Certificate{leaf}}, ca.IntermediateCert(), 1},
		{"entries too", testca.List{Number: 8, Revoked: []*x509.Certificate{leaf}, Entries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(5), RevocationTime: now, ReasonCode: 1}}}, ca.IntermediateCert(), 2},
		{"by the root", testca.List{ByRoot: true}, ca.RootCert(), 0},
		{"dates", testca.List{ThisUpdate: now.Add(-2 * time.Hour), NextUpdate: now.Add(-time.Hour)}, ca.IntermediateCert(), 0},
		{"modified", testca.List{Modify: func(l *x509.RevocationList) { l.Number = big.NewInt(0) }}, ca.IntermediateCert(), 0},
	} {
		der := ca.CRL(t, c.list)
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if err := list.CheckSignatureFrom(c.by); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if len(list.RevokedCertificateEntries) != c.revoked || list.Number.Int64() != c.list.Number {
			t.Errorf("%s: %d entries in number %v", c.name, len(list.RevokedCertificateEntries), list.Number)
		}
		fresh := !now.Before(list.ThisUpdate) && now.Before(list.NextUpdate)
		if want := c.list.NextUpdate.IsZero(); fresh != want {
			t.Errorf("%s: from %v to %v", c.name, list.ThisUpdate, list.NextUpdate)
		}
		block, rest := pem.Decode(testca.CRLPEM(der))
		if block == nil || block.Type != "X509 CRL" || !bytes.Equal(block.Bytes, der) || len(rest) > 0 {
			t.Errorf("%s: PEM is not the list", c.name)
		}
	}
}

// TestRelatives are authorities made from others: which leaves verify by which roots.
func TestRelatives(t *testing.T) {
	ca, other := testca.New(t), testca.New(t)
	sibling := ca.Sibling(t)
	again := ca.Reissued(t, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign })
	leaf := ca.Client(t, "alice@bank.example")
	for _, c := range []struct {
		name  string
		roots *testca.CA
		chain []*x509.Certificate
		ok    bool
	}{
		{"itself", ca, leaf.Chain, true},
		{"sibling", ca, sibling.Client(t, "a@b.c").Chain, true},
		{"sibling's intermediate", ca, []*x509.Certificate{leaf.Chain[0], sibling.IntermediateCert()}, false},
		{"reissued", ca, []*x509.Certificate{leaf.Chain[0], again.IntermediateCert()}, true},
		{"leaf of the reissued one", ca, []*x509.Certificate{again.Client(t, "a@b.c").Chain[0], ca.IntermediateCert()}, true},
		{"cross-signed", other, []*x509.Certificate{leaf.Chain[0], ca.CrossSigned(t, other)}, true},
		{"not cross-signed", other, leaf.Chain, false},
	} {
		pair := testca.Pair{Chain: c.chain}
		if err := verify(c.roots, pair, clientAuth, time.Now()); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if again.IntermediateCert().KeyUsage != x509.KeyUsageCertSign || again.IntermediateCert().SerialNumber.Cmp(ca.IntermediateCert().SerialNumber) == 0 {
		t.Error("the reissued certificate is not another one")
	}
	for name, c := range map[string]struct {
		cert *x509.Certificate
		key  crypto.Signer
	}{"root": {ca.RootCert(), ca.RootKey()}, "intermediate": {ca.IntermediateCert(), ca.IntermediateKey()}, "sibling": {sibling.IntermediateCert(), sibling.IntermediateKey()}} {
		if public, ok := c.key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(c.cert.PublicKey) {
			t.Errorf("the key of the %s is another one's", name)
		}
	}
}
