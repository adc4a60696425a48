package broker_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/leakcheck"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// world is a CA, a daemon on the loopback interface, and its log.
type world struct {
	tb     testing.TB
	ca     *testca.CA
	daemon *broker.Daemon
	log    *logBuffer
	served chan error
}

type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// source makes a certificate source of a key pair.
func source(tb testing.TB, ca *testca.CA, p testca.Pair) certs.Source {
	tb.Helper()
	key, err := certs.NewPrivateKey(p.Key)
	if err != nil {
		tb.Fatal(err)
	}
	m, err := certs.NewMaterial(p.Chain, key, []*x509.Certificate{ca.RootCert()})
	if err != nil {
		tb.Fatal(err)
	}
	return certs.Static(m)
}

// anyone lets everyone connect whose certificate maps.
func anyone(tb testing.TB) *validator.Default {
	tb.Helper()
	v, err := validator.New(validator.Config{Admit: []validator.Peer{validator.AnyIdentity()}})
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// allow is an authorizer that lets everyone call everything, except mallory.
type allow struct{ asked atomic.Int64 }

func (a *allow) Authorize(_ context.Context, r validator.Request) validator.Decision {
	a.asked.Add(1)
	if strings.Contains(r.Identity.Name, "mallory") {
		return validator.Decision{Rule: "default", Reason: "no policy lets " + r.Identity.Principal.String() + " call " + r.Object + "." + r.Method}
	}
	return validator.Decision{Allowed: true, Rule: "all"}
}

func newWorld(tb testing.TB, change func(*broker.Config)) *world {
	tb.Helper()
	w := &world{tb: tb, ca: testca.New(tb), log: new(logBuffer), served: make(chan error, 1)}
	c := broker.Config{
		Addr: "127.0.0.1:0", PublishHost: "localhost",
		Certs:      source(tb, w.ca, w.ca.Server(tb, "localhost", "127.0.0.1")),
		Validator:  anyone(tb),
		Authorizer: new(allow),
		Logger:     slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&c)
	}
	var err error
	if w.daemon, err = broker.NewDaemon(c); err != nil {
		tb.Fatal(err)
	}
	go func() { w.served <- w.daemon.Serve(context.Background()) }()
	tb.Cleanup(func() {
		w.daemon.Close()
		if err := <-w.served; err != nil {
			tb.Errorf("Serve: %v", err)
		}
	})
	return w
}

// client returns a client with a certificate for name.
func (w *world) client(name string, change func(*broker.ClientConfig)) *broker.Client {
	w.tb.Helper()
	c := broker.ClientConfig{
		Certs:  source(w.tb, w.ca, w.ca.Client(w.tb, name)),
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	if change != nil {
		change(&c)
	}
	client, err := broker.NewClient(c)
	if err != nil {
		w.tb.Fatal(err)
	}
	w.tb.Cleanup(func() { client.Close() })
	return client
}

// register exposes an object and returns a proxy of alice for it.
func (w *world) register(name string, object any, opts ...broker.RegisterOption) *broker.Proxy {
	w.tb.Helper()
	u, err := w.daemon.Register(name, object, opts...)
	if err != nil {
		w.tb.Fatal(err)
	}
	return w.proxy(w.client("alice@bank.example", nil), u.String())
}

func (w *world) proxy(c *broker.Client, uri string, opts ...broker.ProxyOption) *broker.Proxy {
	w.tb.Helper()
	p, err := c.Proxy(w.tb.Context(), uri, opts...)
	if err != nil {
		w.tb.Fatal(err)
	}
	return p
}

func (w *world) uri(object string) string {
	_, port, _ := net.SplitHostPort(w.daemon.Addr().String())
	return "PYROSSL://localhost:" + port + "/" + object
}

// kindOf returns the kind of a call's error.
func kindOf(tb testing.TB, err error) broker.Kind {
	tb.Helper()
	var e *broker.Error
	if !errors.As(err, &e) {
		tb.Fatalf("got %T %v, want *broker.Error", err, err)
	}
	return e.Kind
}

func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	tb.Fatalf("not within 10 s: %s", what)
}

func TestMain(m *testing.M) { leakcheck.Main(m) }

func newLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func clientLeaf(email string, life time.Duration) testca.Leaf {
	var emails []string
	if email != "" {
		emails = []string{email}
	}
	return testca.Leaf{
		Emails: emails, EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(life),
	}
}
