package session

import (
	"context"
	"errors"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
)

// A caller who is alone reads its answer itself: that saves two switches between
// goroutines. It reads frames that are there in full, so that it can stop at any time,
// and leaves large ones, and methods, to a goroutine.

// largestForCaller is the largest payload that a caller reads.
const largestForCaller = 16 << 10

// errLarge says that a frame is not for a caller to read.
var errLarge = errors.New("session: a large frame")

// readFor reads, with the turn, until the call has its outcome.
func (s *Session) readFor(ctx context.Context, c *call, id uint32, done chan outcome) (Response, error) {
	s.byCaller.Store(true)
	if ctx.Done() != nil {
		defer context.AfterFunc(ctx, s.poke)()
	}
	for {
		select {
		case o := <-done:
			resp, err := s.take(c, id, o)
			s.resign()
			return resp, err
		default:
		}
		if err := ctx.Err(); err != nil {
			resp, err := s.giveUp(c, id, done, false, err)
			s.resign()
			return resp, err
		}
		switch err := s.readWhole(); err {
		case nil, errPoked:
		case errLarge:
			s.resign()
			return s.await(ctx, c, id, done)
		default:
			s.byCaller.Store(false)
			go s.readEnded(err) // which may take a while
			return s.await(ctx, c, id, done)
		}
	}
}

// readWhole reads and handles a frame when all of it has come. After errPoked and
// errLarge nothing of it has been taken.
func (s *Session) readWhole() error {
	r := s.reader
	r.poked = true
	defer func() { r.poked = false }()
	if err := r.need(wire.HeaderSize); err != nil {
		return r.cut(err)
	}
	h, err := wire.ParseHeader(r.buf[r.r:])
	if err == nil {
		if h.Length > largestForCaller {
			return errLarge
		}
		if err := r.need(wire.HeaderSize + h.Length); err != nil {
			return r.cut(err)
		}
	}
	return s.readFrame()
}

// resign gives the turn up: to a goroutine, if there is something to read, else to
// nobody.
func (s *Session) resign() {
	s.byCaller.Store(false)
	if s.reader.r != s.reader.w || s.calls.open.Load() > 0 {
		go s.readOn()
		return
	}
	s.leaveFree()
}

// leaveFree leaves the turn to whoever calls next, or to the monitor. Somebody who has
// called meanwhile may not have found it free, and then needs a goroutine that reads;
// so does the end of the session.
func (s *Session) leaveFree() {
	s.turn.free()
	s.monitor.watch(s)
	if s.calls.open.Load() > 0 || s.over() {
		if s.turn.take() {
			go s.readOn()
		}
	}
}

// over reports whether the session has failed.
func (s *Session) over() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// stepDown lets the next caller read for itself, if callers have been alone. It reports
// whether the goroutine that reads is to end.
func (s *Session) stepDown() bool {
	t := &s.calls
	if s.side != wire.ClientSide || t.open.Load() > 0 || s.reader.r != s.reader.w {
		return false
	}
	if t.crowded.Load() > 0 {
		t.crowded.Add(-1)
		return false
	}
	s.leaveFree()
	return true
}

// stepAside passes the turn on when a method that the reading goroutine runs makes a
// call itself: its answer must be read.
func (s *Session) stepAside() {
	if at := s.turn.state.Load(); s.turn.passOn(at) {
		go s.readOn()
	}
}

// poke makes a caller who reads look at its context and outcome.
func (s *Session) poke() {
	if s.byCaller.Load() {
		s.conn.SetReadDeadline(time.Unix(1, 0))
	}
}
