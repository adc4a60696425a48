package broker_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
)

// killer dials, and can break what it dialled.
type killer struct {
	mu    sync.Mutex
	conns []net.Conn
	dials atomic.Int64
}

func (k *killer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err == nil {
		k.dials.Add(1)
		k.mu.Lock()
		k.conns = append(k.conns, c)
		k.mu.Unlock()
	}
	return c, err
}

// kill resets all connections.
func (k *killer) kill() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
		c.Close()
	}
	k.conns = nil
}

func (k *killer) use(c *broker.ClientConfig) { c.Dial = k.dial }

func TestReconnect(t *testing.T) {
	w := newWorld(t, nil)
	b := newBank()
	w.daemon.Register("bank", b, broker.IdempotentMethods("Balance"))
	k := new(killer)
	c := w.client("alice@bank.example", k.use)
	p := w.proxy(c, w.uri("bank"), broker.Idempotent("Balance"))
	for range 5 {
		if err := p.Call(t.Context(), "Balance", nil, "alice"); err != nil {
			t.Fatal(err)
		}
		k.kill()
	}
	if n := k.dials.Load(); n != 5 {
		t.Errorf("%d dials for 5 connections", n)
	}
}

// TestAtMostOnce breaks the connection while a method runs.
func TestAtMostOnce(t *testing.T) {
	w := newWorld(t, nil)
	b := &slow{started: make(chan struct{}, 10)}
	w.daemon.Register("slow", b, broker.IdempotentMethods("Again"))
	k := new(killer)
	c := w.client("alice@bank.example", k.use)

	// Not declared: the caller is told that it may have run.
	p := w.proxy(c, w.uri("slow"))
	result := make(chan error, 1)
	go func() { result <- p.Call(t.Context(), "Once", nil) }()
	<-b.started
	k.kill()
	var e *broker.Error
	if err := <-result; !errors.As(err, &e) || e.Kind != broker.KindLost || !e.MayHaveRun {
		t.Errorf("not idempotent: %v", err)
	}

	// Declared on both sides: it is called again.
	p = w.proxy(c, w.uri("slow"), broker.Idempotent("Again", "Once"))
	go func() { result <- p.Call(t.Context(), "Again", nil) }()
	<-b.started
	k.kill()
	if err := <-result; err != nil {
		t.Errorf("idempotent: %v", err)
	}
	if n := b.again.Load(); n != 2 {
		t.Errorf("Again ran %d times, want 2", n)
	}

	// Declared by the client only: the daemon does not believe it.
	before := b.once.Load()
	go func() { result <- p.Call(t.Context(), "Once", nil) }()
	<-b.started
	k.kill()
	if err := <-result; !errors.As(err, &e) || e.Kind != broker.KindRetry {
		t.Errorf("idempotent for the client only: %v", err)
	}
	if n := b.once.Load() - before; n != 1 {
		t.Errorf("Once ran %d times, want once", n)
	}
}

// slow methods end with their connection, the first time.
type slow struct {
	started     chan struct{}
	once, again atomic.Int64
}

func (s *slow) Once(ctx context.Context) {
	s.once.Add(1)
	s.started <- struct{}{}
	<-ctx.Done()
}

func (s *slow) Again(ctx context.Context) {
	if s.again.Add(1) == 1 {
		s.started <- struct{}{}
		<-ctx.Done()
	}
}

// TestChaos has 1,000 callers on one proxy and one connection, which is broken,
// and whose calls are cancelled, at random. No call may run twice or be lost
// without an error, and every error is typed and tells the truth about whether
// the method may have run.
func TestChaos(t *testing.T) {
	const callers, calls = 1000, 10
	w := newWorld(t, nil)
	ledger := &ledger{runs: make(map[int64]int)}
	w.daemon.Register("ledger", ledger, broker.IdempotentMethods("Read"))
	k := new(killer)
	p := w.proxy(w.client("alice@bank.example", k.use), w.uri("ledger"), broker.Idempotent("Read"))

	stop := make(chan struct{})
	var disturb sync.WaitGroup
	disturb.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(10+rand.IntN(60)) * time.Millisecond):
				k.kill()
			}
		}
	})
	type outcome struct {
		id  int64
		err error
	}
	results := make(chan outcome, callers*calls)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for j := range calls {
				id := int64(i*calls + j)
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				if rand.IntN(10) == 0 {
					time.AfterFunc(time.Duration(rand.IntN(5000))*time.Microsecond, cancel)
				}
				method := "Write"
				if id%4 == 0 {
					method = "Read"
				}
				var got int64
				err := p.Call(ctx, method, &got, id, make([]byte, rand.IntN(2000)))
				if err == nil && got != id {
					t.Errorf("call %d got the answer of %d", id, got)
				}
				cancel()
				results <- outcome{id, err}
			}
		})
	}
	wg.Wait()
	close(stop)
	disturb.Wait()
	close(results)
	ledger.mu.Lock()
	defer ledger.mu.Unlock()
	var ok, failed int
	for r := range results {
		runs := ledger.runs[r.id]
		write := r.id%4 != 0
		if write && runs > 1 {
			t.Errorf("call %d ran %d times", r.id, runs)
		}
		if r.err == nil {
			ok++
			if runs == 0 {
				t.Errorf("call %d succeeded and never ran", r.id)
			}
			continue
		}
		failed++
		var e *broker.Error
		if !errors.As(r.err, &e) {
			t.Errorf("call %d: untyped error %T %v", r.id, r.err, r.err)
			continue
		}
		switch e.Kind {
		case broker.KindLost, broker.KindCanceled, broker.KindDeadline, broker.KindUnreachable:
		default:
			t.Errorf("call %d: unexpected %v", r.id, r.err)
		}
		if !e.MayHaveRun && runs > 0 {
			t.Errorf("call %d ran, but its error says that it has not: %v", r.id, r.err)
		}
	}
	t.Logf("%d calls succeeded, %d failed, over %d connections", ok, failed, k.dials.Load())
	if ok == 0 || k.dials.Load() < 2 {
		t.Errorf("the test disturbed too much or too little: %d succeeded, %d connections", ok, k.dials.Load())
	}
}

type ledger struct {
	mu   sync.Mutex
	runs map[int64]int
}

func (l *ledger) Write(id int64, _ []byte) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs[id]++
	return id
}

func (l *ledger) Read(id int64, p []byte) int64 { return l.Write(id, p) }
