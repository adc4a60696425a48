package session

import (
	"context"
	"errors"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
)

// Request is a call to send.
type Request struct {
	Flags wire.Flags
	Head  []byte // envelope and arguments
	Body  []byte // the rest of the last argument, from where it lies
	// Timeout ends the call locally, 0 for none. A context that is done earlier
	// ends it too.
	Timeout time.Duration
	// After, for a oneway call, is called with the answer, or with nil when the
	// connection was lost before it came. It must not block.
	After func(*Response)
}

// Call sends r and waits for its answer; a oneway call returns when it is
// queued. The error is *NotAnswered, ErrDraining, ErrTooLarge, or one of package
// context.
func (s *Session) Call(ctx context.Context, r *Request) (Response, error) {
	b, err := s.begin(ctx, r)
	switch {
	case err != nil:
		return Response{}, err
	case b.given:
		return b.resp, nil
	case r.Flags&wire.Oneway != 0:
		return Response{}, nil
	}
	if s.turn.take() {
		return s.readFor(ctx, b.call, b.id, b.done)
	}
	return s.await(ctx, b.call, b.id, b.done)
}

// Stream is a call from this end with a stream in one direction or both. Wait must
// be called once.
type Stream struct {
	In  *Inbound  // what the method yields; nil unless the call has the flag Wants
	Out *Outbound // what the method reads; nil unless it has Sends

	s     *Session
	begun begun
}

// Open sends r and returns when it is queued. Its errors are those of Call.
func (s *Session) Open(ctx context.Context, r *Request) (*Stream, error) {
	b, err := s.begin(ctx, r)
	if err != nil {
		return nil, err
	}
	return &Stream{s: s, begun: b, In: b.in, Out: b.out}, nil
}

// Wait waits for the answer. When ctx is done, the method is cancelled.
func (st *Stream) Wait(ctx context.Context) (Response, error) {
	b := st.begun
	if b.given {
		return b.resp, nil
	}
	return st.s.await(ctx, b.call, b.id, b.done)
}

// begun is a call on its way. The slot may have passed on to another call.
type begun struct {
	call *call
	id   uint32
	done chan outcome
	in   *Inbound
	out  *Outbound

	given bool // the call was answered before it was sent in full, with resp
	resp  Response
}

// begin sends a call, waiting for a slot, the window and the socket.
func (s *Session) begin(ctx context.Context, r *Request) (begun, error) {
	size := len(r.Head) + len(r.Body)
	if err := ctx.Err(); err != nil {
		return begun{}, err
	}
	var deadline int64 // of the whole call, waiting included
	if r.Timeout > 0 {
		deadline = s.since() + int64(r.Timeout)
	}
	// Slot, window and socket are nearly always free: only who must wait for
	// them needs a timer of his own.
	c, err := s.calls.tryAcquire(size)
	wait := err == errFull
	if wait || size > wire.MaxPayload {
		var cancel context.CancelFunc
		ctx, cancel = s.until(ctx, deadline)
		defer cancel()
		if wait {
			c, err = s.calls.acquire(ctx, size)
		}
	}
	if err != nil {
		if err == ErrTooLarge || err == ErrDraining || ofContext(err) {
			return begun{}, err
		}
		return begun{}, &NotAnswered{Err: err}
	}
	if s.inline {
		s.stepAside()
	}
	b := s.prepare(c, r, deadline)
	queued, err := s.sendCall(ctx, c, b.id, r, size, deadline)
	switch {
	case err == nil || err == errAborted:
	case !queued:
		return begun{}, s.unsent(c, b.id, err)
	case ofContext(err):
		b.given = true
		b.resp, err = s.giveUp(c, b.id, b.done, r.Flags&wire.Oneway != 0, err)
		return b, err
	case r.Flags&wire.Oneway != 0 && err != nil:
		return begun{}, &NotAnswered{Err: err, Sent: true}
	}
	if r.Flags&(wire.Oneway|wire.Sends|wire.Wants) != 0 && s.turn.take() {
		go s.readOn()
	}
	return b, nil
}

// until bounds ctx by a deadline of the session's clock, if there is one.
func (s *Session) until(ctx context.Context, deadline int64) (context.Context, context.CancelFunc) {
	if deadline == 0 {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, s.epoch.Add(time.Duration(deadline)))
}

func ofContext(err error) bool {
	return err == context.Canceled || err == context.DeadlineExceeded
}

func (s *Session) prepare(c *call, r *Request, deadline int64) begun {
	t := &s.calls
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.Flags&wire.Oneway != 0 {
		c.oneway, c.after, c.abandoned = true, r.After, true
	} else if deadline > 0 {
		c.deadline = deadline
		s.alarm.arm(c.deadline)
	}
	// Until send has said with which batch it leaves, it may be any.
	c.queued, c.batch = true, 0
	if r.Flags&wire.Wants != 0 {
		c.in = newInbound(s, c.id)
	}
	if r.Flags&wire.Sends != 0 {
		c.out = newOutbound(s, c.id)
	}
	return begun{call: c, id: c.id, done: c.done, in: c.in, out: c.out}
}

// sendCall reports whether any of the call was queued.
func (s *Session) sendCall(ctx context.Context, c *call, id uint32, r *Request, size int, deadline int64) (queued bool, err error) {
	h := wire.Header{Type: wire.Call, Flags: r.Flags, ID: id}
	if size > wire.MaxPayload {
		b := &bulk{header: h, head: r.Head, body: r.Body}
		s.calls.mu.Lock()
		if c.id == id {
			c.bulk = b
		}
		s.calls.mu.Unlock()
		return s.writer.sendBulk(ctx, b)
	}
	batch, err := s.writer.trySend(h, r.Head, r.Body)
	if err == errFull {
		var cancel context.CancelFunc
		ctx, cancel = s.until(ctx, deadline)
		defer cancel()
		batch, err = s.writer.send(ctx, h, r.Head, r.Body)
	}
	if err != nil {
		return false, err
	}
	s.calls.mu.Lock()
	if c.id == id {
		c.batch = batch
	}
	s.calls.mu.Unlock()
	return true, nil
}

// unsent frees the slot of a call of which nothing was queued: the peer will
// never answer it.
func (s *Session) unsent(c *call, id uint32, err error) error {
	t := &s.calls
	t.mu.Lock()
	last := false
	if c.id == id && c.inUse && !c.answered {
		t.release(c)
		last = t.draining && t.inFlight == 0
	}
	t.mu.Unlock()
	if last {
		s.drained()
	}
	if ofContext(err) {
		return err
	}
	return &NotAnswered{Err: err}
}

func (s *Session) await(ctx context.Context, c *call, id uint32, done chan outcome) (Response, error) {
	select {
	case o := <-done:
		return s.take(c, id, o)
	case <-ctx.Done():
		return s.giveUp(c, id, done, false, ctx.Err())
	}
}

func (s *Session) take(c *call, id uint32, o outcome) (Response, error) {
	switch {
	case o.err == nil:
		if s.calls.end(c) {
			s.drained()
		}
	case errors.Is(o.err, context.DeadlineExceeded):
		s.cancel(id)
	}
	return o.resp, o.err
}

// giveUp tells the peer that nobody waits any longer. The slot stays taken
// until the peer has answered. When the call was decided first, its outcome is
// returned: it is in done, or about to be. A slot that is free, or passed on, must
// not be marked: the mark would be the next call's.
func (s *Session) giveUp(c *call, id uint32, done chan outcome, oneway bool, err error) (Response, error) {
	s.calls.mu.Lock()
	current := c.id == id && c.inUse
	decided := !current || c.answered || c.expired
	if !decided {
		c.abandoned = true
		c.finish(err)
	}
	s.calls.mu.Unlock()
	switch {
	case decided && oneway:
		return Response{}, nil // its answer has gone to After
	case decided:
		return s.take(c, id, <-done)
	}
	s.cancel(id)
	return Response{}, err
}

func (s *Session) cancel(id uint32) {
	s.writer.post(wire.AppendHeader(nil, wire.Header{Type: wire.Cancel, ID: id}))
}
