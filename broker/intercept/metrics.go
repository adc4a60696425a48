package intercept

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/pyrossl/pyrossl/broker"
)

// MetricsConfig is what Metrics are made of. The zero value is fine.
type MetricsConfig struct {
	// Buckets are the upper bounds of the histogram, in seconds, rising; from 100 µs to
	// 10 s when nil.
	Buckets []float64
	// Methods is how many methods are told apart, 1,000 when 0. The others are counted
	// together, as object and method "_other".
	Methods int
}

// Metrics counts calls, by method and by what became of them, and how long they took.
// Its Intercept is an interceptor, for any number of daemons and clients. It is safe for
// concurrent use.
//
// A method is counted by its name only when it exists: on the side of the object, where
// calls of others do not come so far; on the caller's side once a daemon has shown that
// it knows the method, by a result or an error of it. Until then its calls are counted
// as "_other". Calls to objects that the other side exports over its own connection,
// such as callbacks, are counted by method as those of object "_peer": those names are the
// other side's.
type Metrics struct {
	bounds  []float64 // of the buckets, without the last, infinite one
	methods int

	mu     sync.Mutex                        // of who adds a series
	series atomic.Pointer[map[about]*series] // replaced whole
}

// about is what a series is about.
type about struct {
	incoming       bool
	object, method string
}

const (
	unknown  = "_other"
	peerOwns = "_peer"
)

// series are the figures of one method.
type series struct {
	running  atomic.Int64
	outcomes [len(kinds) + 3]atomic.Uint64 // by index, see below
	buckets  []atomic.Uint64               // not cumulative; the last one is infinite
	nanos    atomic.Int64
}

// kinds are what calls fail with; the index of a kind's figure is one more. Index 0 is
// success, and behind the kinds are connectionDenied and other.
var kinds = [...]broker.Kind{
	broker.KindApplication, broker.KindInternal, broker.KindDenied, broker.KindNoObject, broker.KindNoMethod,
	broker.KindArguments, broker.KindCanceled, broker.KindDeadline, broker.KindDraining, broker.KindTooLarge,
	broker.KindRetry, broker.KindBusy, broker.KindLost, broker.KindResult, broker.KindUnreachable,
}

func outcomeIndex(kind broker.Kind, text string) int {
	switch text {
	case ok:
		return 0
	case connectionDenied:
		return len(kinds) + 1
	}
	if i := slices.Index(kinds[:], kind); i >= 0 {
		return i + 1
	}
	return len(kinds) + 2
}

func outcomeText(index int) string {
	switch {
	case index == 0:
		return ok
	case index <= len(kinds):
		return kinds[index-1].String()
	case index == len(kinds)+1:
		return connectionDenied
	}
	return other
}

var defaultBuckets = []float64{
	0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
}

// NewMetrics checks the configuration.
func NewMetrics(c MetricsConfig) (*Metrics, error) {
	if c.Methods < 0 {
		return nil, fmt.Errorf("intercept: MetricsConfig.Methods is %d, want no negative number", c.Methods)
	}
	if c.Methods == 0 {
		c.Methods = 1000
	}
	bounds := slices.Clone(c.Buckets)
	if bounds == nil {
		bounds = defaultBuckets
	}
	for i, b := range bounds {
		if math.IsNaN(b) || math.IsInf(b, 0) || i > 0 && b <= bounds[i-1] {
			return nil, fmt.Errorf("intercept: MetricsConfig.Buckets are %v, want rising and finite numbers", bounds)
		}
	}
	m := &Metrics{bounds: bounds, methods: c.Methods}
	m.series.Store(&map[about]*series{
		{true, unknown, unknown}:  m.newSeries(),
		{false, unknown, unknown}: m.newSeries(),
	})
	return m, nil
}

func (m *Metrics) newSeries() *series {
	return &series{buckets: make([]atomic.Uint64, len(m.bounds)+1)}
}

// Intercept is a [broker.Interceptor].
func (m *Metrics) Intercept(ctx context.Context, call *broker.CallInfo, next func(context.Context) error) (err error) {
	s := m.of(call, call.Incoming)
	s.running.Add(1)
	begun, returned := time.Now(), false
	defer func() {
		took := time.Since(begun)
		s.running.Add(-1)
		kind, text := outcome(call, err)
		if !returned { // a panic in an interceptor behind this one
			kind, text = broker.KindInternal, broker.KindInternal.String()
		}
		if !call.Incoming && exists(kind, text) {
			s = m.of(call, true)
		}
		s.add(m.bounds, took, outcomeIndex(kind, text))
	}()
	err = next(ctx)
	returned = true
	return err
}

// exists reports whether a daemon that answers so has the method.
func exists(kind broker.Kind, text string) bool {
	switch kind {
	case broker.KindApplication, broker.KindInternal, broker.KindArguments, broker.KindResult:
		return true
	}
	return text == ok
}

// of returns the series of a call. If there is none it is made, if it may be.
func (m *Metrics) of(call *broker.CallInfo, may bool) *series {
	key := about{call.Incoming, call.Object, call.Method}
	if ofPeer(call) {
		key.object = peerOwns
	}
	known := *m.series.Load()
	if s := known[key]; s != nil {
		return s
	}
	if !may || len(known) >= m.methods+2 || !utf8.ValidString(key.object) || !utf8.ValidString(key.method) {
		return known[about{call.Incoming, unknown, unknown}]
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	known = *m.series.Load()
	if s := known[key]; s != nil {
		return s
	}
	if len(known) >= m.methods+2 {
		return known[about{call.Incoming, unknown, unknown}]
	}
	more := maps.Clone(known)
	s := m.newSeries()
	more[key] = s
	m.series.Store(&more)
	return s
}

func (s *series) add(bounds []float64, took time.Duration, outcome int) {
	s.outcomes[outcome].Add(1)
	s.nanos.Add(int64(took))
	s.buckets[sort.SearchFloat64s(bounds, took.Seconds())].Add(1)
}
