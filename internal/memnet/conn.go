package memnet

import (
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// A Conn is one end of a connection. It behaves as a TCP connection does, and
// its errors are of the same types: see [net.OpError]. It is safe for concurrent
// use; concurrent writes are not interleaved.
type Conn struct {
	link          *link
	in, out       *pipe
	local, remote *net.TCPAddr

	// Guarded by link.mu.
	closed, writeClosed         bool
	readDeadline, writeDeadline deadline
}

var _ net.Conn = (*Conn)(nil)

// Pipe returns the two ends of a connection; both are of type [*Conn].
func Pipe(opts ...Option) (a, b net.Conn) {
	ip := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	k := newLink(newOptions(opts), netip.AddrPortFrom(ip, firstPort), netip.AddrPortFrom(ip, firstPort+1))
	return k.ends[0], k.ends[1]
}

// Read waits for bytes and takes what there is.
func (c *Conn) Read(b []byte) (int, error) {
	k, p := c.link, c.in
	k.mu.Lock()
	defer k.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, c.fail("read", net.ErrClosed)
		case len(b) == 0:
			return 0, nil
		case c.readDeadline.expired:
			return 0, c.fail("read", os.ErrDeadlineExceeded)
		case p.reset:
			return 0, c.fail("read", os.NewSyscallError("read", syscall.ECONNRESET))
		case p.arrived > 0:
			n := p.take(b)
			p.writers.Broadcast()
			return n, nil
		case p.fin:
			return 0, io.EOF
		}
		p.readers.Wait()
	}
}

// Write puts all bytes into the connection's buffer and waits where it is full.
func (c *Conn) Write(b []byte) (n int, err error) {
	k, p := c.link, c.out
	k.mu.Lock()
	defer k.mu.Unlock()
	mine := false
	defer func() {
		if mine {
			p.writing = false
			p.writers.Broadcast()
		}
	}()
	for {
		switch {
		case c.closed:
			return n, c.fail("write", net.ErrClosed)
		case c.writeDeadline.expired:
			return n, c.fail("write", os.ErrDeadlineExceeded)
		case c.writeClosed || p.gone:
			return n, c.fail("write", os.NewSyscallError("write", syscall.EPIPE))
		case n == len(b):
			return n, nil
		}
		if room := k.options.buffer - p.size(); room > 0 && (mine || !p.writing) {
			mine, p.writing = true, true
			m := min(room, len(b)-n)
			p.put(b[n : n+m])
			n += m
			if !k.stalled {
				p.arrive()
				p.readers.Broadcast()
			}
			if n == len(b) {
				return n, nil
			}
			continue
		}
		p.writers.Wait()
	}
}

// Close closes this end. The peer reads what was written before, then io.EOF;
// its writes fail with EPIPE.
func (c *Conn) Close() error { return c.close("close", false) }

// Abort closes this end with a reset: the peer's reads fail with ECONNRESET, its
// writes with EPIPE, and bytes that it has not read are lost.
func (c *Conn) Abort() { c.close("close", true) }

func (c *Conn) close(op string, abort bool) error {
	k := c.link
	k.mu.Lock()
	if c.closed {
		k.mu.Unlock()
		return c.fail(op, net.ErrClosed)
	}
	c.closed = true
	c.readDeadline.stop()
	c.writeDeadline.stop()
	if abort || k.options.resetUnread && c.in.arrived > 0 {
		k.tell(func() {
			c.in.sever()
			c.out.sever()
		})
	} else {
		k.tell(func() {
			c.out.fin = true
			c.in.gone = true
			c.in.drop()
		})
	}
	k.wake() // this end's own calls, also when the link is stalled
	last := k.ends[0].closed && k.ends[1].closed
	k.mu.Unlock()
	if last {
		k.ended()
	}
	return nil
}

// CloseWrite ends the sending half: the peer reads io.EOF after the last byte,
// and can still write.
func (c *Conn) CloseWrite() error {
	k := c.link
	k.mu.Lock()
	defer k.mu.Unlock()
	if c.closed {
		return c.fail("close", net.ErrClosed)
	}
	if !c.writeClosed {
		c.writeClosed = true
		k.tell(func() { c.out.fin = true })
		k.wake()
	}
	return nil
}

// Stall makes a black hole of the connection, seen from both ends: nothing that
// is written, closed or reset arrives any more. Bytes that had arrived before
// can be read, and writes succeed until the buffer is full.
func (c *Conn) Stall() { c.link.stall() }

// Resume ends a Stall; what was sent meanwhile arrives.
func (c *Conn) Resume() { c.link.resume() }

// LocalAddr is a [*net.TCPAddr].
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is a [*net.TCPAddr].
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets the time after which reads and writes fail with
// [os.ErrDeadlineExceeded], those that wait already included.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadline(t, true, true) }

// SetReadDeadline is SetDeadline for reads.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(t, true, false) }

// SetWriteDeadline is SetDeadline for writes.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(t, false, true) }

func (c *Conn) setDeadline(t time.Time, read, write bool) error {
	k := c.link
	k.mu.Lock()
	defer k.mu.Unlock()
	if c.closed {
		return c.fail("set", net.ErrClosed)
	}
	if read {
		c.readDeadline.set(&k.mu, t, &c.in.readers)
	}
	if write {
		c.writeDeadline.set(&k.mu, t, &c.out.writers)
	}
	return nil
}

func (c *Conn) fail(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}
