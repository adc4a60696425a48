package intercept_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/intercept"
)

func TestConcurrencyRefusesWrongConfigurations(t *testing.T) {
	for _, most := range []int{0, -1} {
		if _, err := intercept.Concurrency(intercept.ConcurrencyConfig{Max: most}); err == nil {
			t.Errorf("Max %d was accepted", most)
		}
	}
}

// TestConcurrency fills a limit over the wire: by identity, and by method.
func TestConcurrency(t *testing.T) {
	for _, test := range []struct {
		name string
		key  intercept.Key
		bob  bool // whether bob gets through while alice's calls run
		echo bool // whether alice's other method does
		text string
	}{
		{"by identity", nil, true, false, "alice has 2 calls running"},
		{"by method", intercept.ByMethod, false, true, "desk.Wait has 2 calls running"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				limit, held := intercept.ConcurrencyOf(intercept.ConcurrencyConfig{Max: 2, Key: test.key})
				d := &desk{running: make(chan struct{}, 10), gate: make(chan struct{})}
				w := newDesk(t, d, []broker.Interceptor{limit}, nil)
				defer w.Close()
				alice, bob := w.Proxy("alice", "desk"), w.Proxy("bob", "desk")
				var wg sync.WaitGroup
				for range 2 {
					wg.Go(func() {
						if err := alice.Call(t.Context(), "Wait", nil); err != nil {
							t.Errorf("within the limit: %v", err)
						}
					})
					<-d.running
				}
				if err := alice.Call(t.Context(), "Wait", nil); !errors.Is(err, broker.KindBusy) || !strings.Contains(err.Error(), test.text) {
					t.Errorf("a third call: %v", err)
				}
				if err := alice.Call(t.Context(), "Echo", nil, "x"); (err == nil) != test.echo {
					t.Errorf("another method: %v", err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				wg.Go(func() {
					if err := bob.Call(ctx, "Wait", nil); errors.Is(err, broker.KindCanceled) != test.bob {
						t.Errorf("another caller: %v", err)
					}
				})
				synctest.Wait()
				cancel()
				synctest.Wait()
				close(d.gate)
				wg.Wait()
				synctest.Wait()
				if err := alice.Call(t.Context(), "Echo", nil, "x"); err != nil {
					t.Errorf("after the others have ended: %v", err)
				}
				if n := held(); n != 0 {
					t.Errorf("%d keys are held although no call runs", n)
				}
			})
		})
	}
}

func TestConcurrencyAfterPanic(t *testing.T) {
	limit, held := intercept.ConcurrencyOf(intercept.ConcurrencyConfig{Max: 1})
	for range 3 {
		func() {
			defer func() { recover() }()
			limit(t.Context(), by("alice"), func(context.Context) error { panic("in a method behind it") })
		}()
	}
	if err := limit(t.Context(), by("alice"), nothing); err != nil || held() != 0 {
		t.Errorf("after panics: %v, %d keys held", err, held())
	}
}
