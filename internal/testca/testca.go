// Package testca is a throwaway certificate authority for tests: a root, an
// intermediate, and leaves with exactly the names, purposes and dates that a
// test asks for, the wrong ones included.
//
// Everything is made in memory with fresh P-256 keys, and dates are taken from
// [time.Now] at the call, so that it works inside testing/synctest bubbles,
// whose clock starts in the year 2000. Mint certificates inside the bubble that
// uses them.
//
// It checks nothing: programs issue certificates with certs/ca.
package testca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

const (
	// leafHalfLife is how long a leaf is valid before and after its issue,
	// unless the test gives other dates: 24 h in all.
	leafHalfLife = 12 * time.Hour

	// The authorities outlive every leaf on both sides, so that a test that
	// moves its clock beyond a leaf's dates fails for that leaf and no other
	// reason.
	authorityPast   = 24 * time.Hour
	authorityFuture = 30 * 24 * time.Hour
)

// A CA is a root and the intermediate that signs its leaves. It is safe for
// concurrent use.
type CA struct {
	root, intermediate *x509.Certificate
	key                crypto.Signer // the intermediate's
	rootKey            crypto.Signer // signs intermediates, and lists that revoke them
}

// A Leaf says what a certificate should hold. The zero Leaf has no name, no
// purpose, and is valid for 24 hours around now.
type Leaf struct {
	CN     string // subject common name
	DNS    []string
	URIs   []string
	Emails []string
	IPs    []netip.Addr
	EKU    []x509.ExtKeyUsage // empty: the certificate has no such extension

	// NotBefore and NotAfter default to 12 hours before and after now; with
	// only one of them given, the other lies 24 hours from it.
	NotBefore, NotAfter time.Time

	// IsCA makes it an authority's certificate.
	IsCA bool

	// Modify, if not nil, changes the template last, just before it is signed.
	Modify func(*x509.Certificate)
}

// New makes a CA.
func New(tb testing.TB) *CA {
	tb.Helper()
	now := time.Now()
	template := func(name string, pathLen int) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: serial(tb),
			Subject:      pkix.Name{Organization: []string{"testca"}, CommonName: name},
			NotBefore:    now.Add(-authorityPast), NotAfter: now.Add(authorityFuture),
			BasicConstraintsValid: true, IsCA: true,
			MaxPathLen: pathLen, MaxPathLenZero: pathLen == 0,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
	}
	rootKey, key := newKey(tb), newKey(tb)
	// Every CA has a name of its own: two that share one are a case that a
	// test has to ask for (see Leaf.Modify), not an accident.
	unique := serial(tb).Text(36)
	root := template("testca root "+unique, 1)
	root = sign(tb, root, root, rootKey.Public(), rootKey)
	intermediate := sign(tb, template("testca intermediate "+unique, 0), root, key.Public(), rootKey)
	return &CA{root: root, intermediate: intermediate, key: key, rootKey: rootKey}
}

// Issue makes a key and a certificate for it, signed by the intermediate. The
// Pair's chain is the leaf, then the intermediate.
func (ca *CA) Issue(tb testing.TB, leaf Leaf) Pair {
	tb.Helper()
	key := newKey(tb)
	cert := sign(tb, leaf.template(tb), ca.intermediate, key.Public(), ca.key)
	return Pair{Chain: []*x509.Certificate{cert, ca.intermediate}, Key: key}
}

// SelfSigned makes a key and a certificate that it signs itself; nobody trusts
// it. The Pair's chain is that certificate alone.
func (ca *CA) SelfSigned(tb testing.TB, leaf Leaf) Pair {
	tb.Helper()
	key := newKey(tb)
	template := leaf.template(tb)
	cert := sign(tb, template, template, key.Public(), key)
	return Pair{Chain: []*x509.Certificate{cert}, Key: key}
}

// Server issues a serverAuth certificate for the names: IP addresses become IP
// names, names with "://" URIs, all others DNS names. The first one is also the
// common name.
func (ca *CA) Server(tb testing.TB, names ...string) Pair {
	tb.Helper()
	leaf := Leaf{EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for i, name := range names {
		if i == 0 {
			leaf.CN = commonName(name)
		}
		if ip, err := netip.ParseAddr(name); err == nil {
			leaf.IPs = append(leaf.IPs, ip)
		} else {
			leaf.addName(name)
		}
	}
	return ca.Issue(tb, leaf)
}

// Client issues a clientAuth certificate for one name: an e-mail address when
// it has an "@", a URI when it has "://", else a DNS name. It is also the common
// name.
func (ca *CA) Client(tb testing.TB, name string) Pair {
	tb.Helper()
	leaf := Leaf{CN: commonName(name), EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	leaf.addName(name)
	return ca.Issue(tb, leaf)
}

// RootCert is the trust anchor.
func (ca *CA) RootCert() *x509.Certificate { return ca.root }

// RootPEM is the trust anchor as PEM.
func (ca *CA) RootPEM() []byte { return certPEM(ca.root) }

// Pool returns a new pool that holds the trust anchor alone.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.root)
	return pool
}

func (l *Leaf) addName(name string) {
	switch {
	case strings.Contains(name, "://"): // first: a URI may hold an "@"
		l.URIs = append(l.URIs, name)
	case strings.Contains(name, "@"):
		l.Emails = append(l.Emails, name)
	default:
		l.DNS = append(l.DNS, name)
	}
}

// commonName leaves out what RFC 5280 (ub-common-name) has no room for.
func commonName(name string) string {
	if len(name) > 64 {
		return ""
	}
	return name
}

func (l *Leaf) template(tb testing.TB) *x509.Certificate {
	tb.Helper()
	notBefore, notAfter := l.dates(time.Now())
	t := &x509.Certificate{
		SerialNumber: serial(tb),
		Subject:      pkix.Name{CommonName: l.CN},
		NotBefore:    notBefore, NotAfter: notAfter,
		DNSNames: l.DNS, EmailAddresses: l.Emails,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: l.EKU,
		BasicConstraintsValid: true,
	}
	for _, s := range l.URIs {
		u, err := url.Parse(s)
		if err != nil {
			tb.Fatalf("testca: URI %q: %v", s, err)
		}
		t.URIs = append(t.URIs, u)
	}
	for _, ip := range l.IPs {
		t.IPAddresses = append(t.IPAddresses, net.IP(ip.AsSlice()))
	}
	if l.IsCA {
		t.IsCA = true
		t.KeyUsage |= x509.KeyUsageCertSign
	}
	if l.Modify != nil {
		l.Modify(t)
	}
	return t
}

func (l *Leaf) dates(now time.Time) (notBefore, notAfter time.Time) {
	notBefore, notAfter = l.NotBefore, l.NotAfter
	switch {
	case notBefore.IsZero() && notAfter.IsZero():
		return now.Add(-leafHalfLife), now.Add(leafHalfLife)
	case notBefore.IsZero():
		notBefore = notAfter.Add(-2 * leafHalfLife)
	case notAfter.IsZero():
		notAfter = notBefore.Add(2 * leafHalfLife)
	}
	return notBefore, notAfter
}

func newKey(tb testing.TB) crypto.Signer {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatalf("testca: making a key: %v", err)
	}
	return key
}

// serial is a random positive number of up to 120 bits (RFC 5280, section
// 4.1.2.2 allows 20 octets).
func serial(tb testing.TB) *big.Int {
	tb.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		tb.Fatalf("testca: making a serial number: %v", err)
	}
	return n.Add(n, big.NewInt(1))
}

func sign(tb testing.TB, template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		tb.Fatalf("testca: signing a certificate: %v", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatalf("testca: reading the certificate just signed: %v", err)
	}
	return cert
}
