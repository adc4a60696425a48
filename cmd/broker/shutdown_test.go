package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// slow is an object whose method runs until the test lets it go.
type slow struct{ entered, leave chan struct{} }

func (s *slow) Wait(ctx context.Context) (string, error) {
	close(s.entered)
	select {
	case <-s.leave:
		return "done", nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// material writes a pair to files, since serve's source reads files.
func material(t *testing.T, ca *testca.CA, p testca.Pair) (cert, key, root string) {
	t.Helper()
	dir := t.TempDir()
	cert, key = p.WriteFiles(t, dir, "pair")
	root = dir + "/ca.crt"
	if err := os.WriteFile(root, ca.RootPEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	return cert, key, root
}

// shutdown runs runDaemon with one call in flight, and sends signals to this very
// process, which is what serve listens to. It returns what the call came to and
// what runDaemon returned.
func shutdown(t *testing.T, drain time.Duration, leave bool, signals ...os.Signal) (result string, callErr, err error) {
	t.Helper()
	ca := testca.New(t)
	cert, key, root := material(t, ca, ca.Server(t, "localhost"))
	source, err := certs.Files(certs.FilesConfig{Cert: cert, Key: key, CA: root, Purpose: certs.ServerAuth})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	v, err := validator.New(validator.Config{Admit: []validator.Peer{validator.AnyIdentity()}})
	if err != nil {
		t.Fatal(err)
	}
	rules, err := validator.NewRules(validator.Rule{Name: "all", Effect: validator.Allow, Identities: []string{"*"}, Objects: []string{"*"}, Methods: []string{"*"}})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	d, err := broker.NewDaemon(broker.Config{Addr: "127.0.0.1:0", PublishHost: "localhost", Certs: source, Validator: v, Authorizer: rules, DrainTimeout: drain, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	object := &slow{make(chan struct{}), make(chan struct{})}
	uri, err := d.Register("slow", object)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	arrived := serverSignals()
	defer signal.Stop(arrived)
	go func() { ended <- new(app).runDaemon(d, &plan{source: source, log: log}, arrived) }()

	cert, key, root = material(t, ca, ca.Client(t, "alice@bank.example"))
	mine, err := certs.Load(cert, key, root)
	if err != nil {
		t.Fatal(err)
	}
	client, err := broker.NewClient(broker.ClientConfig{Certs: certs.Static(mine), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	p, err := client.Proxy(t.Context(), uri.String())
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() { answered <- p.Call(t.Context(), "Wait", &result) }()
	select {
	case <-object.entered:
	case err := <-answered:
		t.Fatalf("the call ended early: %v", err)
	}
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range signals {
		if err := self.Signal(s); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond) // signals of one number do not queue
	}
	if leave {
		close(object.leave)
	}
	select {
	case err = <-ended:
	case <-time.After(patience):
		t.Fatal("runDaemon does not end")
	}
	d.Close() // as serve does
	return result, <-answered, err
}

func TestFirstSignalFinishesCalls(t *testing.T) {
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		result, callErr, err := shutdown(t, patience, true, syscall.SIGHUP, s)
		if result != "done" || callErr != nil || err != nil {
			t.Errorf("%v: the call came to %q, %v and serve to %v, want done and no errors", s, result, callErr, err)
		}
	}
}

func TestSecondSignalExitsAtOnce(t *testing.T) {
	begun := time.Now()
	_, callErr, err := shutdown(t, time.Minute, false, syscall.SIGTERM, os.Interrupt)
	if callErr == nil || err == nil || !strings.Contains(err.Error(), "second signal") {
		t.Errorf("the call came to %v and serve to %v, want both to fail", callErr, err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %v, want no waiting", took)
	}
}

func TestShortDrainFails(t *testing.T) {
	_, callErr, err := shutdown(t, 100*time.Millisecond, false, syscall.SIGTERM)
	if callErr == nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the call came to %v and serve to %v, want both to fail", callErr, err)
	}
	if _, hint, code := explain(err); code != exitFailed || !strings.Contains(hint, "--drain") {
		t.Errorf("exit code %d, hint %q, want 1 and --drain", code, hint)
	}
}
