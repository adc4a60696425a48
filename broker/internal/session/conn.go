package session

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// Conn stands between crypto/tls and the socket. During the handshake it passes
// writes through. Afterwards it keeps the ciphertext, so that several records
// leave in one system call, and so that a caller can encrypt and try to write
// without ever being blocked by a peer that does not read.
type Conn struct {
	net.Conn
	raw syscall.RawConn // nil when the connection is no socket

	attempt attempt // only the flusher touches it

	received, sent atomic.Uint64 // bytes of ciphertext

	mu     sync.Mutex // guards what follows; TLS may write an alert at any time
	held   bool
	out    []byte // ciphertext not yet written
	taken  []byte // the part of out that a flush is writing
	failed error
}

// NewConn wraps a connection whose TLS handshake has not begun.
func NewConn(c net.Conn) *Conn {
	w := &Conn{Conn: c}
	if sc, ok := c.(syscall.Conn); ok && canTryWrite {
		if raw, err := sc.SyscallConn(); err == nil {
			w.raw = raw
		}
	}
	return w
}

// Read is what crypto/tls calls.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received.Add(uint64(n))
	return n, err
}

// Write is what crypto/tls calls.
func (c *Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	if c.held {
		defer c.mu.Unlock()
		if c.failed != nil {
			return 0, c.failed
		}
		if c.out == nil {
			c.out = getBuffer(expected(len(p)))
		}
		c.out = append(c.out, p...)
		return len(p), nil
	}
	c.mu.Unlock()
	n, err := c.Conn.Write(p)
	c.sent.Add(uint64(n))
	return n, err
}

// expected is how much ciphertext follows, given its first record: after a full
// one there will be more.
func expected(record int) int {
	if record > 16<<10 {
		return largeBuffer
	}
	return record
}

// hold starts keeping what is written until a flush. The handshake must be over.
func (c *Conn) hold() {
	c.mu.Lock()
	c.held = true
	c.mu.Unlock()
}

// flush writes what is held. When block is false it stops at the first byte
// that the socket does not take and reports rest. One goroutine at a time may
// flush: the writer's flusher.
func (c *Conn) flush(block bool) (rest bool, err error) {
	for {
		c.mu.Lock()
		if len(c.taken) == 0 {
			c.taken, c.out = c.out, nil
		}
		p, err := c.taken, c.failed
		c.mu.Unlock()
		if len(p) == 0 || err != nil {
			return false, err
		}
		var n int
		if block {
			n, err = c.Conn.Write(p)
		} else {
			n, err = c.tryWrite(p)
		}
		c.sent.Add(uint64(n))
		c.mu.Lock()
		if n == len(p) {
			putBuffer(c.taken)
			c.taken = nil
		} else {
			// The front of a buffer is given up; its capacity shrinks and the
			// pool refuses it when it is too small to be worth keeping.
			c.taken = c.taken[n:]
		}
		if err != nil {
			c.failed = err
		}
		c.mu.Unlock()
		if err != nil {
			return false, err
		}
		if n < len(p) && !block {
			return true, nil
		}
	}
}
