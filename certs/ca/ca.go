package ca

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.step.sm/crypto/x509util"

	"github.com/pyrossl/pyrossl/certs"
)

// Options says what a new CA shall be. The zero value is good.
type Options struct {
	// Name is in the subjects of the CA's certificates. Zero is "Pyrossl CA" and six
	// random digits, so that two CAs can be told apart.
	Name    string
	KeyType KeyType // of the CA's own keys; zero is ECDSAP256
	// Permit limits the CA to these names; empty does not limit it. Entries are
	// dns:DOMAIN and what is below it, ip:NETWORK, uri:HOST and email:HOST, the last
	// two with a "." in front for what is below. Nobody who checks constraints takes
	// another name from this CA, also none of a kind that is not listed.
	Permit []string
	// Passphrase, if not nil, is asked once when the CA's keys are to be written, to
	// encrypt them. What it returned is overwritten with zeros.
	Passphrase func() ([]byte, error)
}

func (o Options) canonical() (Options, error) {
	var err error
	if o.KeyType, err = ParseKeyType(string(o.KeyType)); err != nil {
		return o, err
	}
	if o.Permit, err = canonicalPermit(o.Permit); err != nil {
		return o, err
	}
	if o.Name == "" {
		var b [3]byte
		rand.Read(b[:]) // never fails
		o.Name = "Pyrossl CA " + hex.EncodeToString(b[:])
	}
	// " intermediate" is added; RFC 5280, appendix A.1, has 64 characters.
	if len(o.Name) > 50 || strings.IndexFunc(o.Name, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
		return o, reasonf("name %q of a CA: want at most 50 printable ASCII characters", o.Name)
	}
	return o, nil
}

// CA signs leaves. Its methods may be called from many goroutines.
type CA struct {
	root         *x509.Certificate
	intermediate *x509.Certificate
	key          *certs.PrivateKey // of intermediate
	dir          string            // empty for one in memory
}

// Root gives the certificate to trust.
func (c *CA) Root() *x509.Certificate { return c.root }

// Intermediate gives the certificate that signs leaves.
func (c *CA) Intermediate() *x509.Certificate { return c.intermediate }

// Signer gives the key of Intermediate, for programs that sign by themselves.
func (c *CA) Signer() *certs.PrivateKey { return c.key }

// New makes a CA in memory. Its root key is forgotten: it has signed all it will.
func New(o Options) (*CA, error) {
	made, err := newCA(o)
	if err != nil {
		return nil, err
	}
	return made.CA, nil
}

// newborn is a CA whose keys can still be written.
type newborn struct {
	*CA
	rootKey, key newKey
}

func newCA(o Options) (*newborn, error) {
	o, err := o.canonical()
	if err != nil {
		return nil, err
	}
	rootKey, err := generate(o.KeyType)
	if err != nil {
		return nil, err
	}
	key, err := generate(o.KeyType)
	if err != nil {
		return nil, err
	}
	root, err := authority(o.Name+" root", o.Permit, RootTTL, 1)
	if err != nil {
		return nil, err
	}
	if root, err = sign(root, root, rootKey.PrivateKey, rootKey.PrivateKey); err != nil {
		return nil, err
	}
	intermediate, err := signIntermediate(o.Name+" intermediate", root, key.PrivateKey, rootKey.PrivateKey)
	if err != nil {
		return nil, err
	}
	return &newborn{&CA{root: root, intermediate: intermediate, key: key.PrivateKey}, rootKey, key}, nil
}

// authority is the template of an authority's certificate, below which there may be
// so many others.
func authority(name string, permit []string, ttl time.Duration, below int) (*x509.Certificate, error) {
	now := time.Now()
	t := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(ttl),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLen:            below,
		MaxPathLenZero:        below == 0,
	}
	return t, constrain(t, permit)
}

// signIntermediate repeats the constraints of the root, for those who trust the
// intermediate itself.
func signIntermediate(name string, root *x509.Certificate, key, rootKey *certs.PrivateKey) (*x509.Certificate, error) {
	t, err := authority(name, permitted(root), IntermediateTTL, 0)
	if err != nil {
		return nil, err
	}
	if t.NotAfter.After(root.NotAfter) {
		t.NotAfter = root.NotAfter
	}
	return sign(t, root, key, rootKey)
}

// sign gives the certificate of key by the parent.
func sign(t, parent *x509.Certificate, key, parentKey *certs.PrivateKey) (*x509.Certificate, error) {
	c, err := x509util.CreateCertificate(t, parent, key.Public(), parentKey)
	if err != nil {
		return nil, &failure{Reason: fmt.Sprintf("cannot sign a certificate for %q: %v", t.Subject.CommonName, err), Err: err}
	}
	return c, nil
}

// Issued is a leaf with its key.
type Issued struct {
	Request Request             // as it was understood: canonical and with defaults
	Chain   []*x509.Certificate // leaf and intermediate
	Key     *certs.PrivateKey   // of the leaf
	Roots   []*x509.Certificate // what peers must trust

	keyPEM func() ([]byte, error)
}

// Leaf gives the certificate itself.
func (i *Issued) Leaf() *x509.Certificate { return i.Chain[0] }

// CertificatePEM gives leaf and intermediate as a file has them.
func (i *Issued) CertificatePEM() []byte { return encode(i.Chain...) }

// KeyPEM gives the private key as a file has it: PKCS#8, not encrypted.
func (i *Issued) KeyPEM() ([]byte, error) { return i.keyPEM() }

// Material gives what package certs works with.
func (i *Issued) Material() (*certs.Material, error) {
	return certs.NewMaterial(i.Chain, i.Key, i.Roots)
}

// Issue makes a key and signs a certificate for it. It writes nothing.
func (c *CA) Issue(r Request) (*Issued, error) {
	r, err := r.canonical()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	t := &x509.Certificate{
		Subject:               pkix.Name{CommonName: r.Name},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(r.TTL),
		KeyUsage:              x509.KeyUsageDigitalSignature, // all that TLS 1.3 and signing need
		BasicConstraintsValid: true,
	}
	for _, p := range purposes {
		if slices.Contains(r.Purposes, p.purpose) {
			t.ExtKeyUsage = append(t.ExtKeyUsage, p.usage)
		}
	}
	if err := setSANs(t, r.SANs); err != nil {
		return nil, err
	}
	for _, a := range []*x509.Certificate{c.intermediate, c.root} {
		if t.NotAfter.After(a.NotAfter) {
			return nil, mend(reasonf("a certificate for %v would outlive the CA: %s ends on %s", r.TTL, a.Subject, day(a.NotAfter)), "ask for a shorter time")
		}
	}
	key, err := generate(r.KeyType)
	if err != nil {
		return nil, err
	}
	leaf, err := sign(t, c.intermediate, key.PrivateKey, c.key)
	if err != nil {
		return nil, err
	}
	chain := []*x509.Certificate{leaf, c.intermediate}
	if err := verify(chain, c.root); err != nil {
		if p := permitted(c.root); len(p) > 0 {
			return nil, &failure{
				Reason: fmt.Sprintf("the CA may not sign this: %s is limited to %s, asked for %s", c.root.Subject, strings.Join(p, ", "), strings.Join(r.SANs, ", ")),
				Fix:    "make another CA in a directory of its own", Err: err,
			}
		}
		return nil, &failure{Reason: fmt.Sprintf("the certificate would not verify: %v", err), Err: err}
	}
	return &Issued{Request: r, Chain: chain, Key: key.PrivateKey, Roots: []*x509.Certificate{c.root}, keyPEM: func() ([]byte, error) { return key.encode(nil) }}, nil
}

// verify checks a chain as peers will, for any purpose.
func verify(chain []*x509.Certificate, root *x509.Certificate) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root)
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}

func encode(chain ...*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, c := range chain {
		pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}) // a buffer takes it all
	}
	return b.Bytes()
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
