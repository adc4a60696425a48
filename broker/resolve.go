package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/naming"
	"github.com/pyrossl/pyrossl/broker/uri"
)

// Names are resolved from what this client has been told: for each name server there is
// one stream, to which the client adds the names that it uses, and over which it is told
// what they are and what becomes of them. While the name server cannot be reached, what
// was known last holds.

// NameServer returns a proxy for the name server of ClientConfig.Names. Package names makes
// a client of it.
func (c *Client) NameServer(ctx context.Context) (*Proxy, error) {
	if c.names == (uri.URI{}) {
		return nil, errNoNames
	}
	return c.proxy(c.names, nil)
}

var errNoNames = errors.New("broker: this client has no name server: set ClientConfig.Names")

// ErrNoName is why a call fails whose PYRONAME:// URI leads nowhere.
var ErrNoName = errors.New("no such name")

// named makes a proxy that goes by a name.
func (c *Client) named(u uri.URI, opts []ProxyOption) (*Proxy, error) {
	server := c.names
	if u.Host != "" {
		server = uri.URI{Scheme: uri.PYROLOCSSL, Host: u.Host, Port: u.Port, Object: naming.Object}
		if server.Port == 0 {
			server.Port = uri.DefaultPort
		}
	}
	if server == (uri.URI{}) {
		return nil, fmt.Errorf("broker: %s needs a name server, and this client has none: set ClientConfig.Names, or give its host in the URI, as PYRONAME://ns.example/%s", u, u.Object)
	}
	text, err := naming.ParseName(u.Object)
	if err != nil {
		return nil, fmt.Errorf("broker: %s: %w", u, err)
	}
	p, err := c.newProxy(u, opts)
	if err != nil {
		return nil, err
	}
	r, err := c.resolver(server)
	if err != nil {
		return nil, err
	}
	p.address = "name " + text
	p.name = &name{client: c, resolver: r, text: text, pin: u.ID, ident: p.ident}
	return p, nil
}

// name is where a proxy's calls go. It stays with one of several daemons for as long as
// that is there and can be reached.
type name struct {
	client    *Client
	resolver  *resolver
	text, pin string
	ident     any
	found     atomic.Bool // the name led somewhere once

	mu      sync.Mutex
	current way
	record  string // the URI and identity that current was made of
	avoid   string // the same, of one that failed
}

func identityOf(r naming.Record) string { return r.URI + " " + r.Identity }

// way resolves the name.
func (n *name) way(ctx context.Context) (way, error) {
	records, err := n.resolver.lookup(ctx, n.text)
	if err != nil {
		return way{}, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.record != "" && n.record != n.avoid && slices.ContainsFunc(records, func(r naming.Record) bool { return identityOf(r) == n.record }) {
		return n.current, nil
	}
	return n.choose(records)
}

// choose takes any record but one that has just failed, if there are others. It needs
// n.mu.
func (n *name) choose(records []naming.Record) (way, error) {
	others := slices.DeleteFunc(slices.Clone(records), func(r naming.Record) bool { return identityOf(r) == n.avoid })
	if len(others) > 0 {
		records = others
	}
	n.avoid = ""
	r := records[rand.IntN(len(records))]
	u, err := uri.Parse(r.URI)
	if err == nil && u.Scheme != uri.PYROSSL && u.Scheme != uri.PYROLOCSSL {
		err = errors.New("it does not lead to a daemon")
	}
	if err != nil {
		return way{}, fmt.Errorf("broker: name %s: the name server gives %q: %w", n.text, r.URI, err)
	}
	// The server must be the one that was registered, or the one that the caller wants
	// to meet, whatever the name server says.
	if u.ID = r.Identity; n.pin != "" {
		u.ID = n.pin
	}
	l, err := n.client.linkFor(u, n.ident)
	if err != nil {
		return way{}, err
	}
	n.current, n.record = way{l, u.Object}, identityOf(r)
	n.found.Store(true)
	return n.current, nil
}

// missed notes that a call did not arrive where the name led.
func (n *name) missed(w way, err error) {
	var e *Error
	if !errors.As(err, &e) || e.Kind != KindUnreachable && e.Kind != KindLost && e.Kind != KindDraining {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.current == w {
		n.avoid = n.record
	}
}

// resolver knows the names of one name server that a client uses.
//
// Its goroutine runs from the first lookup until the client is closed.
type resolver struct {
	client *Client
	proxy  *Proxy
	once   sync.Once
	more   chan struct{} // there are names to ask for; has room for one

	mu    sync.Mutex
	names map[string]*resolved
}

// resolved is what is known of a name.
type resolved struct {
	known   bool // it was told, also that there is nothing
	records []naming.Record
	denied  error         // it may not be looked up
	err     error         // why nothing is known
	changed chan struct{} // closed and replaced
}

func (c *Client) resolver(server uri.URI) (*resolver, error) {
	p, err := c.proxy(server, []ProxyOption{})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.resolvers[server]
	if r == nil {
		r = &resolver{client: c, proxy: p, more: make(chan struct{}, 1), names: make(map[string]*resolved)}
		c.resolvers[server] = r
	}
	return r, nil
}

// lookup returns a name's records, at once if they are known.
func (r *resolver) lookup(ctx context.Context, text string) ([]naming.Record, error) {
	r.mu.Lock()
	of := r.names[text]
	if of == nil {
		if len(r.names) >= naming.MaxFollowed {
			r.mu.Unlock()
			return nil, fmt.Errorf("broker: name %s: this client uses %d names already, and no more are followed", text, naming.MaxFollowed)
		}
		of = &resolved{changed: make(chan struct{})}
		r.names[text] = of
	} else if of.err != nil {
		of.err = nil // asked again; whoever follows tries again soon
	}
	r.mu.Unlock()
	if !r.start() {
		return nil, errClientClosed
	}
	for {
		r.mu.Lock()
		known, records, err, changed := of.known, of.records, cmp.Or(of.denied, of.err), of.changed
		r.mu.Unlock()
		switch {
		case err != nil:
			return nil, err
		case known && len(records) == 0:
			return nil, &Error{Kind: KindUnreachable, Peer: "name " + text, Err: ErrNoName, Message: fmt.Sprintf("%v at %s", ErrNoName, r.proxy.address)}
		case known:
			return records, nil
		}
		r.ask()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-r.client.ctx.Done():
			return nil, errClientClosed
		}
	}
}

// start makes sure that somebody follows. It reports false when the client is closed.
func (r *resolver) start() bool {
	c := r.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	r.once.Do(func() {
		c.wg.Add(1)
		go r.run() // ends with Close
	})
	return true
}

func (r *resolver) ask() {
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// run follows the names until the client is closed.
func (r *resolver) run() {
	defer r.client.wg.Done()
	const first, longest = 100 * time.Millisecond, 5 * time.Second
	for wait := first; ; wait = min(2*wait, longest) {
		told, err := r.follow(r.client.ctx)
		if r.client.ctx.Err() != nil {
			return
		}
		if told {
			wait = first
		}
		r.failed(err)
		r.client.log.Warn("names are not followed, and what was known last holds", "server", r.proxy.uri.String(), "error", err)
		if !sleep(r.client.ctx, jitter(wait)) {
			return
		}
	}
}

// follow asks for all names, and takes what it is told, until the stream ends.
func (r *resolver) follow(ctx context.Context) (told bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err = errors.New("the name server has ended the stream")
	for change, e := range Stream[naming.Change](ctx, r.proxy, "Follow", r.wanted(ctx)) {
		if e != nil {
			return told, e
		}
		told = true
		r.take(change)
	}
	return told, err
}

// wanted yields the names that are used, each once, as they are.
func (r *resolver) wanted(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		sent := make(map[string]bool)
		for {
			r.mu.Lock()
			var next []string
			for text := range r.names {
				if !sent[text] {
					next = append(next, text)
				}
			}
			r.mu.Unlock()
			for _, text := range next {
				sent[text] = true
				if !yield(text, nil) {
					return
				}
			}
			select {
			case <-r.more:
			case <-ctx.Done():
				return
			}
		}
	}
}

// take notes what a name is.
func (r *resolver) take(change naming.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.names[change.Name]
	if of == nil {
		return
	}
	switch change.Kind {
	case naming.Is:
		of.known, of.records, of.err, of.denied = true, change.Records, nil, nil
	case naming.Gone:
		of.known, of.records, of.err, of.denied = true, nil, nil, nil
	case naming.Denied: // until the name server says something else
		of.known, of.records, of.err = true, nil, nil
		of.denied = &Error{Kind: KindDenied, Peer: "name " + change.Name, Message: change.Reason}
	default:
		return
	}
	of.tell()
}

// failed tells those who wait for a name that was never known why they wait in vain.
func (r *resolver) failed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, of := range r.names {
		if !of.known && of.err == nil {
			of.err = err
			of.tell()
		}
	}
}

func (of *resolved) tell() {
	close(of.changed)
	of.changed = make(chan struct{})
}
