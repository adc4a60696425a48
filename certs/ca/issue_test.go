package ca

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

func TestIssue(t *testing.T) {
	c := newTestCA(t, Options{Name: "Bank CA"})
	before := time.Now()
	i := issue(t, c, Request{
		Name:     "bank",
		SANs:     []string{"BANK.example", "ip:192.0.2.1", "::1", "spiffe://bank.example/bank", "ops@bank.example", "dns:bank.example"},
		Purposes: []Purpose{Client, Server},
		TTL:      8 * time.Hour,
	})
	leaf := i.Leaf()
	if want := []string{"dns:bank.example", "ip:192.0.2.1", "ip:::1", "uri:spiffe://bank.example/bank", "email:ops@bank.example"}; !slices.Equal(sansOf(leaf), want) {
		t.Errorf("names %q, want %q", sansOf(leaf), want)
	}
	if want := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}; !slices.Equal(leaf.ExtKeyUsage, want) {
		t.Errorf("extended key usage %v, want %v", leaf.ExtKeyUsage, want)
	}
	if leaf.KeyUsage != x509.KeyUsageDigitalSignature || leaf.IsCA || !leaf.BasicConstraintsValid {
		t.Errorf("key usage %v, CA %t, want digitalSignature only, no CA", leaf.KeyUsage, leaf.IsCA)
	}
	if d := before.Sub(leaf.NotBefore); d < backdate-time.Second || d > backdate+2*time.Second {
		t.Errorf("begins %v ago, want %v", d, backdate)
	}
	if d := leaf.NotAfter.Sub(before.Add(8 * time.Hour)); d.Abs() > 2*time.Second {
		t.Errorf("ends %v after what was asked for", d)
	}
	if leaf.Subject.String() != "CN=bank" || leaf.Issuer.String() != "CN=Bank CA intermediate" || c.Root().Subject.String() != "CN=Bank CA root" {
		t.Errorf("subject %s, issuer %s, root %s", leaf.Subject, leaf.Issuer, c.Root().Subject)
	}
	if leaf.SerialNumber.BitLen() < 64 { // of 128 random ones
		t.Errorf("serial number %x has %d bits", leaf.SerialNumber, leaf.SerialNumber.BitLen())
	}
	if !slices.Equal(leaf.AuthorityKeyId, c.Intermediate().SubjectKeyId) || len(leaf.SubjectKeyId) == 0 || !slices.Equal(c.Intermediate().AuthorityKeyId, c.Root().SubjectKeyId) {
		t.Error("the key ids of the chain do not lead from one to the next")
	}
	if _, err := i.Material(); err != nil {
		t.Errorf("package certs: %v", err)
	}
	for _, purpose := range []string{"sslserver", "sslclient"} {
		if out, ok := opensslVerify(t, c, leaf, purpose); !ok {
			t.Errorf("openssl, %s: %s", purpose, out)
		}
	}
}

func TestAuthorities(t *testing.T) {
	c := newTestCA(t, Options{})
	root, inter := c.Root(), c.Intermediate()
	for _, a := range []*x509.Certificate{root, inter} {
		if !a.IsCA || a.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign || len(a.ExtKeyUsage) > 0 {
			t.Errorf("%s: CA %t, key usage %v, %v", a.Subject, a.IsCA, a.KeyUsage, a.ExtKeyUsage)
		}
	}
	if root.MaxPathLen != 1 || inter.MaxPathLen != 0 || !inter.MaxPathLenZero {
		t.Errorf("path lengths %d and %d, want 1 and 0", root.MaxPathLen, inter.MaxPathLen)
	}
	for a, want := range map[*x509.Certificate]time.Duration{root: RootTTL, inter: IntermediateTTL} {
		if d := a.NotAfter.Sub(a.NotBefore) - backdate - want; d.Abs() > 2*time.Second {
			t.Errorf("%s is valid for %v, want %v", a.Subject, a.NotAfter.Sub(a.NotBefore), want)
		}
	}
	if inter.CheckSignatureFrom(root) != nil || root.CheckSignatureFrom(root) != nil {
		t.Error("the signatures do not lead to the root")
	}
	if other := newTestCA(t, Options{}); other.Root().Subject.String() == root.Subject.String() {
		t.Errorf("two CAs are both called %s", root.Subject)
	}
}

// Each purpose alone is good for itself and for nothing else, to openssl too.
func TestPurposesAreNotMixed(t *testing.T) {
	c := newTestCA(t, Options{})
	for _, p := range purposes {
		leaf := issue(t, c, Request{Name: "x", SANs: []string{"x.example"}, Purposes: []Purpose{p.purpose}}).Leaf()
		if !slices.Equal(leaf.ExtKeyUsage, []x509.ExtKeyUsage{p.usage}) {
			t.Errorf("%s: got %v", p.purpose, leaf.ExtKeyUsage)
		}
		for purpose, openssl := range map[Purpose]string{Server: "sslserver", Client: "sslclient"} {
			if out, ok := opensslVerify(t, c, leaf, openssl); ok != (purpose == p.purpose) {
				t.Errorf("%s as %s: openssl says %t, %s", p.purpose, purpose, ok, out)
			}
		}
	}
}

func TestKeyTypes(t *testing.T) {
	for _, typ := range []KeyType{ECDSAP256, Ed25519, RSA2048} {
		c := newTestCA(t, Options{KeyType: typ})
		for _, leafType := range []KeyType{ECDSAP256, Ed25519, RSA2048} {
			i := issue(t, c, Request{Name: "x", SANs: []string{"x.example"}, Purposes: []Purpose{Server}, KeyType: leafType})
			if keyTypeOf(c.Root().PublicKey) != typ || keyTypeOf(c.Intermediate().PublicKey) != typ || keyTypeOf(i.Leaf().PublicKey) != leafType {
				t.Errorf("%s by %s: got %s by %s", leafType, typ, keyTypeOf(i.Leaf().PublicKey), keyTypeOf(c.Intermediate().PublicKey))
			}
			if out, ok := opensslVerify(t, c, i.Leaf(), "sslserver"); !ok {
				t.Errorf("%s by %s: openssl: %s", leafType, typ, out)
			}
			data, err := i.KeyPEM()
			if err != nil {
				t.Fatal(err)
			}
			key, err := certs.ParseKey(data)
			if err != nil || !key.Equal(i.Key) {
				t.Errorf("%s: the key as a file is not the key: %v", leafType, err)
			}
			if !strings.HasPrefix(string(data), "-----BEGIN PRIVATE KEY-----\n") {
				t.Errorf("%s: the key is not PKCS#8", leafType)
			}
		}
	}
	for in, want := range map[string]KeyType{"": ECDSAP256, "ecdsa": ECDSAP256, "rsa": RSA3072, "rsa-4096": RSA4096, "ed25519": Ed25519} {
		if got, err := ParseKeyType(in); got != want || err != nil {
			t.Errorf("ParseKeyType(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"rsa-1024", "dsa", "ECDSA", "p256", " "} {
		if got, err := ParseKeyType(in); err == nil {
			t.Errorf("ParseKeyType(%q) = %q, want an error", in, got)
		}
	}
}

func TestIssueRefuses(t *testing.T) {
	c := newTestCA(t, Options{})
	good := Request{Name: "x", SANs: []string{"x.example"}, Purposes: []Purpose{Server}}
	var many []string
	for i := range maxNames + 1 {
		many = append(many, fmt.Sprintf("h%d.example", i))
	}
	for want, change := range map[string]func(*Request){
		"no name was given":              func(r *Request) { r.Name = "" },
		"other characters than ASCII":    func(r *Request) { r.Name = "../x" },
		"begins with":                    func(r *Request) { r.Name = "-x" },
		`begins with "."`:                func(r *Request) { r.Name = ".." },
		"want at most 64":                func(r *Request) { r.Name = strings.Repeat("a", 65) },
		"the CA's own files":             func(r *Request) { r.Name = "Root" },
		"no name was asked for":          func(r *Request) { r.SANs = nil },
		"want at most 256":               func(r *Request) { r.SANs = many },
		"wildcard":                       func(r *Request) { r.SANs = []string{"*.example"} },
		"no purpose was asked for":       func(r *Request) { r.Purposes = nil },
		`unknown purpose "anyPurpose"`:   func(r *Request) { r.Purposes = []Purpose{Server, "anyPurpose"} },
		"a name that clients connect":    func(r *Request) { r.SANs = []string{"alice@bank.example"} },
		`unknown kind of key "dsa"`:      func(r *Request) { r.KeyType = "dsa" },
		"cannot be valid for -1h0m0s":    func(r *Request) { r.TTL = -time.Hour },
		"cannot be valid for 1s":         func(r *Request) { r.TTL = time.Second },
		"would outlive the CA":           func(r *Request) { r.TTL = IntermediateTTL + time.Hour },
		"for 2562047h47m16s would":       func(r *Request) { r.TTL = 1<<63 - 1 },
		"are valid for 17520h0m0s":       func(r *Request) { r.TTL = RootTTL },
		`e-mail name "a@b@c" does not h`: func(r *Request) { r.SANs = append(r.SANs, "a@b@c") },
	} {
		r := good
		change(&r)
		i, err := c.Issue(r)
		if i != nil {
			t.Errorf("%q: issued %+v", want, i.Request)
		}
		wantError(t, err, want)
		if errors.Is(err, ErrRequest) == strings.Contains(err.Error(), "outlive") { // another CA could
			t.Errorf("%q: the error is ErrRequest: %t", want, errors.Is(err, ErrRequest))
		}
	}
	for _, o := range []Options{{Name: strings.Repeat("x", 51)}, {Name: "a\nb"}, {Name: "b\u00fc"}, {KeyType: "dsa"}, {Permit: []string{"x"}}} {
		if _, err := New(o); !errors.Is(err, ErrRequest) {
			t.Errorf("New(%+v): %v, want ErrRequest", o, err)
		}
	}
}

// Certificates are what a daemon and its clients accept, and map to who they are for.
func TestIssuedIsAnIdentity(t *testing.T) {
	c := newTestCA(t, Options{})
	for _, name := range []string{"email:alice@bank.example", "uri:spiffe://bank.example/teller", "dns:bank.example"} {
		i := issue(t, c, Request{Name: "x", SANs: []string{name}, Purposes: []Purpose{Client}})
		if d := certs.CheckLeaf(i.Leaf(), certs.ClientAuth, time.Now()); d != nil {
			t.Errorf("%s: %v", name, d)
		}
		var none *validator.Mapper
		id, err := none.Identify(append(slices.Clone(i.Chain), c.Root()))
		if err != nil || id.Principal.String() != name {
			t.Errorf("identity %v, %v, want %s", id.Principal, err, name)
		}
	}
}

func TestHandshake(t *testing.T) {
	c := newTestCA(t, Options{})
	source := func(r Request) certs.Source {
		m, err := issue(t, c, r).Material()
		if err != nil {
			t.Fatal(err)
		}
		return certs.Static(m)
	}
	server, err := certs.ServerConfig(source(Request{Name: "s", SANs: []string{"localhost"}, Purposes: []Purpose{Server}, KeyType: Ed25519}))
	if err != nil {
		t.Fatal(err)
	}
	client, err := certs.ClientConfig(source(Request{Name: "c", SANs: []string{"alice@bank.example"}, Purposes: []Purpose{Client}, KeyType: RSA2048}), certs.Expect{Host: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan error, 1)
	go func() { // ends with the connection
		conn, err := l.Accept()
		if err == nil {
			err = tls.Server(conn, server).HandshakeContext(t.Context())
			defer conn.Close()
		}
		got <- err
	}()
	conn, err := (&tls.Dialer{Config: client}).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := <-got; err != nil {
		t.Errorf("the server refuses: %v", err)
	}
}

func TestIssueFromManyGoroutines(t *testing.T) {
	c := newTestCA(t, Options{})
	var group sync.WaitGroup
	serials := make(chan string, 64)
	for n := range 16 {
		group.Go(func() {
			for range 4 {
				i, err := c.Issue(Request{Name: "x", SANs: []string{fmt.Sprintf("h%d.example", n)}, Purposes: []Purpose{Server}})
				if err != nil {
					t.Error(err)
					continue
				}
				serials <- serialOf(i.Leaf())
			}
		})
	}
	group.Wait()
	close(serials)
	seen := make(map[string]bool)
	for s := range serials {
		if seen[s] {
			t.Errorf("serial number %s twice", s)
		}
		seen[s] = true
	}
}

// No private byte leaves by printing: not of an issued key, and not of the CA's.
func TestKeysDoNotPrint(t *testing.T) {
	made, err := newCA(Options{KeyType: Ed25519})
	if err != nil {
		t.Fatal(err)
	}
	i := issue(t, made.CA, Request{Name: "x", SANs: []string{"x.example"}, Purposes: []Purpose{Server}, KeyType: Ed25519})
	var private []string
	for _, encode := range []func() ([]byte, error){i.KeyPEM, func() ([]byte, error) { return made.key.encode(nil) }, func() ([]byte, error) { return made.rootKey.encode(nil) }} {
		data, err := encode()
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(data)
		seed := block.Bytes[len(block.Bytes)-ed25519.SeedSize:] // RFC 8410, section 7: it comes last
		private = append(private, hex.EncodeToString(seed[:8]), strings.Trim(fmt.Sprint(seed[:8]), "[]"), base64.StdEncoding.EncodeToString(seed[:6]))
	}
	for _, v := range []any{*made, *made.CA, made.rootKey, made.key, i, *i, made.Signer(), *made.issuer} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			text := fmt.Sprintf(verb, v)
			for _, p := range private {
				if strings.Contains(text, p) {
					t.Errorf("%T with %s prints a private key", v, verb)
				}
			}
		}
	}
}

func TestErrorsAreTyped(t *testing.T) {
	_, err := newTestCA(t, Options{}).Issue(Request{Name: "x", SANs: []string{"*"}, Purposes: []Purpose{Server}})
	var e *certs.Error
	if !errors.As(err, &e) || e.Fix == "" || e.File != "" {
		t.Errorf("got %#v, want a *certs.Error with a way out", err)
	}
}
