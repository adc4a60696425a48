package intercept_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/intercept"
	"github.com/pyrossl/pyrossl/validator"
)

func by(name string) *broker.CallInfo {
	return &broker.CallInfo{Object: "desk", Method: "Echo", Incoming: true, Peer: &broker.Peer{Identity: validator.Identity{Name: name}}}
}

func nothing(context.Context) error { return nil }

func TestRateRefusesWrongConfigurations(t *testing.T) {
	for _, c := range []intercept.RateConfig{
		{}, {PerSecond: -1}, {PerSecond: math.NaN()}, {PerSecond: math.Inf(1)}, {PerSecond: 2e9},
		{PerSecond: 1, Burst: -1}, {PerSecond: 1, Keys: -1}, {PerSecond: 1e-300}, {PerSecond: 1e-6, Burst: math.MaxInt},
	} {
		if _, err := intercept.Rate(c); err == nil || !strings.HasPrefix(err.Error(), "intercept: ") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestRate lets a caller come back exactly when it was told to, and a little too early.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit, err := intercept.Rate(intercept.RateConfig{PerSecond: 4, Burst: 3})
		if err != nil {
			t.Fatal(err)
		}
		ran := 0
		call := func(name string) error {
			return limit(t.Context(), by(name), func(context.Context) error { ran++; return nil })
		}
		for range 3 {
			if err := call("alice"); err != nil {
				t.Fatalf("within the burst: %v", err)
			}
		}
		err = call("alice")
		if !errors.Is(err, broker.KindBusy) || !strings.HasSuffix(err.Error(), "alice may make 4 calls a second, 3 at once: come back in 250ms") {
			t.Errorf("beyond the burst: %v", err)
		}
		if ran != 3 {
			t.Errorf("%d calls ran, want 3", ran)
		}
		if err := call("bob"); err != nil {
			t.Errorf("another caller: %v", err)
		}
		time.Sleep(249 * time.Millisecond)
		if err := call("alice"); !errors.Is(err, broker.KindBusy) || !strings.HasSuffix(err.Error(), "come back in 1ms") {
			t.Errorf("a millisecond early: %v", err)
		}
		time.Sleep(time.Millisecond)
		if err := call("alice"); err != nil {
			t.Errorf("in time: %v", err)
		}
		if err := call("alice"); err == nil {
			t.Error("one call was waited for, and two were let through")
		}
		time.Sleep(time.Hour)
		for i := range 4 {
			if err := call("alice"); (err == nil) != (i < 3) {
				t.Errorf("after an hour, call %d: %v", i, err)
			}
		}
	})
}

// TestRateModel compares random calls with a bucket of tokens as one would draw it.
func TestRateModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for range 20 {
			interval := time.Duration(1+r.IntN(1000)) * time.Millisecond
			burst := 1 + r.IntN(10)
			limit, err := intercept.Rate(intercept.RateConfig{PerSecond: float64(time.Second) / float64(interval), Burst: burst})
			if err != nil {
				t.Fatal(err)
			}
			tokens, last := float64(burst), time.Now()
			for range 500 {
				time.Sleep(time.Duration(r.Int64N(int64(2 * interval))))
				tokens = min(float64(burst), tokens+float64(time.Since(last))/float64(interval))
				last = time.Now()
				if math.Abs(tokens-1) < 1e-6 {
					continue // rounding may go either way
				}
				got := limit(t.Context(), by("alice"), nothing) == nil
				if want := tokens >= 1; got != want {
					t.Fatalf("interval %v, burst %d, %v tokens: let through: %v", interval, burst, tokens, got)
				}
				if got {
					tokens--
				}
			}
		}
	})
}

// TestRateForgets shows that memory is bounded, and who is forgotten: not who calls.
func TestRateForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit, remembered := intercept.RateOf(intercept.RateConfig{PerSecond: 0.001, Burst: 1, Keys: 10})
		call := func(name string) error { return limit(t.Context(), by(name), nothing) }
		call("alice")
		for i := range 10_000 {
			if err := call("alice"); err == nil {
				t.Fatalf("alice was forgotten after %d others, although she called", i)
			}
			if err := call(fmt.Sprint("one of many ", i)); err != nil {
				t.Fatal(err)
			}
			if n := remembered(); n > 10 {
				t.Fatalf("%d keys are remembered, want 10", n)
			}
		}
		for i := range 10 {
			call(fmt.Sprint("another ", i))
		}
		if err := call("alice"); err != nil {
			t.Errorf("10 others called since alice did, and she is not forgotten: %v", err)
		}
	})
}

// TestRateLimitsWhoCalls: what a daemon calls itself, callbacks included, has no identity,
// and counts only under a key that says so.
func TestRateLimitsWhoCalls(t *testing.T) {
	call := &broker.CallInfo{Object: "listener.ABC", Method: "Notify", URI: "PYROPEER:listener.ABC"}
	for _, test := range []struct {
		key     intercept.Key
		refuses bool
	}{{nil, false}, {intercept.ByMethod, true}, {func(c *broker.CallInfo) string { return c.URI }, true}} {
		limit, err := intercept.Rate(intercept.RateConfig{PerSecond: 0.001, Key: test.key})
		if err != nil {
			t.Fatal(err)
		}
		running, err := intercept.Concurrency(intercept.ConcurrencyConfig{Max: 1, Key: test.key})
		if err != nil {
			t.Fatal(err)
		}
		limit(t.Context(), call, nothing)
		if err := limit(t.Context(), call, nothing); (err != nil) != test.refuses {
			t.Errorf("a second call: %v, want a refusal: %v", err, test.refuses)
		}
		err = running(t.Context(), call, func(ctx context.Context) error { return running(ctx, call, nothing) })
		if (err != nil) != test.refuses {
			t.Errorf("a second call at once: %v, want a refusal: %v", err, test.refuses)
		}
	}
}

// TestRateOverTheWire: what the caller is told.
func TestRateOverTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit, err := intercept.Rate(intercept.RateConfig{PerSecond: 0.5, Burst: 2})
		if err != nil {
			t.Fatal(err)
		}
		w := newDesk(t, new(desk), []broker.Interceptor{limit}, nil)
		defer w.Close()
		var last error
		for range 3 {
			last = w.Proxy("alice", "desk").Call(t.Context(), "Echo", nil, "x")
		}
		var e *broker.Error
		if !errors.As(last, &e) || e.Kind != broker.KindBusy || e.MayHaveRun || !strings.Contains(e.Message, "come back in ") {
			t.Errorf("the third call: %v", last)
		}
		if err := w.Proxy("bob", "desk").Call(t.Context(), "Echo", nil, "x"); err != nil {
			t.Errorf("bob: %v", err)
		}
		// A batch is as many calls as are in it.
		b := w.Proxy("carol", "desk").Batch().ContinueOnError()
		for range 3 {
			b.Call("Echo", "x")
		}
		if err := b.Run(t.Context()); !errors.Is(err, broker.KindBusy) {
			t.Errorf("a batch of three: %v", err)
		}
	})
}

func BenchmarkRate(b *testing.B) {
	limit, err := intercept.Rate(intercept.RateConfig{PerSecond: 1e9})
	if err != nil {
		b.Fatal(err)
	}
	call := by("alice")
	b.ReportAllocs()
	for b.Loop() {
		limit(b.Context(), call, nothing)
	}
}
