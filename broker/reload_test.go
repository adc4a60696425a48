package broker_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
)

// TestReload replaces the daemon's certificate while a client is connected. That
// connection lives on, the next one sees the new certificate, and files that are
// broken afterwards change nothing but the status.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	ca := testca.New(t)
	cert, key := ca.Server(t, "localhost").WriteFiles(t, dir, "server")
	root := filepath.Join(dir, "ca.crt")
	if err := os.WriteFile(root, ca.RootPEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	src, err := certs.Files(certs.FilesConfig{Cert: cert, Key: key, CA: root})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	w := newWorld(t, func(c *broker.Config) { c.Certs = src })
	w.ca = ca
	w.daemon.Register("bank", newBank())
	first := w.proxy(w.client("alice@bank.example", nil), w.uri("bank"))
	before, err := first.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	ca.Server(t, "localhost", "renewed.example").WriteFiles(t, dir, "server")
	if err := src.Reload(); err != nil {
		t.Fatal(err)
	}
	after, err := w.proxy(w.client("alice@bank.example", nil), w.uri("bank")).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(before.Server) != 1 || len(after.Server) != 2 {
		t.Errorf("names of the daemon: before %q, after %q", before.Server, after.Server)
	}
	again, err := first.Connect(t.Context())
	if err != nil || again.Session != before.Session {
		t.Errorf("the first connection did not live on: %v, %v", again, err)
	}

	if err := os.WriteFile(key, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := src.Reload(); err == nil {
		t.Error("a broken key was taken")
	}
	var status broker.Status
	p := w.proxy(w.client("bob@bank.example", nil), w.uri(broker.SelfName))
	if err := p.Call(t.Context(), "Status", &status); err != nil || status.Certificate.Generation != 2 || status.Certificate.LastError == "" {
		t.Errorf("status after a failed reload: %+v, %v", status.Certificate, err)
	}
}
