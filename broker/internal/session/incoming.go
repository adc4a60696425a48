package session

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
)

// Incoming is a call from the peer. Serve must end it with Reply or Fail.
type Incoming struct {
	s     *Session
	id    uint32
	flags wire.Flags
	size  int // bytes that it counts in our window

	// Head and Args alias the message: they are valid until Release.
	Head  wire.CallHead
	Args  []byte
	Owned bool      // the message is this call's alone; what is decoded may alias it
	In    *Inbound  // what the caller sends, nil if nothing
	Out   *Outbound // what the caller takes, nil if nothing

	inline  bool // the goroutine that reads runs it, and will send what is held
	mark    any  // guarded by incoming.mu
	message []byte
	part    assembly // only the reader touches it
	bulk    *bulk    // a large result on its way out; guarded by incoming.mu
	ctx     callContext
}

// incoming are the calls from the peer that have no answer yet.
type incoming struct {
	side wire.Side // the peer's
	busy *atomic.Int32

	mu       sync.Mutex
	slots    []*Incoming
	limit    int
	window   int // bytes that we grant, less those in use
	inFlight int
	draining bool
	idle     chan struct{} // closed when draining and none is in flight
	stopped  bool
	handlers sync.WaitGroup
}

// admit enters a call in its slot. An error ends the connection: the peer knows
// our limits and chose the id itself.
func (t *incoming) admit(in *Incoming) (draining bool, err error) {
	slot := wire.Slot(in.id)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.check(in.id); err != nil {
		return false, err
	}
	switch {
	case in.size > t.window:
		return false, fmt.Errorf("call of %d bytes, but the window has only %d left", in.size, t.window)
	case t.draining || t.stopped:
		return true, nil
	}
	for slot >= len(t.slots) {
		t.slots = append(t.slots, nil)
	}
	t.slots[slot] = in
	t.window -= in.size
	t.inFlight++
	t.busy.Add(1)
	return false, nil
}

// refusable reports why a call with this id must not be answered: its slot is not free, or
// not the peer's.
func (t *incoming) refusable(id uint32) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.check(id)
}

// check needs t.mu.
func (t *incoming) check(id uint32) error {
	slot := wire.Slot(id)
	switch {
	case wire.SideOf(id) != t.side:
		return fmt.Errorf("call id %#x has the wrong side", id)
	case slot >= t.limit:
		return fmt.Errorf("call id %#x is in slot %d, the limit is %d calls in flight", id, slot, t.limit)
	case slot < len(t.slots) && t.slots[slot] != nil:
		return fmt.Errorf("call id %#x is in slot %d, where call %#x has no answer yet", id, slot, t.slots[slot].id)
	}
	return nil
}

// find returns the unanswered call with this id, or nil.
func (t *incoming) find(id uint32) *Incoming {
	t.mu.Lock()
	defer t.mu.Unlock()
	if slot := wire.Slot(id); slot < len(t.slots) {
		if in := t.slots[slot]; in != nil && in.id == id {
			return in
		}
	}
	return nil
}

// leave frees the slot. It must come before the answer can reach the peer,
// which may use the slot again at once. It reports false when it was free.
func (t *incoming) leave(in *Incoming) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	slot := wire.Slot(in.id)
	if t.slots[slot] != in {
		return false
	}
	t.slots[slot] = nil
	in.Out.finish(ErrClosed)
	in.In.finish(ErrClosed)
	t.window += in.size
	t.inFlight--
	t.busy.Add(-1)
	if t.draining && t.inFlight == 0 {
		close(t.idle)
	}
	return true
}

// drain refuses new calls and returns what is closed when none is in flight.
func (t *incoming) drain() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.draining {
		t.draining = true
		t.idle = make(chan struct{})
		if t.inFlight == 0 {
			close(t.idle)
		}
	}
	return t.idle
}

// stop cancels all calls.
func (t *incoming) stop() {
	t.mu.Lock()
	t.stopped = true
	all := append([]*Incoming(nil), t.slots...)
	t.mu.Unlock()
	for _, in := range all {
		if in != nil {
			in.ctx.cancel(context.Canceled)
			in.Out.finish(context.Canceled)
			in.In.finish(context.Canceled)
		}
	}
}

// dropPartial forgets the calls that will never be whole. Only the reader, when
// it has read the last byte, may call it.
func (t *incoming) dropPartial() {
	t.mu.Lock()
	all := append([]*Incoming(nil), t.slots...)
	t.mu.Unlock()
	for _, in := range all {
		if in != nil && in.part.active && !in.part.complete() {
			t.leave(in)
		}
	}
}

// expire cancels the calls whose deadline has passed and returns the next one.
func (t *incoming) expire(now int64) (next int64) {
	var due []*Incoming
	t.mu.Lock()
	for _, in := range t.slots {
		switch {
		case in == nil || in.ctx.deadline == 0 || in.ctx.over():
		case in.ctx.deadline <= now:
			due = append(due, in)
		case next == 0 || in.ctx.deadline < next:
			next = in.ctx.deadline
		}
	}
	t.mu.Unlock()
	for _, in := range due {
		in.ctx.cancel(context.DeadlineExceeded)
	}
	return next
}

// Context is the call's context: it ends with the caller's deadline, when the
// caller cancels, when the connection is lost, and when the call is answered.
func (in *Incoming) Context() context.Context { return &in.ctx }

// Oneway says that nobody waits for a result.
func (in *Incoming) Oneway() bool { return in.flags&wire.Oneway != 0 }

// Inline says that the goroutine that reads runs the call.
func (in *Incoming) Inline() bool { return in.inline }

// Batch says that the arguments are calls themselves.
func (in *Incoming) Batch() bool { return in.flags&wire.Batch != 0 }

// Retry says that the call may have run before.
func (in *Incoming) Retry() bool { return in.flags&wire.Retry != 0 }

// Largest is how many bytes an answer may have that is put together of many: what the
// peer accepts, but no more than this end does, since the peer can say any number.
func (in *Incoming) Largest() int { return int(min(in.s.remote.Message, in.s.local.Message)) }

// Release gives the message back. Nothing may refer to Head or Args any more,
// unless Owned.
func (in *Incoming) Release() {
	if !in.Owned {
		putBuffer(in.message)
	}
	in.message, in.Args = nil, nil
	in.Head.Object, in.Head.Method = nil, nil
}

// Reply answers with a result made of head and body, which are the caller's
// again when it returns. It reports ErrTooLarge when the peer accepts no message
// of that size: then the call is still unanswered.
func (in *Incoming) Reply(head, body []byte) error {
	s := in.s
	size := len(head) + len(body)
	switch {
	case size > int(s.remote.Message):
		return ErrTooLarge
	case in.Out.isCut():
		// Nothing but an error may follow a part of an item. PROTOCOL §3.5.
		in.Fail(&wire.ErrorBody{Kind: wire.KindCanceled, Message: "the stream was cut off in the middle of an item"})
		return nil
	case size > wire.MaxPayload:
		return in.replyBulk(head, body)
	}
	if s.incoming.leave(in) {
		h := wire.Header{Type: wire.Result, ID: in.id}
		if in.inline {
			s.writer.hold(h, head, body)
		} else {
			s.backlog.add(size)
			s.writer.send(context.Background(), h, head, body)
			s.backlog.drop(size)
		}
	}
	in.ctx.cancel(context.Canceled)
	return nil
}

func (in *Incoming) replyBulk(head, body []byte) error {
	s := in.s
	b := &bulk{header: wire.Header{Type: wire.Result, ID: in.id}, head: head, body: body}
	b.last = func() { s.incoming.leave(in) }
	s.incoming.mu.Lock()
	in.bulk = b
	s.incoming.mu.Unlock()
	if s.incoming.find(in.id) != in {
		return nil // refused meanwhile
	}
	s.backlog.add(len(head) + len(body))
	defer s.backlog.drop(len(head) + len(body))
	held := 0
	if _, err := s.sendLarge(&in.ctx, b, &held); err == errAborted || ofContext(err) {
		in.Fail(&wire.ErrorBody{Kind: kindOf(in.ctx.Err())})
		s.letGo(&held)
		return nil
	}
	in.ctx.cancel(context.Canceled)
	return nil
}

// Fail answers with an error.
func (in *Incoming) Fail(e *wire.ErrorBody) {
	if in.s.incoming.leave(in) {
		in.s.sendError(in.id, e)
	}
	in.Out.letGo()
	in.ctx.cancel(context.Canceled)
}

// Mark keeps what a call runs, for Each.
func (in *Incoming) Mark(what any) {
	in.s.incoming.mu.Lock()
	in.mark = what
	in.s.incoming.mu.Unlock()
}

// Each calls f for the calls from the peer that have no answer yet and were marked.
func (s *Session) Each(f func(in *Incoming, mark any)) {
	type marked struct {
		in   *Incoming
		mark any
	}
	var all []marked
	s.incoming.mu.Lock()
	for _, in := range s.incoming.slots {
		if in != nil && in.mark != nil {
			all = append(all, marked{in, in.mark})
		}
	}
	s.incoming.mu.Unlock()
	for _, m := range all {
		f(m.in, m.mark)
	}
}

// Refuse answers a call that is running with an error, at once, and cancels it. It
// waits for nothing. What
// its method still returns or sends is dropped. It reports false when the call has been
// answered before.
func (in *Incoming) Refuse(e *wire.ErrorBody) bool {
	s := in.s
	s.incoming.mu.Lock()
	b := in.bulk
	s.incoming.mu.Unlock()
	if b != nil && !s.writer.abort(b) {
		return false // the last of its result has gone
	}
	if !s.incoming.leave(in) {
		return false
	}
	in.ctx.cancel(context.Canceled)
	s.writer.post(failureFrame(wire.Error, in.id, e)) // a peer that does not read must not hold up others
	in.Out.letGo()
	return true
}

// canceled is what the reader does with a Cancel frame.
func (s *Session) canceled(id uint32) {
	in := s.incoming.find(id)
	if in == nil {
		return // its answer is on the way
	}
	if in.part.active && !in.part.complete() {
		// It will never be whole, so nobody else will answer it.
		in.part = assembly{}
		in.Fail(&wire.ErrorBody{Kind: wire.KindCanceled})
		return
	}
	s.incoming.mu.Lock()
	b := in.bulk
	s.incoming.mu.Unlock()
	in.ctx.cancel(context.Canceled)
	if b != nil {
		s.writer.abort(b)
	}
}

// serve runs a complete call. It returns errPassedOn when the turn was lost.
func (s *Session) serve(in *Incoming) error {
	h, args, err := wire.ParseCallHead(in.message)
	if err != nil {
		in.Release()
		in.Fail(&wire.ErrorBody{Kind: wire.KindArguments, Message: err.Error()})
		return nil
	}
	in.Head, in.Args = h, args
	if h.TimeoutMillis > 0 && h.TimeoutMillis < maxTimeoutMillis {
		at := s.since() + int64(h.TimeoutMillis)*int64(time.Millisecond)
		s.incoming.mu.Lock()
		in.ctx.deadline = at
		s.incoming.mu.Unlock()
		s.alarm.arm(at)
	}
	if s.backlog.full() {
		in.Go(func() { s.handler(in) })
		return nil
	}
	if !s.inline || s.byCaller.Load() || in.Owned || in.In != nil || in.Out != nil || in.Batch() {
		in.Go(func() { s.handler(in) })
		return nil
	}
	s.incoming.handlers.Add(1)
	in.inline = true
	at := s.turn.enter()
	if !s.isWatched.Load() {
		s.monitor.watch(s)
	}
	s.handler(in)
	s.incoming.handlers.Done()
	if !s.turn.leave(at) {
		s.writer.release() // whoever reads now may have looked before there was a reply
		return errPassedOn
	}
	return nil
}

// Go runs f, which must end the call, in a goroutine of its own: not before the peer has
// read enough of the results that wait for it.
func (in *Incoming) Go(f func()) {
	in.inline = false
	in.s.incoming.handlers.Add(1)
	go func() {
		defer in.s.incoming.handlers.Done()
		if err := in.s.backlog.wait(&in.ctx); err != nil {
			in.Release()
			in.Fail(&wire.ErrorBody{Kind: kindOf(err)})
			return
		}
		f()
	}()
}

// kindOf is the kind of a call whose context ended with err.
func kindOf(err error) wire.Kind {
	if err == context.DeadlineExceeded {
		return wire.KindDeadline
	}
	return wire.KindCanceled
}

// maxTimeoutMillis is the longest deadline that is kept: a hundred years.
const maxTimeoutMillis = 100 * 365 * 24 * 3600 * 1000
