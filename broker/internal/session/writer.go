package session

import (
	"context"
	"crypto/tls"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
)

// writer combines the frames of all who send on a connection. A sender appends
// its frame to a shared buffer; the first one in writes for all who append
// meanwhile, after yielding once when others are likely to. One TLS record and
// one system call then carry many frames, and nobody waits for a timer.
//
// States: idle -> (append) flushing by the sender -> idle when all is written,
// or -> draining, by a goroutine, when the socket is full or the sender has
// flushed for others long enough -> idle.
type writer struct {
	tls  *tls.Conn
	conn *Conn
	busy *atomic.Int32 // calls in flight, both directions: are others likely to send?
	fail func(error)   // tells the session that the connection is lost

	mu       sync.Mutex
	pend     []byte // frames not yet encrypted
	bulk     []*bulk
	flushing bool
	err      error
	space    chan struct{} // closed when pend has been taken; nil when nobody waits
	batch    uint64        // number of the batch that pend belongs to
	drains   sync.WaitGroup
	held     atomic.Bool   // something is pending that release will send
	flushes  atomic.Uint32 // counts batches that left
}

// Limits of the writer.
const (
	// maxPending is where senders begin to wait for the socket: the most that a
	// connection holds for a peer that does not read.
	maxPending = 256 << 10
	// maxRounds is how often a sender flushes what others appended meanwhile,
	// before a goroutine takes over and it can look for its own answer.
	maxRounds = 8
)

// bulk is a message larger than a frame on its way out. Its fragments leave one
// a batch, in turn with those of others, so that a small frame never waits for
// more than one of them.
type bulk struct {
	header     wire.Header // of the first fragment
	head, body []byte
	total      int
	started    bool
	last       func() // called once, just before the last fragment is appended
	done       chan struct{}
	aborted    bool
}

// errFull is the answer when a sender would have to wait.
var errFull = errors.New("session: too much is waiting for the socket")

// trySend queues one frame, made of head and body, and returns the number of the
// batch it leaves with; or says errFull.
func (w *writer) trySend(h wire.Header, head, body []byte) (uint64, error) {
	w.mu.Lock()
	if len(w.pend) > maxPending && w.err == nil {
		w.mu.Unlock()
		return 0, errFull
	}
	return w.append(h, head, body)
}

// send is trySend that waits for space.
func (w *writer) send(ctx context.Context, h wire.Header, head, body []byte) (uint64, error) {
	w.mu.Lock()
	for len(w.pend) > maxPending && w.err == nil {
		if err := w.waitSpace(ctx); err != nil {
			return 0, err
		}
	}
	return w.append(h, head, body)
}

// sendSoon is send for one of many frames that its sender goes on to make: it lets a
// goroutine write what has come together.
func (w *writer) sendSoon(ctx context.Context, h wire.Header, head, body []byte) error {
	w.mu.Lock()
	for len(w.pend) > maxPending && w.err == nil {
		if err := w.waitSpace(ctx); err != nil {
			return err
		}
	}
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	w.add(h, head, body)
	if !w.flushing {
		w.flushing = true
		w.drains.Add(1)
		go w.drain()
	}
	return nil
}

// hold queues a reply that may wait until the goroutine that reads has nothing more to
// do: it is sent by release. Many calls that came in one record are so answered in one.
func (w *writer) hold(h wire.Header, head, body []byte) error {
	w.mu.Lock()
	if len(w.pend) > maxHeld {
		_, err := w.append(h, head, body)
		return err
	}
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	w.add(h, head, body)
	if !w.flushing {
		w.held.Store(true)
	}
	return nil
}

// maxHeld is how many bytes of replies are held at most.
const maxHeld = 16 << 10

// release sends what was held.
func (w *writer) release() {
	if !w.held.Load() {
		return
	}
	w.mu.Lock()
	w.held.Store(false)
	if w.flushing || w.err != nil || len(w.pend) == 0 {
		w.mu.Unlock()
		return
	}
	w.flushing = true
	w.mu.Unlock()
	w.write(false)
}

// append is called with mu held, and unlocks it.
func (w *writer) append(h wire.Header, head, body []byte) (uint64, error) {
	if w.err != nil {
		defer w.mu.Unlock()
		return 0, w.err
	}
	w.add(h, head, body)
	return w.queued(), nil
}

// add is called with mu held.
func (w *writer) add(h wire.Header, head, body []byte) {
	if w.pend == nil {
		w.pend = getBuffer(0)
	}
	h.Length = len(head) + len(body)
	w.pend = wire.AppendHeader(w.pend, h)
	w.pend = append(w.pend, head...)
	w.pend = append(w.pend, body...)
}

// sendFrame queues a frame that is already whole, and waits for space.
func (w *writer) sendFrame(frame []byte) error {
	w.mu.Lock()
	for len(w.pend) > maxPending && w.err == nil {
		if err := w.waitSpace(context.Background()); err != nil {
			return err
		}
	}
	return w.appendFrame(frame)
}

// post queues a frame whatever is pending: its sender must not wait. What may be
// posted is bounded: a heartbeat, the end of a session, and a Cancel for each call.
func (w *writer) post(frame []byte) error {
	w.mu.Lock()
	return w.appendFrame(frame)
}

// appendFrame is called with mu held, and unlocks it.
func (w *writer) appendFrame(frame []byte) error {
	if w.err != nil {
		defer w.mu.Unlock()
		return w.err
	}
	if w.pend == nil {
		w.pend = getBuffer(0)
	}
	w.pend = append(w.pend, frame...)
	w.queued()
	return nil
}

// queued is called with mu held after something was appended, and unlocks it.
func (w *writer) queued() uint64 {
	batch, mine := w.batch, !w.flushing
	w.flushing = true
	w.mu.Unlock()
	if mine {
		w.flush(false)
	}
	return batch
}

// waitSpace is called with mu held and returns with it held, unless it fails.
func (w *writer) waitSpace(ctx context.Context) error {
	if w.space == nil {
		w.space = make(chan struct{})
	}
	space := w.space
	w.mu.Unlock()
	select {
	case <-space:
	case <-ctx.Done():
		return ctx.Err()
	}
	w.mu.Lock()
	return nil
}

// sendBulk queues a message that needs several frames and returns when the last
// fragment has been taken, when ctx is done, or when the connection is lost.
// Afterwards head and body are the caller's again. It reports whether any
// fragment was taken.
func (w *writer) sendBulk(ctx context.Context, b *bulk) (queued bool, err error) {
	b.total = len(b.head) + len(b.body)
	b.done = make(chan struct{})
	w.mu.Lock()
	if w.err != nil {
		w.mu.Unlock()
		return false, w.err
	}
	w.bulk = append(w.bulk, b)
	w.queued()
	select {
	case <-b.done:
	case <-ctx.Done():
		if w.abort(b) {
			err = ctx.Err()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err != nil:
	case b.aborted:
		err = errAborted
	case len(b.head)+len(b.body) > 0:
		err = w.err
	}
	return b.started, err
}

// abort takes a message out of the queue. It reports false when the last
// fragment had gone before.
func (w *writer) abort(b *bulk) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, q := range w.bulk {
		if q == b {
			w.bulk = append(w.bulk[:i], w.bulk[i+1:]...)
			b.aborted = true
			close(b.done)
			return true
		}
	}
	return b.aborted
}

// fragment appends the next fragment of the first bulk message to buf. Called
// with mu held.
func (w *writer) fragment(buf []byte) []byte {
	b := w.bulk[0]
	h := wire.Header{Type: wire.Data, ID: b.header.ID}
	room := wire.MaxPayload
	if !b.started {
		h = b.header
		room -= wire.TotalSize
	}
	left := len(b.head) + len(b.body)
	n := min(room, left)
	if n == left {
		w.bulk = w.bulk[1:]
		if b.last != nil {
			b.last()
		}
	} else {
		h.Flags |= wire.More
		copy(w.bulk, w.bulk[1:])
		w.bulk[len(w.bulk)-1] = b
	}
	h.Length = n
	if !b.started {
		h.Length += wire.TotalSize
		b.started = true
		buf = wire.AppendTotal(wire.AppendHeader(buf, h), b.total)
	} else {
		buf = wire.AppendHeader(buf, h)
	}
	fromHead := min(n, len(b.head))
	buf = append(buf, b.head[:fromHead]...)
	buf = append(buf, b.body[:n-fromHead]...)
	b.head, b.body = b.head[fromHead:], b.body[n-fromHead:]
	if n == left {
		close(b.done)
	}
	return buf
}

// flush encrypts and writes what is queued until nothing is. The caller has set
// flushing. With block false it hands over to a goroutine rather than wait.
func (w *writer) flush(block bool) {
	if w.busy.Load() > 1 && (block || w.conn.raw != nil) {
		runtime.Gosched()
	}
	w.write(block)
}

// write is flush without giving others the time to append.
func (w *writer) write(block bool) {
	if !block && w.conn.raw == nil {
		w.handOver()
		return
	}
	for round := 0; ; round++ {
		w.mu.Lock()
		if w.err != nil || len(w.pend)+len(w.bulk) == 0 {
			w.flushing = false
			w.mu.Unlock()
			return
		}
		if round >= maxRounds && !block {
			w.mu.Unlock()
			w.handOver()
			return
		}
		buf := w.pend
		w.pend = nil
		if len(w.bulk) > 0 {
			if cap(buf)-len(buf) < wire.MaxFrame {
				large := append(getBuffer(largeBuffer), buf...)
				putBuffer(buf)
				buf = large
			}
			buf = w.fragment(buf)
		}
		w.batch++
		if w.space != nil {
			close(w.space)
			w.space = nil
		}
		w.mu.Unlock()

		_, err := w.tls.Write(buf)
		putBuffer(buf)
		var rest bool
		if err == nil {
			rest, err = w.conn.flush(block)
		}
		if err != nil {
			w.stop(err)
			w.fail(err)
			return
		}
		w.flushes.Add(1)
		if rest {
			w.handOver()
			return
		}
	}
}

// handOver lets a goroutine go on flushing, which may block.
func (w *writer) handOver() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return // and nobody may be added whom Close does not wait for
	}
	w.drains.Add(1)
	go w.drain()
}

// drain ends when all is written or the connection is closed.
func (w *writer) drain() {
	defer w.drains.Done()
	if _, err := w.conn.flush(true); err != nil {
		w.stop(err)
		w.fail(err)
		return
	}
	w.flush(true)
}

// stop ends the writer: nothing queued will leave, and nobody waits any longer.
func (w *writer) stop(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return
	}
	w.err = err
	w.flushing = false
	putBuffer(w.pend)
	w.pend = nil
	for _, b := range w.bulk {
		close(b.done)
	}
	w.bulk = nil
	if w.space != nil {
		close(w.space)
		w.space = nil
	}
}

// left reports whether the batch, or any later one, has begun to leave.
func (w *writer) left(batch uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return batch < w.batch
}

// flushed waits until what was queued has been written, at most for the given
// time, and reports whether it has.
func (w *writer) flushed(most time.Duration) bool {
	for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(time.Millisecond) {
		w.mu.Lock()
		done, err := !w.flushing, w.err
		w.mu.Unlock()
		if done || err != nil {
			return err == nil
		}
	}
	return false
}
