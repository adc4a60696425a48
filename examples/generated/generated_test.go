package generated

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/brokertest"
	"github.com/pyrossl/pyrossl/broker/gen"
	"github.com/pyrossl/pyrossl/internal/leakcheck"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator/rulefile"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// TestUpToDate is broker gen --check.
func TestUpToDate(t *testing.T) {
	f, err := gen.Generate(t.Context(), gen.Config{Interface: "Ledger"})
	if err != nil {
		t.Fatal(err)
	}
	if have, err := os.ReadFile(f.Path); err != nil || !bytes.Equal(have, f.Code) {
		t.Errorf("%s is not up to date (%v): go generate ./examples/generated", f.Path, err)
	}
}

// TestPolicy: alice may post; bob may look.
func TestPolicy(t *testing.T) {
	rules, err := rulefile.LoadRules("policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// The world's clients go by names without their kind.
	for i := range rules {
		for j, id := range rules[i].Identities {
			if name, ok := strings.CutPrefix(id, "email:"); ok {
				rules[i].Identities[j], _, _ = strings.Cut(name, "@")
			}
		}
	}
	w := brokertest.New(t, brokertest.Config{Objects: map[string]any{"ledger": ExportLedger(new(Book))}, Rules: rules})
	ctx := t.Context()
	alice := NewLedgerProxy(w.Proxy("alice", "ledger", LedgerIdempotent()))
	bob := NewLedgerProxy(w.Proxy("bob", "ledger", LedgerIdempotent()))
	e := Entry{Account: "a", Cents: 5, Text: "tea", Time: time.Date(2026, 2, 3, 4, 5, 6, 7, time.UTC)}
	if balance, err := alice.Post(ctx, e); err != nil || balance != 5 {
		t.Fatalf("got %d, %v", balance, err)
	}
	if _, err := bob.Post(ctx, e); !errors.Is(err, broker.KindDenied) {
		t.Errorf("bob posted: %v", err)
	}
	if balance, err := bob.Balance(ctx, "a"); err != nil || balance != 5 {
		t.Errorf("got %d, %v", balance, err)
	}
	if got, err := bob.Entries(ctx, "a", 3); err != nil || !reflect.DeepEqual(got, []Entry{e}) {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := bob.Entries(ctx, "a", -1); err != nil || got == nil || len(got) != 0 {
		t.Errorf("got %#v, %v", got, err)
	}
}

// TestPrograms runs the two programs.
func TestPrograms(t *testing.T) {
	dir := t.TempDir()
	pki := filepath.Join(dir, "pki")
	if err := os.Mkdir(pki, 0o700); err != nil {
		t.Fatal(err)
	}
	ca := testca.New(t)
	ca.Server(t, "localhost").WriteFiles(t, pki, "localhost")
	ca.Client(t, "alice@bank.example").WriteFiles(t, pki, "alice@bank.example")
	ca.Client(t, "bob@bank.example").WriteFiles(t, pki, "bob@bank.example")
	if err := os.WriteFile(filepath.Join(pki, "ca.crt"), ca.RootPEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"server", "client"} {
		if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, name+".exe"), "./"+name).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	policy, err := filepath.Abs("policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	server := exec.Command(filepath.Join(dir, "server.exe"), "-addr", "127.0.0.1:0", "-policy", policy)
	var stderr bytes.Buffer
	server.Dir, server.Stderr = dir, &stderr
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
	})
	uri, err := bufio.NewReader(stdout).ReadString('\n')
	if uri = strings.TrimSpace(uri); err != nil || !strings.HasPrefix(uri, "PYROSSL://localhost:") {
		server.Process.Kill()
		server.Wait()
		t.Fatalf("the server printed %q (%v)\n%s", uri, err, stderr.String())
	}
	run := func(name string) (string, error) {
		client := exec.Command(filepath.Join(dir, "client.exe"), "-uri", uri, "-name", name)
		client.Dir = dir
		out, err := client.CombinedOutput()
		return string(out), err
	}
	const want = "posted 10000 and now there are 10000\nposted -2550 and now there are 7450\n2 entries, the last of them -2550\n"
	if out, err := run("alice@bank.example"); err != nil || out != want {
		t.Errorf("the client printed %q (%v), want %q", out, err, want)
	}
	if out, err := run("bob@bank.example"); err == nil || !strings.Contains(out, "denied") {
		t.Errorf("bob's client printed %q (%v), want a refusal", out, err)
	}
}
