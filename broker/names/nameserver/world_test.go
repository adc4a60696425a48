package nameserver_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/engine"
	"github.com/pyrossl/pyrossl/broker/names"
	"github.com/pyrossl/pyrossl/broker/names/nameserver"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/leakcheck"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// nsHost is where the name server is, to the clients.
const nsHost = "ns.example"

// world is a name server, and whatever services and clients a test makes.
type world struct {
	t     testing.TB
	ca    *testca.CA
	dir   string
	ttl   time.Duration
	rules *validator.Rules

	engine *engine.Engine
	server *nameserver.Server
	daemon *broker.Daemon
	served chan error

	mu    sync.Mutex
	hosts map[string]string // where hosts are, as host:port
}

func newWorld(t testing.TB, rules ...validator.Rule) *world {
	t.Helper()
	w := &world{t: t, ca: testca.New(t), dir: t.TempDir(), ttl: time.Second, hosts: map[string]string{}}
	if rules == nil {
		rules = []validator.Rule{allow("all", "*", "*")}
	}
	var err error
	if w.rules, err = validator.NewRules(rules...); err != nil {
		t.Fatal(err)
	}
	w.start()
	t.Cleanup(w.stop)
	return w
}

func allow(who, object, method string) validator.Rule {
	identity := who
	if who == "all" {
		identity = "*"
	}
	return validator.Rule{
		Name: strings.ReplaceAll(who, ":", "-") + "-" + fmt.Sprintf("%x", object+method), Effect: validator.Allow,
		Identities: []string{identity}, Objects: []string{object}, Methods: []string{method},
	}
}

// start begins the name server, with what is in the directory.
func (w *world) start() {
	w.t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	var err error
	if w.engine, err = engine.Open(context.Background(), engine.Config{Dir: w.dir, Sync: engine.Sync(time.Second), Logger: quiet}); err != nil {
		w.t.Fatal(err)
	}
	if w.server, err = nameserver.New(context.Background(), nameserver.Config{Engine: w.engine, TTL: w.ttl, Logger: quiet}); err != nil {
		w.t.Fatal(err)
	}
	w.daemon = w.newDaemon(nsHost, w.both(nsHost), nil)
	if err := w.server.Serve(w.daemon); err != nil {
		w.t.Fatal(err)
	}
	w.served = make(chan error, 1)
	go func() { w.served <- w.daemon.Serve(context.Background()) }()
}

func (w *world) stop() {
	if w.daemon == nil {
		return
	}
	w.daemon.Close()
	if err := <-w.served; err != nil {
		w.t.Error(err)
	}
	w.server.Close()
	w.engine.Close()
	w.daemon = nil
}

// newDaemon makes a daemon that the world's clients find at host.
func (w *world) newDaemon(host string, src certs.Source, client *broker.Client) *broker.Daemon {
	w.t.Helper()
	v, err := validator.New(validator.Config{Admit: []validator.Peer{validator.AnyIdentity()}})
	if err != nil {
		w.t.Fatal(err)
	}
	d, err := broker.NewDaemon(broker.Config{
		Addr: "127.0.0.1:0", PublishHost: host, PublishPort: 7766, Certs: src, Validator: v, Authorizer: w.rules,
		Errors: names.Errors(nil), Client: client, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.at(host, d.Addr().String())
	return d
}

func (w *world) at(host, address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hosts[host] = address
}

func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(address)
	w.mu.Lock()
	at := w.hosts[host]
	w.mu.Unlock()
	if at == "" {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("no such host")}
	}
	return new(net.Dialer).DialContext(ctx, network, at)
}

// both is a certificate for both purposes, with one name.
func (w *world) both(host string) certs.Source {
	return w.source(w.ca.Issue(w.t, testca.Leaf{DNS: []string{host}, EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}))
}

func (w *world) source(p testca.Pair) certs.Source {
	w.t.Helper()
	key, err := certs.NewPrivateKey(p.Key)
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := certs.NewMaterial(p.Chain, key, []*x509.Certificate{w.ca.RootCert()})
	if err != nil {
		w.t.Fatal(err)
	}
	return certs.Static(m)
}

// client is one with a DNS name.
func (w *world) client(name string) *broker.Client {
	w.t.Helper()
	c, err := broker.NewClient(broker.ClientConfig{
		Certs: w.both(name), Names: "PYROLOCSSL://" + nsHost + "/" + names.Object, Dial: w.dial, Errors: names.Errors(nil),
		Logger: slog.New(slog.DiscardHandler), Timeout: 10 * time.Second,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c
}

// names is a client of the name server.
func (w *world) names(name string) *names.Client {
	w.t.Helper()
	ns, err := names.Connect(w.t.Context(), w.client(name))
	if err != nil {
		w.t.Fatal(err)
	}
	return ns
}

// bank says where it is.
type bank struct{ host string }

func (b bank) Where() string { return b.host }

// service is a daemon that serves a bank, under a name.
type service struct {
	*broker.Daemon
	client *broker.Client
	served chan error
	once   sync.Once
}

// service starts one at host.
func (w *world) service(host string, opts ...broker.RegisterOption) *service {
	w.t.Helper()
	c := w.client(host)
	s := &service{Daemon: w.newDaemon(host, w.both(host), c), client: c, served: make(chan error, 1)}
	if _, err := s.Register("bank", bank{host}, opts...); err != nil {
		w.t.Fatal(err)
	}
	go func() { s.served <- s.Serve(context.Background()) }()
	w.t.Cleanup(func() { s.kill() })
	return s
}

// kill ends a service without a word to the name server.
func (s *service) kill() {
	s.once.Do(func() {
		s.Close()
		<-s.served
		s.client.Close()
	})
}

func where(ctx context.Context, p *broker.Proxy) (host string, err error) {
	err = p.Call(ctx, "Where", &host)
	return host, err
}

// eventually waits for what must come.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 20s: %s", what)
		}
	}
}
