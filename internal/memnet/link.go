package memnet

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// keptBuffer is the largest buffer that an idle pipe keeps for the next write.
const keptBuffer = 16 << 10

// A link is what lies between the two ends of a connection. Its mutex guards
// both ends.
type link struct {
	options options
	ends    [2]*Conn
	ended   func() // called once both ends are closed, without mu

	mu      sync.Mutex
	stalled bool
	pending []func() // what the ends would have learned of each other, in order
}

func newLink(o options, a, b netip.AddrPort) *link {
	k := &link{options: o, ended: func() {}}
	forth, back := newPipe(&k.mu), newPipe(&k.mu)
	local, remote := net.TCPAddrFromAddrPort(a), net.TCPAddrFromAddrPort(b)
	k.ends[0] = &Conn{link: k, in: back, out: forth, local: local, remote: remote}
	k.ends[1] = &Conn{link: k, in: forth, out: back, local: remote, remote: local}
	return k
}

// A pipe is one direction of a link; link.mu guards it.
//
//	buf[off:off+arrived] can be read; what follows was sent while the link stalled.
type pipe struct {
	buf     []byte
	off     int
	arrived int

	fin   bool // the reader learns, after the last byte, that there are no more
	reset bool // the reader learns that the connection is broken
	gone  bool // the writer learns that nobody reads

	writing          bool // a Write is between its first and its last byte
	readers, writers sync.Cond
}

func newPipe(mu *sync.Mutex) *pipe {
	p := &pipe{}
	p.readers.L, p.writers.L = mu, mu
	return p
}

// tell runs f, which changes what an end knows, once the link lets it through.
func (k *link) tell(f func()) {
	if k.stalled {
		k.pending = append(k.pending, f)
		return
	}
	f()
	k.wake()
}

func (k *link) wake() {
	for _, c := range k.ends {
		c.in.readers.Broadcast()
		c.in.writers.Broadcast()
	}
}

func (k *link) stall() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stalled = true
}

func (k *link) resume() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stalled = false
	for _, c := range k.ends {
		c.in.arrive()
	}
	for _, f := range k.pending {
		f()
	}
	k.pending = nil
	k.wake()
}

// sever resets both ends, stalled or not.
func (k *link) sever() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.ends {
		c.in.sever()
	}
	k.wake()
}

// sever is a reset as both the reader and the writer learn of it.
func (p *pipe) sever() {
	p.reset, p.gone = true, true
	p.drop()
}

// size is how many bytes are on their way.
func (p *pipe) size() int { return len(p.buf) - p.off }

// put appends b, which must not be more than what fits.
func (p *pipe) put(b []byte) {
	if p.off > 0 && len(p.buf)+len(b) > cap(p.buf) {
		p.buf, p.off = p.buf[:copy(p.buf, p.buf[p.off:])], 0
	}
	p.buf = append(p.buf, b...)
}

// take reads what has arrived.
func (p *pipe) take(b []byte) int {
	n := copy(b, p.buf[p.off:p.off+p.arrived])
	p.off += n
	p.arrived -= n
	if p.size() == 0 {
		p.buf, p.off = p.buf[:0], 0
		if cap(p.buf) > keptBuffer {
			p.buf = nil
		}
	}
	return n
}

// arrive makes all bytes readable.
func (p *pipe) arrive() { p.arrived = p.size() }

// drop forgets all bytes.
func (p *pipe) drop() { p.buf, p.off, p.arrived = nil, 0, 0 }

// A deadline is a point in time after which calls fail; link.mu guards it.
type deadline struct {
	timer   *time.Timer
	serial  int // of the latest set: an older timer that fires late is ignored
	expired bool
}

// set needs mu. Waiters on wake look at expired when they wake up.
func (d *deadline) set(mu *sync.Mutex, t time.Time, wake *sync.Cond) {
	d.stop()
	d.expired = false
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		d.expired = true
		wake.Broadcast()
		return
	}
	serial := d.serial
	d.timer = time.AfterFunc(left, func() {
		mu.Lock()
		defer mu.Unlock()
		if d.serial == serial {
			d.expired = true
			wake.Broadcast()
		}
	})
}

func (d *deadline) stop() {
	d.serial++
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
