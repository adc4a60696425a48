package memnet

import (
	"net"
	"net/netip"
	"slices"
	"sync"
)

type listener struct {
	network *Network
	at      endpoint
	addr    netip.AddrPort

	// Guarded by network.mu.
	changed sync.Cond
	queue   []*Conn // connected, not yet accepted
	closed  bool
	stalled bool
}

func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }

func (l *listener) Accept() (net.Conn, error) {
	l.network.mu.Lock()
	defer l.network.mu.Unlock()
	for !l.closed {
		if len(l.queue) > 0 {
			c := l.queue[0]
			l.queue = slices.Delete(l.queue, 0, 1)
			l.changed.Broadcast() // a Dial may wait for room
			return c, nil
		}
		l.changed.Wait()
	}
	return nil, l.errClosed("accept")
}

// Close resets the connections that nobody accepted, as TCP does.
func (l *listener) Close() error {
	n := l.network
	n.mu.Lock()
	if l.closed {
		n.mu.Unlock()
		return l.errClosed("close")
	}
	l.closed = true
	if n.listeners[l.at] == l {
		delete(n.listeners, l.at)
	}
	queue := l.queue
	l.queue = nil
	l.changed.Broadcast()
	n.mu.Unlock()
	for _, c := range queue {
		c.Abort()
	}
	return nil
}

func (l *listener) errClosed(op string) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
}
