package testca

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
)

// A Pair is a certificate chain, leaf first and without the root, and the
// leaf's private key.
type Pair struct {
	Chain []*x509.Certificate
	Key   crypto.Signer
}

// CertPEM is the chain as PEM, leaf first.
func (p Pair) CertPEM() []byte { return certPEM(p.Chain...) }

// KeyPEM is the private key as PEM (PKCS #8).
func (p Pair) KeyPEM() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(p.Key)
	if err != nil {
		panic("testca: internal error: " + err.Error())
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// TLS is the pair in the form that crypto/tls takes.
func (p Pair) TLS() tls.Certificate {
	cert := tls.Certificate{PrivateKey: p.Key}
	for _, c := range p.Chain {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	if len(p.Chain) > 0 {
		cert.Leaf = p.Chain[0]
	}
	return cert
}

// WriteFiles writes dir/base.crt with mode 0644 and dir/base.key with mode
// 0600, replacing files that are there.
func (p Pair) WriteFiles(tb testing.TB, dir, base string) (certPath, keyPath string) {
	tb.Helper()
	certPath = filepath.Join(dir, base+".crt")
	keyPath = filepath.Join(dir, base+".key")
	for _, f := range []struct {
		path string
		data []byte
		mode os.FileMode
	}{
		{keyPath, p.KeyPEM(), 0o600},
		{certPath, p.CertPEM(), 0o644},
	} {
		if err := os.WriteFile(f.path, f.data, f.mode); err != nil {
			tb.Fatalf("testca: %v", err)
		}
	}
	return certPath, keyPath
}

func certPEM(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}
