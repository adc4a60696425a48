package certs_test

import (
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
)

// longList is a list of n serial numbers of 16 bytes, with reasons.
func longList(tb testing.TB, ca *testca.CA, n int) []byte {
	tb.Helper()
	entries := make([]x509.RevocationListEntry, n)
	serial := make([]byte, 16)
	at := time.Now()
	for i := range entries {
		rand.Read(serial)
		entries[i] = x509.RevocationListEntry{SerialNumber: new(big.Int).SetBytes(serial), RevocationTime: at, ReasonCode: 1 + i%5}
	}
	return ca.CRL(tb, testca.List{Number: 1, Entries: entries})
}

// BenchmarkParseCRL reads a list of 100,000 entries.
func BenchmarkParseCRL(b *testing.B) {
	ca := testca.New(b)
	der := longList(b, ca, 100_000)
	for name, data := range map[string][]byte{"DER": der, "PEM": testca.CRLPEM(der)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := certs.ParseCRLs(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRevocationCheck checks a chain of three against a list of 100,000 entries
// and a deny list of 10,000.
func BenchmarkRevocationCheck(b *testing.B) {
	ca := testca.New(b)
	var text strings.Builder
	text.WriteString("number 1\n")
	for i := range 10_000 {
		fmt.Fprintf(&text, "serial %x\nprincipal email:user%d@a.example\n", i+1, i)
	}
	chain := chainOf(ca, ca.Client(b, "alice@a.example"))
	list := crls(b, longList(b, ca, 100_000))
	for name, c := range map[string]certs.RevocationConfig{"list": {CRLs: list}, "list and deny list": {CRLs: list, Deny: deny(b, text.String())}} {
		b.Run(name, func(b *testing.B) {
			r, now := revocations(b, c), time.Now()
			b.ReportAllocs()
			for b.Loop() {
				if d := r.Check(chain, now); d != nil {
					b.Fatal(d)
				}
			}
		})
	}
}

// BenchmarkRecheckThousand checks a thousand live connections again after each kind of
// change: one operation is all of them.
func BenchmarkRecheckThousand(b *testing.B) {
	const connections = 1000
	ca, other := testca.New(b), testca.New(b)
	server := ca.Server(b, "bank.example")
	first := material(b, server, ca)
	peers := make([][]*x509.Certificate, connections)
	now := time.Now()
	for i := range peers {
		peers[i] = ca.Client(b, fmt.Sprintf("user%d@a.example", i)).Chain
		if d := certs.Recheck(peers[i], first, certs.ClientAuth, now); d != nil {
			b.Fatal(d)
		}
	}
	list := func(l testca.List) certs.RevocationConfig { return certs.RevocationConfig{CRLs: crls(b, ca.CRL(b, l))} }
	key := newKey(b, server)
	roots := func(roots ...*x509.Certificate) *certs.Material {
		m, err := certs.NewMaterial(server.Chain, key, roots)
		if err != nil {
			b.Fatal(err)
		}
		return m.Remembering(first)
	}
	for _, c := range []struct {
		name   string
		m      *certs.Material
		refuse int
	}{
		{"one revoked", withRevocations(b, first, list(testca.List{Revoked: peers[7][:1]})), 1},
		{"one of 100,000 revoked", withRevocations(b, first, certs.RevocationConfig{CRLs: crls(b, longList(b, ca, 100_000))}), 0},
		{"intermediate revoked", withRevocations(b, first, certs.RevocationConfig{Require: certs.InsecureNoListsRequired, CRLs: crls(b, ca.CRL(b, testca.List{ByRoot: true, Revoked: []*x509.Certificate{ca.IntermediateCert()}}))}), connections},
		{"list stale", withRevocations(b, first, list(testca.List{ThisUpdate: now.Add(-2 * time.Hour), NextUpdate: now.Add(-time.Hour)})), connections},
		{"principal denied", withRevocations(b, first, certs.RevocationConfig{Deny: deny(b, "number 1\nprincipal email:user7@a.example")}), 1},
		{"authority added", roots(ca.RootCert(), other.RootCert()), 0},
		{"authority removed", roots(other.RootCert()), connections},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				refused := 0
				for _, p := range peers {
					if certs.Recheck(p, c.m, certs.ClientAuth, now) != nil {
						refused++
					}
				}
				if refused != c.refuse {
					b.Fatalf("%d refused, want %d", refused, c.refuse)
				}
			}
		})
	}
	b.Run("without memory", func(b *testing.B) {
		for b.Loop() {
			first.Forget()
			for _, p := range peers {
				if d := certs.Recheck(p, first, certs.ClientAuth, now); d != nil {
					b.Fatal(d)
				}
			}
		}
	})
}
