package pool_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/pool"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/leakcheck"
	"github.com/pyrossl/pyrossl/internal/memnet"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// world is a network with several daemons that serve the same object, for one bubble.
type world struct {
	tb      testing.TB
	ca      *testca.CA
	network *memnet.Network
	nodes   []*node
	client  *broker.Client
	log     *logBuffer

	mu    sync.Mutex
	conns map[string][]net.Conn // that clients have made, by address
	dials map[string]int
}

// node is one daemon and its object.
type node struct {
	world  *world
	name   string
	daemon *broker.Daemon
	served chan error
	denies atomic.Bool // new connections are refused

	running chan struct{} // a token for each call that waits
	gate    chan struct{}

	mu   sync.Mutex
	runs map[int]int // of Run and Again, by id
}

// object is what all daemons serve.
type object struct{ *node }

func (o object) Who() string { return o.name }

func (o object) Run(id int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.runs[id]++
	return o.name
}

func (o object) Again(id int) string { return o.Run(id) }

func (o object) Wait(ctx context.Context, id int) (string, error) {
	o.Run(id)
	return o.wait(ctx)
}

func (o object) WaitAgain(ctx context.Context, id int) (string, error) { return o.Wait(ctx, id) }

func (n *node) wait(ctx context.Context) (string, error) {
	n.running <- struct{}{}
	select {
	case <-n.gate:
		return n.name, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (o object) Sleep(ctx context.Context, ms int) (string, error) {
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
		return o.name, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (o object) Fail() error { return errors.New("the method's own error") }

func (o object) Count(n int) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for range n {
			if !yield(o.name, nil) {
				return
			}
		}
	}
}

func (o object) Sum(numbers iter.Seq2[int, error]) (sum int, err error) {
	for n, err := range numbers {
		if err != nil {
			return sum, err
		}
		sum += n
	}
	return sum, nil
}

func newWorld(tb testing.TB, nodes int) *world {
	tb.Helper()
	w := &world{tb: tb, ca: testca.New(tb), network: memnet.New(), log: new(logBuffer), conns: make(map[string][]net.Conn), dials: make(map[string]int)}
	for i := range nodes {
		n := &node{world: w, name: fmt.Sprintf("n%d.example", i), running: make(chan struct{}, 1000), gate: make(chan struct{}), runs: make(map[int]int)}
		w.nodes = append(w.nodes, n)
		n.start()
	}
	var err error
	w.client, err = broker.NewClient(broker.ClientConfig{
		Certs: w.source(w.ca.Client(tb, "alice@bank.example")), Dial: w.dial,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	w.must(err)
	return w
}

func (w *world) must(err error) {
	w.tb.Helper()
	if err != nil {
		w.tb.Fatal(err)
	}
}

// close ends everything: bubbles want that before they end.
func (w *world) close() {
	w.client.Close()
	for _, n := range w.nodes {
		n.stop()
	}
}

func (w *world) source(p testca.Pair) certs.Source {
	w.tb.Helper()
	key, err := certs.NewPrivateKey(p.Key)
	w.must(err)
	m, err := certs.NewMaterial(p.Chain, key, []*x509.Certificate{w.ca.RootCert()})
	w.must(err)
	return certs.Static(m)
}

func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dials[address]++
	w.mu.Unlock()
	c, err := w.network.Dial(ctx, network, address)
	if err == nil {
		w.mu.Lock()
		w.conns[address] = append(w.conns[address], c)
		w.mu.Unlock()
	}
	return c, err
}

func (w *world) dialed() (all int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.dials {
		all += n
	}
	return all
}

// pool makes a pool of all daemons.
func (w *world) pool(change func(*pool.Config)) *pool.Pool {
	w.tb.Helper()
	c := pool.Config{Idempotent: []string{"Again", "WaitAgain"}, Logger: slog.New(slog.NewTextHandler(w.log, nil))}
	for _, n := range w.nodes {
		c.Daemons = append(c.Daemons, n.uri())
	}
	c.Seeded(1)
	if change != nil {
		change(&c)
	}
	p, err := pool.New(w.client, c)
	w.must(err)
	return p
}

func (n *node) address() string { return n.name + ":7766" }
func (n *node) uri() string     { return "PYROSSL://" + n.address() + "/node" }

// start makes the daemon, or makes it anew.
func (n *node) start() {
	w := n.world
	w.tb.Helper()
	l, err := w.network.Listen(n.address())
	w.must(err)
	v, err := validator.New(validator.Config{Admit: []validator.Peer{validator.AnyIdentity()}})
	w.must(err)
	rules, err := validator.NewRules(validator.Rule{Name: "all", Effect: validator.Allow, Identities: []string{"*"}, Objects: []string{"*"}, Methods: []string{"*"}})
	w.must(err)
	n.daemon, err = broker.NewDaemon(broker.Config{
		Listener: l, PublishHost: n.name, Certs: w.source(w.ca.Server(w.tb, n.name)), Validator: v, Authorizer: rules,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		OnConnect: func(context.Context, *broker.Peer) error {
			if n.denies.Load() {
				return &validator.Denial{Code: validator.DeniedSecurity, Check: validator.CheckIdentity, Got: "a test", Want: "another one"}
			}
			return nil
		},
	})
	w.must(err)
	_, err = n.daemon.Register("node", object{n}, broker.Expose("Who", "Run", "Again", "Wait", "WaitAgain", "Sleep", "Fail", "Count", "Sum"), broker.IdempotentMethods("Again", "WaitAgain"))
	w.must(err)
	served := make(chan error, 1)
	n.served = served
	d := n.daemon
	go func() { served <- d.Serve(context.Background()) }()
}

// stop ends the daemon at once.
func (n *node) stop() {
	n.daemon.Close()
	if n.served != nil {
		if err := <-n.served; err != nil {
			n.world.tb.Errorf("Serve: %v", err)
		}
		n.served = nil
	}
}

// cut breaks all connections of clients to the daemon.
func (n *node) cut() {
	w := n.world
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns[n.address()] {
		c.(*memnet.Conn).Abort()
	}
	delete(w.conns, n.address())
}

func (n *node) ran(id int) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.runs[id]
}

// ran is how often the method ran on all daemons together.
func (w *world) ran(id int) (all int) {
	for _, n := range w.nodes {
		all += n.ran(id)
	}
	return all
}

// connections is how many each daemon has.
func (w *world) connections() (all []int) {
	for _, n := range w.nodes {
		all = append(all, n.connections())
	}
	return all
}

func (n *node) connections() int {
	var b strings.Builder
	n.world.must(n.daemon.WriteMetrics(&b))
	_, rest, _ := strings.Cut(b.String(), "\npyrossl_sessions ")
	var open int
	if _, err := fmt.Sscan(rest, &open); err != nil {
		n.world.tb.Fatalf("%v in %q", err, rest)
	}
	return open
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

func kindOf(tb testing.TB, err error) broker.Kind {
	tb.Helper()
	var e *broker.Error
	if !errors.As(err, &e) {
		tb.Fatalf("got %T %v, want *broker.Error", err, err)
	}
	return e.Kind
}
