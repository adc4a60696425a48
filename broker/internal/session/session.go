package session

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
)

// Config is what a session is made of.
type Config struct {
	TLS  *tls.Conn // handshake done, verdict exchanged
	Conn *Conn     // the connection below TLS
	Side wire.Side // which end this is
	// Local is what this end accepts. Remote is what the peer accepts: known to
	// a client from Welcome; a daemon learns it from Hello.
	Local, Remote wire.Limits
	// Handler runs a call from the peer and must end it with Reply or Fail, at once or
	// from a goroutine that it starts with Incoming.Go. Nil refuses all calls.
	Handler func(*Incoming)
	// Inline lets the goroutine that reads call Handler itself.
	Inline bool
	// Monitor looks after the session; nil for one of its own.
	Monitor *Monitor
	// Base carries the values that calls see in their context.
	Base context.Context
	// OnDrain, if set, is called when the peer takes no new calls.
	OnDrain func()
}

// Session is one connection after the verdict.
type Session struct {
	tls           *tls.Conn
	conn          *Conn
	side          wire.Side
	local, remote wire.Limits
	handler       func(*Incoming)
	inline        bool
	base          context.Context
	onDrain       func()
	epoch         time.Time

	turn      turn
	monitor   *Monitor
	isWatched atomic.Bool
	watched   watched
	reader    *reader // belongs to who has the turn
	byCaller  atomic.Bool
	ended     func(error)

	busy     atomic.Int32
	writer   writer
	large    largeWindow
	backlog  backlog
	calls    calls
	incoming incoming
	alarm    alarm
	partial  atomic.Int64 // declared bytes of unfinished results and items

	readState readState
	heartbeat heartbeat

	mu     sync.Mutex
	reason error // of the End in progress
	err    error
	done   chan struct{}
	closed sync.Once
	run    sync.WaitGroup
	ends   sync.WaitGroup // an End in progress
}

// New makes a session. It starts no goroutine: Run does the reading.
func New(c Config) *Session {
	s := &Session{
		tls: c.TLS, conn: c.Conn, side: c.Side, local: c.Local, remote: c.Remote,
		handler: c.Handler, inline: c.Inline, base: c.Base, onDrain: c.OnDrain, monitor: c.Monitor,
		epoch: time.Now(), done: make(chan struct{}),
	}
	if s.base == nil {
		s.base = context.Background()
	}
	if s.monitor == nil {
		s.monitor = new(Monitor)
	}
	if s.handler == nil {
		s.handler = func(in *Incoming) {
			in.Release()
			in.Fail(&wire.ErrorBody{Kind: wire.KindNoObject, Message: "this end exports no objects"})
		}
	}
	s.writer = writer{tls: c.TLS, conn: c.Conn, busy: &s.busy, fail: s.fail}
	s.calls = calls{side: c.Side, busy: &s.busy, limit: int(c.Remote.Calls), window: int(c.Remote.Window), message: int(c.Remote.Message)}
	s.incoming = incoming{side: 1 - c.Side, busy: &s.busy, limit: int(c.Local.Calls), window: int(c.Local.Window)}
	s.backlog = backlog{limit: int(c.Local.Window)}
	s.alarm = alarm{since: s.since, ring: s.expire}
	s.reader = newReader(c.TLS, s)
	c.Conn.hold()
	if c.Side == wire.ClientSide {
		// Queued before anyone can call: it must be the first frame.
		s.writer.pend, _ = wire.AppendControl(getBuffer(0), wire.Hello, 0, &wire.HelloBody{Limits: c.Local})
	}
	s.run.Add(1)
	return s
}

// Run is Serve that waits for the end and returns why the session ended.
func (s *Session) Run() error {
	ended := make(chan error, 1)
	s.Serve(func(err error) { ended <- err })
	return <-ended
}

// Serve reads, on this goroutine until the connection ends or the turn to read passes
// on to another. It must be called once. ended is called once, when the session has
// ended, with the reason, by whoever reads then.
func (s *Session) Serve(ended func(error)) {
	s.ended = ended
	s.heartbeat.start(s)
	s.writer.mu.Lock()
	s.writer.queued() // sends Hello, unless a caller was first
	s.turn.begin()
	s.readOn()
}

// readOn reads, with the turn, until the connection ends or the turn passes on.
func (s *Session) readOn() {
	if err := s.read(); err != errPassedOn {
		s.readEnded(err)
	}
}

// readEnded ends the session after the last byte was read.
func (s *Session) readEnded(err error) {
	s.reader.release()
	s.incoming.dropPartial()
	var bad *ProtocolError
	if errors.As(err, &bad) {
		go s.End(wire.GoAwayBody{Reason: bad.Reason, Check: "protocol"}, err)
		s.discard()
	}
	s.fail(err)
	<-s.done
	err = s.Err()
	s.run.Done()
	s.ended(err)
}

// discard reads to the end without looking at it, after a protocol error, until
// the peer has closed or End has given up.
func (s *Session) discard() {
	p := make([]byte, 4<<10)
	for {
		if _, err := s.tls.Read(p); err != nil {
			return
		}
	}
}

func (s *Session) since() int64 { return int64(time.Since(s.epoch)) }

func (s *Session) expire(now int64) int64 {
	a, b := s.calls.expire(now), s.incoming.expire(now)
	s.poke() // the caller who reads may be the one whose time is up
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// Bytes returns how many bytes of TLS records have come and gone.
func (s *Session) Bytes() (received, sent uint64) {
	return s.conn.received.Load(), s.conn.sent.Load()
}

// InFlight returns how many calls have no answer yet, towards this end and from it.
func (s *Session) InFlight() (incoming, outgoing int) {
	s.incoming.mu.Lock()
	incoming = s.incoming.inFlight
	s.incoming.mu.Unlock()
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	return incoming, s.calls.inFlight
}

// Done is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err says why the session ended; nil while it lives.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// fail ends the session. The first reason counts and is what every waiter sees.
func (s *Session) fail(err error) {
	s.closed.Do(func() {
		s.mu.Lock()
		if s.err = s.reason; s.err == nil {
			s.err = err
		}
		err := s.err
		s.mu.Unlock()
		close(s.done)
		s.conn.Conn.Close()
		s.writer.stop(err)
		s.calls.stop(err, s.writer.left)
		s.incoming.stop()
		s.alarm.stop()
		s.heartbeat.stop()
		if s.turn.take() { // nobody reads: somebody must see the end
			go s.readOn()
		}
	})
}

// endTimeout is how long the last frame of a session may take to leave, and how
// long the peer may then take to read it.
const endTimeout = time.Second

// End tells the peer why the session ends, as far as it still reads, cancels what
// runs, and ends it with err. Only the first End counts.
func (s *Session) End(body wire.GoAwayBody, err error) {
	s.mu.Lock()
	first := s.reason == nil && s.err == nil
	if first {
		s.reason = err
		s.ends.Add(1) // before fail can set err, so before Close can wait
	}
	s.mu.Unlock()
	if !first {
		<-s.done
		return
	}
	defer s.ends.Done()
	// The reason comes first, so that no call's end is told without it.
	queued := s.tell(body)
	s.incoming.stop()
	if queued && s.told() {
		// To close with bytes unread would reset the connection and take the
		// reason with it. The reader goes on, and refuses what still comes.
		select {
		case <-s.done:
		case <-time.After(endTimeout):
		}
	}
	s.fail(err)
}

// tell queues the last frame. It reports whether that was possible.
func (s *Session) tell(body wire.GoAwayBody) bool {
	frame, err := wire.AppendControl(nil, wire.GoAway, 0, &body)
	if err != nil {
		return false
	}
	s.conn.SetWriteDeadline(time.Now().Add(endTimeout))
	return s.writer.post(frame) == nil
}

// told waits until the last frame has left, and closes this direction.
func (s *Session) told() bool {
	if !s.writer.flushed(endTimeout) {
		return false
	}
	half, ok := s.conn.Conn.(interface{ CloseWrite() error })
	return ok && half.CloseWrite() == nil
}

// Drain takes no new calls from the peer and tells it so. The channel is closed
// when the calls in flight are answered.
func (s *Session) Drain(reason string) <-chan struct{} {
	idle := s.incoming.drain()
	if frame, err := wire.AppendControl(nil, wire.GoAway, 0, &wire.GoAwayBody{Drain: true, Reason: reason}); err == nil {
		s.writer.post(frame)
	}
	return idle
}

// Kill ends the session at once. Run must still be called, if it was not.
func (s *Session) Kill() { s.fail(ErrClosed) }

// Finish refuses new calls of this end and gives oneway calls on their way until
// the timeout to be answered.
func (s *Session) Finish(timeout time.Duration) {
	s.calls.drain()
	for end := time.Now().Add(timeout); time.Now().Before(end) && s.calls.onewaysLeft(); {
		select {
		case <-s.done:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// Retire refuses new calls of this end, waits until those in flight are answered, at
// most for the given time, and closes.
func (s *Session) Retire(most time.Duration) {
	idle := s.calls.drain()
	for end := time.Now().Add(most); !idle && time.Now().Before(end); {
		select {
		case <-s.done:
			idle = true
		case <-time.After(5 * time.Millisecond):
			s.calls.mu.Lock()
			idle = s.calls.inFlight == 0
			s.calls.mu.Unlock()
		}
	}
	s.Close()
}

// Close ends the session and waits for its goroutines, except for handlers
// that do not heed their context.
func (s *Session) Close() {
	s.fail(ErrClosed)
	s.run.Wait()
	s.ends.Wait()
	s.writer.drains.Wait()
}

// Wait waits for the handlers of calls from the peer, after Run has returned.
func (s *Session) Wait() { s.incoming.handlers.Wait() }

func (s *Session) hello(payload []byte) error {
	var body wire.HelloBody
	if err := wire.ParseControl(wire.Hello, payload, &body); err != nil {
		return protocolErrorf("%v", err)
	}
	if err := body.Limits.Check(); err != nil {
		return protocolErrorf("%v", err)
	}
	s.calls.mu.Lock()
	s.remote = body.Limits
	s.calls.limit, s.calls.window, s.calls.message = int(s.remote.Calls), int(s.remote.Window), int(s.remote.Message)
	s.calls.mu.Unlock()
	return nil
}

// Ended is why the peer ended the session.
type Ended struct{ Reason, Check, Incident string }

func (e *Ended) Error() string { return fmt.Sprintf("session: ended by the peer: %s", e.Reason) }

func (s *Session) goAway(payload []byte) error {
	var body wire.GoAwayBody
	if err := wire.ParseControl(wire.GoAway, payload, &body); err != nil {
		return protocolErrorf("%v", err)
	}
	if !body.Drain {
		return &Ended{Reason: body.Reason, Check: body.Check, Incident: body.Incident}
	}
	idle := s.calls.drain()
	if s.onDrain != nil {
		s.onDrain()
	}
	if idle {
		s.drained()
	}
	return nil
}

// drained ends a session whose peer drains, after the last answer.
func (s *Session) drained() { s.fail(ErrDraining) }

// sendError answers a call with an error.
func (s *Session) sendError(id uint32, e *wire.ErrorBody) {
	s.writer.sendFrame(failureFrame(wire.Error, id, e))
}

// failureFrame is a frame with an error, whose text is cut so that it fits.
func failureFrame(t wire.Type, id uint32, e *wire.ErrorBody) []byte {
	e.Message = cut(e.Message)
	frame, err := wire.AppendControl(nil, t, id, e)
	if err != nil {
		e.Data = nil
		frame, err = wire.AppendControl(nil, t, id, e)
	}
	if err != nil {
		frame, _ = wire.AppendControl(nil, t, id, &wire.ErrorBody{Kind: wire.KindInternal})
	}
	return frame
}

// IsClosed reports whether err says only that a connection ended.
func IsClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, ErrClosed) || errors.Is(err, ErrDraining)
}

// maxText bounds the text of an error that crosses the wire.
const maxText = 4 << 10

func cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + "…"
}
