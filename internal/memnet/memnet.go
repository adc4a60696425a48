// Package memnet is an in-memory network for tests: listeners, connections with
// buffers, deadlines, half-close and TCP's errors, and links that go dead.
//
// Nothing here touches the operating system. A blocked Read, Write, Accept or
// Dial waits on a [sync.Cond], which testing/synctest counts as durably blocked,
// so a daemon and its clients run in one bubble under fake time. Make the
// Network inside the bubble that uses it.
//
// Unlike [net.Pipe], connections are buffered: a TLS handshake in which both
// sides write at once cannot deadlock. Unlike TCP on some systems, a Close never
// loses bytes that the peer has not read yet, unless [ResetUnread] asks for that.
//
// One trap remains when crypto/tls is used in a bubble: a goroutine that waits
// for another one's Write inside the same tls.Conn waits on a mutex, which is
// not durable, and the bubble's clock stands still meanwhile.
package memnet

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
)

const (
	// defaultBuffer is how many bytes a connection holds in each direction.
	defaultBuffer = 64 << 10

	// backlog is how many connections wait for Accept before Dial blocks
	// (Linux's SOMAXCONN was 128 for a long time).
	backlog = 128
)

// An Option changes how connections behave.
type Option func(*options)

type options struct {
	buffer      int
	resetUnread bool
}

// BufferSize sets how many bytes a connection holds in each direction. It must
// be positive.
func BufferSize(n int) Option {
	return func(o *options) { o.buffer = max(n, 1) }
}

// ResetUnread makes Close act as Abort when bytes have arrived that were not
// read, as Linux does: the peer then loses what it has not read, typically the
// last words about why it is being closed.
func ResetUnread() Option {
	return func(o *options) { o.resetUnread = true }
}

func newOptions(opts []Option) options {
	o := options{buffer: defaultBuffer}
	for _, f := range opts {
		f(&o)
	}
	return o
}

// A Network is a set of listeners that connections can be made to. It is safe
// for concurrent use.
type Network struct {
	options options

	mu        sync.Mutex
	listeners map[endpoint]*listener
	links     map[*link]*listener // open connections, and whom they were made to
	names     map[string]netip.Addr
	lastPort  uint16
}

// New makes a network on which nobody listens yet.
func New(opts ...Option) *Network {
	return &Network{
		options:   newOptions(opts),
		listeners: make(map[endpoint]*listener),
		links:     make(map[*link]*listener),
		names:     make(map[string]netip.Addr),
		lastPort:  firstPort,
	}
}

// Listen announces on addr, a "host:port". The host may be an IP address, any
// name, or empty (also "0.0.0.0" and "::") to answer for every host that is
// dialed with this port. Port 0 takes a free one. Names need no set-up: each has
// a loopback address of its own, "localhost" 127.0.0.1.
func (n *Network) Listen(addr string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	at, err := parseEndpoint(addr)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: err}
	}
	if at.port == 0 {
		at.port = n.freePort()
	}
	l := &listener{network: n, at: at, addr: netip.AddrPortFrom(n.resolve(at.host), at.port)}
	l.changed.L = &n.mu
	for other := range n.listeners {
		if other.port == at.port && n.resolve(other.host) == l.addr.Addr() {
			return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: l.Addr(), Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
		}
	}
	n.listeners[at] = l
	return l, nil
}

// Dial connects to a listener. It has the signature of [net.Dialer.DialContext].
// Where nobody listens the error is ECONNREFUSED. It waits while the listener's
// queue is full or its link is stalled, until ctx is done.
func (n *Network) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return n.DialFrom(netip.Addr{})(ctx, network, addr)
}

// DialFrom returns a Dial whose connections come from the given address; the
// zero address means the loopback one.
func (n *Network) DialFrom(from netip.Addr) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		fail := func(to net.Addr, err error) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: network, Addr: to, Err: err}
		}
		switch network {
		case "tcp", "tcp4", "tcp6":
		default:
			return fail(nil, net.UnknownNetworkError(network))
		}
		at, err := parseEndpoint(addr)
		if err != nil {
			return fail(nil, err)
		}
		c, to, err := n.connect(ctx, from, at)
		if err != nil {
			return fail(to, err)
		}
		return c, nil
	}
}

func (n *Network) connect(ctx context.Context, from netip.Addr, at endpoint) (*Conn, net.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.find(at)
	ip := n.resolve(at.host)
	if ip.IsUnspecified() {
		ip = loopback(ip)
	}
	to := net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, at.port))
	if l == nil {
		return nil, to, os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	stop := context.AfterFunc(ctx, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		l.changed.Broadcast()
	})
	defer stop()
	for {
		switch {
		case ctx.Err() != nil:
			return nil, to, ctx.Err()
		case l.closed:
			return nil, to, os.NewSyscallError("connect", syscall.ECONNREFUSED)
		case !l.stalled && len(l.queue) < backlog:
			if !from.IsValid() {
				from = loopback(ip)
			}
			k := newLink(n.options, netip.AddrPortFrom(from, n.nextPort()), to.AddrPort())
			k.ended = func() { n.forget(k) }
			n.links[k] = l
			l.queue = append(l.queue, k.ends[1])
			l.changed.Broadcast()
			return k.ends[0], to, nil
		}
		l.changed.Wait()
	}
}

// Stall makes a black hole of the link to the listener at addr: on every
// connection made to it, nothing arrives any more in either direction, no bytes,
// no close and no reset, and new connections hang. The two ends are not told.
func (n *Network) Stall(addr string) {
	n.setStalled(addr, true)
	for _, k := range n.linksTo(addr) {
		k.stall()
	}
}

// Resume ends a Stall; what was sent meanwhile arrives.
func (n *Network) Resume(addr string) {
	n.setStalled(addr, false)
	for _, k := range n.linksTo(addr) {
		k.resume()
	}
}

// Reset breaks every connection made to the listener at addr: reads give
// ECONNRESET and writes EPIPE at both ends, and bytes that were not read are
// lost. The listener stays.
func (n *Network) Reset(addr string) {
	for _, k := range n.linksTo(addr) {
		k.sever()
	}
}

// setStalled says whether new connections to addr hang.
func (n *Network) setStalled(addr string, stalled bool) {
	at, err := parseEndpoint(addr)
	if err != nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if l := n.find(at); l != nil {
		l.stalled = stalled
		l.changed.Broadcast()
	}
}

// linksTo returns the connections made to the listener at addr, also when it has
// been closed meanwhile.
func (n *Network) linksTo(addr string) []*link {
	at, err := parseEndpoint(addr)
	if err != nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	listening := n.find(at)
	var links []*link
	for k, l := range n.links {
		if l == listening || l.at == at {
			links = append(links, k)
		}
	}
	return links
}

func (n *Network) forget(k *link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.links, k)
}

// find needs n.mu. The most exact listener wins.
func (n *Network) find(at endpoint) *listener {
	if l := n.listeners[at]; l != nil {
		return l
	}
	ip := n.resolve(at.host)
	for other, l := range n.listeners {
		if other.host != "" && other.port == at.port && l.addr.Addr() == ip {
			return l
		}
	}
	return n.listeners[endpoint{"", at.port}]
}
