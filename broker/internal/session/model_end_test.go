package session

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
)

// modelEnd is a real session. Its callers and methods do nothing but what they are
// told, and write down what they see.
type modelEnd struct {
	name string
	s    *Session
	ran  chan struct{} // closed when Run has returned
	wg   sync.WaitGroup

	// hostile: the peer may send anything, so that content is kept, and judged elsewhere.
	hostile bool

	mu     sync.Mutex // guards what follows, and all that is seen of calls
	runs   []*run
	begun  int // runs, in the order in which they got their tags
	how    map[int]manner
	next   manner // of a call from a hostile peer
	faults []string
}

// manner is how a method is to behave.
type manner struct {
	quick bool // it answers at once
	kind  wire.Kind
	size  int
	aside bool // in a goroutine of its own
}

func (e *modelEnd) manner(tag int, m manner) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.how[tag] = m
}

func newModelEnd(name string, c Config) *modelEnd {
	e := &modelEnd{name: name, ran: make(chan struct{}), how: make(map[int]manner)}
	c.Handler = e.handle
	e.s = New(c)
	go func() {
		e.s.Run()
		close(e.ran)
	}()
	return e
}

func (e *modelEnd) fault(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults = append(e.faults, e.name+": "+fmt.Sprintf(format, args...))
}

// dead reports whether the session has ended.
func (e *modelEnd) dead() bool {
	select {
	case <-e.s.Done():
		return true
	default:
		return false
	}
}

// ending says how a call went for its caller.
type ending int

const (
	howOpen    ending = iota // the caller still waits
	howResult                // and its content was right
	howError                 // an error frame
	howQueued                // a oneway call is on its way
	howGaveUp                // context.Canceled
	howTimeout               // context.DeadlineExceeded
	howRefused               // ErrDraining
	howLarge                 // ErrTooLarge
	howUnsent                // *NotAnswered, and nothing of it was sent
	howLost                  // *NotAnswered, and it may have run
)

var howNames = [...]string{"open", "result", "error", "queued", "gave up", "timed out", "refused", "too large", "lost unsent", "lost"}

func (e ending) String() string { return howNames[e] }

// call kinds, as flags.
const (
	oneway = wire.Oneway
	sends  = wire.Sends
	wants  = wire.Wants
)

// sent is a call from a modelEnd, as its caller sees it.
type sent struct {
	end    *modelEnd
	tag    int
	flags  wire.Flags
	size   int    // of the whole message
	from   int    // the end, where there are two
	millis uint64 // timeout in the envelope
	cancel context.CancelFunc
	gaveUp bool // cancelled by the program while the caller waited

	stream *Stream // and ctx: set with out and in
	ctx    context.Context

	// Guarded by end.mu.
	begun     time.Time // zero: not yet
	due       time.Time // local deadline, zero for none
	how       ending
	kind      wire.Kind // of howError
	size2     int       // of a result
	payload   []byte    // of the answer, from a hostile peer
	afters    int       // answers that a oneway call's After was told, nil included
	afterKind wire.Kind
	after     ending // howResult, howError, howLost for nil
	out       *sending
	in        *taking
}

// sending is the sending half of a stream.
type sending struct {
	seed   uint32
	tag    int
	work   chan func() // done by one goroutine, in order
	sizes  []int       // of all items that were ordered
	ok     int         // items whose Send returned nil
	begun  int         // items whose Send was called
	err    error       // of the Send that failed; no other was called
	ended  bool        // End was called
	reason string      // with this reason
}

// taking is the receiving half.
type taking struct {
	seed    uint32
	tag     int
	work    chan func()
	taken   int      // items
	items   [][]byte // from a hostile peer
	bytes   int      // what they cost
	waiting bool
	over    bool // Next has said so
	err     error
	stopped bool
}

const itemCost = 64 // PROTOCOL §5.8

// goes runs work until its channel is closed.
func (e *modelEnd) goes(work chan func()) {
	e.wg.Go(func() {
		for f := range work {
			f()
		}
	})
}

// item orders an item to be sent. It is a no-op after a failure.
func (e *modelEnd) item(s *sending, out *Outbound, ctx context.Context, size int) {
	e.mu.Lock()
	index := len(s.sizes)
	s.sizes = append(s.sizes, size)
	e.mu.Unlock()
	s.work <- func() {
		e.mu.Lock()
		skip := s.err != nil || s.ended
		if !skip {
			s.begun++
		}
		e.mu.Unlock()
		if skip {
			return
		}
		content := filled(itemSeed(s.seed, s.tag, index), size)
		half := size / 3
		err := out.Send(ctx, content[:half], content[half:])
		clear(content) // it is ours again
		e.mu.Lock()
		defer e.mu.Unlock()
		if s.err = err; err == nil {
			s.ok++
		}
	}
}

// end orders the end of a caller's stream.
func (e *modelEnd) endStream(s *sending, out *Outbound, reason string) {
	s.work <- func() {
		e.mu.Lock()
		// After a Send that was cut off in the middle of an item nothing can follow but
		// the end of the call.
		skip := s.ended || s.err != nil && !errors.Is(s.err, ErrStopped)
		if !skip {
			s.ended, s.reason = true, reason
		}
		e.mu.Unlock()
		switch {
		case skip:
		case reason == "":
			out.End(nil)
		default:
			out.End(&wire.ErrorBody{Kind: wire.KindApplication, Message: reason})
		}
	}
}

// take orders to take an item. sizes are those that the sender was told to send.
func (e *modelEnd) take(t *taking, in *Inbound, ctx context.Context, sizes func() []int) {
	t.work <- func() {
		e.mu.Lock()
		skip := t.over || t.stopped
		t.waiting = !skip
		e.mu.Unlock()
		if skip {
			return
		}
		item, ok, err := in.Next(ctx)
		e.mu.Lock()
		t.waiting = false
		if !ok {
			t.over, t.err = true, err
		}
		index := t.taken
		if ok {
			t.taken++
			t.bytes += len(item) + itemCost
			if e.hostile {
				t.items = append(t.items, item)
			}
		}
		e.mu.Unlock()
		if !ok || sizes == nil {
			return
		}
		all := sizes()
		if index >= len(all) {
			e.fault("call %d: took item %d of %d", t.tag, index, len(all))
		} else if !bytes.Equal(item, filled(itemSeed(t.seed, t.tag, index), all[index])) {
			e.fault("call %d: item %d of %d bytes is not the one of %d bytes that was sent", t.tag, index, len(item), all[index])
		}
	}
}

func (e *modelEnd) stopTaking(t *taking, in *Inbound) {
	t.work <- func() {
		e.mu.Lock()
		t.stopped = true
		e.mu.Unlock()
		in.Stop()
	}
}

// modelHead is an envelope that names the tag.
func modelHead(tag int, millis uint64) []byte {
	head, err := wire.AppendCallHead(nil, "model", fmt.Sprintf("m%06d", tag), nil, millis)
	if err != nil {
		panic(err)
	}
	return head
}

// call prepares a call whose message has about the given size, and returns what makes
// it and waits for its end.
func (e *modelEnd) call(c *sent, timeout time.Duration, byContext bool) func() {
	c.end = e
	head := modelHead(c.tag, c.millis)
	c.size = max(c.size, len(head)+8)
	args := filled(seedCall|uint32(c.tag), c.size-len(head))
	r := &Request{Flags: c.flags, Head: append(head, args[:4]...), Body: args[4:]}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	if c.flags&oneway != 0 {
		r.After = func(resp *Response) { e.seeAfter(c, resp) }
	}
	return func() {
		e.mu.Lock()
		c.begun = time.Now()
		if timeout > 0 {
			c.due = c.begun.Add(timeout)
			if byContext {
				var stop context.CancelFunc
				ctx, stop = context.WithTimeout(ctx, timeout)
				defer stop()
			} else {
				r.Timeout = timeout
			}
		}
		e.mu.Unlock()
		if c.flags&(sends|wants) == 0 {
			resp, err := e.s.Call(ctx, r)
			e.see(c, resp, err)
			return
		}
		st, err := e.s.Open(ctx, r)
		if err != nil {
			e.see(c, Response{}, err)
			return
		}
		e.opened(c, st, ctx)
		resp, err := st.Wait(ctx)
		e.see(c, resp, err)
	}
}

// opened makes the halves of a call's streams known.
func (e *modelEnd) opened(c *sent, st *Stream, ctx context.Context) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if st.Out != nil {
		c.out = &sending{seed: seedToward, tag: c.tag, work: make(chan func(), 1024)}
		e.goes(c.out.work)
	}
	if st.In != nil {
		c.in = &taking{seed: seedBack, tag: c.tag, work: make(chan func(), 1024)}
		e.goes(c.in.work)
	}
	if (st.Out != nil) != (c.flags&sends != 0) || (st.In != nil) != (c.flags&wants != 0) {
		e.faults = append(e.faults, fmt.Sprintf("%s: call %d with flags %x has streams %v %v", e.name, c.tag, c.flags, st.Out, st.In))
	}
	c.stream, c.ctx = st, ctx
}

// see writes down how a call ended.
func (e *modelEnd) see(c *sent, resp Response, err error) {
	how, kind, size := howOpen, wire.Kind(0), 0
	var lost *NotAnswered
	switch {
	case err == nil && c.flags&oneway != 0 && resp.Type == 0:
		how = howQueued
	case err == nil && resp.Type == wire.Result:
		how, size = howResult, len(resp.Payload)
		if !e.hostile && !bytes.Equal(resp.Payload, filled(seedResult|uint32(c.tag), size)) {
			e.fault("call %d: its result of %d bytes is not what its method returned", c.tag, size)
		}
	case err == nil && resp.Type == wire.Error:
		how, kind = howError, kindOfRun(e, resp.Payload)
	case err == nil && e.hostile:
		e.fault("call %d: no answer, and no error", c.tag)
	case err == context.Canceled:
		how = howGaveUp
	case err == context.DeadlineExceeded:
		how = howTimeout
	case err == ErrDraining:
		how = howRefused
	case err == ErrTooLarge:
		how = howLarge
	case errors.As(err, &lost) && lost.Sent:
		how = howLost
	case errors.As(err, &lost):
		how = howUnsent
	default:
		e.fault("call %d ended with %v, %T %v", c.tag, resp.Type, err, err)
	}
	payload := bytes.Clone(resp.Payload)
	resp.Release()
	e.mu.Lock()
	defer e.mu.Unlock()
	c.payload = payload
	if c.how != howOpen {
		e.faults = append(e.faults, fmt.Sprintf("%s: call %d ended twice, %v and %v", e.name, c.tag, c.how, how))
	}
	c.how, c.kind, c.size2 = how, kind, size
}

func kindOfRun(e *modelEnd, payload []byte) wire.Kind {
	var body wire.ErrorBody
	if err := wire.ParseControl(wire.Error, payload, &body); err != nil && !e.hostile {
		e.fault("an error frame cannot be read: %v", err)
	}
	return body.Kind
}

func (e *modelEnd) seeAfter(c *sent, resp *Response) {
	how, kind := howLost, wire.Kind(0)
	if resp != nil && resp.Type == wire.Error {
		how, kind = howError, kindOfRun(e, resp.Payload)
	} else if resp != nil {
		how = howResult
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	c.afters++
	c.after, c.afterKind = how, kind
}

// run is a method that has begun at a modelEnd.
type run struct {
	end   *modelEnd
	tag   int
	flags wire.Flags
	call  *Incoming
	args  []byte    // from a hostile peer
	spec  *specCall // and which of its calls it is
	work  chan func()

	began time.Time

	// Guarded by end.mu.
	ordered   bool // an answer was ordered
	answering bool // Reply or Fail was called
	answered  bool // and has returned
	refused   bool // Refuse has answered it
	kind      wire.Kind
	result    int // bytes, when kind is 0
	out       *sending
	in        *taking
}

// handle is the method of all calls: it does what it is told until it has answered.
func (e *modelEnd) handle(in *Incoming) {
	r := &run{end: e, flags: in.flags, call: in, began: time.Now(), work: make(chan func(), 1024)}
	var tag uint32
	if len(in.Args) >= 8 {
		tag = binary.BigEndian.Uint32(in.Args) &^ seedCall
		r.tag = int(tag)
	}
	if e.hostile {
		r.args = bytes.Clone(in.Args)
		e.mu.Lock()
		e.begun++
		r.tag = e.begun
		e.mu.Unlock()
	} else if !bytes.Equal(in.Args, filled(seedCall|tag, len(in.Args))) {
		e.fault("a method got %d bytes of arguments that nobody sent: %.16x", len(in.Args), in.Args)
	} else if want := fmt.Sprintf("m%06d", tag); string(in.Head.Method) != want || string(in.Head.Object) != "model" {
		e.fault("call %d came as %q.%q", tag, in.Head.Object, in.Head.Method)
	}
	in.Release()
	e.mu.Lock()
	if in.In != nil {
		r.in = &taking{seed: seedToward, tag: r.tag, work: make(chan func(), 1024)}
		e.goes(r.in.work)
	}
	if in.Out != nil {
		r.out = &sending{seed: seedBack, tag: r.tag, work: r.work}
	}
	e.runs = append(e.runs, r)
	how := e.how[r.tag]
	if e.hostile {
		how = e.next
		e.next = manner{}
	}
	e.mu.Unlock()
	if how.quick {
		r.answer(how.size, how.kind)
	}
	if how.aside {
		in.Go(r.obey)
	} else {
		r.obey()
	}
}

// obey does what the method is told, until it has answered.
func (r *run) obey() {
	e := r.end
	for f := range r.work {
		f()
		e.mu.Lock()
		over := r.answered
		e.mu.Unlock()
		if over {
			break
		}
	}
}

// answer orders a method to end: with a result of size bytes, or, if kind is not 0,
// with an error.
func (r *run) answer(size int, kind wire.Kind) {
	e := r.end
	e.mu.Lock()
	r.ordered, r.result = true, size
	e.mu.Unlock()
	r.work <- func() {
		e.mu.Lock()
		r.answering = true
		r.kind = kind
		tooLarge := kind == 0 && size > int(r.call.s.remote.Message)
		if tooLarge {
			r.kind = wire.KindTooLarge
		}
		kind := r.kind
		e.mu.Unlock()
		if tooLarge {
			if err := r.call.Reply(make([]byte, size), nil); err != ErrTooLarge {
				e.fault("call %d: Reply of %d bytes, which the peer does not accept: %v", r.tag, size, err)
			}
		}
		if kind == 0 {
			content := filled(seedResult|uint32(r.tag), size)
			half := size / 2
			if err := r.call.Reply(content[:half], content[half:]); err != nil {
				e.fault("call %d: Reply of %d bytes: %v", r.tag, size, err)
			}
			clear(content)
		} else {
			r.call.Fail(&wire.ErrorBody{Kind: kind, Message: "told to"})
		}
		e.mu.Lock()
		r.answered = true
		e.mu.Unlock()
	}
}

// refuse answers a method that runs from outside, and reports whether that was possible.
func (r *run) refuse() bool {
	e := r.end
	ok := r.call.Refuse(&wire.ErrorBody{Kind: wire.KindDenied, Message: "no longer allowed"})
	e.mu.Lock()
	defer e.mu.Unlock()
	r.refused = r.refused || ok
	if !ok && !r.answering && !r.refused {
		e.faults = append(e.faults, fmt.Sprintf("%s: call %d could not be refused, and was not answered", e.name, r.tag))
	}
	return ok
}
