package session

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
)

// Response is the answer to a call. Release gives its buffer back.
type Response struct {
	Type    wire.Type // Result or Error
	Payload []byte
	// Owned says that Payload is this response's alone and may be kept.
	Owned bool
}

// Release gives the payload back; nothing may refer to it any more.
func (r *Response) Release() {
	if !r.Owned {
		putBuffer(r.Payload)
	}
	r.Payload = nil
}

// NotAnswered is the error of a call that ended without an answer.
type NotAnswered struct {
	Err error
	// Sent says that at least a part of the call may have left this machine, so
	// that the method may have run. When it is false, it has not.
	Sent bool
}

func (e *NotAnswered) Error() string { return e.Err.Error() }
func (e *NotAnswered) Unwrap() error { return e.Err }

// Errors of a session.
var (
	ErrDraining = errors.New("session: the peer takes no new calls")
	ErrTooLarge = errors.New("session: message larger than the peer accepts")
	ErrClosed   = errors.New("session: closed")
	errAborted  = errors.New("session: message aborted")
)

// call is one slot: a call from this end that has no answer yet.
//
// States: free -> waiting (acquire) -> answered (complete, stop) -> free
// (release), or waiting -> abandoned (the caller gave up, or the time was up)
// -> free when the answer comes.
//
// The fields are guarded by calls.mu. A caller keeps id and done of its own,
// since an abandoned slot may have passed on to another call.
type call struct {
	id         uint32
	generation uint32
	size       int // bytes reserved in the peer's window
	inUse      bool
	answered   bool
	abandoned  bool
	expired    bool   // done holds an outcome that its caller will take
	queued     bool   // handed to the writer
	batch      uint64 // it leaves with this batch
	bulk       *bulk
	deadline   int64 // nanoseconds since the session began, 0 for none
	done       chan outcome
	oneway     bool
	after      func(*Response) // oneway: what to do with the answer
	part       assembly        // a fragmented result on its way in; only the reader touches it
	in         *Inbound
	out        *Outbound
}

// finish ends the streams of a call: first the one that it sends, so that who has been
// told that the other is over sends nothing more.
func (c *call) finish(err error) {
	if err == nil {
		c.out.finish(ErrStopped)
	} else {
		c.out.finish(err)
	}
	c.in.finish(err)
}

// outcome is what a waiting caller gets, exactly once.
type outcome struct {
	resp Response
	err  error
}

// calls are the calls from this end. Slots are reused last in, first out, so
// that the tables of both ends stay as short as what is really in flight.
type calls struct {
	side wire.Side
	busy *atomic.Int32

	open    atomic.Int32 // calls without an answer
	crowded atomic.Int32 // how often a goroutine goes on reading although none is open

	mu       sync.Mutex
	slots    []*call
	free     []int
	limit    int // slots that the peer grants
	window   int // bytes that the peer grants, less those in use
	message  int // bytes that it accepts in one
	inFlight int
	waiting  []*waiter
	draining bool // the peer has said so
	err      error
}

// waiter is a caller for whom there is no slot or no room in the window.
type waiter struct {
	size  int
	ready chan *call // nil: look at err or draining
}

// tryAcquire takes a slot and reserves size bytes, or says errFull.
func (t *calls) tryAcquire(size int) (*call, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if size > t.message {
		return nil, ErrTooLarge
	}
	if err := t.refusal(); err != nil {
		return nil, err
	}
	if len(t.waiting) == 0 {
		if c := t.take(size); c != nil {
			return c, nil
		}
	}
	return nil, errFull
}

// acquire is tryAcquire that waits, in order of arrival.
func (t *calls) acquire(ctx context.Context, size int) (*call, error) {
	t.mu.Lock()
	if err := t.refusal(); err != nil {
		t.mu.Unlock()
		return nil, err
	}
	if len(t.waiting) == 0 {
		if c := t.take(size); c != nil {
			t.mu.Unlock()
			return c, nil
		}
	}
	w := &waiter{size: size, ready: make(chan *call, 1)}
	t.waiting = append(t.waiting, w)
	t.mu.Unlock()
	select {
	case c := <-w.ready:
		if c != nil {
			return c, nil
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		return nil, t.refusal()
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, q := range t.waiting {
		if q == w {
			t.waiting = append(t.waiting[:i], t.waiting[i+1:]...)
			break
		}
	}
	// It may have been granted in the meantime; and who stood behind it may be
	// able to go now.
	select {
	case c := <-w.ready:
		if c != nil {
			t.release(c)
		}
	default:
		t.grant()
	}
	return nil, ctx.Err()
}

func (t *calls) refusal() error {
	if t.err != nil {
		return t.err
	}
	if t.draining {
		return ErrDraining
	}
	return nil
}

// take is called with mu held.
func (t *calls) take(size int) *call {
	if size > t.window {
		return nil
	}
	var c *call
	if n := len(t.free); n > 0 {
		c = t.slots[t.free[n-1]]
		t.free = t.free[:n-1]
	} else if len(t.slots) < t.limit {
		c = &call{done: make(chan outcome, 1)}
		c.id = wire.CallID(0, len(t.slots), t.side)
		t.slots = append(t.slots, c)
	} else {
		return nil
	}
	c.generation++
	c.id = wire.CallID(c.generation, wire.Slot(c.id), t.side)
	c.size, c.inUse = size, true
	t.window -= size
	t.inFlight++
	t.busy.Add(1)
	if t.open.Add(1) > 1 && t.crowded.Load() != stayReading {
		t.crowded.Store(stayReading)
	}
	return c
}

// stayReading is how many times in a row a caller must have been alone before it reads
// for itself.
const stayReading = 8

// release frees a slot. Called with mu held.
func (t *calls) release(c *call) {
	if !c.answered {
		t.open.Add(-1)
	}
	t.window += c.size
	t.inFlight--
	t.busy.Add(-1)
	done := c.done
	if c.expired {
		done = make(chan outcome, 1)
	}
	*c = call{id: c.id, generation: c.generation, done: done}
	t.free = append(t.free, wire.Slot(c.id))
	t.grant()
}

// grant gives slots to those who wait. Called with mu held.
func (t *calls) grant() {
	for len(t.waiting) > 0 && t.err == nil && !t.draining {
		next := t.take(t.waiting[0].size)
		if next == nil {
			return
		}
		t.waiting[0].ready <- next
		t.waiting = t.waiting[1:]
	}
}

// find is called with mu held. It returns nil for an id that no call waits for.
func (t *calls) find(id uint32) *call {
	slot := wire.Slot(id)
	if slot >= len(t.slots) {
		return nil
	}
	if c := t.slots[slot]; c.inUse && c.id == id && !c.answered {
		return c
	}
	return nil
}

// complete delivers the answer to the call with this id; an answer that nobody
// asked for is dropped. It returns a message that the answer makes needless,
// and whether the last call of a draining session has ended.
func (t *calls) complete(id uint32, resp Response) (needless *bulk, last bool) {
	t.mu.Lock()
	c := t.find(id)
	if c == nil {
		t.mu.Unlock()
		resp.Release()
		return nil, false
	}
	needless = c.bulk
	c.finish(nil)
	c.out.letGo()
	if !c.abandoned {
		c.answered = true
		t.open.Add(-1)
		done := c.done
		t.mu.Unlock()
		done <- outcome{resp: resp}
		return needless, false
	}
	after := c.after
	t.release(c)
	last = t.draining && t.inFlight == 0
	t.mu.Unlock()
	tell(after, resp)
	return needless, last
}

// tell hands the answer of a call that nobody waits for to who wants to know. It
// is apart from complete so that only such answers escape to the heap.
func tell(after func(*Response), resp Response) {
	if after != nil {
		after(&resp)
	}
	resp.Release()
}

// end frees the slot of an answered call. It reports whether it was the last
// one of a draining session.
func (t *calls) end(c *call) (last bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.release(c)
	return t.draining && t.inFlight == 0
}

// drain refuses new calls and wakes those who wait for a slot. It reports
// whether none is in flight.
func (t *calls) drain() (idle bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.draining = true
	t.wake()
	return t.inFlight == 0
}

// onewaysLeft reports whether a oneway call is still to be answered.
func (t *calls) onewaysLeft() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.slots {
		if c.inUse && c.oneway {
			return t.err == nil
		}
	}
	return false
}

func (t *calls) wake() {
	for _, w := range t.waiting {
		w.ready <- nil
	}
	t.waiting = nil
}

// stop ends all calls that wait for an answer. The error of each says whether
// it may have left.
func (t *calls) stop(err error, left func(batch uint64) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return
	}
	t.err = err
	t.wake()
	for _, c := range t.slots {
		if !c.inUse || c.answered {
			continue
		}
		c.finish(err)
		if c.abandoned {
			if after := c.after; after != nil {
				c.after = nil // once is enough, should the answer still come
				go after(nil)
			}
			continue
		}
		sent := c.queued && left(c.batch)
		c.answered = true
		t.open.Add(-1)
		c.done <- outcome{err: &NotAnswered{Err: err, Sent: sent}}
	}
}

// expire ends the calls whose deadline has passed and returns the next one.
func (t *calls) expire(now int64) (next int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.slots {
		switch {
		case !c.inUse || c.answered || c.abandoned || c.deadline == 0:
		case c.deadline <= now:
			c.abandoned, c.expired = true, true
			c.finish(context.DeadlineExceeded)
			c.done <- outcome{err: context.DeadlineExceeded}
		case next == 0 || c.deadline < next:
			next = c.deadline
		}
	}
	return next
}
