package pool_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/pool"
)

// resolved makes a pool of the lists that come over a channel.
func (w *world) resolved(lists <-chan []string) *pool.Pool {
	return w.pool(func(c *pool.Config) {
		c.Daemons, c.Resolve = nil, func(ctx context.Context, update func([]string)) error {
			for {
				select {
				case list := <-lists:
					update(list)
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
	})
}

func uris(p *pool.Pool) (all []string) {
	for _, m := range p.Members() {
		all = append(all, m.URI)
	}
	return all
}

func TestResolve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		defer w.close()
		lists := make(chan []string)
		p := w.resolved(lists)
		defer p.Close()
		a, b, c := w.nodes[0], w.nodes[1], w.nodes[2]

		// Calls wait for the first list, as long as they may.
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := p.Call(ctx, "Who", nil); kindOf(t, err) != broker.KindDeadline {
			t.Errorf("no list within the time of a call: %v", err)
		}
		result := make(chan error, 1)
		go func() { result <- p.Call(t.Context(), "Who", nil) }()
		time.Sleep(20 * time.Second)
		lists <- []string{a.uri(), b.uri(), a.uri()}
		if err := <-result; err != nil {
			t.Errorf("the call that waited: %v", err)
		}
		if got := uris(p); !slices.Equal(got, []string{a.uri(), b.uri()}) {
			t.Errorf("members: %q", got)
		}
		for range 20 {
			p.Call(t.Context(), "Who", nil)
		}
		if got := w.connections(); !slices.Equal(got, []int{1, 1, 0}) {
			t.Errorf("connections: %v", got)
		}

		// A daemon that leaves finishes its calls; one that stays keeps its connection;
		// what cannot be called is left out.
		calls := make(map[*node]chan error)
		for _, n := range []*node{a, b} {
			for calls[n] == nil {
				proxy, done, err := p.Pick(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if proxy.URI().Host != n.name {
					done(nil)
					continue
				}
				calls[n] = make(chan error, 1)
				go func() {
					err := proxy.Call(t.Context(), "Wait", nil, 1)
					done(err)
					calls[n] <- err
				}()
			}
		}
		synctest.Wait()
		lists <- []string{c.uri(), "PYRO://plain.example:7766/node", b.uri(), "nonsense"}
		synctest.Wait()
		if got := uris(p); !slices.Equal(got, []string{c.uri(), b.uri()}) {
			t.Errorf("members: %q", got)
		}
		if log := w.log.String(); !strings.Contains(log, "daemons left out") || !strings.Contains(log, "plain.example") || !strings.Contains(log, "nonsense") {
			t.Errorf("log: %s", log)
		}
		for range 20 {
			var who string
			if err := p.Call(t.Context(), "Who", &who); err != nil || who == a.name {
				t.Errorf("%q, %v", who, err)
			}
		}
		time.Sleep(time.Second)
		if got := w.connections(); !slices.Equal(got, []int{1, 1, 1}) {
			t.Errorf("connections while a call goes on at the daemon that left: %v", got)
		}
		close(a.gate)
		if err := <-calls[a]; err != nil {
			t.Errorf("the call at the daemon that left: %v", err)
		}
		time.Sleep(time.Second)
		if got := w.connections(); !slices.Equal(got, []int{0, 1, 1}) {
			t.Errorf("connections after its last call: %v", got)
		}
		close(b.gate)
		if err := <-calls[b]; err != nil {
			t.Errorf("the call at the daemon that stayed: %v", err)
		}

		// An empty list is one.
		lists <- nil
		synctest.Wait()
		var down *pool.DownError
		if err := p.Call(t.Context(), "Who", nil); !errors.As(err, &down) || len(down.Members) != 0 || !strings.Contains(err.Error(), "no daemon is known") {
			t.Errorf("with an empty list: %v", err)
		}
		lists <- []string{a.uri()}
		synctest.Wait()
		if err := p.Call(t.Context(), "Who", nil); err != nil {
			t.Errorf("back again: %v", err)
		}
	})
}

// TestResolveFails: it is called again, after a pause that grows.
func TestResolveFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer w.close()
		var at []time.Duration
		begun := time.Now()
		p := w.pool(func(c *pool.Config) {
			uri := c.Daemons[0]
			c.Daemons, c.Resolve = nil, func(ctx context.Context, update func([]string)) error {
				at = append(at, time.Since(begun))
				if len(at) < 4 {
					return errors.New("the registry does not answer")
				}
				update([]string{uri})
				return nil
			}
		})
		time.Sleep(time.Minute)
		if err := p.Call(t.Context(), "Who", nil); err != nil {
			t.Error(err)
		}
		p.Close()
		if want := []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second}; !slices.Equal(at, want) {
			t.Errorf("called at %v, want %v", at, want)
		}
		if n := strings.Count(w.log.String(), "the registry does not answer"); n != 3 {
			t.Errorf("the log tells of it %d times", n)
		}
	})
}

// TestCloseEndsResolve: also while it waits to be called again, and calls that wait for a
// list end with the pool.
func TestCloseEndsResolve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer w.close()
		for _, resolve := range []func(context.Context, func([]string)) error{
			func(context.Context, func([]string)) error { return errors.New("no") },
			func(ctx context.Context, update func([]string)) error {
				<-ctx.Done()
				update([]string{"PYROSSL://late.example:7766/node"})
				return ctx.Err()
			},
		} {
			p := w.pool(func(c *pool.Config) { c.Daemons, c.Resolve = nil, resolve })
			result := make(chan error, 1)
			go func() { result <- p.Call(t.Context(), "Who", nil) }()
			time.Sleep(100 * time.Millisecond)
			begun := time.Now()
			p.Close()
			if err := <-result; !errors.Is(err, pool.ErrClosed) || time.Since(begun) > 0 {
				t.Errorf("a call that waited: %v after %v", err, time.Since(begun))
			}
			if got := uris(p); got != nil {
				t.Errorf("members after Close: %q", got)
			}
		}
	})
}
