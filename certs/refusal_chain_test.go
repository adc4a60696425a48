package certs_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// issueFrom lets one pair sign a certificate for another's key, for chains that
// testca does not make.
func issueFrom(t *testing.T, parent, child testca.Pair, change func(*x509.Certificate)) testca.Pair {
	t.Helper()
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "issued"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: serverAuth, DNSNames: []string{"bank.example"},
	}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, parent.Chain[0], child.Key.Public(), parent.Key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return testca.Pair{Chain: append([]*x509.Certificate{leaf}, parent.Chain...), Key: child.Key}
}

// authority turns a template into an authority's.
func authority(name string, more func(*x509.Certificate)) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: name}
		c.IsCA, c.KeyUsage, c.ExtKeyUsage, c.DNSNames = true, x509.KeyUsageCertSign, nil, nil
		more(c)
	}
}

// TestFaultsOfAuthorities are chains whose leaf is in order.
func TestFaultsOfAuthorities(t *testing.T) {
	ca := testca.New(t)
	same := func(*x509.Certificate) {}
	root := ca.SelfSigned(t, testca.Leaf{IsCA: true, Modify: authority("Root", same)})
	under := func(name string, more func(*x509.Certificate)) testca.Pair {
		return issueFrom(t, root, ca.Server(t, "x"), authority(name, more))
	}
	client := ca.Client(t, "alice@a.example")
	ours, err := certs.NewMaterial(client.Chain, newKey(t, client), root.Chain)
	if err != nil {
		t.Fatal(err)
	}
	expired := under("Old Intermediate", func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	})
	early := under("New Intermediate", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) })
	constrained := under("Shop Intermediate", func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"shop.example"}
	})
	shallow := under("Shallow Intermediate", func(c *x509.Certificate) { c.MaxPathLenZero = true })
	deeper := issueFrom(t, shallow, ca.Server(t, "y"), authority("Deep Intermediate", same))
	clientsOnly := under("Client Intermediate", func(c *x509.Certificate) { c.ExtKeyUsage = clientAuth })
	for _, c := range []struct {
		name  string
		issue testca.Pair
		check validator.Check
		words []string
	}{
		{"expired intermediate", expired, validator.CheckDates, []string{"authority CN=Old Intermediate in the server's chain: it expired on", "a renewed one"}},
		{"early intermediate", early, validator.CheckDates, []string{"authority CN=New Intermediate in the server's chain: it is not valid before", "clocks"}},
		{"name constraint", constrained, validator.CheckChain, []string{"its authority may not give out that name", "name constraints"}},
		{"path length", deeper, validator.CheckChain, []string{"more intermediates"}},
		{"intermediate for clients", clientsOnly, validator.CheckPurpose, []string{"one issued with extended key usage serverAuth"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			pair := issueFrom(t, c.issue, ca.Server(t, "z"), same)
			for _, expect := range []certs.Expect{{Host: "bank.example"}, {ID: "dns:bank.example"}} {
				o := connect(t, plainServer(pair, ca), clientConfig(t, ours, expect))
				if o.client == nil {
					t.Fatal("accepted")
				}
				refused(t, c.name, certs.Refusal(o.client, ours, expect), c.check, c.words...)
			}
		})
	}
}

// TestEveryAlert sends each alert there could be, in plain text as a server does
// that gives up early.
func TestEveryAlert(t *testing.T) {
	ca := testca.New(t)
	ours, expect := material(t, ca.Client(t, "alice@a.example"), ca), certs.Expect{Host: "bank.example"}
	want := map[byte]validator.Check{
		40: validator.CheckProtocol, 42: validator.CheckChain, 43: validator.CheckChain, 44: validator.CheckRevocation, 45: validator.CheckDates, 46: validator.CheckChain,
		48: validator.CheckChain, 49: validator.CheckAdmission, 51: validator.CheckChain, 70: validator.CheckProtocol, 71: validator.CheckProtocol,
		80: validator.CheckProtocol, 112: validator.CheckName, 116: validator.CheckChain, 120: validator.CheckALPN,
	}
	for code := range 256 {
		l := plainText(t, string([]byte{21, 3, 3, 0, 2, 2, byte(code)}))
		_, err := dial(t.Context(), t, l.Addr().String(), clientConfig(t, ours, expect))
		l.Close()
		check, known := want[byte(code)]
		if !known {
			check = validator.CheckProtocol
		}
		for who, m := range map[string]*certs.Material{"with our material": ours, "without": nil} {
			d := certs.Refusal(err, m, expect)
			refused(t, fmt.Sprintf("alert %d %s (%v)", code, who, err), d, check)
			if d != nil && known && code != 80 && d.Code != validator.DeniedSecurity {
				t.Errorf("alert %d has code %v", code, d.Code)
			}
		}
		if d := certs.ServerRefusal(err, ours); d == nil {
			t.Errorf("alert %d means nothing to a server", code)
		}
	}
}

// TestClockBehind is a server whose clock differs: it calls expired what is not.
func TestClockBehind(t *testing.T) {
	ca := testca.New(t)
	ours, expect := material(t, ca.Client(t, "alice@a.example"), ca), certs.Expect{Host: "bank.example"}
	server := plainServer(ca.Server(t, "bank.example"), ca)
	server.Time = func() time.Time { return time.Now().AddDate(1, 0, 0) }
	o := connect(t, server, clientConfig(t, ours, expect))
	refused(t, "clock", certs.Refusal(o.client, ours, expect), validator.CheckDates, "the server holds as expired our certificate for email:alice@a.example", "clocks that agree: by ours it is valid now")
}

// TestPinnedChainIsVerified: where crypto/tls verifies nothing, VerifyConnection
// does, also on a connection that says it was verified.
func TestPinnedChainIsVerified(t *testing.T) {
	ca, other := testca.New(t), testca.New(t)
	ours := material(t, ca.Client(t, "alice@a.example"), ca)
	config := clientConfig(t, ours, certs.Expect{ID: "dns:bank.example"})
	if !config.InsecureSkipVerify {
		t.Fatal("this test is about a config that turns crypto/tls's verification off")
	}
	good, bad := ca.Server(t, "bank.example"), other.Server(t, "bank.example")
	for name, cs := range map[string]tls.ConnectionState{
		"nothing":         {NegotiatedProtocol: certs.ALPN},
		"other authority": {NegotiatedProtocol: certs.ALPN, PeerCertificates: bad.Chain},
		"claims a chain":  {NegotiatedProtocol: certs.ALPN, PeerCertificates: bad.Chain, VerifiedChains: [][]*x509.Certificate{good.Chain}},
		"no protocol":     {PeerCertificates: good.Chain},
		"resumed":         {NegotiatedProtocol: certs.ALPN, PeerCertificates: good.Chain, DidResume: true},
	} {
		if config.VerifyConnection(cs) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := config.VerifyConnection(tls.ConnectionState{NegotiatedProtocol: certs.ALPN, PeerCertificates: good.Chain}); err != nil {
		t.Error(err)
	}
}
