package certs_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
)

// newKey wraps the key of a pair.
func newKey(t testing.TB, pair testca.Pair) *certs.PrivateKey {
	t.Helper()
	key, err := certs.NewPrivateKey(pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// material makes a Material of a pair and the authorities to trust.
func material(t testing.TB, pair testca.Pair, trust ...*testca.CA) *certs.Material {
	t.Helper()
	var roots []*x509.Certificate
	for _, ca := range trust {
		roots = append(roots, ca.RootCert())
	}
	m, err := certs.NewMaterial(pair.Chain, newKey(t, pair), roots)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestNewMaterialRefuses(t *testing.T) {
	ca, other := testca.New(t), testca.New(t)
	pair, second := ca.Server(t, "bank.example"), other.Server(t, "bank.example")
	leaf, inter, root := pair.Chain[0], pair.Chain[1], ca.RootCert()
	key := newKey(t, pair)
	noSign := ca.SelfSigned(t, testca.Leaf{CN: "weak", IsCA: true, Modify: func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }}).Chain[0]
	type list = []*x509.Certificate
	for _, c := range []struct {
		name  string
		chain list
		key   *certs.PrivateKey
		roots list
		want  string
	}{
		{"no certificate", nil, key, list{root}, "there is no certificate"},
		{"nil certificate", list{leaf, nil}, key, list{root}, "is nil"},
		{"no key", list{leaf}, nil, list{root}, "there is no private key"},
		{"empty key", list{leaf}, &certs.PrivateKey{}, list{root}, "there is no private key"},
		{"no roots", list{leaf, inter}, key, nil, "there is no authority to trust"},
		{"nil root", list{leaf, inter}, key, list{nil}, "authority 1 is nil"},
		{"leaf among roots", list{leaf, inter}, key, list{root, leaf}, "certificate 2 (CN=bank.example) is not an authority's"},
		{"root that may not sign", list{leaf, inter}, key, list{noSign}, "lacks certSign"},
		{"other key", list{leaf, inter}, newKey(t, second), list{root}, "private key does not match the certificate"},
		{"intermediate first", list{inter, leaf}, key, list{root}, "private key belongs to certificate 2"},
		{"root before intermediate", list{leaf, root, inter}, key, list{root}, "was issued by certificate 3"},
		{"twice", list{leaf, leaf, inter}, key, list{root}, "certificates 1 and 2 are the same"},
		{"stranger", list{leaf, second.Chain[1]}, key, list{root}, "did not issue certificate 1"},
		{"stranger at the end", list{leaf, inter, second.Chain[1]}, key, list{root}, "certificate 3"},
	} {
		m, err := certs.NewMaterial(c.chain, c.key, c.roots)
		if err == nil || m != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, %v, want error with %q", c.name, m, err, c.want)
		}
	}
	for name, chain := range map[string]list{"leaf only": {leaf}, "with intermediate": {leaf, inter}, "with root": {leaf, inter, root}} {
		if _, err := certs.NewMaterial(chain, key, list{root, other.RootCert(), inter}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSameNameOtherKey is an authority made anew under its old name.
func TestSameNameOtherKey(t *testing.T) {
	ca := testca.New(t)
	pair := ca.Server(t, "bank.example")
	imposter := ca.SelfSigned(t, testca.Leaf{IsCA: true, Modify: func(c *x509.Certificate) { c.Subject = pair.Chain[1].Subject }})
	_, err := certs.NewMaterial([]*x509.Certificate{pair.Chain[0], imposter.Chain[0]}, newKey(t, pair), []*x509.Certificate{ca.RootCert()})
	if err == nil || !strings.Contains(err.Error(), "has the right name but cannot have issued") {
		t.Errorf("got %v", err)
	}
}

func TestMaterialIsACopy(t *testing.T) {
	ca := testca.New(t)
	pair := ca.Server(t, "bank.example")
	chain, roots := append([]*x509.Certificate(nil), pair.Chain...), []*x509.Certificate{ca.RootCert()}
	m, err := certs.NewMaterial(chain, newKey(t, pair), roots)
	if err != nil {
		t.Fatal(err)
	}
	chain[0], roots[0] = nil, nil
	if m.Chain[0] != pair.Chain[0] || m.Roots[0] != ca.RootCert() || m.Leaf() != pair.Chain[0] {
		t.Error("a material changes with the slices it was made from")
	}
	for _, s := range []string{m.String(), fmt.Sprint(m)} {
		if !strings.Contains(s, "dns:bank.example, issued by CN=") || !strings.Contains(s, "for serverAuth, valid ") {
			t.Errorf("a material reads %q", s)
		}
	}
	if got := (*certs.Material)(nil).String(); got != "no certificate" {
		t.Errorf("a nil material reads %q", got)
	}
}

func TestStatic(t *testing.T) {
	ca := testca.New(t)
	m := material(t, ca.Server(t, "bank.example", "127.0.0.1"), ca)
	src := certs.Static(m)
	status := src.Status()
	if src.Current() != m || status.Generation != 1 || status.LastError != "" || !status.NotAfter.Equal(m.Leaf().NotAfter) || strings.Join(status.Names, " ") != "dns:bank.example ip:127.0.0.1" {
		t.Errorf("got %v, %+v", src.Current(), status)
	}
	for _, bad := range []*certs.Material{nil, {}, {Chain: m.Chain, Key: m.Key, Roots: m.Roots}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Static takes %v", bad)
				}
			}()
			certs.Static(bad)
		}()
	}
}

func TestLoad(t *testing.T) {
	ca := testca.New(t)
	dir := t.TempDir()
	pair := ca.Server(t, "bank.example")
	cert, key := pair.WriteFiles(t, dir, "bank")
	root := write(t, filepath.Join(dir, "ca.crt"), ca.RootPEM(), 0o644)
	m, err := certs.Load(cert, key, root)
	if err != nil || !m.Leaf().Equal(pair.Chain[0]) || len(m.Chain) != 2 || len(m.Roots) != 1 || !m.Key.Equal(pair.Key) {
		t.Fatalf("got %v, %v", m, err)
	}

	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	other := ca.Client(t, "alice@bank.example")
	in := func(name string, data []byte, mode os.FileMode) string {
		return write(t, filepath.Join(dir, name), data, mode)
	}
	missing := filepath.Join(dir, "missing")
	for _, c := range []struct{ name, cert, key, ca, want string }{
		{"no name", "", key, root, "no certificate file was named"},
		{"no key name", cert, "", root, "no private key file was named"},
		{"missing certificate", missing, key, root, `missing": certificate file does not exist`},
		{"missing key", cert, missing, root, `missing": private key file does not exist`},
		{"missing CA", cert, key, missing, `missing": CA certificate file does not exist`},
		{"directory", dir, key, root, "is a directory, want a certificate file"},
		{"empty", in("empty", nil, 0o600), key, root, "is empty"},
		{"too large", in("large", make([]byte, 2<<20), 0o600), key, root, "is larger than 1024 KiB"},
		{"swapped", key, in("swapped.crt", pair.CertPEM(), 0o600), root, "check that the two file names are not swapped"},
		{"key of another", cert, in("other.key", other.KeyPEM(), 0o600), root, "does not match"},
		{"weak key", cert, in("small.key", []byte(block("PRIVATE KEY", keyDER(t, small))), 0o600), root, "RSA key has 1024 bits"},
		{"leaf as CA", cert, key, in("leaf.ca", pair.CertPEM(), 0o644), "is not an authority's, want CA certificates only"},
		{"key as CA", cert, key, in("key.ca", pair.KeyPEM(), 0o644), "holds a private key, want certificates only"},
		{"DER with a space in its name", in("bank cert.der", pair.Chain[0].Raw, 0o644), key, root, "openssl x509 -inform DER -in '" + filepath.Join(dir, "bank cert.der") + "' -out NEW.crt"},
	} {
		m, err := certs.Load(c.cert, c.key, c.ca)
		if err == nil || m != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, %v, want error with %q", c.name, m, err, c.want)
		}
	}
}

func TestLooseModesAreRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("file modes say nothing on Windows, so that nothing is refused there")
		return
	}
	ca := testca.New(t)
	dir := t.TempDir()
	cert, key := ca.Server(t, "bank.example").WriteFiles(t, dir, "bank")
	root := write(t, filepath.Join(dir, "ca.crt"), ca.RootPEM(), 0o644)
	link := filepath.Join(dir, "link.key")
	if err := os.Symlink(filepath.Base(key), link); err != nil {
		t.Fatal(err)
	}
	for mode := os.FileMode(0o400); mode <= 0o777; mode++ {
		if mode&0o400 == 0 {
			continue
		}
		if err := os.Chmod(key, mode); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{key, link} {
			_, err := certs.Load(cert, path, root)
			if good := mode&0o077 == 0; good != (err == nil) {
				t.Fatalf("mode %04o: %v", mode, err)
			} else if !good && !strings.Contains(err.Error(), fmt.Sprintf("key file has mode %04o, want 0600: other users could read or change it (chmod 600 %s)", mode, path)) {
				t.Fatalf("mode %04o: %v", mode, err)
			}
		}
	}
}

// write replaces a file in place.
func write(t testing.TB, path string, data []byte, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// rename replaces a file as careful programs do: a new one beside it, then a rename.
func rename(t testing.TB, path string, data []byte, mode os.FileMode) {
	t.Helper()
	write(t, path+".new", data, mode)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}
