package intercept

import (
	"container/list"
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/pyrossl/pyrossl/broker"
)

// RateConfig is a limit on how often calls may be made.
type RateConfig struct {
	// PerSecond is how many calls each key may make in the long run. It must be set;
	// 0.5 is one in two seconds.
	PerSecond float64
	// Burst is how many it may make at once after a pause: as many as in a second, but
	// at least one, when 0.
	Burst int
	// Key says whose calls count together; ByIdentity when nil.
	Key Key
	// Keys is how many keys are remembered, 10,000 when 0: about 200 bytes each. Beyond
	// that, whoever has not called for longest is forgotten, and begins anew with a full
	// burst. To gain by that one must call under more identities than Keys.
	Keys int
}

// Rate refuses calls that come more often than they may, with [broker.KindBusy] and a
// message that says when to come back. Each key has a bucket of Burst tokens, into
// which PerSecond tokens drip; a call takes one. A call that is refused takes none.
func Rate(c RateConfig) (broker.Interceptor, error) {
	if math.IsNaN(c.PerSecond) || c.PerSecond <= 0 || c.PerSecond > float64(time.Second) {
		return nil, fmt.Errorf("intercept: RateConfig.PerSecond is %v, want more than 0 and at most 1e9", c.PerSecond)
	}
	if c.Burst < 0 || c.Keys < 0 {
		return nil, fmt.Errorf("intercept: RateConfig.Burst is %d and Keys is %d, want no negative number", c.Burst, c.Keys)
	}
	if interval := float64(time.Second) / c.PerSecond; interval*float64(max(c.Burst, 1)) > float64(longestBurst) {
		return nil, fmt.Errorf("intercept: a burst of %d at %v calls a second would take more than a year to come back", c.Burst, c.PerSecond)
	}
	return newRateLimit(c).intercept, nil
}

// longestBurst keeps the arithmetic far from overflowing.
const longestBurst = 365 * 24 * time.Hour

func newRateLimit(c RateConfig) *rateLimit {
	if c.Burst == 0 {
		c.Burst = int(math.Ceil(c.PerSecond))
	}
	if c.Keys == 0 {
		c.Keys = 10_000
	}
	if c.Key == nil {
		c.Key = ByIdentity
	}
	l := &rateLimit{
		RateConfig: c, clock: newClock(), recent: list.New(), of: make(map[string]*list.Element),
		interval: time.Duration(math.Ceil(float64(time.Second) / c.PerSecond)),
	}
	l.ahead = l.interval * time.Duration(c.Burst-1)
	return l
}

// rateLimit is a token bucket for each key, in the form of GCRA (ITU-T I.371, annex A): a
// full bucket is a time in the past, and each call moves it on by one interval.
type rateLimit struct {
	RateConfig
	clock
	interval time.Duration // between calls in the long run
	ahead    time.Duration // how far the time may run ahead: the burst

	mu     sync.Mutex
	of     map[string]*list.Element
	recent *list.List // of *bucket, who called last in front
}

// bucket is one key's. The bucket is full when next is not in the future.
type bucket struct {
	key  string
	next time.Duration
}

func (l *rateLimit) intercept(ctx context.Context, call *broker.CallInfo, next next) error {
	key := l.Key(call)
	if key == "" {
		return next(ctx)
	}
	if wait := l.take(key); wait > 0 {
		return broker.Refuse(broker.KindBusy, fmt.Sprintf("%s may make %v calls a second, %d at once: come back in %v", key, l.PerSecond, l.Burst, roundUp(wait)))
	}
	return next(ctx)
}

// take returns how long to wait, 0 for not at all.
func (l *rateLimit) take(key string) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	b := l.bucket(key)
	from := max(b.next, now)
	if wait = from - now - l.ahead; wait > 0 {
		return wait
	}
	b.next = from + l.interval
	return 0
}

// bucket returns a key's, which is then the most recent one.
func (l *rateLimit) bucket(key string) *bucket {
	e := l.of[key]
	switch {
	case e != nil:
		l.recent.MoveToFront(e)
	case len(l.of) < l.Keys:
		e = l.recent.PushFront(&bucket{key: key})
		l.of[key] = e
	default:
		e = l.recent.Back()
		b := e.Value.(*bucket)
		delete(l.of, b.key)
		*b = bucket{key: key}
		l.of[key] = e
		l.recent.MoveToFront(e)
	}
	return e.Value.(*bucket)
}

// roundUp shortens a time for reading: who comes back then is not too early.
func roundUp(d time.Duration) time.Duration {
	return (d + time.Millisecond - 1).Truncate(time.Millisecond)
}
