package broker_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"
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

// notebook notes each call that runs.
type notebook struct {
	mu  sync.Mutex
	ran map[string]int
}

func (l *notebook) Note(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ran[id]++
}

// TestRotationUnderLoad replaces the certificates of daemon and clients again and
// again, and then the authority of all, while the clients call: no call fails, none
// runs twice, and afterwards no connection is left that the old authority vouched for.
func TestRotationUnderLoad(t *testing.T) {
	clients, rolls := 10, 3
	if os.Getenv("SOAK") != "" {
		clients, rolls = 200, 20
	}
	first, second := testca.New(t), testca.New(t)
	sources := make([]*swapped, clients)
	daemons := new(swapped)
	roots := []*x509.Certificate{first.RootCert()}
	// reissue gives everybody a new certificate.
	reissue := func(ca *testca.CA) {
		daemons.p.Store(materialOf(t, ca.Server(t, "localhost"), roots...))
		for i, s := range sources {
			s.p.Store(materialOf(t, ca.Client(t, fmt.Sprintf("client%d@bank.example", i)), roots...))
		}
	}
	// trust changes nothing but the authorities.
	trust := func(now ...*x509.Certificate) {
		roots = now
		for _, s := range append([]*swapped{daemons}, sources...) {
			m := s.Current()
			next, err := certs.NewMaterial(m.Chain, m.Key, now)
			if err != nil {
				t.Fatal(err)
			}
			s.p.Store(next)
		}
	}
	for i := range sources {
		sources[i] = new(swapped)
	}
	reissue(first)
	v, err := validator.New(validator.Config{Admit: []validator.Peer{validator.AnyIdentity()}, MaxConnections: 10 * clients})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(c *broker.Config) {
		c.Certs, c.Validator = daemons, v
		c.MaxHandshakes, c.MaxHandshakesPerAddress = 2*clients, 2*clients
	})
	l := &notebook{ran: make(map[string]int)}
	if _, err := w.daemon.Register("ledger", l); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var failed, sent atomic.Int64
	var wg sync.WaitGroup
	for i, s := range sources {
		p := w.proxy(w.client("", func(c *broker.ClientConfig) { c.Certs = s }), w.uri("ledger"))
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				sent.Add(1)
				if err := p.Call(context.Background(), "Note", nil, fmt.Sprint(i, " ", n)); err != nil {
					failed.Add(1)
					t.Errorf("client %d, call %d: %v", i, n, err)
					return
				}
			}
		})
	}
	renewed := func(issuer string) func() bool {
		return func() bool { n := w.daemon.Anchors(); return n[issuer] >= clients && len(n) == 1 }
	}
	old, next := validator.IssuerOf(first.RootCert()), validator.IssuerOf(second.RootCert())
	eventually(t, "all are connected", renewed(old))
	for range rolls {
		before := strings.Count(w.log.String(), "msg=connected")
		reissue(first)
		eventually(t, "all have come back with their new certificates", func() bool {
			return strings.Count(w.log.String(), "msg=connected") >= before+clients
		})
	}
	trust(first.RootCert(), second.RootCert())
	reissue(second)
	eventually(t, "the new authority vouches for all", renewed(next))
	trust(second.RootCert())
	time.Sleep(500 * time.Millisecond)
	if n := w.daemon.Anchors(); n[old] != 0 {
		t.Errorf("%d connections that the old authority vouched for", n[old])
	}
	stop()
	wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	twice := 0
	for id, n := range l.ran {
		if n != 1 {
			twice++
			t.Errorf("call %s ran %d times", id, n)
		}
	}
	t.Logf("%d clients, %d rolls and one of the authority: %d calls, %d failed, %d ran twice", clients, rolls, sent.Load(), failed.Load(), twice)
	if int64(len(l.ran)) != sent.Load() {
		t.Errorf("%d calls were sent, %d ran", sent.Load(), len(l.ran))
	}
}

// TestDaemonRevoked: a client leaves a daemon whose certificate is good no longer.
func TestDaemonRevoked(t *testing.T) {
	w := newWorld(t, nil)
	other := testca.New(t)
	if _, err := w.daemon.Register("bank", newBank()); err != nil {
		t.Fatal(err)
	}
	s := new(swapped)
	pair := w.ca.Client(t, "alice@bank.example")
	s.p.Store(materialOf(t, pair, w.ca.RootCert(), other.RootCert()))
	p := w.proxy(w.client("", func(c *broker.ClientConfig) { c.Certs = s }), w.uri("bank"))
	pending := make(chan error, 1)
	go func() { pending <- p.Call(t.Context(), "Wait", nil) }()
	eventually(t, "connected", func() bool { return strings.Contains(w.log.String(), "msg=connected") })
	s.p.Store(materialOf(t, pair, other.RootCert()))
	if err := <-pending; kindOf(t, err) != broker.KindLost && kindOf(t, err) != broker.KindCanceled {
		t.Errorf("the call came to %v", err)
	}
	if err := p.Call(t.Context(), "Nothing", nil); err == nil || !strings.Contains(err.Error(), "chain") {
		t.Errorf("the next call came to %v", err)
	}
}
