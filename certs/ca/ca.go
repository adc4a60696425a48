package ca

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/smallstep/certificates/cas/apiv1"
	"github.com/smallstep/certificates/cas/softcas"

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
	// two with a "." in front for what is below (programs in Go take what is below
	// also without it). Nobody who checks constraints takes another name from this CA,
	// also none of a kind that is not listed.
	Permit []string
	// Passphrase, if not nil, is asked once when the CA's keys are to be written, to
	// encrypt them. What it returned is overwritten with zeros.
	Passphrase func() ([]byte, error)
}

func (o Options) canonical() (Options, error) {
	o, err := o.check()
	if err != nil {
		return Options{}, asRequest(err)
	}
	return o, nil
}

func (o Options) check() (Options, error) {
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
	if len(o.Name) > maxCAName || strings.IndexFunc(o.Name, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
		return o, reasonf("name %q of a CA: want at most %d printable ASCII characters", o.Name, maxCAName)
	}
	return o, nil
}

const maxCAName = 50

// CA signs leaves. Its methods may be called from many goroutines.
type CA struct {
	root         *x509.Certificate
	intermediate *x509.Certificate
	key          *certs.PrivateKey   // of intermediate
	issuer       *softcas.SoftCAS    // signs with key
	trusted      []*x509.Certificate // root, and another one while the CA is rolled
	revoked      *Revocation         // of intermediate, else nil
	ledger       *ledger             // of its directory, else nil
}

func assemble(root, intermediate *x509.Certificate, key *certs.PrivateKey) (*CA, error) {
	issuer, err := softcas.New(context.Background(), apiv1.Options{CertificateChain: []*x509.Certificate{intermediate}, Signer: key})
	if err != nil {
		return nil, &failure{Reason: fmt.Sprintf("cannot set up the CA: %v", err), Err: err}
	}
	return &CA{root: root, intermediate: intermediate, key: key, issuer: issuer, trusted: []*x509.Certificate{root}}, nil
}

// Root gives the certificate to trust. While the CA is rolled, what it issues names
// another one beside it, in Issued.Roots.
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
	creator, err := softcas.New(context.Background(), apiv1.Options{IsCreator: true, KeyManager: keys})
	if err != nil {
		return nil, &failure{Reason: fmt.Sprintf("cannot set up a CA: %v", err), Err: err}
	}
	root, rootKey, err := authority(creator, o, "root", RootTTL, nil)
	if err != nil {
		return nil, err
	}
	intermediate, key, err := authority(creator, o, "intermediate", IntermediateTTL, root)
	if err != nil {
		return nil, err
	}
	made, err := assemble(root.Certificate, intermediate.Certificate, key.PrivateKey)
	if err != nil {
		return nil, err
	}
	return &newborn{made, rootKey, key}, nil
}

// authority makes the root, without a parent, or the intermediate below it. The
// intermediate repeats the constraints of the root, for those who trust it alone.
func authority(creator *softcas.SoftCAS, o Options, role string, life time.Duration, parent *apiv1.CreateCertificateAuthorityResponse) (*apiv1.CreateCertificateAuthorityResponse, newKey, error) {
	t := &x509.Certificate{
		Subject:               pkix.Name{CommonName: o.Name + " " + role},
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLen:            1, // the intermediate
	}
	r := &apiv1.CreateCertificateAuthorityRequest{
		Type: apiv1.RootCA, Template: t, Lifetime: life, Backdate: backdate, Parent: parent, CreateKey: o.KeyType.request(),
	}
	if parent != nil {
		t.MaxPathLen, t.MaxPathLenZero = 0, true
		r.Type = apiv1.IntermediateCA
	}
	if err := constrain(t, o.Permit); err != nil {
		return nil, newKey{}, err
	}
	made, err := creator.CreateCertificateAuthority(r)
	if err != nil {
		return nil, newKey{}, &failure{Reason: fmt.Sprintf("cannot make the %s of the CA: %v", role, err), Err: err}
	}
	key, err := wrap(made.Signer)
	return made, key, err
}

// Issued is a leaf with its key.
type Issued struct {
	// Request is as it was understood: canonical and with defaults. Its TTL is shorter
	// than what was asked for when the CA ends before.
	Request Request
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

// Issue makes a key and signs a certificate for it. It writes nothing. A certificate
// that would outlive the intermediate ends with it.
func (c *CA) Issue(r Request) (*Issued, error) {
	return c.issue(r, nil)
}

// issue is Issue for a key that is there, if it is not nil: one that its caller has
// found not to be revoked.
func (c *CA) issue(r Request, has *certs.PrivateKey) (*Issued, error) {
	r, err := r.canonical()
	if err != nil {
		return nil, err
	}
	if c.revoked != nil {
		return nil, &failure{Reason: fmt.Sprintf("the intermediate %s was revoked on %s", c.intermediate.Subject, day(c.revoked.At)), Fix: "make another one: mkcerts renew --ca", Err: ErrRevoked}
	}
	if p := c.ledger.principal(r.SANs); p != nil {
		return nil, &failure{Reason: fmt.Sprintf("%s was revoked on %s: daemons refuse whoever proves it", p.Principal, day(p.At)),
			Fix: "to admit it again: mkcerts revoke --lift " + p.Principal, Err: ErrRevoked}
	}
	if r.TTL, err = c.within(r.TTL); err != nil {
		return nil, err
	}
	limits := permitted(c.root)
	for _, san := range r.SANs {
		if !permits(limits, san) {
			return nil, mend(reasonf("the CA may not sign for %s: %s is limited to %s", san, c.root.Subject, strings.Join(limits, ", ")), "make another CA in a directory of its own")
		}
	}
	key := newKey{PrivateKey: has, encode: func([]byte) ([]byte, error) { return nil, reasonf("internal error: the key is not a new one") }}
	if has == nil {
		if key, err = generate(r.KeyType); err != nil {
			return nil, err
		}
	}
	t, err := c.template(r)
	if err != nil {
		return nil, err
	}
	t.PublicKey = key.Public()
	signed, err := c.issuer.CreateCertificate(&apiv1.CreateCertificateRequest{Template: t, Lifetime: r.TTL, Backdate: backdate})
	if err != nil {
		return nil, &failure{Reason: fmt.Sprintf("cannot sign a certificate for %q: %v", r.Name, err), Err: err}
	}
	chain := []*x509.Certificate{signed.Certificate, c.intermediate}
	if err := verify(chain, c.root); err != nil {
		return nil, &failure{Reason: fmt.Sprintf("the certificate would not verify: %v", err), Err: err}
	}
	return &Issued{Request: r, Chain: chain, Key: key.PrivateKey, Roots: slices.Clone(c.trusted), keyPEM: func() ([]byte, error) { return key.encode(nil) }}, nil
}

// within gives how long a certificate can be valid that was asked for so long: no
// longer than the CA, since peers will not accept it then. What no intermediate of
// this CA would allow is refused.
func (c *CA) within(ttl time.Duration) (time.Duration, error) {
	if life := c.intermediate.NotAfter.Sub(c.intermediate.NotBefore) - backdate; ttl > life {
		return 0, mend(reasonf("a certificate for %v would outlive the CA: its intermediates are valid for %v", ttl, life), "ask for a shorter time")
	}
	left := time.Until(c.end()).Truncate(time.Second)
	if left < minTTL {
		return 0, mend(reasonf("a certificate for %v would outlive the CA: %s ends on %s", ttl, c.intermediate.Subject, day(c.end())), "%s", c.wayOn())
	}
	return min(ttl, left), nil
}

// end is when nothing that the intermediate has signed is accepted any more.
func (c *CA) end() time.Time {
	if c.root.NotAfter.Before(c.intermediate.NotAfter) {
		return c.root.NotAfter
	}
	return c.intermediate.NotAfter
}

// wayOn is what to do when the CA ends.
func (c *CA) wayOn() string {
	if time.Until(c.root.NotAfter) < IntermediateTTL/4 {
		return "roll to another CA: mkcerts ca roll"
	}
	return "renew the intermediate: mkcerts renew --ca"
}

// template is the certificate of a request before it is signed.
func (c *CA) template(r Request) (*x509.Certificate, error) {
	t := &x509.Certificate{
		Subject:               pkix.Name{CommonName: r.Name},
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
	// Where there are no DNS names, openssl takes a common name that looks like one
	// for one, and holds it against the constraints.
	if len(permitted(c.root)) > 0 && len(t.DNSNames) == 0 && strings.Contains(r.Name, ".") && !strings.Contains(r.Name, "@") {
		t.Subject = pkix.Name{}
	}
	return t, nil
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
