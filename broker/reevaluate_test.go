package broker_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// swapped is a source whose material the test replaces.
type swapped struct {
	p atomic.Pointer[certs.Material]
}

func (s *swapped) Current() *certs.Material { return s.p.Load() }
func (s *swapped) Status() certs.Status     { return certs.Status{NotAfter: s.Current().Leaf().NotAfter} }

func materialOf(tb testing.TB, p testca.Pair, roots ...*x509.Certificate) *certs.Material {
	tb.Helper()
	key, err := certs.NewPrivateKey(p.Key)
	if err != nil {
		tb.Fatal(err)
	}
	m, err := certs.NewMaterial(p.Chain, key, roots)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// guarded is a daemon whose reasons the test takes away, one after the other.
type guarded struct {
	t         *testing.T
	ca, other *testca.CA
	source    *swapped
	validator *validator.Default
	rules     *validator.Rules
	server    testca.Pair
	victim    testca.Pair // and who is allowed all along
	bystander testca.Pair
	idents    bool
}

func (g *guarded) deny(line string) {
	g.t.Helper()
	list, err := certs.ParseDenyList([]byte("number 1\n" + line + "\n"))
	if err != nil {
		g.t.Fatal(err)
	}
	g.revoke(certs.RevocationConfig{Deny: list})
}

func (g *guarded) revoke(c certs.RevocationConfig) {
	g.t.Helper()
	r, err := certs.NewRevocations(c)
	if err != nil {
		g.t.Fatal(err)
	}
	m, err := g.source.Current().WithRevocations(r)
	if err != nil {
		g.t.Fatal(err)
	}
	g.source.p.Store(m)
}

func (g *guarded) crl(ca *testca.CA, l testca.List) []*certs.CRL {
	g.t.Helper()
	l.Number++
	lists, err := certs.ParseCRLs(ca.CRL(g.t, l))
	if err != nil {
		g.t.Fatal(err)
	}
	return lists
}

func everything(identities ...string) validator.Rule {
	return validator.Rule{Name: "everything", Effect: validator.Allow, Identities: identities, Objects: []string{"*"}, Methods: []string{"*"}}
}

const (
	victimName    = "email:victim@bank.example"
	bystanderName = "email:bystander@bank.example"
)

// trigger is why something ends. prepare may change the certificates before the daemon
// is made; fire takes the reason away, or is nil when time does.
type trigger struct {
	name    string
	prepare func(g *guarded)
	fire    func(g *guarded)
	soon    time.Duration // when time takes it away
	check   validator.Check
}

// shortly is long enough to set everything up, and a multiple of the second that dates
// are kept to.
const shortly = 3 * time.Second

var triggers = []trigger{
	{name: "serial revoked", check: validator.CheckRevocation, fire: func(g *guarded) {
		g.revoke(certs.RevocationConfig{CRLs: g.crl(g.ca, testca.List{Revoked: g.victim.Chain[:1]})})
	}},
	{name: "key denied", check: validator.CheckRevocation, fire: func(g *guarded) {
		g.deny(fmt.Sprintf("key %x", sha256.Sum256(g.victim.Chain[0].RawSubjectPublicKeyInfo)))
	}},
	{name: "principal denied", check: validator.CheckRevocation, fire: func(g *guarded) { g.deny("principal " + victimName) }},
	{name: "authority removed", check: validator.CheckChain, prepare: func(g *guarded) {
		g.victim = g.other.Client(g.t, "victim@bank.example")
	}, fire: func(g *guarded) { g.source.p.Store(materialOf(g.t, g.server, g.ca.RootCert())) }},
	{name: "mapping changed", check: validator.CheckIdentity, fire: func(g *guarded) {
		m, err := validator.NewMapper(validator.MapRule{Name: "bystander", Match: validator.Email, Pattern: `(bystander)@bank\.example`, As: "email:bystander@bank.example"})
		if err != nil {
			g.t.Fatal(err)
		}
		g.validator.SetIdentities(m)
	}},
	{name: "rules changed", fire: func(g *guarded) {
		if err := g.rules.Replace(everything(bystanderName)); err != nil {
			g.t.Fatal(err)
		}
	}},
	{name: "leaf expired", check: validator.CheckDates, soon: shortly, prepare: func(g *guarded) {
		g.victim = g.ca.Issue(g.t, clientLeaf("victim@bank.example", shortly))
	}},
	{name: "chain expired", check: validator.CheckDates, soon: shortly, prepare: func(g *guarded) {
		brief := g.ca.Reissued(g.t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(shortly) })
		g.victim.Chain[1] = brief.IntermediateCert()
	}},
	{name: "list stale", check: validator.CheckRevocation, soon: shortly, prepare: func(g *guarded) {
		sibling := g.ca.Sibling(g.t)
		g.victim = sibling.Client(g.t, "victim@bank.example")
		g.revoke(certs.RevocationConfig{CRLs: append(g.crl(g.ca, testca.List{}), g.crl(sibling, testca.List{NextUpdate: time.Now().Add(shortly)})...)})
	}},
	{name: "second factor withdrawn", check: validator.CheckIdentification, prepare: func(g *guarded) {
		g.idents = true
		g.identify("victim", "bystander")
	}, fire: func(g *guarded) { g.identify("bystander") }},
}

func (g *guarded) identify(names ...string) {
	g.t.Helper()
	var ids []validator.Identification
	for _, n := range names {
		ids = append(ids, login(n))
	}
	if err := g.validator.SetAllowedIdentifications(ids); err != nil {
		g.t.Fatal(err)
	}
}

func login(name string) validator.Login {
	return validator.Login{Name: name, Passphrase: validator.Passphrase("the passphrase of " + name)}
}

// keeper is what everybody keeps something of.
type keeper struct {
	hub
	entered chan string

	mu      sync.Mutex
	over    map[string]bool // whose oneway calls have ended
	pause   bool            // handshakes wait for release
	waiting int
	release chan struct{}
}

// onConnect holds handshakes back.
func (k *keeper) onConnect(ctx context.Context, _ *broker.Peer) error {
	k.mu.Lock()
	pause := k.pause
	if pause {
		k.waiting++
	}
	k.mu.Unlock()
	if pause {
		select {
		case <-k.release:
		case <-ctx.Done():
		}
	}
	return nil
}

func (k *keeper) hold(ctx context.Context, what string) error {
	k.entered <- what
	<-ctx.Done()
	return ctx.Err()
}

func (k *keeper) Wait(ctx context.Context) error { return k.hold(ctx, "call") }

func (k *keeper) Oneway(ctx context.Context, name string) {
	k.hold(ctx, "oneway")
	k.mu.Lock()
	defer k.mu.Unlock()
	k.over[name] = true
}

func (k *keeper) Hold(ctx context.Context, cb *broker.Proxy) error {
	return cb.Call(ctx, "Hold", nil)
}

type holder struct{ entered chan string }

func (h *holder) Hold(ctx context.Context) error {
	h.entered <- "callback"
	<-ctx.Done()
	return ctx.Err()
}

// person is a client with one of everything that lives because of a decision. Each
// entry of its kept returns how the thing ended, or nil while it lives.
type person struct {
	kept map[string]func() error
}

// resourceKinds must all be in a person's kept: what reevaluate has to reach.
var resourceKinds = []string{"connection", "handshake", "call", "oneway", "stream", "batch", "callback", "reference"}

// keep lists something whose end is that of a call.
func (p *person) keep(kind string, call func() error) {
	ended := make(chan error, 1)
	go func() { ended <- call() }()
	var mu sync.Mutex
	var outcome error
	p.kept[kind] = func() error {
		mu.Lock()
		defer mu.Unlock()
		select {
		case err := <-ended:
			if outcome = err; err == nil {
				outcome = errors.New("ended without a reason")
			}
		default:
		}
		return outcome
	}
}

func (g *guarded) person(w *world, k *keeper, s *streamer, pair testca.Pair, name string) *person {
	t := g.t
	t.Helper()
	newClient := func() *broker.Client {
		return w.client("", func(c *broker.ClientConfig) {
			c.Certs = certs.Static(materialOf(t, pair, g.ca.RootCert()))
			if g.idents {
				c.Identification = login(name)
			}
		})
	}
	client := newClient()
	p := w.proxy(client, w.uri("keeper"))
	me := &person{kept: make(map[string]func() error)}
	pending := me.keep
	enters := func(kind string) {
		t.Helper()
		select {
		case got := <-k.entered:
			if got != kind {
				t.Fatalf("%s runs, want %s", got, kind)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: %s does not run", name, kind)
		}
	}
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	long, stop := context.WithTimeout(ctx, time.Minute)
	t.Cleanup(stop)

	must(p.Call(ctx, "Nobody", nil))
	me.kept["connection"] = func() error { return p.Call(ctx, "Nobody", nil) }
	pending("call", func() error { return p.Call(long, "Wait", nil) })
	enters("call")
	pending("batch", func() error { b := p.Batch(); b.Call("Wait"); return b.Run(long) })
	enters("call")
	pending("stream", func() error {
		for _, err := range broker.Stream[[]byte](long, w.proxy(client, w.uri("streamer")), "Endless") {
			if err != nil {
				return err
			}
		}
		return nil
	})
	pending("callback", func() error { return p.Call(long, "Hold", nil, broker.Callback("holder", &holder{k.entered})) })
	enters("callback")
	must(p.Oneway(ctx, "Oneway", name))
	enters("oneway")
	me.kept["oneway"] = func() error {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.over[name] {
			return errors.New("over")
		}
		return nil
	}
	var mine *broker.Proxy
	must(p.Call(ctx, "Open", &mine, name))
	me.kept["reference"] = func() error { return mine.Call(ctx, "Add", nil, 1) }

	return me
}

// TestReasonsEnd: for every trigger, everything that its victim keeps ends within two
// seconds, with the reason, and nothing of a bystander does.
func TestReasonsEnd(t *testing.T) {
	for _, tr := range triggers {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			testTrigger(t, tr)
		})
	}
}

func testTrigger(t *testing.T, tr trigger) {
	g := &guarded{t: t, ca: testca.New(t), other: testca.New(t), source: new(swapped)}
	var err error
	if g.validator, err = validator.New(validator.Config{Admit: []validator.Peer{validator.AnyIdentity()}, Iterations: 4096}); err != nil {
		t.Fatal(err)
	}
	if g.rules, err = validator.NewRules(everything("*")); err != nil {
		t.Fatal(err)
	}
	g.server = g.ca.Server(t, "localhost")
	g.victim, g.bystander = g.ca.Client(t, "victim@bank.example"), g.ca.Client(t, "bystander@bank.example")
	g.source.p.Store(materialOf(t, g.server, g.ca.RootCert(), g.other.RootCert()))
	begun := time.Now()
	if tr.prepare != nil {
		tr.prepare(g)
	}
	k := &keeper{entered: make(chan string, 10), over: make(map[string]bool), release: make(chan struct{})}
	k.gone = make(chan string, 100)
	w := newWorld(t, func(c *broker.Config) {
		c.Certs, c.Validator, c.Authorizer, c.OnConnect = g.source, g.validator, g.rules, k.onConnect
	})
	w.ca = g.ca
	s := &streamer{ended: make(chan error, 10)}
	for name, object := range map[string]any{"keeper": k, "streamer": s} {
		opts := []broker.RegisterOption{}
		if name == "keeper" {
			opts = append(opts, broker.Expose("Nobody", "Wait", "Hold", "Oneway", "Open"))
		}
		if _, err := w.daemon.Register(name, object, opts...); err != nil {
			t.Fatal(err)
		}
	}
	victim, bystander := g.person(w, k, s, g.victim, "victim"), g.person(w, k, s, g.bystander, "bystander")
	// Both reconnect, and are held back before the verdict.
	k.mu.Lock()
	k.pause = true
	k.mu.Unlock()
	long, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	g.handshake(long, w, victim, g.victim, "victim")
	g.handshake(long, w, bystander, g.bystander, "bystander")
	eventually(t, "both handshakes wait", func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.waiting == 2
	})
	k.mu.Lock()
	k.pause = false
	k.mu.Unlock()
	for _, kind := range resourceKinds {
		for who, p := range map[string]*person{"victim": victim, "bystander": bystander} {
			look := p.kept[kind]
			if look == nil {
				t.Fatalf("no %s is tested", kind)
			}
			if err := look(); err != nil {
				t.Fatalf("%s of %s ended too soon: %v", kind, who, err)
			}
		}
	}
	if tr.fire != nil {
		begun = time.Now()
		tr.fire(g)
	} else {
		time.Sleep(time.Until(begun.Add(tr.soon)))
	}
	time.Sleep(50 * time.Millisecond)
	close(k.release)
	const goal = 2 * time.Second
	for _, kind := range resourceKinds {
		var err error
		eventually(t, kind+" of the victim ends", func() bool { err = victim.kept[kind](); return err != nil })
		if took := time.Since(begun) - tr.soon; took > goal {
			t.Logf("%s ended after %v, want %v", kind, took, goal)
		}
		t.Logf("%s: %v", kind, err)
	}
	for _, kind := range resourceKinds {
		if err := bystander.kept[kind](); err != nil {
			t.Errorf("%s of the bystander ended: %v", kind, err)
		}
	}
	// The reason is told, and nobody can come back.
	err = victim.kept["connection"]()
	var denied *broker.ConnectionDeniedError
	var e *broker.Error
	switch {
	case tr.check == "" && errors.As(err, &e) && e.Kind == broker.KindDenied:
	case tr.check != "" && errors.As(err, &denied) && denied.Check == tr.check:
	default:
		t.Errorf("the victim comes back and gets %v, want %q", err, tr.check)
	}
}

// handshake begins a second connection.
func (g *guarded) handshake(ctx context.Context, w *world, me *person, pair testca.Pair, name string) {
	client := w.client("", func(c *broker.ClientConfig) {
		c.Certs = certs.Static(materialOf(g.t, pair, g.ca.RootCert()))
		if g.idents {
			c.Identification = login(name)
		}
	})
	p := w.proxy(client, w.uri("keeper"))
	me.keep("handshake", func() error { return p.Call(ctx, "Wait", nil) })
}

// TestStalledPeerHoldsUpNobody: a client that does not read, with replies waiting for
// it, does not keep others from losing what they may no longer do.
func TestStalledPeerHoldsUpNobody(t *testing.T) {
	rules, err := validator.NewRules(everything("*"))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(c *broker.Config) { c.Authorizer = rules })
	w.register("bank", newBank())
	stalled := &stallingDial{}
	p := w.proxy(w.client("stalled@bank.example", func(c *broker.ClientConfig) { c.Dial = stalled.dial }), w.uri("bank"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := p.Call(ctx, "Nothing", nil); err != nil {
		t.Fatal(err)
	}
	stalled.stop.Store(true)
	for range 200 {
		go p.Call(ctx, "Big", nil, 60_000)
		go p.Call(ctx, "Wait", nil)
	}
	victim := w.proxy(w.client("victim@bank.example", nil), w.uri("bank"))
	pending := make(chan error, 1)
	go func() { pending <- victim.Call(t.Context(), "Wait", nil) }()
	eventually(t, "all run", func() bool {
		var b strings.Builder
		w.daemon.WriteMetrics(&b)
		return strings.Contains(b.String(), "pyrossl_sessions 2") && !strings.Contains(b.String(), "calls_in_flight 0\n")
	})
	time.Sleep(100 * time.Millisecond)
	if err := rules.Replace(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-pending:
		if kindOf(t, err) != broker.KindDenied {
			t.Errorf("got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the victim's call goes on")
	}
	stalled.stop.Store(false)
	cancel()
}

// stallingDial makes connections that stop to read.
type stallingDial struct{ stop atomic.Bool }

func (d *stallingDial) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.(*net.TCPConn).SetReadBuffer(4 << 10)
	return &stallingConn{c, d}, nil
}

type stallingConn struct {
	net.Conn
	d *stallingDial
}

func (c *stallingConn) Read(p []byte) (int, error) {
	for c.d.stop.Load() {
		time.Sleep(time.Millisecond)
	}
	return c.Conn.Read(p)
}
