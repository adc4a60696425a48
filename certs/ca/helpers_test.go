package ca

import (
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// openssl is the second opinion in these tests: it is never skipped.
func openssl(t *testing.T, args ...string) (output string, ok bool) {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Fatalf("this test needs the openssl command (%v): apt-get install openssl", err)
	}
	out, err := exec.CommandContext(t.Context(), "openssl", args...).CombinedOutput()
	return string(out), err == nil
}

func newTestCA(t testing.TB, o Options) *CA {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func issue(t testing.TB, c *CA, r Request) *Issued {
	t.Helper()
	i, err := c.Issue(r)
	if err != nil {
		t.Fatalf("Issue(%+v): %v", r, err)
	}
	return i
}

// files writes root, intermediate and leaf for openssl.
func files(t *testing.T, c *CA, leaf *x509.Certificate) (root, intermediate, cert string) {
	t.Helper()
	dir := t.TempDir()
	for i, crt := range []*x509.Certificate{c.Root(), c.Intermediate(), leaf} {
		path := filepath.Join(dir, []string{"root", "intermediate", "leaf"}[i])
		if err := os.WriteFile(path, encode(crt), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "root"), filepath.Join(dir, "intermediate"), filepath.Join(dir, "leaf")
}

// opensslVerify checks a leaf as openssl does for a purpose: sslserver or sslclient.
func opensslVerify(t *testing.T, c *CA, leaf *x509.Certificate, purpose string) (output string, ok bool) {
	t.Helper()
	root, intermediate, cert := files(t, c, leaf)
	return openssl(t, "verify", "-x509_strict", "-CAfile", root, "-untrusted", intermediate, "-purpose", purpose, cert)
}

// wantError checks that an error says what it must.
func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("got no error, want one with %q", parts)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("got error %q, want %q in it", err, p)
		}
	}
}

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func writeFile(t *testing.T, path, data string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
}
