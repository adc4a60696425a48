package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// What docs/protocol.md lets two ends see of each other, as rules about what was
// seen. Nothing here knows how a session works.

// Credit of a stream. PROTOCOL §5.8; how much a receiver keeps is what package
// broker promises.
const (
	ruleFirstCredit = 65536
	ruleItemCost    = 64
	ruleFrame       = 65527 // PROTOCOL §3.1
	ruleKept        = 256 << 10
)

// scene is all that can be seen at one moment.
type scene struct {
	now     time.Time
	settled bool // both ends live, and all that was sent has arrived
	calls   []seenCall
	ends    [2]seenEnd
}

type seenEnd struct {
	dead     bool
	err      error
	mayDie   []string // why it may have ended, by what was done
	mustDie  bool
	drained  bool // was told to take no new calls
	over     bool // has begun to end the session
	finished bool // makes no new calls itself

	calls, message, window int // what it accepts
}

type seenCall struct {
	tag, from     int
	oneway        bool
	size          int
	begun         time.Time
	due           time.Time // the caller's deadline
	remoteDue     time.Time
	gaveUp        bool
	refusedBefore bool // its end knew when it began that it could not be made
	how           ending
	kind          int
	resultSize    int
	afters        int
	after         ending
	afterKind     int

	runs                 int
	answering, answered  bool
	answerKind, answerOf int
	ctxErr               error

	toward, back seenStream
}

// seenStream is one direction. sender is false until that half exists, receiver too.
type seenStream struct {
	is               bool
	sender, receiver bool
	sizes            []int
	ok, begun        int
	sendErr          error
	ended            bool
	reason           string
	taken, cost      int
	waiting          bool
	over, stopped    bool
	takeErr          error
}

// broken collects what is against the rules.
type broken []string

func (b *broken) add(format string, args ...any) { *b = append(*b, fmt.Sprintf(format, args...)) }

func (b *broken) unless(ok bool, format string, args ...any) {
	if !ok {
		b.add(format, args...)
	}
}

// rules returns what is wrong in a scene.
func rules(s *scene) broken {
	var b broken
	for i := range s.ends {
		e := &s.ends[i]
		b.unless(!e.dead || len(e.mayDie) > 0, "end %d died without a reason: %v", i, e.err)
		b.unless(e.dead || !e.mustDie, "end %d should have died: %v", i, e.mayDie)
	}
	for i := range s.calls {
		c := &s.calls[i]
		var of broken
		c.always(&of, s)
		c.streamAlways(&of, s, &c.toward, true)
		c.streamAlways(&of, s, &c.back, false)
		if s.settled {
			c.settled(&of, s)
		}
		if s.ends[0].dead && s.ends[1].dead {
			c.afterwards(&of)
		}
		for _, text := range of {
			b.add("call %d from end %d: %s", c.tag, c.from, text)
		}
	}
	if s.settled {
		s.queues(&b)
	}
	return b
}

// always holds at any time.
func (c *seenCall) always(b *broken, s *scene) {
	own, peer := &s.ends[c.from], &s.ends[1-c.from]
	b.unless(c.runs <= 1, "ran %d times", c.runs)
	b.unless(!c.gaveUp || c.how != howOpen, "its caller has given up and still waits")
	b.unless(c.due.IsZero() || !s.now.After(c.due) || c.how != howOpen, "its time was up at %v and its caller still waits", c.due)
	b.unless(c.afters <= 1, "After was called %d times", c.afters)
	b.unless(c.how != howResult || c.answering && c.answerKind == 0 && c.resultSize == c.answerOf,
		"a result of %d bytes, the method answered %v with kind %d and %d bytes", c.resultSize, c.answering, c.answerKind, c.answerOf)
	b.unless(c.how != howGaveUp || c.gaveUp, "given up, and nobody asked for that")
	b.unless(c.how != howTimeout || !c.due.IsZero() && !s.now.Before(c.due), "timed out, its deadline is %v", c.due)
	b.unless(c.how != howLarge || c.size > peer.message, "of %d bytes was too large, the limit is %d", c.size, peer.message)
	b.unless(c.size <= peer.message || c.how == howLarge || c.how == howGaveUp || c.how == howTimeout, "of %d bytes is too large: %v", c.size, c.how)
	b.unless(c.how != howUnsent && c.how != howLost || own.dead, "%v, and its connection lives", c.how)
	b.unless(c.how != howRefused || peer.drained || own.finished, "refused, and nobody drains")
	switch c.how {
	case howUnsent, howRefused, howLarge:
		b.unless(c.runs == 0, "%v, and it ran", c.how)
	case howError:
		c.errorFrame(b, c.kind, peer, s.now)
	}
	if c.after == howError {
		c.errorFrame(b, c.afterKind, peer, s.now)
	}
	b.unless(c.after != howResult || c.answering && c.answerKind == 0, "its After got a result that nobody gave")
	b.unless(c.after != howLost || own.dead, "its After was told that the connection was lost")
}

// errorFrame looks at an error that came from the peer.
func (c *seenCall) errorFrame(b *broken, kind int, peer *seenEnd, now time.Time) {
	if c.answering && c.answerKind == kind {
		return
	}
	late := !c.remoteDue.IsZero() && !now.Before(c.remoteDue)
	switch {
	case kind == 7 && c.gaveUp && c.runs == 0: // a call that was cut off
		return
	case kind == 7 && c.answering && c.back.sendErr != nil: // nothing but an error may follow a part of an item
		return
	case kind == 8 && c.answering && late && c.answerOf > ruleFrame: // a result in fragments may be ended early
		return
	}
	b.unless(kind == 9 && (peer.drained || peer.over) && c.runs == 0, "an error of kind %d; it ran %d times, and answered %v with kind %d", kind, c.runs, c.answering, c.answerKind)
}

// settled holds when all that was sent has arrived.
func (c *seenCall) settled(b *broken, s *scene) {
	peer := &s.ends[1-c.from]
	waits := c.how == howOpen
	b.unless(!c.answered || !waits, "was answered, and its caller waits")
	b.unless(c.how != howQueued || c.runs == 1 || c.after != howOpen, "was queued, and neither ran nor failed")
	b.unless(!c.answered || !c.oneway || c.how != howQueued || c.after != howOpen, "was answered, and its After was not called")
	b.unless(!c.refusedBefore || c.how == howRefused || c.how == howGaveUp || c.how == howLarge, "was begun although the peer drains: %v", c.how)
	b.unless(!peer.drained || !waits || c.runs == 1, "waits at a peer that drains, and has not run")
	if c.runs == 1 && !c.answered {
		var want error
		switch {
		case c.ctxErr == context.DeadlineExceeded && !c.remoteDue.IsZero() && !s.now.Before(c.remoteDue):
			want = c.ctxErr // which of the two comes first is open
		case c.how == howGaveUp || c.how == howTimeout:
			want = context.Canceled
		case !c.remoteDue.IsZero() && s.now.After(c.remoteDue):
			want = context.DeadlineExceeded
		}
		b.unless(c.ctxErr == want, "runs, its context says %v, want %v", c.ctxErr, want)
		c.streamSettled(b, &c.toward, s.cut(c.from))
		c.streamSettled(b, &c.back, s.cut(1-c.from))
		b.unless(!c.answering || s.cut(1-c.from), "its answer is under way, and nothing is")
	}
	if c.answered {
		for end, st := range map[int]*seenStream{c.from: &c.toward, 1 - c.from: &c.back} {
			b.unless(!st.waiting, "was answered, and a stream of it is waited for")
			b.unless(!st.sender || st.begun == st.ok || st.sendErr != nil || s.cut(end), "was answered, and an item waits")
		}
	}
}

// afterwards holds when both ends have died.
func (c *seenCall) afterwards(b *broken) {
	b.unless(c.how != howOpen, "still waits after the end")
	b.unless(c.how != howQueued || c.after != howOpen, "nobody was told what became of it")
	b.unless(c.runs == 0 || c.ctxErr != nil, "its context goes on after the end")
	for _, st := range []*seenStream{&c.toward, &c.back} {
		b.unless(!st.waiting, "a stream of it is waited for after the end")
		b.unless(!st.sender || st.begun == st.ok || st.sendErr != nil, "an item waits after the end")
	}
}

// cut reports whether an end has a call without an answer in which it sent a part of an
// item. That counts in the window of the peer until the answer, and other large
// messages may have to wait for it. PROTOCOL §5.7.
func (s *scene) cut(end int) bool {
	for i := range s.calls {
		c := &s.calls[i]
		st := &c.toward
		if c.from != end {
			st = &c.back
		}
		if !c.answered && st.sendErr != nil && st.begun > 0 && st.sizes[st.begun-1] > ruleFrame {
			return true
		}
	}
	return false
}

// queues looks at calls that wait for a slot or for the window: only if there is no
// room, and in the order in which they came.
func (s *scene) queues(b *broken) {
	for from := range s.ends {
		peer := &s.ends[1-from]
		slots, window := 0, 0
		var first []*seenCall // one of them is: they came at the same time
		for i := range s.calls {
			c := &s.calls[i]
			switch {
			case c.from != from:
			case c.runs == 1 && !c.answered:
				slots++
				window += c.size
			case c.runs == 0 && c.how == howOpen:
				if len(first) > 0 && c.begun.Before(first[0].begun) {
					first = nil
				}
				if len(first) == 0 || c.begun.Equal(first[0].begun) {
					first = append(first, c)
				}
			}
		}
		b.unless(slots <= peer.calls && window <= peer.window, "end %d runs %d calls of %d bytes, the limits are %d and %d", 1-from, slots, window, peer.calls, peer.window)
		fits := func(c *seenCall) bool { return slots < peer.calls && window+c.size <= peer.window }
		if len(first) > 0 && !slices.ContainsFunc(first, func(c *seenCall) bool { return !fits(c) }) {
			b.add("call %d from end %d, of %d bytes, waits, although only %d calls of %d bytes run; the limits are %d and %d",
				first[0].tag, from, first[0].size, slots, window, peer.calls, peer.window)
		}
	}
}

// streamAlways holds at any time.
func (c *seenCall) streamAlways(b *broken, s *scene, st *seenStream, toward bool) {
	if !st.is {
		b.unless(!st.sender && !st.receiver, "has a stream that it was made without")
		return
	}
	sender := s.ends[c.from]
	receiver := s.ends[1-c.from]
	if !toward {
		sender, receiver = receiver, sender
	}
	b.unless(st.taken <= st.begun, "%d items were taken, %d sent", st.taken, st.begun)
	gone := c.how != howOpen || c.answering || sender.dead || receiver.dead || sender.over || receiver.over
	deadline := !c.due.IsZero() && !s.now.Before(c.due) || !c.remoteDue.IsZero() && !s.now.Before(c.remoteDue)
	switch err := st.sendErr; {
	case err == nil:
	case err == ErrStopped:
		b.unless(st.stopped || gone, "an item was not wanted, and nobody said so")
	case err == ErrTooLarge:
		b.unless(st.sizes[st.begun-1] > receiver.message, "an item of %d bytes was too large", st.sizes[st.begun-1])
	case errors.Is(err, context.Canceled):
		b.unless(c.gaveUp || gone || deadline, "an item was given up, and nobody asked for that")
	case errors.Is(err, context.DeadlineExceeded):
		b.unless(deadline, "an item timed out")
	default:
		b.unless(gone, "an item was not sent: %v", err)
	}
	if !st.over {
		return
	}
	var reason *Broken
	switch err := st.takeErr; {
	case err == nil:
		b.unless(st.taken == st.ok || st.sendErr != nil && st.taken >= st.ok, "the stream ended after %d items, %d were sent", st.taken, st.ok)
		b.unless(st.ended && st.reason == "" && toward || c.how != howOpen && !toward, "the stream ended, and nobody ended it")
	case errors.As(err, &reason):
		b.unless(st.ended && st.reason == reason.Body.Message && toward, "broken off with %q, want %q", reason.Body.Message, st.reason)
		b.unless(st.taken == st.ok, "broken off after %d items, %d were sent", st.taken, st.ok)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		b.unless(c.gaveUp || gone || deadline, "the stream was given up: %v", err)
	default:
		b.unless(gone, "the stream ended with %v", err)
	}
}

// streamSettled holds while the call runs, and all that was sent has arrived.
func (c *seenCall) streamSettled(b *broken, st *seenStream, cut bool) {
	if !st.is || !st.sender || c.how != howOpen || c.ctxErr != nil {
		return
	}
	cost, last := 0, 0
	for _, size := range st.sizes[:st.ok] {
		last = size + ruleItemCost
		cost += last
	}
	pending := st.begun > st.ok && st.sendErr == nil
	if pending && cut && st.sizes[st.begun-1] > ruleFrame {
		return
	}
	if st.receiver {
		b.unless(!st.waiting || st.taken == st.ok && !pending && !st.ended,
			"waits for an item: %d taken, %d sent, one under way %v, stream ended %v", st.taken, st.ok, pending, st.ended)
		b.unless(!st.stopped || !pending, "an item waits that nobody wants")
		b.unless(st.stopped || st.over || cost-last-st.cost <= ruleKept, "%d bytes of a stream are kept", cost-st.cost)
	}
	b.unless(!pending || cost >= ruleFirstCredit && cost > st.cost, "an item waits although %d bytes of a stream were sent and %d taken", cost, st.cost)
}
