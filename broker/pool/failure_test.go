package pool_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/pool"
)

// where waits until a call runs, and returns the node on which it does.
func (w *world) where(id int) *node {
	w.tb.Helper()
	synctest.Wait()
	for _, n := range w.nodes {
		if n.ran(id) > 0 {
			<-n.running
			return n
		}
	}
	w.tb.Fatalf("call %d runs nowhere", id)
	return nil
}

// TestAtMostOnce breaks the connection while a method runs, and lets the daemon vanish
// with it.
func TestAtMostOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		defer w.close()
		p := w.pool(func(c *pool.Config) { c.Idempotent = append(c.Idempotent, "Wait") })
		defer p.Close()
		result := make(chan error, 1)
		call := func(method string, id int) {
			go func() { result <- p.Call(t.Context(), method, nil, id) }()
		}
		var e *broker.Error

		// Declared on both sides: it runs on another daemon.
		call("WaitAgain", 1)
		first := w.where(1)
		first.cut()
		synctest.Wait()
		second := (*node)(nil)
		for _, n := range w.nodes {
			if n != first && n.ran(1) > 0 {
				second = n
				<-n.running
			}
		}
		if second == nil || w.ran(1) != 2 {
			t.Fatalf("the call was not made again on another daemon: it ran %d times", w.ran(1))
		}
		second.gate <- struct{}{}
		if err := <-result; err != nil {
			t.Errorf("idempotent: %v", err)
		}

		// Declared by the client only: no daemon believes it, and none runs it again.
		call("Wait", 2)
		w.where(2).cut()
		if err := <-result; !errors.As(err, &e) || e.Kind != broker.KindRetry || !e.MayHaveRun {
			t.Errorf("idempotent for the client only: %v", err)
		}
		if n := w.ran(2); n != 1 {
			t.Errorf("it ran %d times", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		defer w.close()
		p := w.pool(nil)
		defer p.Close()
		result := make(chan error, 1)

		// Not declared: the caller is told that it may have run.
		go func() { result <- p.Call(t.Context(), "Wait", nil, 3) }()
		w.where(3).cut()
		var e *broker.Error
		if err := <-result; !errors.As(err, &e) || e.Kind != broker.KindLost || !e.MayHaveRun || w.ran(3) != 1 {
			t.Errorf("not idempotent: %v, it ran %d times", err, w.ran(3))
		}

		// All daemons vanish: what may have run is told, although the last failure is
		// that none can be reached.
		go func() { result <- p.Call(t.Context(), "WaitAgain", nil, 4) }()
		w.where(4)
		for _, n := range w.nodes {
			n.stop()
		}
		var down *pool.DownError
		err := <-result
		if !errors.As(err, &e) || e.Kind != broker.KindUnreachable || !e.MayHaveRun || !errors.As(err, &down) || len(down.Members) != 3 {
			t.Errorf("idempotent, and all daemons gone: %v", err)
		}
	})
}

// TestDrain restarts one daemon after the other while calls are made: none fails, and none
// takes longer than a moment.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		defer w.close()
		p := w.pool(nil)
		defer p.Close()
		stop := make(chan struct{})
		var wg sync.WaitGroup
		slowest := make([]time.Duration, 10)
		for i := range slowest {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), 0))
				for {
					select {
					case <-stop:
						return
					default:
					}
					begun, ms := time.Now(), r.IntN(20)
					if err := p.Call(t.Context(), "Sleep", nil, ms); err != nil {
						t.Errorf("a call failed: %v", err)
						return
					}
					slowest[i] = max(slowest[i], time.Since(begun)-time.Duration(ms)*time.Millisecond)
				}
			})
		}
		for range 3 {
			for _, n := range w.nodes {
				time.Sleep(2 * time.Second)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				if err := n.daemon.Shutdown(ctx); err != nil {
					t.Errorf("Shutdown: %v", err)
				}
				cancel()
				n.stop()
				time.Sleep(time.Second)
				n.start()
			}
		}
		time.Sleep(2 * time.Second)
		close(stop)
		wg.Wait()
		for _, d := range slowest {
			if d > 100*time.Millisecond {
				t.Errorf("a call took %v longer than its method", d)
			}
		}
	})
}

// TestEjection takes one daemon away for a minute: no call fails, the daemon is dialled
// ever more rarely, one call at a time, and it is back soon after its return.
func TestEjection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		defer w.close()
		p := w.pool(func(c *pool.Config) { c.LongestEjection = 8 * time.Second })
		defer p.Close()
		gone := w.nodes[1]
		calls := func(d time.Duration) (there int) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				var who string
				if err := p.Call(t.Context(), "Who", &who); err != nil {
					t.Fatal(err)
				}
				if who == gone.name {
					there++
				}
			}
			return there
		}
		if calls(time.Second) == 0 {
			t.Error("the daemon got no calls when all was well")
		}
		gone.stop()
		before := w.dialed()
		if n := calls(time.Minute); n != 0 {
			t.Errorf("%d calls were answered by a daemon that is gone", n)
		}
		// Three dials eject it; then there are waits of 125 to 250 ms, 250 to 500, and so
		// on up to 4 to 8 s: 12 to 23 tries in a minute.
		if n := w.dialed() - before; n < 12 || n > 23 {
			t.Errorf("%d dials in a minute", n)
		}
		m := p.Members()[1]
		if m.Err == nil || m.Ejected.IsZero() {
			t.Errorf("the daemon that is gone: %+v", m)
		}
		gone.start()
		calls(8*time.Second + 100*time.Millisecond)
		if n := calls(time.Second); n < 10 {
			t.Errorf("%d of 100 calls reach the daemon that is back", n)
		}
		if m := p.Members()[1]; m.Err != nil || !m.Ejected.IsZero() {
			t.Errorf("the daemon that is back: %+v", m)
		}
		log := w.log.String()
		if !strings.Contains(log, "daemon ejected") || !strings.Contains(log, "daemon is back") || strings.Contains(log, "all daemons are ejected") {
			t.Errorf("log:\n%s", log)
		}
	})
}

// TestProbe: when the time of ejection is over one call decides, and the others do not
// wait for it.
func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		defer w.close()
		var hangs atomic.Bool
		var dials atomic.Int32
		client, err := broker.NewClient(broker.ClientConfig{
			Certs: w.source(w.ca.Client(t, "bob@bank.example")),
			Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				if address != w.nodes[0].address() {
					return w.network.Dial(ctx, network, address)
				}
				dials.Add(1)
				if hangs.Load() {
					<-ctx.Done()
				}
				return nil, errors.New("no route")
			},
		})
		w.must(err)
		defer client.Close()
		p, err := pool.New(client, pool.Config{Daemons: []string{w.nodes[0].uri(), w.nodes[1].uri()}, Failures: 1, FirstEjection: time.Second, Logger: slog.New(slog.NewTextHandler(w.log, nil))})
		w.must(err)
		defer p.Close()
		for p.Members()[0].Ejected.IsZero() {
			if err := p.Call(t.Context(), "Who", nil); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		hangs.Store(true)
		dials.Store(0)
		var answered atomic.Int32
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := p.Call(ctx, "Who", nil); err == nil {
					answered.Add(1)
				} else if kindOf(t, err) != broker.KindDeadline {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n, dialed := answered.Load(), dials.Load(); n != 49 || dialed != 1 {
			t.Errorf("%d of 50 calls were answered and %d dialled, want 49 and 1", n, dialed)
		}
	})
}

// TestAllDown: the last daemon is not taken away silently. The error tells of each, after
// a few seconds in which one could have come back; and when one does, calls go on.
func TestAllDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		defer w.close()
		p := w.pool(nil)
		defer p.Close()
		for range 20 {
			if err := p.Call(t.Context(), "Who", nil); err != nil {
				t.Fatal(err)
			}
		}
		for _, n := range w.nodes {
			n.stop()
		}
		begun := time.Now()
		err := p.Call(t.Context(), "Who", nil)
		took := time.Since(begun)
		var down *pool.DownError
		if !errors.As(err, &down) || kindOf(t, err) != broker.KindUnreachable {
			t.Fatalf("got %v, want a DownError", err)
		}
		if took < 2*time.Second || took > 4*time.Second {
			t.Errorf("the call took %v, want nearly 4 s", took)
		}
		for i, m := range down.Members {
			if m.URI != w.nodes[i].uri() || m.Err == nil || m.Ejected.IsZero() || !strings.Contains(err.Error(), m.URI+": ") {
				t.Errorf("daemon %d: %+v in %v", i, m, err)
			}
		}
		if n := strings.Count(err.Error(), "(ejected for another "); n != 3 {
			t.Errorf("the error tells %d times when a daemon is tried again: %v", n, err)
		}
		if !strings.Contains(w.log.String(), "all daemons are ejected") {
			t.Error("the log does not tell that all daemons are ejected")
		}
		// Not before its context ends, if that is sooner, and without waiting for what is in vain.
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		begun = time.Now()
		if err := p.Call(ctx, "Who", nil); !errors.As(err, &down) || time.Since(begun) > 10*time.Millisecond {
			t.Errorf("with 10 ms: %v after %v", err, time.Since(begun))
		}
		canceled, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		if err := p.Call(canceled, "Who", nil); kindOf(t, err) != broker.KindCanceled && !errors.As(err, &down) {
			t.Errorf("canceled while it waits: %v", err)
		}

		result := make(chan error, 1)
		time.Sleep(time.Minute) // let all be due
		go func() { result <- p.Call(t.Context(), "Who", nil) }()
		time.Sleep(time.Second)
		w.nodes[2].start()
		if err := <-result; err != nil && !errors.As(err, &down) {
			t.Errorf("while one comes back: %v", err)
		}
		time.Sleep(time.Minute)
		for range 5 {
			if err := p.Call(t.Context(), "Who", nil); err != nil {
				t.Errorf("one is back: %v", err)
			}
		}
	})
}

// TestRestart: one daemon alone, restarted within the time that a proxy would wait for it.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer w.close()
		p := w.pool(nil)
		defer p.Close()
		for i := range 20 {
			if err := p.Call(t.Context(), "Who", nil); err != nil {
				t.Fatalf("restart %d: %v", i, err)
			}
			w.nodes[0].stop()
			result := make(chan error, 1)
			go func() { result <- p.Call(t.Context(), "Who", nil) }()
			time.Sleep(time.Second)
			w.nodes[0].start()
			if err := <-result; err != nil {
				t.Errorf("restart %d: %v", i, err)
			}
		}
	})
}

// TestNeverThere: daemons that were never reached are not waited for.
func TestNeverThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		defer w.close()
		for _, n := range w.nodes {
			n.stop()
		}
		p := w.pool(nil)
		defer p.Close()
		begun := time.Now()
		var down *pool.DownError
		if err := p.Call(t.Context(), "Who", nil); !errors.As(err, &down) || time.Since(begun) > 0 {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		if n := w.dialed(); n != 2 {
			t.Errorf("%d dials, want each daemon's", n)
		}
	})
}

// TestDenied: a daemon that refuses this client is as good as none; when all do, the
// refusal is the error, at once.
func TestDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		defer w.close()
		p := w.pool(nil)
		defer p.Close()
		w.nodes[0].denies.Store(true)
		for range 50 {
			var who string
			if err := p.Call(t.Context(), "Who", &who); err != nil || who != w.nodes[1].name {
				t.Fatalf("%q, %v", who, err)
			}
		}
		if m := p.Members()[0]; m.Ejected.IsZero() {
			t.Errorf("the daemon that refuses: %+v", m)
		}
		w.nodes[1].denies.Store(true)
		w.nodes[1].cut()
		time.Sleep(time.Second) // an idle connection is looked at now and then
		begun := time.Now()
		err := p.Call(t.Context(), "Who", nil)
		var denied *broker.ConnectionDeniedError
		if !errors.As(err, &denied) || denied.Got != "a test" || time.Since(begun) > 200*time.Millisecond {
			t.Errorf("all refuse: %v after %v", err, time.Since(begun))
		}
	})
}

// TestOtherErrors: what is no failure of a daemon ejects none.
func TestOtherErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer w.close()
		p := w.pool(nil)
		defer p.Close()
		for range 20 {
			p.Call(t.Context(), "Fail", nil)
			p.Call(t.Context(), "Missing", nil)
			p.Call(t.Context(), "Who", nil, "too", "many")
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			p.Call(ctx, "Sleep", nil, 1000)
			cancel()
			p.Call(ctx, "Who", nil)
		}
		if m := p.Members()[0]; m.Err != nil || !m.Ejected.IsZero() {
			t.Errorf("afterwards: %+v", m)
		}
	})
}

// TestTimeout bounds a call over all its tries, also where dialling hangs.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		defer w.close()
		client, err := broker.NewClient(broker.ClientConfig{
			Certs: w.source(w.ca.Client(t, "bob@bank.example")),
			Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
		})
		w.must(err)
		defer client.Close()
		for timeout, want := range map[time.Duration]time.Duration{3 * time.Second: 3 * time.Second, 15 * time.Second: 15 * time.Second, -1: 20 * time.Second} {
			p, err := pool.New(client, pool.Config{Daemons: []string{w.nodes[0].uri(), w.nodes[1].uri()}, Timeout: timeout})
			w.must(err)
			begun := time.Now()
			err = p.Call(t.Context(), "Who", nil)
			if took := time.Since(begun); err == nil || took < want-10*time.Second || took > want {
				t.Errorf("timeout %v: %v after %v", timeout, err, took)
			}
			if timeout > 0 && kindOf(t, err) != broker.KindDeadline {
				t.Errorf("timeout %v: %v", timeout, err)
			}
			p.Close()
			time.Sleep(time.Minute)
		}
	})
}

// TestChaos has many callers, and daemons whose connections break, and which vanish and
// come back, at random. No call runs twice, unless it is idempotent; none that succeeds
// has not run; and errors tell the truth about whether the method may have run.
func TestChaos(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers, calls = 40, 50
		w := newWorld(t, 3)
		defer w.close()
		p := w.pool(nil)
		defer p.Close()
		stop := make(chan struct{})
		var disturb sync.WaitGroup
		disturb.Go(func() {
			r := rand.New(rand.NewPCG(5, 0))
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(5+r.IntN(50)) * time.Millisecond):
				}
				n := w.nodes[r.IntN(3)]
				if r.IntN(4) > 0 {
					n.cut()
					continue
				}
				n.stop()
				time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
				n.start()
			}
		})
		var mu sync.Mutex
		ok, failed := 0, 0
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), 1))
				for j := range calls {
					id := i*calls + j
					method := "Run"
					if id%3 == 0 {
						method = "Again"
					}
					time.Sleep(time.Duration(r.IntN(30)) * time.Millisecond)
					err := p.Call(t.Context(), method, nil, id)
					runs := w.ran(id)
					mu.Lock()
					if err == nil {
						ok++
					} else {
						failed++
					}
					mu.Unlock()
					var e *broker.Error
					switch {
					case method == "Run" && runs > 1:
						t.Errorf("call %d ran %d times", id, runs)
					case err == nil && runs == 0:
						t.Errorf("call %d succeeded and never ran", id)
					case err != nil && !errors.As(err, &e):
						t.Errorf("call %d: untyped error %T %v", id, err, err)
					case err != nil && !e.MayHaveRun && runs > 0:
						t.Errorf("call %d ran, but its error says that it has not: %v", id, err)
					}
				}
			})
		}
		wg.Wait()
		close(stop)
		disturb.Wait()
		t.Logf("%d calls succeeded, %d failed, over %d dials", ok, failed, w.dialed())
		if ok < failed || w.dialed() < 20 {
			t.Errorf("the test disturbed too much or too little: %d succeeded, %d failed, %d dials", ok, failed, w.dialed())
		}
		for _, m := range p.Members() {
			if m.InFlight != 0 {
				t.Errorf("afterwards: %+v", m)
			}
		}
	})
}
