package broker_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/internal/wire"
)

// sClient runs openssl s_client against the daemon until it has printed enough or
// ended, and returns what it printed.
func sClient(t *testing.T, w *world, enough func([]byte) bool, args ...string) (stdout []byte, stderr string) {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatal("openssl is not installed, and these tests need a TLS client that is not ours: apt-get install openssl")
	}
	_, port, _ := net.SplitHostPort(w.daemon.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append([]string{"s_client", "-connect", "localhost:" + port, "-quiet", "-servername", "localhost"}, args...)...)
	in, err := cmd.StdinPipe() // kept open: s_client ends with its input
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	for !enough(stdout) {
		n, err := out.Read(buf)
		stdout = append(stdout, buf[:n]...)
		if err != nil {
			break
		}
	}
	cancel()
	cmd.Wait()
	return stdout, errs.String()
}

// frameOf parses the first frame that openssl printed.
func frameOf(b []byte) (h wire.Header, payload []byte, ok bool) {
	if len(b) < wire.HeaderSize {
		return h, nil, false
	}
	h, err := wire.ParseHeader(b)
	if err != nil || len(b) < wire.HeaderSize+h.Length {
		return h, nil, false
	}
	return h, b[wire.HeaderSize : wire.HeaderSize+h.Length], true
}

// TestOpenSSL has openssl's client meet the daemon: it gets Welcome with the right
// certificate, Deny with one that maps to nobody, and nothing without, or with an
// older TLS, or without ALPN.
func TestOpenSSL(t *testing.T) {
	w := newWorld(t, func(c *broker.Config) {})
	dir := t.TempDir()
	cert, key := w.ca.Client(t, "alice@bank.example").WriteFiles(t, dir, "alice")
	nameless, namelessKey := w.ca.Issue(t, clientLeaf("", time.Hour)).WriteFiles(t, dir, "nameless")
	ca := filepath.Join(dir, "ca.crt")
	if err := os.WriteFile(ca, w.ca.RootPEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	whole := func(b []byte) bool { _, _, ok := frameOf(b); return ok }
	never := func([]byte) bool { return false }
	alice := []string{"-CAfile", ca, "-verify_return_error", "-verify_hostname", "localhost", "-alpn", "pyrossl/1", "-cert", cert, "-cert_chain", cert, "-key", key}

	out, errs := sClient(t, w, whole, alice...)
	h, payload, ok := frameOf(out)
	var welcome wire.WelcomeBody
	if !ok || h.Type != wire.Welcome || wire.ParseControl(h.Type, payload, &welcome) != nil || welcome.Principal != "email:alice@bank.example" {
		t.Errorf("with alice's certificate: %v %x\n%s", h.Type, out, errs)
	}
	out, errs = sClient(t, w, whole, "-CAfile", ca, "-alpn", "pyrossl/1", "-cert", nameless, "-cert_chain", nameless, "-key", namelessKey)
	h, payload, ok = frameOf(out)
	var deny wire.DenyBody
	if !ok || h.Type != wire.Deny || wire.ParseControl(h.Type, payload, &deny) != nil || deny.Check != "identity" || deny.Incident == "" {
		t.Errorf("with a certificate without a name: %v %x\n%s", h.Type, out, errs)
	}
	for _, test := range []struct {
		name string
		args []string
		want string // in what openssl prints
	}{
		{"TLS 1.2", append([]string{"-tls1_2"}, alice...), "protocol version"},
		{"no certificate", []string{"-CAfile", ca, "-alpn", "pyrossl/1"}, "certificate required"},
		{"no ALPN", []string{"-CAfile", ca, "-cert", cert, "-cert_chain", cert, "-key", key}, "alert"},
		{"other ALPN", []string{"-CAfile", ca, "-alpn", "h2", "-cert", cert, "-cert_chain", cert, "-key", key}, "no application protocol"},
	} {
		out, errs := sClient(t, w, never, test.args...)
		if len(out) > 0 || !strings.Contains(errs, test.want) {
			t.Errorf("%s: got %q and\n%s\nwant %q", test.name, out, errs, test.want)
		}
	}
}
