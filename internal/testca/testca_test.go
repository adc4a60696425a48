package testca_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyrossl/pyrossl/internal/testca"
)

var (
	serverAuth = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	clientAuth = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
)

func verify(ca *testca.CA, p testca.Pair, usage []x509.ExtKeyUsage, at time.Time) error {
	intermediates := x509.NewCertPool()
	for _, c := range p.Chain[1:] {
		intermediates.AddCert(c)
	}
	_, err := p.Chain[0].Verify(x509.VerifyOptions{
		Roots: ca.Pool(), Intermediates: intermediates, KeyUsages: usage, CurrentTime: at,
	})
	return err
}

func TestChains(t *testing.T) {
	ca, other := testca.New(t), testca.New(t)
	now := time.Now()
	good := ca.Server(t, "bank.example")
	for _, tt := range []struct {
		name  string
		pair  testca.Pair
		usage []x509.ExtKeyUsage
		ok    bool
	}{
		{"server", good, serverAuth, true},
		{"client", ca.Client(t, "alice@bank.example"), clientAuth, true},
		{"server as client", good, clientAuth, false},
		{"other CA", other.Server(t, "bank.example"), serverAuth, false},
		{"no intermediate", testca.Pair{Chain: good.Chain[:1], Key: good.Key}, serverAuth, false},
		{"self-signed", ca.SelfSigned(t, testca.Leaf{DNS: []string{"bank.example"}, EKU: serverAuth}), serverAuth, false},
		{"expired", ca.Issue(t, testca.Leaf{EKU: serverAuth, NotAfter: now.Add(-time.Minute)}), serverAuth, false},
		{"not yet valid", ca.Issue(t, testca.Leaf{EKU: serverAuth, NotBefore: now.Add(time.Minute)}), serverAuth, false},
		{"dates given", ca.Issue(t, testca.Leaf{EKU: serverAuth, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}), serverAuth, true},
		{"authority", ca.Issue(t, testca.Leaf{EKU: serverAuth, IsCA: true}), serverAuth, true},
	} {
		err := verify(ca, tt.pair, tt.usage, now)
		if (err == nil) != tt.ok {
			t.Errorf("%s: verification gave %v, want success %v", tt.name, err, tt.ok)
		}
		if err := tt.pair.Chain[0].CheckSignatureFrom(tt.pair.Chain[len(tt.pair.Chain)-1]); len(tt.pair.Chain) == 2 && err != nil {
			t.Errorf("%s: chain is not in order: %v", tt.name, err)
		}
	}
}

func TestNames(t *testing.T) {
	ca := testca.New(t)
	ip := netip.MustParseAddr("2001:db8::1")
	for _, tt := range []struct {
		name                   string
		pair                   testca.Pair
		cn                     string
		dns, emails, uris, ips []string
	}{
		{"server", ca.Server(t, "bank.example", "127.0.0.1", "::1", "spiffe://x/a@b"), "bank.example", []string{"bank.example"}, nil, []string{"spiffe://x/a@b"}, []string{"127.0.0.1", "::1"}},
		{"dns client", ca.Client(t, "stock"), "stock", []string{"stock"}, nil, nil, nil},
		{"email client", ca.Client(t, "alice@bank.example"), "alice@bank.example", nil, []string{"alice@bank.example"}, nil, nil},
		{"uri client", ca.Client(t, "spiffe://bank.example/teller"), "spiffe://bank.example/teller", nil, nil, []string{"spiffe://bank.example/teller"}, nil},
		{"leaf", ca.Issue(t, testca.Leaf{CN: "c", DNS: []string{"d"}, Emails: []string{"e@f"}, URIs: []string{"g://h"}, IPs: []netip.Addr{ip}}), "c", []string{"d"}, []string{"e@f"}, []string{"g://h"}, []string{"2001:db8::1"}},
		{"none", ca.Issue(t, testca.Leaf{}), "", nil, nil, nil, nil},
		{"modified", ca.Issue(t, testca.Leaf{DNS: []string{"a"}, Modify: func(c *x509.Certificate) { c.DNSNames = []string{"b"} }}), "", []string{"b"}, nil, nil, nil},
	} {
		leaf := tt.pair.Chain[0]
		var uris, ips []string
		for _, u := range leaf.URIs {
			uris = append(uris, u.String())
		}
		for _, ip := range leaf.IPAddresses {
			ips = append(ips, ip.String())
		}
		if leaf.Subject.CommonName != tt.cn || !slices.Equal(leaf.DNSNames, tt.dns) || !slices.Equal(leaf.EmailAddresses, tt.emails) ||
			!slices.Equal(uris, tt.uris) || !slices.Equal(ips, tt.ips) {
			t.Errorf("%s: got cn %q dns %q email %q uri %q ip %q", tt.name, leaf.Subject.CommonName, leaf.DNSNames, leaf.EmailAddresses, uris, ips)
		}
	}
}

func TestPurposes(t *testing.T) {
	ca := testca.New(t)
	for _, tt := range []struct {
		leaf testca.Leaf
		want []x509.ExtKeyUsage
		isCA bool
	}{
		{testca.Leaf{}, nil, false},
		{testca.Leaf{EKU: clientAuth}, clientAuth, false},
		{testca.Leaf{EKU: append(clientAuth, serverAuth...)}, append(clientAuth, serverAuth...), false},
		{testca.Leaf{IsCA: true}, nil, true},
	} {
		cert := ca.Issue(t, tt.leaf).Chain[0]
		if !slices.Equal(cert.ExtKeyUsage, tt.want) || cert.IsCA != tt.isCA || (cert.KeyUsage&x509.KeyUsageCertSign != 0) != tt.isCA {
			t.Errorf("%+v: got purposes %v, authority %v, key usage %v", tt.leaf, cert.ExtKeyUsage, cert.IsCA, cert.KeyUsage)
		}
	}
}

func TestFiles(t *testing.T) {
	ca := testca.New(t)
	dir := t.TempDir()
	pair := ca.Server(t, "bank.example")
	certPath, keyPath := pair.WriteFiles(t, dir, "bank")
	loaded, err := tls.LoadX509KeyPair(certPath, keyPath)
	if err != nil {
		t.Fatal(err)
	}
	if len(loaded.Certificate) != 2 || !bytes.Equal(loaded.Certificate[0], pair.Chain[0].Raw) {
		t.Errorf("got %d certificates, want the leaf and the intermediate", len(loaded.Certificate))
	}
	if info, err := os.Stat(keyPath); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: mode %v, error %v, want 0600", info.Mode(), err)
	}
	if tls := pair.TLS(); tls.Leaf != pair.Chain[0] || !slices.EqualFunc(tls.Certificate, loaded.Certificate, bytes.Equal) {
		t.Error("TLS() and the files differ")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca.RootPEM()) || !pool.Equal(ca.Pool()) {
		t.Error("RootPEM is not the root")
	}
}

// TestBubble is a certificate that expires by a fake clock.
func TestBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := testca.New(t)
		pair := ca.Server(t, "bank.example")
		if err := verify(ca, pair, serverAuth, time.Now()); err != nil {
			t.Errorf("new certificate at %v: %v", time.Now(), err)
		}
		time.Sleep(24 * time.Hour)
		if err := verify(ca, pair, serverAuth, time.Now()); err == nil {
			t.Error("certificate is still valid a day later")
		}
		if err := verify(ca, ca.Server(t, "bank.example"), serverAuth, time.Now()); err != nil {
			t.Errorf("certificate of the next day: %v", err)
		}
	})
}
