package certs_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/certs"
)

// opensslCA is opensslPKI with the books that openssl ca keeps, in which client.crt is
// entered.
func opensslCA(t *testing.T, kind string) (dir string) {
	t.Helper()
	dir = opensslPKI(t, kind)
	digest := "sha256"
	if kind == "Ed25519" {
		digest = "null" // the key says which
	}
	write(t, filepath.Join(dir, "ca.cnf"), fmt.Appendf(nil, `[ca]
default_ca = ours
[ours]
database = index.txt
certificate = ca.crt
private_key = ca.key
default_md = %s
default_crl_days = 1
crlnumber = crlnumber
crl_extensions = crl_ext
[crl_ext]
authorityKeyIdentifier = keyid
[without_number]
database = index.txt
certificate = ca.crt
private_key = ca.key
default_md = %s
default_crl_days = 1
crl_extensions = crl_ext
`, digest, digest), 0o644)
	write(t, filepath.Join(dir, "index.txt"), nil, 0o644)
	write(t, filepath.Join(dir, "crlnumber"), []byte("0A\n"), 0o644)
	openssl(t, dir, "ca", "-config", "ca.cnf", "-valid", "client.crt")
	return dir
}

func parseFile(t *testing.T, path string) ([]*certs.CRL, error) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return certs.ParseCRLs(data)
}

func TestOpenSSLLists(t *testing.T) {
	needOpenSSL(t)
	for kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir := opensslCA(t, kind)
			run := func(args ...string) { t.Helper(); openssl(t, dir, args...) }
			file := func(name string) string { return filepath.Join(dir, name) }
			run("ca", "-config", "ca.cnf", "-gencrl", "-out", "before.crl")
			run("ca", "-config", "ca.cnf", "-revoke", "client.crt", "-crl_reason", "keyCompromise")
			run("ca", "-config", "ca.cnf", "-gencrl", "-out", "after.crl")
			run("crl", "-in", "after.crl", "-outform", "DER", "-out", "after.der")
			run("crl", "-in", "after.crl", "-text", "-out", "after.txt")
			server, client := load(t, dir, "server"), load(t, dir, "client")
			chain := append(client.Chain[:1:1], client.Roots[0])
			for _, c := range []struct {
				file  string
				words []string
			}{
				{"before.crl", nil},
				{"after.crl", []string{"email:alice@bank.example: it was revoked on ", "(key compromise), says revocation list number 11 of CN=OpenSSL CA"}},
				{"after.der", []string{"number 11"}},
				{"after.txt", []string{"number 11"}},
			} {
				all, err := parseFile(t, file(c.file))
				if err != nil {
					t.Errorf("%s: %v", c.file, err)
					continue
				}
				m := withRevocations(t, server, certs.RevocationConfig{CRLs: all})
				d := certs.Recheck(chain, m, certs.ClientAuth, time.Now())
				if c.words == nil {
					if d != nil {
						t.Errorf("%s: %v", c.file, d)
					}
					continue
				}
				refused(t, c.file, d, certs.CheckRevocation, c.words...)
			}

			run("ca", "-config", "ca.cnf", "-name", "without_number", "-gencrl", "-out", "numberless.crl")
			if _, err := parseFile(t, file("numberless.crl")); err == nil || !strings.Contains(err.Error(), "has no number (RFC 5280, section 5.2.3)") {
				t.Errorf("without a number: %v", err)
			}
			if kind == "Ed25519" {
				return
			}
			run("ca", "-config", "ca.cnf", "-md", "sha1", "-gencrl", "-out", "sha1.crl")
			if _, err := parseFile(t, file("sha1.crl")); err == nil || !strings.Contains(err.Error(), "want SHA-256 or better") {
				t.Errorf("SHA-1: %v", err)
			}
		})
	}
}

// TestOpenSSLServerSaysRevoked: other servers can send the alert certificate_revoked,
// and it is understood.
func TestOpenSSLServerSaysRevoked(t *testing.T) {
	needOpenSSL(t)
	dir := opensslCA(t, "EC P-256")
	openssl(t, dir, "ca", "-config", "ca.cnf", "-revoke", "client.crt")
	openssl(t, dir, "ca", "-config", "ca.cnf", "-gencrl", "-out", "ca.crl")
	addr := sServer(t, dir, "-alpn", certs.ALPN, "-crl_check", "-CRL", "ca.crl")
	ours, expect := load(t, dir, "client"), certs.Expect{Host: "bank.example"}
	_, err := askReverse(t, addr, clientConfig(t, ours, expect))
	refused(t, "revoked", certs.Refusal(err, ours, expect), certs.CheckRevocation, "the server holds as revoked our certificate for email:alice@bank.example", "a new certificate for us")
}

// TestHowToDeny follows the hint of the error by which a deny list asks for a key, and
// takes a serial number as openssl prints it.
func TestHowToDeny(t *testing.T) {
	needOpenSSL(t)
	if _, err := exec.LookPath("sh"); err != nil {
		t.Fatalf("this test needs a POSIX shell: %v", err)
	}
	dir := opensslPKI(t, "EC P-256")
	server, client := load(t, dir, "server"), load(t, dir, "client")
	_, err := certs.ParseDenyList([]byte("number 1\nkey x"))
	if err == nil {
		t.Fatal("x is a key")
	}
	hint := err.Error()[strings.Index(err.Error(), "(")+1:]
	shell := func(script string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", script, err)
		}
		return strings.TrimSpace(string(out))
	}
	digest := shell(strings.ReplaceAll(strings.TrimSuffix(hint, ")"), "CERT.crt", "client.crt"))
	for _, entry := range []string{
		"key " + digest[strings.LastIndex(digest, " ")+1:],
		"serial " + strings.TrimPrefix(shell("openssl x509 -in client.crt -noout -serial"), "serial="),
	} {
		m := withRevocations(t, server, certs.RevocationConfig{Deny: deny(t, "number 1\n"+entry)})
		refused(t, entry, certs.Recheck(client.Chain, m, certs.ClientAuth, time.Now()), certs.CheckRevocation, "is on the deny list")
	}
}

// swapping is a source that is changed while a server runs.
type swapping struct{ atomic.Pointer[certs.Material] }

func (s *swapping) Current() *certs.Material { return s.Load() }
func (s *swapping) Status() certs.Status     { return certs.Status{} }

// TestOpenSSLTickets: openssl keeps a ticket in a file and comes back with it.
func TestOpenSSLTickets(t *testing.T) {
	needOpenSSL(t)
	dir := opensslCA(t, "EC P-256")
	src := new(swapping)
	src.Store(load(t, dir, "server"))
	config, err := certs.ServerConfig(src, certs.ResumeSessions())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	type result struct {
		resumed bool
		err     error
	}
	results, done := make(chan result, 10), make(chan struct{})
	go func() {
		defer close(done)
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			raw.SetDeadline(time.Now().Add(10 * time.Second))
			conn := tls.Server(raw, config)
			err = conn.Handshake()
			if err == nil {
				_, err = conn.Write([]byte("welcome\n"))
			}
			results <- result{err == nil && conn.ConnectionState().DidResume, err}
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	dial := func(args ...string) result {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, "openssl", append([]string{"s_client", "-connect", l.Addr().String(), "-CAfile", "ca.crt", "-alpn", certs.ALPN, "-cert", "client.crt", "-key", "client.key", "-ign_eof"}, args...)...)
		cmd.Dir = dir
		cmd.Run() // refusals are seen on our side
		return <-results
	}
	if r := dial("-sess_out", "ticket"); r.err != nil || r.resumed {
		t.Fatalf("first: %+v", r)
	}
	if r := dial("-sess_in", "ticket"); r.err != nil || !r.resumed {
		t.Fatalf("second: %+v", r)
	}
	openssl(t, dir, "ca", "-config", "ca.cnf", "-revoke", "client.crt")
	openssl(t, dir, "ca", "-config", "ca.cnf", "-gencrl", "-out", "ca.crl")
	all, err := parseFile(t, filepath.Join(dir, "ca.crl"))
	if err != nil {
		t.Fatal(err)
	}
	src.Store(withRevocations(t, src.Current(), certs.RevocationConfig{CRLs: all}))
	r := dial("-sess_in", "ticket")
	if r.resumed {
		t.Error("a ticket from before the revocation is resumed")
	}
	refused(t, "revoked", certs.ServerRefusal(r.err, src.Current()), certs.CheckRevocation, "it was revoked on")
	src.Store(load(t, dir, "server"))
	if r := dial("-sess_in", "ticket"); r.err != nil || r.resumed {
		t.Errorf("with new material: %+v", r)
	}
}
