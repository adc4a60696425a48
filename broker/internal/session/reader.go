package session

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
)

// ProtocolError is what a peer did that docs/protocol.md does not allow. It ends
// the connection.
type ProtocolError struct{ Reason string }

func (e *ProtocolError) Error() string { return "session: protocol error: " + e.Reason }

func protocolErrorf(format string, args ...any) error {
	return &ProtocolError{fmt.Sprintf(format, args...)}
}

// reader is the buffer of the goroutine that reads. A small one is part of it;
// a large one is borrowed while the peer sends more than that at once.
type reader struct {
	conn   net.Conn
	s      *Session
	hello  bool // the first frame must be one
	poked  bool // a poke makes read fail
	inline [512]byte
	buf    []byte
	r, w   int
}

// readState is what the heartbeat sees of the reader.
type readState struct {
	waiting atomic.Bool   // for bytes, rather than for us
	reads   atomic.Uint32 // counts those that brought bytes
}

func newReader(conn net.Conn, s *Session) *reader {
	r := &reader{conn: conn, s: s, hello: s.side == wire.ServerSide}
	r.buf = r.inline[:]
	return r
}

func (r *reader) borrowed() bool { return len(r.buf) > len(r.inline) }

// need makes n bytes available at r.buf[r.r:].
func (r *reader) need(n int) error {
	for r.w-r.r < n {
		if err := r.fill(n); err != nil {
			return err
		}
	}
	return nil
}

// fill reads once, after making room for n bytes.
func (r *reader) fill(n int) error {
	full := r.w == len(r.buf) // the last read left more behind, most likely
	switch {
	case r.r == r.w:
		r.r, r.w = 0, 0
		if r.borrowed() && !full {
			putBuffer(r.buf)
			r.buf = r.inline[:]
		}
	case r.r > 0 && len(r.buf)-r.r < n:
		copy(r.buf, r.buf[r.r:r.w])
		r.r, r.w = 0, r.w-r.r
	}
	if !r.borrowed() && (full || n > len(r.buf)-r.r) {
		b := getBuffer(largeBuffer)
		b = b[:cap(b)]
		r.w = copy(b, r.buf[r.r:r.w])
		r.r, r.buf = 0, b
	}
	m, err := r.read(r.buf[r.w:])
	r.w += m
	return err
}

// errPoked says that the caller who reads should look at something else.
var errPoked = errors.New("session: poked")

// read reads at least one byte. Before it may have to wait, the replies leave that
// were held back.
func (r *reader) read(p []byte) (int, error) {
	r.s.writer.release()
	state := &r.s.readState
	for {
		state.waiting.Store(true)
		n, err := r.conn.Read(p)
		state.waiting.Store(false)
		if n > 0 {
			state.reads.Add(1)
			return n, nil
		}
		var timeout net.Error
		switch {
		case err == nil:
			return 0, io.ErrNoProgress
		case errors.As(err, &timeout) && timeout.Timeout():
			// Nothing else sets a deadline for reads.
			r.s.conn.SetReadDeadline(time.Time{})
			if r.poked {
				return 0, errPoked
			}
		default:
			return 0, err
		}
	}
}

// into reads len(p) bytes to where they belong, past the buffer.
func (r *reader) into(p []byte) error {
	n := copy(p, r.buf[r.r:r.w])
	r.r += n
	for n < len(p) {
		m, err := r.read(p[n:])
		if err != nil {
			return err
		}
		n += m
	}
	return nil
}

// skip discards n bytes.
func (r *reader) skip(n int) error {
	for n > 0 {
		if err := r.need(1); err != nil {
			return err
		}
		m := min(n, r.w-r.r)
		r.r += m
		n -= m
	}
	return nil
}

func (r *reader) release() {
	if r.borrowed() {
		putBuffer(r.buf)
	}
	r.buf, r.r, r.w = r.inline[:], 0, 0
}

// errPassedOn says that another goroutine reads on, or nobody for now.
var errPassedOn = errors.New("session: the turn to read has passed on")

// read handles frames, with the turn, until the connection ends or the turn has passed
// on.
func (s *Session) read() error {
	for {
		if err := s.readFrame(); err != nil {
			return err
		}
		if s.stepDown() {
			return errPassedOn
		}
	}
}

// readFrame reads and handles one frame.
func (s *Session) readFrame() error {
	r := s.reader
	if err := r.need(wire.HeaderSize); err != nil {
		return r.cut(err)
	}
	h, err := wire.ParseHeader(r.buf[r.r:])
	if err != nil {
		return protocolErrorf("%v", err)
	}
	r.r += wire.HeaderSize
	switch {
	case r.hello && h.Type != wire.Hello:
		return protocolErrorf("%v frame, want hello first", h.Type)
	case !r.hello && h.Type == wire.Hello:
		return protocolErrorf("hello frame, want it once, from the client")
	}
	r.hello = false
	return s.frame(r, h)
}

// frame handles one frame, whose payload is still to be read.
func (s *Session) frame(r *reader, h wire.Header) error {
	switch h.Type {
	case wire.Call:
		return s.readCall(r, h)
	case wire.Result, wire.Error:
		return s.readAnswer(r, h)
	case wire.Data:
		return s.readData(r, h)
	case wire.Cancel:
		if err := r.skip(h.Length); err != nil {
			return err
		}
		s.canceled(h.ID)
		return nil
	case wire.Item:
		return s.readItem(r, h)
	case wire.Credit, wire.End:
		return s.readStreamControl(r, h)
	case wire.Ping:
		return r.skip(h.Length)
	case wire.Hello, wire.GoAway:
		if err := r.need(h.Length); err != nil {
			return err
		}
		payload := r.buf[r.r : r.r+h.Length]
		r.r += h.Length
		if h.Type == wire.Hello {
			return s.hello(payload)
		}
		return s.goAway(payload)
	case wire.Challenge, wire.Ident, wire.Welcome, wire.Deny:
		return protocolErrorf("%v frame after the verdict", h.Type)
	}
	return r.skip(h.Length) // optional types
}

// payload reads a single-frame message. A small one comes in a borrowed buffer,
// a large one in memory of its own.
func (r *reader) payload(n int) (p []byte, owned bool, err error) {
	if owned = n > mediumBuffer; owned {
		p = make([]byte, n)
	} else {
		p = getBuffer(n)[:n]
	}
	if err := r.into(p); err != nil {
		return nil, false, err
	}
	return p, owned, nil
}

// total reads the declared length that starts a fragmented message and returns
// what is left of the frame's payload. A first fragment fills its frame, so a
// peer cannot declare much while sending little.
func (r *reader) total(h wire.Header) (total, left int, err error) {
	if h.Length != wire.MaxPayload {
		return 0, 0, protocolErrorf("first fragment of %d bytes, want %d", h.Length, wire.MaxPayload)
	}
	if err := r.need(wire.TotalSize); err != nil {
		return 0, 0, err
	}
	left = h.Length - wire.TotalSize
	if total, err = wire.ParseTotal(r.buf[r.r:], left); err != nil {
		return 0, 0, protocolErrorf("%v", err)
	}
	r.r += wire.TotalSize
	return total, left, nil
}

func (s *Session) readCall(r *reader, h wire.Header) error {
	in := &Incoming{s: s, id: h.ID, flags: h.Flags &^ wire.More, size: h.Length}
	in.ctx.parent, in.ctx.epoch = s.base, s.epoch
	if h.Flags&wire.Sends != 0 {
		in.In = newInbound(s, h.ID)
	}
	if h.Flags&wire.Wants != 0 {
		in.Out = newOutbound(s, h.ID)
	}
	left := h.Length
	fragmented := h.Flags&wire.More != 0
	if fragmented {
		var err error
		if in.size, left, err = r.total(h); err != nil {
			return err
		}
	}
	var refusal *wire.ErrorBody
	if in.size > int(s.local.Message) {
		refusal = &wire.ErrorBody{Kind: wire.KindTooLarge, Message: fmt.Sprintf("call of %d bytes, at most %d are accepted", in.size, s.local.Message)}
		if err := s.incoming.refusable(h.ID); err != nil {
			return protocolErrorf("%v", err)
		}
	} else if draining, err := s.incoming.admit(in); err != nil {
		return protocolErrorf("%v", err)
	} else if draining {
		refusal = &wire.ErrorBody{Kind: wire.KindDraining, Message: "the daemon is shutting down"}
	}
	if refusal != nil {
		// Its further fragments meet an unknown id and are skipped.
		if err := r.skip(left); err != nil {
			return err
		}
		s.sendError(h.ID, refusal)
		return nil
	}
	if !fragmented {
		var err error
		if in.message, in.Owned, err = r.payload(left); err != nil {
			s.incoming.leave(in)
			return err
		}
		return s.serve(in)
	}
	in.part = newAssembly(in.size, false)
	room, _ := in.part.room(left)
	return r.into(room)
}

func (s *Session) readAnswer(r *reader, h wire.Header) error {
	if wire.SideOf(h.ID) != s.side {
		return protocolErrorf("%v for call id %#x, which is the peer's own", h.Type, h.ID)
	}
	if h.Flags&wire.More == 0 {
		p, owned, err := r.payload(h.Length)
		if err != nil {
			return err
		}
		s.calls.mu.Lock()
		c := s.calls.find(h.ID)
		begun := c != nil && c.part.active
		if begun && !c.part.discard {
			s.partial.Add(-int64(c.part.total)) // an error ends a result that had begun
		}
		s.calls.mu.Unlock()
		if stream := s.inbound(h.ID); h.Type == wire.Result && (begun || stream != nil && stream.part.active) {
			return protocolErrorf("result for call id %#x, of which a message is not complete", h.ID)
		}
		s.answered(h.ID, Response{Type: h.Type, Payload: p, Owned: owned})
		return nil
	}
	total, left, err := r.total(h)
	if err != nil {
		return err
	}
	s.calls.mu.Lock()
	c := s.calls.find(h.ID)
	unwanted := c == nil || c.abandoned
	s.calls.mu.Unlock()
	if c == nil {
		return r.skip(left)
	}
	if total > int(s.local.Message) {
		return protocolErrorf("result of %d bytes, at most %d are accepted", total, s.local.Message)
	}
	if stream := s.inbound(h.ID); c.part.active || stream != nil && stream.part.active {
		return protocolErrorf("result for call id %#x before the message before it was complete", h.ID)
	}
	if !unwanted {
		if sum := s.partial.Add(int64(total)); sum > int64(s.local.Window) {
			return protocolErrorf("unfinished results and items of %d bytes, the window is %d", sum, s.local.Window)
		}
	}
	c.part = newAssembly(total, unwanted)
	room, _ := c.part.room(left)
	if room == nil {
		return r.skip(left)
	}
	return r.into(room)
}

func (s *Session) answered(id uint32, resp Response) {
	needless, last := s.calls.complete(id, resp)
	if needless != nil {
		s.writer.abort(needless)
	}
	if last {
		s.drained()
	}
}

func (s *Session) readData(r *reader, h wire.Header) error {
	more := h.Flags&wire.More != 0
	if more && h.Length != wire.MaxPayload {
		return protocolErrorf("fragment of %d bytes before the last one, want %d", h.Length, wire.MaxPayload)
	}
	if stream := s.inbound(h.ID); stream != nil && stream.part.active {
		return s.readItemPart(r, h, stream, more)
	}
	if wire.SideOf(h.ID) == s.side {
		return s.readResultPart(r, h, more)
	}
	in := s.incoming.find(h.ID)
	if in == nil {
		return r.skip(h.Length) // refused or cancelled
	}
	if !in.part.active || in.part.complete() {
		return protocolErrorf("data for call id %#x, which is complete", h.ID)
	}
	room, ok := in.part.room(h.Length)
	if !ok || more == in.part.complete() {
		return protocolErrorf("call id %#x: fragments do not add up to the declared %d bytes", h.ID, in.part.total)
	}
	if err := r.into(room); err != nil {
		return err
	}
	if in.part.complete() {
		in.message, in.Owned = in.part.buf, true
		return s.serve(in)
	}
	return nil
}

func (s *Session) readResultPart(r *reader, h wire.Header, more bool) error {
	s.calls.mu.Lock()
	c := s.calls.find(h.ID)
	s.calls.mu.Unlock()
	if c == nil {
		return r.skip(h.Length)
	}
	if !c.part.active {
		return protocolErrorf("data for call id %#x before its result", h.ID)
	}
	room, ok := c.part.room(h.Length)
	if !ok || more == c.part.complete() {
		return protocolErrorf("result of call id %#x: fragments do not add up to the declared %d bytes", h.ID, c.part.total)
	}
	var err error
	if room == nil {
		err = r.skip(h.Length)
	} else {
		err = r.into(room)
	}
	if err != nil || !c.part.complete() {
		return err
	}
	part := c.part
	if !part.discard {
		s.partial.Add(-int64(part.total))
	}
	s.answered(h.ID, Response{Type: wire.Result, Payload: part.buf, Owned: true})
	return nil
}

// cut is the error of a connection that ended, in the middle of a frame or not.
func (r *reader) cut(err error) error {
	if errors.Is(err, io.EOF) && r.r != r.w {
		return io.ErrUnexpectedEOF
	}
	return err
}
