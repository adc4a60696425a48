package intercept_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/brokertest"
	"github.com/pyrossl/pyrossl/internal/leakcheck"
	"github.com/pyrossl/pyrossl/validator"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// desk fails in every way that a method can.
type desk struct{ running, gate chan struct{} }

func (d *desk) Echo(v string) string   { return v }
func (d *desk) Fail(text string) error { return errors.New(text) }
func (d *desk) Panic(text string)      { panic(text) }
func (d *desk) Give() error            { return context.Canceled }
func (d *desk) Late() error            { return fmt.Errorf("late: %w", context.DeadlineExceeded) }
func (d *desk) Uncarried() any         { return make(chan int) }
func (d *desk) Refuse() error          { return broker.Refuse(broker.KindBusy, "by the method itself") }
func (d *desk) Number() int            { return 1 }
func (d *desk) Wait(ctx context.Context) error {
	d.running <- struct{}{}
	select {
	case <-d.gate:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
func (d *desk) Count(n int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
	}
}

// newDesk is a world with that object, and interceptors on both sides.
func newDesk(t testing.TB, object any, daemon, client []broker.Interceptor) *brokertest.World {
	t.Helper()
	return brokertest.New(t, brokertest.Config{
		Objects: map[string]any{"desk": object}, InMemory: true,
		Rules: []validator.Rule{
			{Name: "mallory", Effect: validator.Deny, Identities: []string{"mallory"}, Objects: []string{"desk"}, Methods: []string{"*"}},
			{Name: "all", Effect: validator.Allow, Identities: []string{"*"}, Objects: []string{"*"}, Methods: []string{"*"}},
		},
		Daemon: func(c *broker.Config) { c.Interceptors = daemon },
		Client: func(_ string, c *broker.ClientConfig) { c.Interceptors = client },
	})
}

// ways calls in every way, and says what the object's side and the caller's side see.
// An empty text stands for a call that does not come so far.
func ways(t *testing.T, w *brokertest.World) []way {
	t.Helper()
	p := w.Proxy("alice", "desk")
	ctx := t.Context()
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	var wrong map[string]int
	all := []way{
		{"Echo", "ok", "ok", p.Call(ctx, "Echo", nil, "x")},
		{"Fail", "failed", "failed", p.Call(ctx, "Fail", nil, "secret")},
		{"Panic", "internal error", "internal error", p.Call(ctx, "Panic", nil, "secret")},
		{"Uncarried", "internal error", "internal error", p.Call(ctx, "Uncarried", nil)},
		{"Give", "canceled", "canceled", p.Call(ctx, "Give", nil)},
		{"Late", "deadline exceeded", "deadline exceeded", p.Call(ctx, "Late", nil)},
		{"Refuse", "too many calls", "too many calls", p.Call(ctx, "Refuse", nil)},
		{"Echo", "wrong arguments", "wrong arguments", p.Call(ctx, "Echo", nil, 1, 2, 3)},
		{"Number", "ok", "result does not fit", p.Call(ctx, "Number", &wrong)},
		{"Missing", "", "no such method", p.Call(ctx, "Missing", nil)},
		{"Echo", "", "no such object", w.Proxy("alice", "nothing").Call(ctx, "Echo", nil, "x")},
		{"Echo", "", "denied", w.Proxy("mallory", "desk").Call(ctx, "Echo", nil, "x")},
		{"Echo", "", "canceled", p.Call(canceled, "Echo", nil, "x")},
		{"Count", "", "wrong arguments", p.Call(ctx, "Count", nil, 3)}, // wants a stream
	}
	n := 0
	for _, err := range broker.Stream[int](ctx, p, "Count", 3) {
		if err != nil {
			t.Errorf("stream: %v", err)
		}
		n++
	}
	if n != 3 {
		t.Errorf("%d items", n)
	}
	all = append(all, way{"Count", "ok", "ok", nil})
	for _, w := range all {
		if (w.err == nil) != (w.caller == "ok") {
			t.Errorf("%s: want %s, got %v", w.method, w.caller, w.err)
		}
	}
	return all
}

type way struct {
	method         string
	object, caller string
	err            error
}
