package ocsp_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	xocsp "golang.org/x/crypto/ocsp"

	"github.com/pyrossl/pyrossl/certs/ocsp"
)

// TestOverHTTP is the whole way, with a server of net/http.
func TestOverHTTP(t *testing.T) {
	r := newResponder(t)
	status, big := xocsp.Good, false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
			return
		}
		q, err := xocsp.ParseRequest(body)
		if err != nil {
			t.Error(err)
			return
		}
		w.Header().Set("Content-Type", "application/ocsp-response")
		if big {
			w.Header().Set("X-Long", strings.Repeat("x", 1<<20))
		}
		w.Write(r.sign(xocsp.Response{Status: status}, q, r.ca.IntermediateCert(), r.ca.IntermediateCert(), r.ca.IntermediateKey(), true))
	}))
	defer server.Close()
	alice := r.leaf("alice@a.example", server.URL)
	refused(t, "good", checker(t, ocsp.Config{Mode: ocsp.HardFail}).Check(t.Context(), alice))
	status = xocsp.Revoked
	refused(t, "revoked", checker(t, ocsp.Config{Mode: ocsp.SoftFail}).Check(t.Context(), alice), "it was revoked on")
	big = true
	refused(t, "endless headers", checker(t, ocsp.Config{Mode: ocsp.HardFail}).Check(t.Context(), alice), "is not known")
	server.Close()
	refused(t, "down", checker(t, ocsp.Config{Mode: ocsp.HardFail}).Check(t.Context(), alice), "is not known", "refused")
}

// openssl runs the command in dir. It is never left out: this is how we know that we
// understand what others answer.
func openssl(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "openssl", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("openssl %s (this test needs the command: apt-get install openssl): %v\n%s", strings.Join(args, " "), err, out)
	}
}

func readCert(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data[bytes.Index(data, []byte("-----BEGIN")):])
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serve starts openssl's responder on a port that was free a moment ago.
func serve(t *testing.T, dir string, args ...string) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "openssl", append([]string{"ocsp", "-index", "index.txt", "-port", port, "-CA", "ca.crt"}, args...)...)
	cmd.Dir = dir
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read, ready := make(chan struct{}), make(chan string, 1)
	go func() {
		defer close(read)
		lines := bufio.NewReader(out)
		line, _ := lines.ReadString('\n') // "ocsp: waiting for OCSP client connections..."
		ready <- line
		io.Copy(io.Discard, lines)
	}()
	t.Cleanup(func() { cancel(); <-read; cmd.Wait() })
	select {
	case line := <-ready:
		if !strings.Contains(line, "waiting") {
			t.Fatalf("openssl ocsp says %q", line)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("openssl ocsp does not start")
	}
	return "http://127.0.0.1:" + port
}

// TestOpenSSLResponder asks openssl's own responder, which signs as the authority or
// by a certificate for the purpose.
func TestOpenSSLResponder(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	key := func(name string) {
		openssl(t, dir, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name)
	}
	key("ca.key")
	openssl(t, dir, "req", "-x509", "-new", "-key", "ca.key", "-out", "ca.crt", "-days", "1", "-subj", "/CN=OpenSSL CA",
		"-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature")
	for name, text := range map[string]string{"ca.cnf": "[ca]\ndefault_ca = ours\n[ours]\ndatabase = index.txt\ncertificate = ca.crt\nprivate_key = ca.key\ndefault_md = sha256\n", "index.txt": ""} {
		if err := os.WriteFile(file(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	issue := func(name, ext string) *x509.Certificate {
		key(name + ".key")
		if err := os.WriteFile(file(name+".ext"), []byte(ext), 0o644); err != nil {
			t.Fatal(err)
		}
		openssl(t, dir, "req", "-new", "-key", name+".key", "-subj", "/CN="+name, "-out", name+".csr")
		openssl(t, dir, "x509", "-req", "-in", name+".csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1", "-extfile", name+".ext", "-out", name+".crt")
		return readCert(t, file(name+".crt"))
	}
	issue("responder", "extendedKeyUsage=OCSPSigning\nkeyUsage=critical,digitalSignature\n")
	issue("mallory", "extendedKeyUsage=clientAuth\nsubjectAltName=email:mallory@bank.example\n")
	root := readCert(t, file("ca.crt"))
	for _, by := range []struct {
		name   string
		args   []string
		counts bool
	}{
		{"the authority", []string{"-rsigner", "ca.crt", "-rkey", "ca.key", "-nmin", "5"}, true},
		{"the authority without its certificate", []string{"-rsigner", "ca.crt", "-rkey", "ca.key", "-resp_no_certs", "-resp_key_id"}, true},
		{"its responder", []string{"-rsigner", "responder.crt", "-rkey", "responder.key", "-ndays", "1"}, true},
		{"mallory", []string{"-rsigner", "mallory.crt", "-rkey", "mallory.key", "-nmin", "5"}, false},
	} {
		if err := os.WriteFile(file("index.txt"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		// The address has to be in the certificates before the responder runs, which
		// reads its index at the start.
		ext := func(name string) string {
			return fmt.Sprintf("extendedKeyUsage=clientAuth\nsubjectAltName=email:%s@bank.example\nauthorityInfoAccess=OCSP;URI:http://ocsp.bank.example/\n", name)
		}
		alice, bob, unknown := issue("alice", ext("alice")), issue("bob", ext("bob")), issue("carol", ext("carol"))
		openssl(t, dir, "ca", "-config", "ca.cnf", "-valid", "alice.crt")
		openssl(t, dir, "ca", "-config", "ca.cnf", "-valid", "bob.crt")
		openssl(t, dir, "ca", "-config", "ca.cnf", "-revoke", "bob.crt", "-crl_reason", "keyCompromise")
		c := checker(t, ocsp.Config{Mode: ocsp.HardFail, Transport: elsewhere{strings.TrimPrefix(serve(t, dir, by.args...), "http://")}, Timeout: 10 * time.Second})
		check := func(leaf *x509.Certificate, words ...string) {
			t.Helper()
			if !by.counts {
				words = []string{"is not known", "may not answer for its authority"}
			}
			refused(t, by.name, c.Check(t.Context(), []*x509.Certificate{leaf, root}), words...)
		}
		check(alice)
		check(bob, "email:bob@bank.example: it was revoked on ", "(key compromise)")
		check(unknown, "does not know the certificate")
	}
}

// elsewhere sends every request to one address, as a proxy would.
type elsewhere struct{ address string }

func (e elsewhere) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.Host = e.address
	return (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
}
