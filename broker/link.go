package broker

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pyrossl/pyrossl/broker/uri"
)

// link is the one connection to a daemon that proxies share. It is made anew
// when it is lost, drained or about to end.
type link struct {
	client *Client
	uri    uri.URI
	ident  any

	current atomic.Pointer[dialed]

	connected atomic.Bool // there was a connection once

	mu      sync.Mutex
	attempt *attempt // the dial in progress, which all who need it wait for
	closed  bool
}

// attempt is one dial. Its fields are set before done is closed.
type attempt struct {
	done    chan struct{}
	got     *dialed
	err     error
	instead *dialed // that is to be replaced, and still in use
}

func newLink(c *Client, u uri.URI, ident any) *link {
	return &link{client: c, uri: u, ident: ident}
}

// identKey makes a map key of an identification.
func identKey(ident any) (any, error) {
	if v := reflect.ValueOf(ident); v.Comparable() {
		return ident, nil
	}
	return nil, fmt.Errorf("broker: identification of type %T cannot be compared, so proxies could not be told apart by it", ident)
}

// alive returns the connection in use, or nil.
func (l *link) alive() *dialed {
	d := l.current.Load()
	if d == nil {
		return nil
	}
	select {
	case <-d.session.Done():
		return nil
	default:
		return d
	}
}

// get returns a live connection, dialling if there is none. Callers who arrive
// while a dial is in progress share its outcome; ctx bounds the wait of each,
// the client's ConnectTimeout the dial.
func (l *link) get(ctx context.Context) (*dialed, error) {
	if d := l.alive(); d != nil {
		return d, nil
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil, errClientClosed
	}
	if d := l.alive(); d != nil {
		l.mu.Unlock()
		return d, nil
	}
	l.client.watchOnce.Do(func() {
		l.client.wg.Add(1)
		go l.client.watch() // ends with Close
	})
	a := l.attempt
	if a == nil {
		a = &attempt{done: make(chan struct{})}
		l.attempt = a
		l.client.wg.Add(1)
		go l.dial(a) // ends with the dial, at the latest after ConnectTimeout
	}
	l.mu.Unlock()
	select {
	case <-a.done:
		return a.got, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("broker: connecting to %s: %w", l.uri.Address(), ctx.Err())
	}
}

func (l *link) dial(a *attempt) {
	defer l.client.wg.Done()
	var d *dialed
	onDrain := func() { l.current.CompareAndSwap(d, nil) }
	d, err := l.client.dial(l.client.ctx, l.uri, l.ident, onDrain)
	l.mu.Lock()
	if err == nil && l.closed {
		err = errClientClosed
	}
	if err == nil {
		l.current.Store(d)
		l.connected.Store(true)
		l.client.wg.Add(1)
		go func() { // ends with the connection
			defer l.client.wg.Done()
			d.session.Run()
			d.session.Close()
			d.session.Wait()
			d.endExports()
		}()
	} else if d != nil {
		d.session.Kill()
		d.session.Run()
		d = nil
	}
	a.got, a.err = d, err
	l.attempt = nil
	l.mu.Unlock()
	close(a.done)
}

func (l *link) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	if d := l.current.Load(); d != nil {
		d.session.Finish(onewayGrace)
		d.session.Close()
	}
}

// onewayGrace is how long Close waits until oneway calls have arrived.
const onewayGrace = time.Second

// backoff is how long to wait before the nth attempt in a row.
func backoff(n int) time.Duration {
	const first, longest = 50 * time.Millisecond, 2 * time.Second
	d := min(first<<min(n, 10), longest)
	return d/2 + jitter(d/2)
}
