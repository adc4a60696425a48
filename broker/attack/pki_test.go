package attack

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/internal/testca"
)

// needOpenSSL fails the test where the command is missing: a certificate that Go has
// made says little about what others make.
func needOpenSSL(tb testing.TB) {
	tb.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		tb.Fatalf("this test needs the openssl command (%v): apt-get install openssl, or brew install openssl@3", err)
	}
}

// pki is a root and an intermediate that openssl has made, with the files of openssl's
// own way to keep a CA. It issues one certificate at a time.
type pki struct {
	dir          string
	root, signer *x509.Certificate

	mu     sync.Mutex
	issued int
}

const opensslConfig = `
[root]
certificate = root.crt
private_key = root.key
%[1]s
[signer]
certificate = signer.crt
private_key = signer.key
%[1]s
[any]
commonName = optional
[req]
distinguished_name = dn
prompt = no
[dn]
CN = unused
`

const opensslSection = `database = index.txt
new_certs_dir = .
rand_serial = yes
unique_subject = no
default_md = sha256
default_days = 1
default_crl_days = 1
crlnumber = crlnumber
policy = any
`

const authorityExtensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"

// newPKI makes an authority whose root is called name.
func newPKI(tb testing.TB, name string) *pki {
	tb.Helper()
	needOpenSSL(tb)
	p := &pki{dir: tb.TempDir()}
	p.write(tb, "openssl.cnf", fmt.Sprintf(opensslConfig, opensslSection))
	p.write(tb, "index.txt", "")
	p.write(tb, "crlnumber", "01\n")
	p.key(tb, "root")
	p.run(tb, "req", "-x509", "-new", "-key", "root.key", "-out", "root.crt", "-days", "2", "-subj", "/CN="+name+" root", "-config", "openssl.cnf",
		"-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
	p.root = p.read(tb, "root.crt")[0]
	p.key(tb, "signer")
	p.signer = p.sign(tb, request{by: "root", key: "signer", subject: "/CN=" + name + " intermediate", extensions: authorityExtensions, out: "signer.crt"})
	p.key(tb, "leaf")
	return p
}

// request is a certificate to be made.
type request struct {
	by         string // section of the configuration: "signer" when empty
	key        string // name of the key's file, without its end: "leaf" when empty
	subject    string
	extensions string
	from, to   time.Time // when zero, from an hour ago for a day
	out        string
}

// sign has openssl issue a certificate.
func (p *pki) sign(tb testing.TB, r request) *x509.Certificate {
	tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.issued++
	if r.by == "" {
		r.by = "signer"
	}
	if r.key == "" {
		r.key = "leaf"
	}
	if r.from.IsZero() {
		r.from = time.Now().Add(-time.Hour)
	}
	if r.to.IsZero() {
		r.to = r.from.Add(24 * time.Hour)
	}
	if r.out == "" {
		r.out = fmt.Sprintf("issued%d.crt", p.issued)
	}
	p.write(tb, "extensions", r.extensions)
	csr := r.key + ".csr"
	if _, err := os.Stat(filepath.Join(p.dir, csr)); err != nil {
		p.run(tb, "req", "-new", "-key", r.key+".key", "-subj", "/CN=unused", "-out", csr, "-config", "openssl.cnf")
	}
	const opensslTime = "20060102150405Z"
	p.run(tb, "ca", "-batch", "-notext", "-config", "openssl.cnf", "-name", r.by, "-in", csr, "-subj", r.subject, "-extfile", "extensions",
		"-startdate", r.from.UTC().Format(opensslTime), "-enddate", r.to.UTC().Format(opensslTime), "-out", r.out)
	return p.read(tb, r.out)[0]
}

func (p *pki) key(tb testing.TB, name string) {
	tb.Helper()
	p.run(tb, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name+".key")
}

// signerOf reads a key that openssl has made.
func (p *pki) signerOf(tb testing.TB, name string) crypto.Signer {
	tb.Helper()
	if name == "" {
		name = "leaf"
	}
	data, err := os.ReadFile(filepath.Join(p.dir, name+".key"))
	if err != nil {
		tb.Fatal(err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		tb.Fatalf("%s.key holds no PEM", name)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		tb.Fatal(err)
	}
	return key.(crypto.Signer)
}

// pair issues a certificate, with the intermediate behind it.
func (p *pki) pair(tb testing.TB, r request) testca.Pair {
	tb.Helper()
	chain := []*x509.Certificate{p.sign(tb, r)}
	if r.by == "" {
		chain = append(chain, p.signer)
	}
	return testca.Pair{Chain: chain, Key: p.signerOf(tb, r.key)}
}

// RootCert makes a pki an authority.
func (p *pki) RootCert() *x509.Certificate { return p.root }

const leafExtensions = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"

// Server issues a good server's certificate.
func (p *pki) Server(tb testing.TB, names ...string) testca.Pair {
	tb.Helper()
	return p.pair(tb, request{subject: "/CN=" + names[0], extensions: leafExtensions + "extendedKeyUsage=serverAuth\nsubjectAltName=DNS:" + strings.Join(names, ",DNS:")})
}

// Client issues a good client's certificate.
func (p *pki) Client(tb testing.TB, name string) testca.Pair {
	tb.Helper()
	return p.pair(tb, request{subject: "/CN=" + name, extensions: leafExtensions + "extendedKeyUsage=clientAuth\nsubjectAltName=email:" + name})
}

// crl has openssl revoke certificates, and returns the list, in DER form.
func (p *pki) crl(tb testing.TB, revoked ...*x509.Certificate) []byte {
	tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range revoked {
		p.write(tb, "revoked.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})))
		p.run(tb, "ca", "-config", "openssl.cnf", "-name", "signer", "-revoke", "revoked.crt")
	}
	p.run(tb, "ca", "-config", "openssl.cnf", "-name", "signer", "-gencrl", "-out", "list.crl")
	data, err := os.ReadFile(filepath.Join(p.dir, "list.crl"))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func (p *pki) run(tb testing.TB, args ...string) {
	tb.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Dir = p.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (p *pki) write(tb testing.TB, name, text string) {
	tb.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}

func (p *pki) read(tb testing.TB, name string) (all []*x509.Certificate) {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		tb.Fatal(err)
	}
	for data = bytes.TrimSpace(data); len(data) > 0; {
		block, rest := pem.Decode(data)
		if block == nil {
			tb.Fatalf("%s holds something that is no PEM", name)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			tb.Fatal(err)
		}
		all, data = append(all, c), bytes.TrimSpace(rest)
	}
	return all
}
