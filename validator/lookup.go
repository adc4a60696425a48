package validator

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Resolver looks up the addresses of host names; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

const (
	lookupTimeout = 2 * time.Second // well within the time for a handshake
	lookupKeep    = time.Minute     // an answer is used that long
	lookupAgain   = 5 * time.Second // after a failure
)

// lookup is a host name with its addresses. At most one goroutine looks it up at any
// time; if the resolver hangs beyond its timeout, no further one is started until it
// returns.
type lookup struct {
	name     string
	resolver Resolver

	mu      sync.Mutex
	addrs   []netip.Addr  // of the last answer, kept when a later lookup fails
	known   bool          // there was an answer, ever
	err     error         // of the last lookup
	until   time.Time     // when it must be looked up again
	pending chan struct{} // closed when the lookup under way has ended or timed out
	hung    bool          // the last lookup's goroutine has not returned
}

func newLookup(name string, r Resolver) *lookup { return &lookup{name: name, resolver: r} }

// refresh starts a lookup if one is due, and returns a channel that is closed when
// there is an outcome.
func (l *lookup) refresh() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pending != nil {
		return l.pending
	}
	done := make(chan struct{})
	if l.hung || time.Now().Before(l.until) {
		close(done)
		return done
	}
	l.pending, l.hung = done, true
	// Both goroutines end when the resolver returns; the outer one after the
	// timeout at the latest.
	result := make(chan func(), 1)
	go l.ask(result)
	go func() {
		timer := time.NewTimer(lookupTimeout)
		defer timer.Stop()
		select {
		case set := <-result:
			l.finish(done, set)
		case <-timer.C:
			l.finish(done, func() { l.err = failf("", "no answer within %v", lookupTimeout) })
		}
	}()
	return done
}

// ask calls the resolver, which may be someone else's code.
func (l *lookup) ask(result chan<- func()) {
	outcome := func() { l.err = failf("", "the resolver failed") } // it panicked
	defer func() {
		if recover() != nil {
			outcome = func() { l.err = failf("", "the resolver panicked") }
		}
		l.mu.Lock()
		l.hung = false
		l.mu.Unlock()
		result <- outcome
	}()
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	addrs, err := l.resolver.LookupNetIP(ctx, "ip", l.name)
	for i := range addrs {
		addrs[i] = addrs[i].Unmap().WithZone("")
	}
	switch {
	case err != nil:
		outcome = func() { l.err = err }
	case len(addrs) == 0:
		outcome = func() { l.err = failf("", "no addresses") }
	default:
		outcome = func() { l.addrs, l.known, l.err = addrs, true, nil }
	}
}

func (l *lookup) finish(done chan struct{}, set func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	set()
	l.until = time.Now().Add(lookupKeep)
	if l.err != nil {
		l.until = time.Now().Add(lookupAgain)
	}
	l.pending = nil
	close(done)
}

// answer is what is known about a name and an address.
type answer struct {
	has  bool  // the address is one of the name's, by the last answer
	ever bool  // there was an answer, ever
	err  error // of the last lookup
}

// has waits for a lookup that is due and tells what is known then.
func (l *lookup) has(ctx context.Context, addr netip.Addr) answer {
	select {
	case <-l.refresh():
	case <-ctx.Done():
		return answer{err: ctx.Err()}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return answer{has: slices.Contains(l.addrs, addr), ever: l.known, err: l.err}
}
