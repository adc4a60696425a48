package pool_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/pool"
)

func numbers(n int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer w.close()
		some := []string{w.nodes[0].uri()}
		resolve := func(context.Context, func([]string)) error { return nil }
		for _, test := range []struct {
			client *broker.Client
			config pool.Config
			want   string
		}{
			{nil, pool.Config{Daemons: some}, "the client is nil"},
			{w.client, pool.Config{}, "either Daemons or Resolve"},
			{w.client, pool.Config{Daemons: some, Resolve: resolve}, "either Daemons or Resolve"},
			{w.client, pool.Config{Daemons: []string{some[0], "PYRO://n1.example:7766/node"}}, `daemon "PYRO://n1.example:7766/node"`},
			{w.client, pool.Config{Daemons: some, Failures: -1}, "negative"},
			{w.client, pool.Config{Daemons: some, MaxAge: -1}, "negative"},
			{w.client, pool.Config{Daemons: some, Idle: -1}, "negative"},
			{w.client, pool.Config{Daemons: some, FirstEjection: time.Minute, LongestEjection: time.Second}, "more than LongestEjection"},
			{w.client, pool.Config{Daemons: some, Options: []broker.ProxyOption{broker.WithTimeout(0)}}, "WithTimeout(0)"},
		} {
			if p, err := pool.New(test.client, test.config); err == nil || p != nil || !strings.HasPrefix(err.Error(), "pool: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%+v: got %v, want %q", test.config, err, test.want)
			}
		}
	})
}

// TestCalls makes every kind of call through a pool.
func TestCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		defer w.close()
		p := w.pool(nil)
		defer p.Close()
		ctx := t.Context()
		seen := make(map[string]int)
		for range 60 {
			var who string
			if err := p.Call(ctx, "Who", &who); err != nil {
				t.Fatal(err)
			}
			seen[who]++
		}
		if len(seen) != 3 {
			t.Errorf("60 calls went to %v, want all of three daemons", seen)
		}
		if err := p.Call(ctx, "Fail", nil); kindOf(t, err) != broker.KindApplication || !strings.Contains(err.Error(), "the method's own error") {
			t.Errorf("Fail: %v", err)
		}
		var sum int
		if err := p.Call(ctx, "Sum", &sum, numbers(10)); sum != 45 || err != nil {
			t.Errorf("Sum: %d, %v", sum, err)
		}
		from := make(map[string]int)
		for who, err := range pool.Stream[string](ctx, p, "Count", 5) {
			if err != nil {
				t.Fatal(err)
			}
			from[who]++
		}
		if len(from) != 1 || slices.Collect(maps.Values(from))[0] != 5 {
			t.Errorf("one stream came from %v", from)
		}
		for range pool.Stream[string](ctx, p, "Count", 5) {
			break
		}
		for _, err := range pool.Stream[string](ctx, p, "Missing") {
			if kindOf(t, err) != broker.KindNoMethod {
				t.Errorf("a stream of no method: %v", err)
			}
		}
		if err := p.Oneway(ctx, "Run", 7); err != nil {
			t.Errorf("Oneway: %v", err)
		}
		synctest.Wait()
		if n := w.ran(7); n != 1 {
			t.Errorf("a oneway call ran %d times", n)
		}

		proxy, done, err := p.Pick(ctx)
		if err != nil {
			t.Fatal(err)
		}
		first, second := "", ""
		b := proxy.Batch()
		one, two := b.Call("Who"), b.Call("Who")
		done(b.Run(ctx))
		done(nil) // once is enough
		if err := errors.Join(one.Into(&first), two.Into(&second)); err != nil || first != second || !strings.Contains(proxy.URI().String(), first) {
			t.Errorf("a batch: %q and %q on %v, %v", first, second, proxy.URI(), err)
		}

		var api struct {
			Who   func(context.Context) (string, error)
			Note  func(context.Context, int) error `pyro:"Run,oneway"`
			Count func(context.Context, int) iter.Seq2[string, error]
		}
		if err := broker.Bind(p, &api); err != nil {
			t.Fatal(err)
		}
		if who, err := api.Who(ctx); who == "" || err != nil {
			t.Errorf("bound: %q, %v", who, err)
		}
		n := 0
		for _, err := range api.Count(ctx, 4) {
			if err != nil {
				t.Error(err)
			}
			n++
		}
		if n != 4 {
			t.Errorf("bound stream: %d items", n)
		}
		for _, m := range p.Members() {
			if m.InFlight != 0 || m.Err != nil || !m.Ejected.IsZero() {
				t.Errorf("afterwards: %+v", m)
			}
		}
	})
}

// TestNothingStaysInFlight: whatever way a call ends, it is counted as ended.
func TestNothingStaysInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer w.close()
		p := w.pool(nil)
		defer p.Close()
		quietly := func(f func()) {
			defer func() { recover() }()
			f()
		}
		ctx := t.Context()
		panics := func(yield func(int, error) bool) { yield(1, nil); panic("in an argument") }
		quietly(func() { p.Call(ctx, "Sum", nil, iter.Seq2[int, error](panics)) })
		quietly(func() {
			for range pool.Stream[string](ctx, p, "Count", 5) {
				panic("in the loop")
			}
		})
		var api struct {
			Count func(context.Context, int) iter.Seq2[string, error]
		}
		broker.Bind(p, &api)
		quietly(func() {
			for range api.Count(ctx, 5) {
				panic("in the loop")
			}
		})
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := p.Call(short, "Wait", nil, 1); kindOf(t, err) != broker.KindDeadline {
			t.Errorf("Wait: %v", err)
		}
		p.Call(ctx, "Who", nil, 1, 2, 3)
		p.Call(ctx, "Who", nil, make(chan int))
		p.Oneway(ctx, "Who", make(chan int))
		synctest.Wait()
		if m := p.Members()[0]; m.InFlight != 0 || m.Err != nil {
			t.Errorf("afterwards: %+v", m)
		}
	})
}

// TestFairness draws from seeded numbers, so that it has the same result each time: with
// equal load all daemons get the same share.
func TestFairness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const nodes, picks = 5, 10_000
		w := newWorld(t, nodes)
		defer w.close()
		p := w.pool(nil)
		defer p.Close()
		got := make(map[string]float64)
		for range picks {
			proxy, done, err := p.Pick(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got[proxy.URI().Host]++
			done(nil)
		}
		// Chi-square with 4 degrees of freedom is above 18.47 once in a thousand times.
		chi := 0.
		for _, n := range w.nodes {
			d := got[n.name] - picks/nodes
			chi += d * d / (picks / nodes)
		}
		if chi > 18.47 {
			t.Errorf("chi-square is %.1f for %v", chi, got)
		}

		// Calls that stay: the less loaded of two random choices keeps all daemons within
		// a few calls of each other, where one random choice would differ by tens.
		for range 1000 {
			if _, _, err := p.Pick(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		least, most := 1000, 0
		for _, m := range p.Members() {
			least, most = min(least, m.InFlight), max(most, m.InFlight)
		}
		if most-least > 4 {
			t.Errorf("after 1,000 calls that stay, the daemons have %d to %d in flight", least, most)
		}
	})
}

// TestSlowDaemon: a daemon that is ten times slower than the others gets fewer calls, and
// holds up no more of them than its share.
func TestSlowDaemon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4)
		defer w.close()
		p := w.pool(nil)
		defer p.Close()
		got := make(map[string]int)
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 200 {
					proxy, done, err := p.Pick(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					ms := 10
					if proxy.URI().Host == w.nodes[0].name {
						ms = 100
					}
					err = proxy.Call(t.Context(), "Sleep", nil, ms)
					done(err)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					got[proxy.URI().Host]++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if slow := got[w.nodes[0].name]; slow > 1600/8 || slow == 0 {
			t.Errorf("the slow daemon got %d of 1,600 calls, want fewer than half of an equal share, and some: %v", slow, got)
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		defer w.close()
		p := w.pool(nil)
		for range 20 {
			p.Call(t.Context(), "Who", nil)
		}
		result := make(chan error, 1)
		go func() { result <- p.Call(t.Context(), "Wait", nil, 1) }()
		synctest.Wait()
		if got := w.connections(); !slices.Equal(got, []int{1, 1}) {
			t.Errorf("connections: %v", got)
		}
		for range 2 {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
		for name, err := range map[string]error{
			"Call": p.Call(t.Context(), "Who", nil), "Oneway": p.Oneway(t.Context(), "Who"),
			"Pick": func() error { _, _, err := p.Pick(t.Context()); return err }(),
		} {
			if !errors.Is(err, pool.ErrClosed) {
				t.Errorf("%s after Close: %v", name, err)
			}
		}
		time.Sleep(time.Second)
		if got := w.connections(); got[0]+got[1] != 1 {
			t.Errorf("connections while one call goes on: %v", got)
		}
		for _, n := range w.nodes {
			close(n.gate)
		}
		if err := <-result; err != nil {
			t.Errorf("the call that was in flight: %v", err)
		}
		time.Sleep(time.Second)
		if got := w.connections(); !slices.Equal(got, []int{0, 0}) {
			t.Errorf("connections at the end: %v", got)
		}
		// The client is not the pool's.
		proxy, err := w.client.Proxy(t.Context(), w.nodes[0].uri())
		if err != nil {
			t.Fatal(err)
		}
		if err := proxy.Call(t.Context(), "Who", nil); err != nil {
			t.Errorf("the client after the pool's end: %v", err)
		}
		other := w.pool(nil)
		defer other.Close()
		w.client.Close()
		if err := other.Call(t.Context(), "Who", nil); err == nil || !strings.Contains(err.Error(), "the client is closed") {
			t.Errorf("with a closed client: %v", err)
		}
		if m := other.Members()[0]; m.InFlight != 0 {
			t.Errorf("with a closed client: %+v", m)
		}
	})
}

func TestDownErrorText(t *testing.T) {
	fail := func(i int) pool.Member {
		return pool.Member{URI: fmt.Sprintf("PYROSSL://n%d.example:7766/node", i), Err: &broker.Error{Kind: broker.KindUnreachable, Peer: "x", Message: "refused"}}
	}
	var many []pool.Member
	for i := range 8 {
		many = append(many, fail(i))
	}
	for _, test := range []struct {
		members []pool.Member
		want    string
	}{
		{nil, "pool: no daemon is known"},
		{many[:1], "pool: the only daemon is down: PYROSSL://n0.example:7766/node: x: unreachable: refused"},
		{[]pool.Member{many[0], {URI: "u"}}, "pool: all 2 daemons are down: PYROSSL://n0.example:7766/node: x: unreachable: refused; u: it is being tried"},
		{many, "n4.example:7766/node: x: unreachable: refused; and 3 more"},
	} {
		if err := (&pool.DownError{Members: test.members}); !strings.HasSuffix(err.Error(), test.want) {
			t.Errorf("got %q, want %q", err, test.want)
		}
	}
}
