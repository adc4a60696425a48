// Package brokertest makes a world to test in: a certificate authority, a daemon
// with the objects under test, and clients by name and role, all over mutual TLS,
// in one line:
//
//	bank := brokertest.New(t, brokertest.Config{Objects: map[string]any{"bank": &Bank{}}}).Proxy("alice", "bank")
//
// Nothing is written to disk and nothing outlives the test. With InMemory the
// network is in memory too, so that a world can live in a testing/synctest bubble,
// where hours pass in no time: make it inside the bubble, and Close it there.
//
// Everything is as in production but the certificate authority: to test that a
// role may not do something, give Config.Rules and call as that role.
package brokertest

import (
	"context"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/memnet"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// Host is the name that the daemon publishes and its certificate covers.
const Host = "localhost"

// Domain is behind the @ of every client's name in its certificate.
const Domain = "brokertest.example"

// Config is what a World is made of. The zero value is a daemon without objects,
// on the loopback interface, that lets every client call everything.
type Config struct {
	// Objects are exported at once, by name.
	Objects map[string]any
	// Roles of clients, by client name. A client without an entry has no roles.
	Roles map[string][]string
	// Rules say who may call what; nil lets every client call everything. A
	// client's identity is its name.
	Rules []validator.Rule
	// InMemory keeps the network in memory.
	InMemory bool
	// Log gets the daemon's and the clients' logs; nil drops them.
	Log io.Writer
	// Daemon and Client have the last word about the configurations.
	Daemon func(*broker.Config)
	Client func(name string, c *broker.ClientConfig)
}

// World is a daemon and its clients. Its methods fail the test when something is
// wrong.
type World struct {
	Daemon *broker.Daemon

	tb     testing.TB
	config Config
	ca     *testca.CA
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	log    *slog.Logger

	mu      sync.Mutex
	clients map[string]*broker.Client
	served  chan error
	once    sync.Once
}

// New makes a world, which ends with the test or with Close.
func New(tb testing.TB, c Config) *World {
	tb.Helper()
	w := &World{tb: tb, config: c, ca: testca.New(tb), clients: make(map[string]*broker.Client), served: make(chan error, 1)}
	out := c.Log
	if out == nil {
		out = io.Discard
	}
	w.log = slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	dc := broker.Config{
		Addr: "127.0.0.1:0", PublishHost: Host, Certs: w.source(w.ca.Server(tb, Host)),
		Validator: w.validator(), Authorizer: w.rules(), Logger: w.log,
	}
	if c.InMemory {
		network := memnet.New()
		l, err := network.Listen(":7766")
		w.must(err)
		dc.Listener, w.dial = l, network.Dial
	}
	if c.Daemon != nil {
		c.Daemon(&dc)
	}
	var err error
	w.Daemon, err = broker.NewDaemon(dc)
	w.must(err)
	tb.Cleanup(w.Close)
	go func() { w.served <- w.Daemon.Serve(context.Background()) }()
	for name, object := range c.Objects {
		_, err := w.Daemon.Register(name, object)
		w.must(err)
	}
	return w
}

func (w *World) must(err error) {
	w.tb.Helper()
	if err != nil {
		w.tb.Fatal(err)
	}
}

func (w *World) source(p testca.Pair) certs.Source {
	w.tb.Helper()
	key, err := certs.NewPrivateKey(p.Key)
	w.must(err)
	m, err := certs.NewMaterial(p.Chain, key, []*x509.Certificate{w.ca.RootCert()})
	w.must(err)
	return certs.Static(m)
}

// validator lets every client in, and calls it by its name alone.
func (w *World) validator() validator.Validator {
	w.tb.Helper()
	rules := []validator.MapRule{{Name: "clients", Match: validator.Email, Pattern: `(.+)@` + regexp.QuoteMeta(Domain), As: "$1"}}
	for name, roles := range w.config.Roles {
		rules = append(rules, validator.MapRule{
			Name: "roles-of-" + name, Match: validator.Email, Pattern: regexp.QuoteMeta(name + "@" + Domain), As: name, Roles: roles,
		})
	}
	mapper, err := validator.NewMapper(rules...)
	w.must(err)
	v, err := validator.New(validator.Config{Identities: mapper, Admit: []validator.Peer{validator.AnyIdentity()}})
	w.must(err)
	return v
}

func (w *World) rules() validator.Authorizer {
	w.tb.Helper()
	rules := w.config.Rules
	if rules == nil {
		rules = []validator.Rule{{Name: "everything", Effect: validator.Allow, Identities: []string{"*"}, Objects: []string{"*"}, Methods: []string{"*"}}}
	}
	r, err := validator.NewRules(rules...)
	w.must(err)
	return r
}

// Client returns the client with a certificate for name, always the same one. The
// daemon calls it by this name, and it has the roles that Config.Roles gives it.
func (w *World) Client(name string) *broker.Client {
	w.tb.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.clients[name]; c != nil {
		return c
	}
	if strings.Contains(name, "@") {
		w.tb.Fatalf("brokertest: client name %q, want one without @: the domain is added", name)
	}
	config := broker.ClientConfig{Certs: w.source(w.ca.Client(w.tb, name+"@"+Domain)), Dial: w.dial, Logger: w.log}
	if w.config.Client != nil {
		w.config.Client(name, &config)
	}
	c, err := broker.NewClient(config)
	w.must(err)
	w.clients[name] = c
	return c
}

// Proxy returns a proxy of client name for an object.
func (w *World) Proxy(name, object string, opts ...broker.ProxyOption) *broker.Proxy {
	w.tb.Helper()
	p, err := w.Client(name).Proxy(context.Background(), w.URI(object), opts...)
	w.must(err)
	return p
}

// URI returns the URI of an object.
func (w *World) URI(object string) string {
	_, port, err := net.SplitHostPort(w.Daemon.Addr().String())
	w.must(err)
	return "PYROSSL://" + net.JoinHostPort(Host, port) + "/" + object
}

// Close ends clients and daemon, at the latest with the test.
func (w *World) Close() {
	w.once.Do(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, c := range w.clients {
			c.Close()
		}
		w.Daemon.Close()
		if err := <-w.served; err != nil {
			w.tb.Errorf("brokertest: Serve: %v", err)
		}
	})
}
