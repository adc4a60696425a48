package certs_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// needOpenSSL fails the test where the command is missing: these tests are how we
// know that we understand what others make and send, so they are never skipped.
func needOpenSSL(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Fatalf("this test needs the openssl command (%v): apt-get install openssl, or brew install openssl@3", err)
	}
}

// openssl runs the command in dir.
func openssl(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "openssl", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// kinds are the keys that we accept, as openssl is told to make them.
var kinds = map[string][]string{
	"EC P-256": {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"},
	"EC P-384": {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"},
	"Ed25519":  {"-algorithm", "ED25519"},
	"RSA 2048": {"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"},
}

// opensslPKI makes an authority, a server's and a client's certificate with openssl.
func opensslPKI(t *testing.T, kind string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	key := func(name string) {
		openssl(t, dir, append([]string{"genpkey", "-out", name}, kinds[kind]...)...)
	}
	key("ca.key")
	openssl(t, dir, "req", "-x509", "-new", "-key", "ca.key", "-out", "ca.crt", "-days", "1", "-subj", "/CN=OpenSSL CA",
		"-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
	for name, ext := range map[string]string{
		"server": "subjectAltName=DNS:bank.example,IP:127.0.0.1\nextendedKeyUsage=serverAuth\nkeyUsage=critical,digitalSignature\nbasicConstraints=critical,CA:FALSE\n",
		"client": "subjectAltName=email:alice@bank.example\nextendedKeyUsage=clientAuth\n",
	} {
		key(name + ".key")
		write(t, filepath.Join(dir, name+".ext"), []byte(ext), 0o644)
		openssl(t, dir, "req", "-new", "-key", name+".key", "-subj", "/CN="+name, "-out", name+".csr")
		openssl(t, dir, "x509", "-req", "-in", name+".csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1", "-extfile", name+".ext", "-out", name+".crt")
	}
	return dir
}

func load(t *testing.T, dir, name string) *certs.Material {
	t.Helper()
	m, err := certs.Load(filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key"), filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// ourServer accepts connections with our settings and greets each.
func ourServer(t *testing.T, m *certs.Material) (addr string, results <-chan error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config, ch, done := serverConfig(t, m), make(chan error, 100), make(chan struct{})
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
			ch <- err
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String(), ch
}

// sClient runs openssl s_client and gives what it printed.
func sClient(t *testing.T, dir, addr string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "openssl", append([]string{"s_client", "-connect", addr, "-quiet", "-CAfile", "ca.crt", "-verify_return_error", "-verify_hostname", "bank.example"}, args...)...)
	cmd.Dir = dir
	out, _ := cmd.CombinedOutput() // a refusal is told by its text
	return string(out)
}

func TestOpenSSLClients(t *testing.T) {
	needOpenSSL(t)
	for kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir := opensslPKI(t, kind)
			addr, results := ourServer(t, load(t, dir, "server"))
			mine := []string{"-cert", "client.crt", "-key", "client.key"}
			for _, c := range []struct {
				name         string
				args         []string
				prints, says string // what openssl prints, and how our side's error reads
			}{
				{"good", append(mine, "-alpn", certs.ALPN), "welcome", ""},
				{"good with P-256", append(mine, "-alpn", certs.ALPN, "-groups", "P-256"), "welcome", ""},
				{"TLS 1.2", append(mine, "-alpn", certs.ALPN, "-tls1_2"), "alert protocol version", "unsupported versions"},
				{"no certificate", []string{"-alpn", certs.ALPN}, "alert certificate required", "didn't provide a certificate"},
				{"no protocol", mine, "alert bad certificate", "no application protocol"},
				{"other protocol", append(mine, "-alpn", "h2"), "alert no application protocol", "unsupported application protocols"},
				{"server's certificate", []string{"-cert", "server.crt", "-key", "server.key", "-alpn", certs.ALPN}, "alert bad certificate", "incompatible key usage"},
				{"authority's certificate", []string{"-cert", "ca.crt", "-key", "ca.key", "-alpn", certs.ALPN}, "alert bad certificate", "is an authority's"},
			} {
				out, err := sClient(t, dir, addr, c.args...), <-results
				if !strings.Contains(out, c.prints) || (c.says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.says) {
					t.Errorf("%s: openssl prints %q, we say %v; want %q and %q", c.name, out, err, c.prints, c.says)
				}
			}
		})
	}
}

// sServer starts openssl s_server, which sends every line back reversed.
func sServer(t *testing.T, dir string, args ...string) (addr string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "openssl", append([]string{"s_server", "-accept", "127.0.0.1:0", "-rev", "-cert", "server.crt", "-key", "server.key",
		"-CAfile", "ca.crt", "-Verify", "5", "-verify_return_error"}, args...)...)
	cmd.Dir = dir
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for addr == "" {
		line, err := lines.ReadString('\n')
		if err != nil {
			cancel()
			cmd.Wait()
			t.Fatalf("openssl s_server did not start: %v\n%s", err, complaints.String())
		}
		addr, _ = strings.CutPrefix(strings.TrimSpace(line), "ACCEPT ")
		if !strings.Contains(line, "ACCEPT ") {
			addr = ""
		}
	}
	read := make(chan struct{})
	go func() { defer close(read); io.Copy(io.Discard, lines) }()
	t.Cleanup(func() { cancel(); <-read; cmd.Wait() })
	return addr
}

// askReverse dials s_server, sends a line and reads the answer.
func askReverse(t *testing.T, addr string, config *tls.Config) (string, error) {
	t.Helper()
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(10 * time.Second))
	conn := tls.Client(raw, config)
	if err := conn.Handshake(); err != nil {
		return "", err
	}
	fmt.Fprintln(conn, "abc")
	return bufio.NewReader(conn).ReadString('\n')
}

func TestOpenSSLServers(t *testing.T) {
	needOpenSSL(t)
	for kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir := opensslPKI(t, kind)
			ours, expect := load(t, dir, "client"), certs.Expect{Host: "bank.example"}
			config := clientConfig(t, ours, expect)
			good := sServer(t, dir, "-alpn", certs.ALPN)
			for _, host := range []string{"bank.example", "127.0.0.1"} {
				if got, err := askReverse(t, good, clientConfig(t, ours, certs.Expect{Host: host})); got != "cba\n" || err != nil {
					t.Errorf("good by %s: %q, %v", host, got, err)
				}
			}
			for name, c := range map[string]struct {
				args  []string
				check validator.Check
				words string
			}{
				"TLS 1.2":        {[]string{"-alpn", certs.ALPN, "-tls1_2"}, validator.CheckProtocol, "does not speak TLS 1.3"},
				"no protocol":    {nil, validator.CheckALPN, "no application protocol"},
				"other protocol": {[]string{"-alpn", "h2"}, validator.CheckALPN, "another application protocol"},
				"P-521 only":     {[]string{"-alpn", certs.ALPN, "-groups", "P-521"}, validator.CheckProtocol, "no TLS settings in common"},
			} {
				_, err := askReverse(t, sServer(t, dir, c.args...), config)
				refused(t, name, certs.Refusal(err, ours, expect), c.check, c.words)
			}
			_, err := askReverse(t, good, clientConfig(t, ours, certs.Expect{Host: "bank.exampel"}))
			refused(t, "other host", certs.Refusal(err, ours, certs.Expect{Host: "bank.exampel"}), validator.CheckName, `did you mean "bank.example"?`)
		})
	}
}

// TestOpenSSLRefusesUs shows that openssl's alerts are understood, which differ from
// those of crypto/tls.
func TestOpenSSLRefusesUs(t *testing.T) {
	needOpenSSL(t)
	dir := opensslPKI(t, "EC P-256")
	ca := testca.New(t)
	root, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	trust, err := certs.ParseCertificates(root)
	if err != nil {
		t.Fatal(err)
	}
	// s_server trusts testca too, so that only the fault of each case stands out.
	write(t, filepath.Join(dir, "ca.crt"), append(root, ca.RootPEM()...), 0o644)
	now, expect := time.Now(), certs.Expect{Host: "bank.example"}
	addr := sServer(t, dir, "-alpn", certs.ALPN)
	for _, c := range []struct {
		name  string
		pair  testca.Pair
		check validator.Check
		words string
	}{
		{"other authority", testca.New(t).Client(t, "alice@a.example"), validator.CheckChain, "does not trust who issued our certificate for email:alice@a.example"},
		{"expired", ca.Issue(t, testca.Leaf{DNS: []string{"a"}, EKU: clientAuth, NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour)}), validator.CheckDates, "expired on"},
		{"not yet valid", ca.Issue(t, testca.Leaf{DNS: []string{"a"}, EKU: clientAuth, NotBefore: now.Add(time.Hour)}), validator.CheckDates, "is not valid before"},
		{"server's", ca.Server(t, "shop.example"), validator.CheckPurpose, "is for serverAuth"},
	} {
		config := plainClient(c.pair, ca, "bank.example")
		config.InsecureSkipVerify = true // who the server is does not matter here
		_, err := askReverse(t, addr, config)
		if err == nil {
			t.Errorf("%s: let in", c.name)
			continue
		}
		key := newKey(t, c.pair)
		ours, err2 := certs.NewMaterial(c.pair.Chain, key, trust)
		if err2 != nil {
			t.Fatal(err2)
		}
		refused(t, c.name, certs.Refusal(err, ours, expect), c.check, c.words)
	}
	config := plainClient(testca.Pair{}, ca, "bank.example")
	config.InsecureSkipVerify, config.GetClientCertificate = true, nil
	_, err = askReverse(t, addr, config)
	refused(t, "none", certs.Refusal(err, nil, expect), validator.CheckChain, "received no certificate from us")
}

// TestOpenSSLFiles are files as openssl writes them, and the ways it offers to
// write what we do not take.
func TestOpenSSLFiles(t *testing.T) {
	needOpenSSL(t)
	dir := opensslPKI(t, "EC P-256")
	file := func(name string) string { return filepath.Join(dir, name) }
	run := func(args ...string) { openssl(t, dir, args...) }
	run("x509", "-in", "client.crt", "-text", "-out", "text.crt")
	run("ecparam", "-genkey", "-name", "prime256v1", "-out", "param.key")
	run("pkcs12", "-export", "-in", "client.crt", "-inkey", "client.key", "-passout", "pass:x", "-out", "client.p12")
	run("pkcs12", "-in", "client.p12", "-passin", "pass:x", "-nodes", "-nocerts", "-out", "bag.key")
	run("pkcs12", "-in", "client.p12", "-passin", "pass:x", "-nokeys", "-out", "bag.crt")
	run("crl2pkcs7", "-nocrl", "-certfile", "client.crt", "-out", "client.p7b")
	run("x509", "-in", "client.crt", "-trustout", "-addtrust", "clientAuth", "-out", "trusted.crt")
	run("x509", "-in", "client.crt", "-outform", "DER", "-out", "client.der")
	run("pkey", "-in", "client.key", "-outform", "DER", "-out", "key.der")
	run("pkcs8", "-topk8", "-in", "client.key", "-passout", "pass:x", "-out", "pbes2.key")
	run("ec", "-in", "client.key", "-aes256", "-passout", "pass:x", "-out", "dek.key")
	run("genpkey", "-algorithm", "ED448", "-out", "ed448.key")
	run("genpkey", "-algorithm", "X25519", "-out", "x25519.key")
	run("genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "pss.key")
	run("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024", "-out", "small.key")
	run("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1", "-out", "k1.key")
	run("pkey", "-in", "client.key", "-pubout", "-out", "client.pub")
	for _, c := range []struct{ cert, key, want string }{
		{"text.crt", "client.key", ""},
		{"bag.crt", "bag.key", ""},
		{"client.crt", "param.key", "private key does not match"},
		{"client.p12", "client.key", "is a PKCS#12 bundle"},
		{"client.crt", "client.p12", "is a PKCS#12 bundle"},
		{"client.p7b", "client.key", "holds a PKCS#7 bundle"},
		{"trusted.crt", "client.key", "OpenSSL's own TRUSTED form"},
		{"client.der", "client.key", "is DER, want PEM (convert it: openssl x509"},
		{"client.csr", "client.key", "holds a certificate request"},
		{"client.crt", "key.der", "is DER, want PEM (convert it: (umask 077; openssl pkey"},
		{"client.crt", "pbes2.key", "is encrypted with a passphrase"},
		{"client.crt", "dek.key", "old DEK-Info way"},
		{"client.crt", "ed448.key", "private key is Ed448"},
		{"client.crt", "x25519.key", "private key is X25519"},
		{"client.crt", "pss.key", "private key is RSA-PSS"},
		{"client.crt", "small.key", "RSA key has 1024 bits"},
		{"client.crt", "k1.key", "on a curve that TLS does not use"},
		{"client.crt", "client.pub", "holds a public key"},
	} {
		if err := os.Chmod(file(c.key), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := certs.Load(file(c.cert), file(c.key), file("ca.crt"))
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %s: got %v, want %q", c.cert, c.key, err, c.want)
		}
	}
}
