package intercept

import (
	"context"
	"fmt"
	"sync"

	"github.com/pyrossl/pyrossl/broker"
)

// ConcurrencyConfig is a limit on how many calls may run side by side.
type ConcurrencyConfig struct {
	// Max is how many calls of each key may run. It must be set.
	Max int
	// Key says whose calls count together; ByIdentity when nil.
	Key Key
}

// Concurrency refuses calls while Max others of the same key run, with
// [broker.KindBusy]: the caller comes back when one of them has ended. A stream runs for
// as long as it flows. Nothing is kept of keys of which no call runs.
func Concurrency(c ConcurrencyConfig) (broker.Interceptor, error) {
	if c.Max <= 0 {
		return nil, fmt.Errorf("intercept: ConcurrencyConfig.Max is %d, want at least 1", c.Max)
	}
	return newConcurrencyLimit(c).intercept, nil
}

func newConcurrencyLimit(c ConcurrencyConfig) *concurrencyLimit {
	if c.Key == nil {
		c.Key = ByIdentity
	}
	return &concurrencyLimit{ConcurrencyConfig: c, running: make(map[string]int)}
}

type concurrencyLimit struct {
	ConcurrencyConfig

	mu      sync.Mutex
	running map[string]int
}

func (l *concurrencyLimit) intercept(ctx context.Context, call *broker.CallInfo, next next) error {
	key := l.Key(call)
	if key == "" {
		return next(ctx)
	}
	if !l.enter(key) {
		return broker.Refuse(broker.KindBusy, fmt.Sprintf("%s has %d calls running, and may have no more: come back when one of them has ended", key, l.Max))
	}
	defer l.leave(key)
	return next(ctx)
}

func (l *concurrencyLimit) enter(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.running[key]
	if n >= l.Max {
		return false
	}
	l.running[key] = n + 1
	return true
}

func (l *concurrencyLimit) leave(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running[key]--; l.running[key] == 0 {
		delete(l.running, key)
	}
}
