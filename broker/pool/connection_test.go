package pool_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/pool"
)

// TestMaxAge makes calls without a pause while connections are renewed: none fails, each
// daemon has one connection again soon after, and none gets older than it may.
func TestMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const age = 10 * time.Minute
		w := newWorld(t, 2)
		defer w.close()
		p := w.pool(func(c *pool.Config) { c.MaxAge = age })
		defer p.Close()
		born := make(map[string]time.Time)
		sessions := make(map[string]map[string]bool)
		for end := time.Now().Add(2 * time.Hour); time.Now().Before(end); time.Sleep(5 * time.Second) {
			proxy, done, err := p.Pick(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			err = proxy.Call(t.Context(), "Sleep", nil, 2000)
			done(err)
			if err != nil {
				t.Fatalf("after %v: %v", time.Until(end), err)
			}
			session, host := proxy.Session(), proxy.URI().Host
			if born[session].IsZero() {
				born[session] = time.Now()
				if sessions[host] == nil {
					sessions[host] = make(map[string]bool)
				}
				sessions[host][session] = true
			}
			if old := time.Since(born[session]); old > age+10*time.Second {
				t.Fatalf("a connection of %s is %v old", host, old)
			}
		}
		for host, all := range sessions {
			if n := len(all); n < 12 || n > 17 {
				t.Errorf("%s had %d connections in two hours, want one for each 7.5 to 10 minutes", host, n)
			}
		}
		time.Sleep(time.Second)
		if got := w.connections(); !slices.Equal(got, []int{1, 1}) {
			t.Errorf("connections at the end: %v", got)
		}
	})
}

// TestMakeBeforeBreak: a call that is in flight when its connection is renewed finishes on
// the old one, while others use the new one.
func TestMakeBeforeBreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer w.close()
		p := w.pool(func(c *pool.Config) { c.MaxAge = time.Minute })
		defer p.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		result := make(chan error, 1)
		go func() { result <- p.Call(ctx, "Sleep", nil, 90_000) }()
		for range 61 {
			time.Sleep(time.Second)
			if err := p.Call(t.Context(), "Who", nil); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.connections(); got[0] != 2 {
			t.Errorf("connections after a minute: %v, want the old one and the new one", got)
		}
		if err := <-result; err != nil {
			t.Errorf("the call on the old connection: %v", err)
		}
		if got := w.connections(); got[0] != 2 && got[0] != 1 {
			t.Errorf("connections: %v", got)
		}
		time.Sleep(time.Second)
		if got := w.connections(); got[0] != 1 {
			t.Errorf("connections after the last call on the old one: %v", got)
		}
	})
}

// TestRenewalThatFails: the old connection stays in use, and renewal is tried again.
func TestRenewalThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer w.close()
		p := w.pool(func(c *pool.Config) { c.MaxAge = time.Minute })
		defer p.Close()
		session := func() string {
			t.Helper()
			proxy, done, err := p.Pick(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			err = proxy.Call(t.Context(), "Who", nil)
			done(err)
			if err != nil {
				t.Fatal(err)
			}
			return proxy.Session()
		}
		first := session()
		w.nodes[0].denies.Store(true)
		time.Sleep(2 * time.Minute)
		if session() != first {
			t.Error("the old connection is not in use any more")
		}
		if n := w.dialed(); n < 6 || n > 10 {
			t.Errorf("%d dials, want one each ten seconds since the connection was old", n)
		}
		w.nodes[0].denies.Store(false)
		time.Sleep(11 * time.Second)
		if session() == first {
			t.Error("the connection was not renewed when that was possible")
		}
	})
}

type listener struct{ got chan string }

func (l *listener) Notify(text string) { l.got <- text }

// hub keeps a callback.
type hub struct {
	mu sync.Mutex
	to *broker.Proxy
}

func (h *hub) Subscribe(to *broker.Proxy) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.to = to
}

func (h *hub) Publish(ctx context.Context, text string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.to.Call(ctx, "Notify", nil, text)
}

// TestCallbacksKeepTheirConnection: what was exported over a connection would end with it.
func TestCallbacksKeepTheirConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer w.close()
		if _, err := w.nodes[0].daemon.Register("hub", new(hub)); err != nil {
			t.Fatal(err)
		}
		p := w.pool(func(c *pool.Config) {
			c.MaxAge, c.Daemons = time.Minute, []string{"PYROSSL://" + w.nodes[0].address() + "/hub"}
		})
		defer p.Close()
		l := &listener{make(chan string, 1)}
		if err := p.Call(t.Context(), "Subscribe", nil, broker.Callback("listener", l)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if err := p.Call(t.Context(), "Publish", nil, "news"); err != nil {
			t.Errorf("Publish: %v", err)
		} else if got := <-l.got; got != "news" {
			t.Errorf("the callback got %q", got)
		}
	})
}

// TestIdle: a connection that nobody uses is closed, one that is used is not, and the next
// call makes another one.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		defer w.close()
		p := w.pool(func(c *pool.Config) { c.Idle = time.Minute })
		defer p.Close()
		for range 20 {
			p.Call(t.Context(), "Who", nil)
		}
		time.Sleep(59 * time.Second)
		if got := w.connections(); !slices.Equal(got, []int{1, 1}) {
			t.Errorf("connections after 59 s: %v", got)
		}
		time.Sleep(2 * time.Second)
		if got := w.connections(); !slices.Equal(got, []int{0, 0}) {
			t.Errorf("connections after 61 s: %v", got)
		}
		// In use all the time, by one call that takes long.
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := p.Call(ctx, "Sleep", nil, 600_000); err != nil {
			t.Errorf("a call of ten minutes: %v", err)
		}
		if n := w.dialed(); n != 3 {
			t.Errorf("%d dials, want 3", n)
		}
		time.Sleep(3 * time.Minute)
		if got := w.connections(); !slices.Equal(got, []int{0, 0}) {
			t.Errorf("connections at the end: %v", got)
		}
	})
}

// TestNotIdle: used again and again, a connection stays.
func TestNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer w.close()
		p := w.pool(func(c *pool.Config) { c.Idle = time.Minute })
		defer p.Close()
		for range 100 {
			if err := p.Call(t.Context(), "Who", nil); err != nil {
				t.Fatal(err)
			}
			time.Sleep(59 * time.Second)
		}
		if n := w.dialed(); n != 1 {
			t.Errorf("%d dials although a call was made each 59 s", n)
		}
	})
}
