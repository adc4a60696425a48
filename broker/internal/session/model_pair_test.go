package session

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/internal/memnet"
)

// modelTLS makes handshakes as cheap as they can be: the tests make thousands.
var modelTLS = sync.OnceValue(func() *tls.Config {
	c := testConfig().Clone()
	c.CurvePreferences = []tls.CurveID{tls.X25519}
	return c
})

// modelPipe connects two ends through a network that can be stalled.
func modelPipe(t testing.TB, buffer int) (net [2]*memnet.Conn, ends [2]*tls.Conn, conns [2]*Conn) {
	t.Helper()
	a, b := memnet.Pipe(memnet.BufferSize(buffer))
	net = [2]*memnet.Conn{a.(*memnet.Conn), b.(*memnet.Conn)}
	conns = [2]*Conn{NewConn(a), NewConn(b)}
	ends = [2]*tls.Conn{tls.Client(conns[0], modelTLS()), tls.Server(conns[1], modelTLS())}
	done := make(chan error, 1)
	go func() { done <- ends[1].Handshake() }()
	if err := errors.Join(ends[0].Handshake(), <-done); err != nil {
		t.Fatal(err)
	}
	return net, ends, conns
}

// pairRun runs a program between two sessions.
type pairRun struct {
	t    *testing.T
	p    *program
	ends [2]*modelEnd
	net  [2]*memnet.Conn
	acc  [2]wire.Limits // what each end accepts

	calls   []*sent
	before  []bool // of each call: its end knew that the peer drains
	stalled time.Time
	stall   bool
	longest time.Duration // of a stall
	ending  time.Time     // when an End or Finish began, zero if none
	causes  []string
	drained [2]bool
	told    [2]bool // the peer knows
	finish  [2]bool
	over    [2]bool // End was called
}

// modelLimits are small, and differ, so that they are reached and cannot be taken for
// each other.
var modelLimits = [2]wire.Limits{
	{Calls: 2, Message: 200_000, Window: 260_000, IdleSeconds: 30},
	{Calls: 3, Message: 150_000, Window: 210_000, IdleSeconds: 60},
}

// runPair runs a program and returns what was against the rules.
func runPair(t *testing.T, b []byte) {
	synctest.Test(t, func(t *testing.T) {
		r := &pairRun{t: t, p: &program{b: b}}
		r.acc = modelLimits
		var ends [2]*tls.Conn
		var conns [2]*Conn
		r.net, ends, conns = modelPipe(t, pickOf(r.p, 64<<10, 1<<10, 1<<20))
		r.ends[0] = newModelEnd("client", Config{TLS: ends[0], Conn: conns[0], Side: wire.ClientSide, Local: r.acc[0], Remote: r.acc[1], Inline: r.p.pick(2) == 1})
		r.ends[1] = newModelEnd("daemon", Config{TLS: ends[1], Conn: conns[1], Side: wire.ServerSide, Local: r.acc[1], Inline: r.p.pick(2) == 1})
		synctest.Wait() // Hello has come
		ok := true
		for n, late := 0, 0; ok && n < 200 && late < 4 && r.p.more(); n++ {
			if ok = r.step(); !r.alive() {
				late++
			}
		}
		if ok && r.p.pick(3) != 0 {
			ok = r.windUp()
		}
		r.cleanUp(ok)
	})
}

// settle waits until nothing moves any more, and looks at the rules.
func (r *pairRun) settle() bool {
	r.t.Helper()
	for moved, last := r.moved(), ^uint32(0); moved != last; last, moved = moved, r.moved() {
		time.Sleep(moment)
	}
	return r.check(true)
}

// moment is more than it takes until somebody reads who can.
const moment = 20 * time.Millisecond

// moved counts what comes in at both ends.
func (r *pairRun) moved() uint32 {
	synctest.Wait()
	return r.ends[0].s.readState.reads.Load() + r.ends[1].s.readState.reads.Load()
}

// check looks at the rules. quiet says that all that can happen has happened.
func (r *pairRun) check(quiet bool) bool {
	r.t.Helper()
	synctest.Wait()
	if quiet && !r.stall {
		for i := range r.told {
			r.told[i] = r.drained[i]
		}
	}
	bad := rules(r.scene(quiet))
	for _, e := range r.ends {
		e.mu.Lock()
		bad = append(bad, e.faults...)
		e.mu.Unlock()
		bad = append(bad, e.memory()...)
	}
	for _, text := range bad {
		r.t.Error(text)
	}
	if len(bad) > 0 {
		r.t.Logf("the program:\n%v", r.p)
	}
	return len(bad) == 0
}

// modelHeld bounds what an end keeps for a peer that does not read.
const modelHeld = 1 << 20

// memory looks at what is held for the socket.
func (e *modelEnd) memory() []string {
	w := &e.s.writer
	w.mu.Lock()
	held := len(w.pend)
	w.mu.Unlock()
	w.conn.mu.Lock()
	held += len(w.conn.out) + len(w.conn.taken)
	w.conn.mu.Unlock()
	if held > modelHeld {
		return []string{fmt.Sprintf("%s: %d bytes wait for the socket", e.name, held)}
	}
	return nil
}

func (r *pairRun) alive() bool { return !r.ends[0].dead() && !r.ends[1].dead() }

// step does one operation.
func (r *pairRun) step() bool {
	b := r.p.byte()
	r.do(int(b & 31))
	switch b >> 6 {
	case 3:
		r.p.note("... and at once")
		return true // whatever comes next comes at the same time
	case 2:
		return r.check(false)
	}
	return r.settle()
}

func (r *pairRun) do(op int) {
	switch {
	case op < 7:
		r.call()
	case op < 10:
		r.answer()
	case op < 17:
		r.items()
	case op < 23:
		r.takes()
	case op == 23:
		r.stop()
	case op == 24:
		r.endStream()
	case op < 27:
		r.cancel()
	case op == 27:
		d := pickOf(r.p, time.Millisecond, 400*time.Millisecond, 700*time.Millisecond, 2*time.Second, 9*time.Second, 40*time.Second, time.Hour)
		r.p.note("sleep %v", d)
		r.sleep(d)
	case op < 31:
		r.toggle()
	default:
		r.endings()
	}
}

// sleep lets time pass. What has to be over by a time may be so a moment later.
func (r *pairRun) sleep(d time.Duration) {
	time.Sleep(d)
	if r.stall {
		r.longest = max(r.longest, time.Since(r.stalled))
	}
}

// resultTypes: sizes of messages of all kinds: small, one frame, more than one, too large.
func (r *pairRun) size() int {
	return pickOf(r.p, 10, 0, 600, 600, 5000, 5000, 20_000, wire.MaxPayload, wire.MaxPayload+1, 66_000, 66_000, 90_000, 140_000, 199_000, 210_000)
}

func (r *pairRun) call() {
	from := r.p.pick(2)
	c := &sent{tag: len(r.calls) + 1, from: from}
	c.flags = pickOf(r.p, 0, 0, oneway, sends, wants, sends|wants)
	c.size = r.size()
	timeout := pickOf(r.p, 0, 0, 500*time.Millisecond, 5*time.Second)
	if timeout > 0 && c.flags&oneway != 0 {
		timeout = 0 // it bounds the queueing only
	}
	byContext := timeout > 0 && r.p.pick(2) == 1
	c.millis = pickOf(r.p, uint64(0), 0, 600, 1<<62)
	r.p.note("call %d from end %d: flags %02x, %d bytes, timeout %v %v, envelope %d ms", c.tag, from, c.flags, c.size, timeout, byContext, c.millis)
	r.calls = append(r.calls, c)
	r.before = append(r.before, r.told[1-from] || r.finish[from])
	var how manner
	switch r.p.pick(8) {
	case 0, 1, 2:
		how.quick = true
		how.kind = pickOf(r.p, 0, 0, wire.KindApplication)
		if how.size = 0; how.kind == 0 {
			how.size = r.size()
		}
	case 3:
		how.aside = true
	}
	r.p.note("    it is run as %+v", how)
	r.ends[1-from].manner(c.tag, how)
	if m := r.inside(from); m != nil {
		r.p.note("    and made by the method of call %d", m.tag)
		m.work <- r.ends[from].call(c, timeout, byContext)
		return
	}
	r.ends[from].wg.Go(r.ends[from].call(c, timeout, byContext))
}

// inside picks a method that makes a call itself, or nil.
func (r *pairRun) inside(from int) *run {
	if r.p.pick(4) != 0 {
		return nil
	}
	c := r.chosen(func(c *sent) bool { return c.from != from && r.runOf(c).busy() })
	if c == nil {
		return nil
	}
	return r.runOf(c)
}

// runOf returns the method that a call runs in, or nil.
func (r *pairRun) runOf(c *sent) *run {
	e := r.ends[1-c.from]
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, m := range e.runs {
		if m.tag == c.tag {
			return m
		}
	}
	return nil
}

// chosen picks one of the calls for which ok holds, or nil.
func (r *pairRun) chosen(ok func(*sent) bool) *sent {
	var of []*sent
	for _, c := range r.calls {
		if ok(c) {
			of = append(of, c)
		}
	}
	if len(of) == 0 {
		return nil
	}
	return of[r.p.pick(len(of))]
}

func (m *run) busy() bool {
	if m == nil {
		return false
	}
	m.end.mu.Lock()
	defer m.end.mu.Unlock()
	return !m.ordered
}

func (r *pairRun) answer() {
	c := r.chosen(func(c *sent) bool { return r.runOf(c).busy() })
	if c == nil {
		return
	}
	m := r.runOf(c)
	if r.p.pick(8) == 7 {
		r.p.note("refuse %d: %v", c.tag, m.refuse())
		return
	}
	kind := pickOf(r.p, 0, 0, 0, wire.KindApplication, wire.KindDenied, wire.KindDraining)
	size := 0
	if kind == 0 {
		size = r.size()
	}
	r.p.note("answer %d: kind %d, %d bytes", c.tag, kind, size)
	m.answer(size, kind)
}

// halves are the two ends of a stream, as far as they are there.
type halves struct {
	c      *sent
	out    *sending
	send   *Outbound
	ctx    context.Context
	sender *modelEnd
	in     *taking
	take   *Inbound
	tctx   context.Context
	taker  *modelEnd
}

func (r *pairRun) halves(c *sent, toward bool) (h halves) {
	h.c = c
	caller, callee := r.ends[c.from], r.ends[1-c.from]
	m := r.runOf(c)
	caller.mu.Lock()
	st, ctx, out, in := c.stream, c.ctx, c.out, c.in
	caller.mu.Unlock()
	if toward {
		h.sender, h.taker = caller, callee
		if out != nil {
			h.out, h.send, h.ctx = out, st.Out, ctx
		}
		if m != nil && m.in != nil {
			h.in, h.take, h.tctx = m.in, m.call.In, m.call.Context()
		}
		return h
	}
	h.sender, h.taker = callee, caller
	if m != nil && m.out != nil {
		h.out, h.send, h.ctx = m.out, m.call.Out, m.call.Context()
	}
	if in != nil {
		h.in, h.take, h.tctx = in, st.In, ctx
	}
	return h
}

// stream picks a stream.
func (r *pairRun) stream(ok func(h halves) bool) (halves, bool) {
	toward := r.p.pick(2) == 0
	c := r.chosen(func(c *sent) bool { return ok(r.halves(c, toward)) })
	if c == nil {
		return halves{}, false
	}
	return r.halves(c, toward), true
}

func (r *pairRun) items() {
	h, ok := r.stream(func(h halves) bool { return h.out != nil })
	if !ok {
		return
	}
	for range pickOf(r.p, 1, 1, 2, 2, 5, 20) {
		size := r.size()
		r.p.note("item of call %d from the %s: %d bytes", h.c.tag, h.sender.name, size)
		h.sender.item(h.out, h.send, h.ctx, size)
	}
}

func (r *pairRun) takes() {
	h, ok := r.stream(func(h halves) bool { return h.in != nil })
	if !ok {
		return
	}
	n := pickOf(r.p, 1, 1, 3, 50)
	r.p.note("the %s takes %d items of call %d", h.taker.name, n, h.c.tag)
	for range n {
		h.taker.take(h.in, h.take, h.tctx, func() []int {
			out := r.halves(h.c, h.taker != r.ends[h.c.from]).out
			h.sender.mu.Lock()
			defer h.sender.mu.Unlock()
			return out.sizes
		})
	}
}

func (r *pairRun) stop() {
	if h, ok := r.stream(func(h halves) bool { return h.in != nil }); ok {
		r.p.note("the %s stops the stream of call %d", h.taker.name, h.c.tag)
		h.taker.stopTaking(h.in, h.take)
	}
}

func (r *pairRun) endStream() {
	c := r.chosen(func(c *sent) bool { return r.halves(c, true).out != nil })
	if c == nil {
		return
	}
	h := r.halves(c, true)
	reason := pickOf(r.p, "", "", "broken off")
	r.p.note("end the stream of call %d: %q", c.tag, reason)
	h.sender.endStream(h.out, h.send, reason)
}

func (r *pairRun) cancel() {
	c := r.chosen(func(c *sent) bool {
		e := r.ends[c.from]
		e.mu.Lock()
		defer e.mu.Unlock()
		return c.how == howOpen
	})
	if c != nil {
		r.p.note("cancel %d", c.tag)
		c.gaveUp = true
		c.cancel()
	}
}

func (r *pairRun) toggle() {
	if r.stall {
		r.p.note("resume")
		r.stall = false
		r.net[0].Resume()
		return
	}
	r.p.note("stall")
	r.stall, r.stalled = true, time.Now()
	r.net[0].Stall()
}

// endings does what ends a connection, or begins to.
func (r *pairRun) endings() {
	i := r.p.pick(2)
	e := r.ends[i]
	switch op := r.p.pick(12); op {
	case 0, 1, 2:
		r.p.note("drain at end %d", i)
		e.s.Drain("drained by the program")
		r.drained[i] = true
	case 3:
		r.p.note("kill end %d", i)
		r.causes = append(r.causes, "killed")
		e.s.Kill()
	case 4:
		r.p.note("end at end %d", i)
		r.causes = append(r.causes, "ended")
		r.begins()
		r.over[i] = true
		e.wg.Go(func() { e.s.End(wire.GoAwayBody{Reason: "ended by the program"}, ErrClosed) })
	case 5:
		r.p.note("finish and close at end %d", i)
		r.causes = append(r.causes, "closed")
		r.begins()
		r.finish[i] = true
		e.wg.Go(func() {
			e.s.Finish(time.Second)
			e.s.Close()
		})
	case 7:
		r.p.note("retire end %d", i)
		r.causes = append(r.causes, "retired")
		r.begins()
		r.finish[i] = true
		e.wg.Go(func() { e.s.Retire(time.Second) })
	case 6:
		r.p.note("abort the network at end %d", i)
		r.causes = append(r.causes, "aborted")
		r.net[i].Abort()
	default:
		// A connection without anything to end it is the more interesting one.
	}
}

func (r *pairRun) begins() {
	if r.ending.IsZero() {
		r.ending = time.Now()
	}
}

// scene looks at both ends.
func (r *pairRun) scene(quiet bool) *scene {
	s := &scene{now: time.Now()}
	s.settled = quiet && !r.stall && r.ending.IsZero() && r.alive()
	for i, e := range r.ends {
		s.ends[i] = seenEnd{
			dead: e.dead(), err: e.s.Err(), mayDie: r.causes, drained: r.drained[i], over: r.over[i], finished: r.finish[i],
			calls: int(r.acc[i].Calls), message: int(r.acc[i].Message), window: int(r.acc[i].Window),
		}
		// The silence may have begun before the stall: heartbeats come in half of that time.
		if idle := time.Duration(min(r.acc[0].IdleSeconds, r.acc[1].IdleSeconds)) * time.Second; r.longest >= idle/2 {
			s.ends[i].mayDie = append(s.ends[i].mayDie, "silent")
		}
	}
	for i, c := range r.calls {
		if of := r.look(c, r.before[i]); !of.begun.IsZero() {
			s.calls = append(s.calls, of)
		}
	}
	r.drains(s)
	for i := range s.ends {
		e, peer := &s.ends[i], &s.ends[1-i]
		e.mustDie = e.mustDie || quiet && !r.stall && (peer.dead || !r.ending.IsZero() && s.now.Sub(r.ending) > 3*time.Second)
	}
	return s
}

// drains settles what a drain does to the connection: the peer closes it when it has
// no call left.
func (r *pairRun) drains(s *scene) {
	for i := range s.ends {
		if !s.ends[i].drained {
			continue
		}
		left := false
		for _, c := range s.calls {
			unanswered := c.runs == 1 && !c.answered && !(c.answering && !s.settled)
			left = left || c.from == 1-i && (c.how == howOpen || unanswered)
		}
		if !left || s.ends[i].dead || s.ends[1-i].dead {
			s.ends[0].mayDie = append(s.ends[0].mayDie, "drained")
			s.ends[1].mayDie = append(s.ends[1].mayDie, "drained")
		}
		if !left && s.settled && r.told[i] {
			s.ends[0].mustDie, s.ends[1].mustDie = true, true
		}
	}
}

// look gathers what both ends have seen of a call.
func (r *pairRun) look(c *sent, before bool) seenCall {
	caller, callee := r.ends[c.from], r.ends[1-c.from]
	caller.mu.Lock()
	s := seenCall{
		tag: c.tag, from: c.from, oneway: c.flags&oneway != 0, size: c.size, begun: c.begun, due: c.due,
		gaveUp: c.gaveUp, refusedBefore: before, how: c.how, kind: int(c.kind), resultSize: c.size2, afters: c.afters, after: c.after, afterKind: int(c.afterKind),
	}
	s.toward.is, s.back.is = c.flags&sends != 0, c.flags&wants != 0
	c.out.look(&s.toward)
	c.in.look(&s.back)
	caller.mu.Unlock()
	callee.mu.Lock()
	defer callee.mu.Unlock()
	for _, m := range callee.runs {
		if m.tag != c.tag {
			continue
		}
		s.runs++
		s.answering, s.answered, s.answerKind, s.answerOf = m.answering, m.answered, int(m.kind), m.result
		if m.refused {
			s.answering, s.answered, s.answerKind = true, true, int(wire.KindDenied)
		}
		s.ctxErr = m.call.Context().Err()
		if c.millis > 0 && c.millis < 1<<40 {
			s.remoteDue = m.began.Add(time.Duration(c.millis) * time.Millisecond)
		}
		m.out.look(&s.back)
		m.in.look(&s.toward)
	}
	return s
}

func (h *sending) look(s *seenStream) {
	if h != nil {
		s.sender = true
		s.sizes, s.ok, s.begun, s.sendErr, s.ended, s.reason = h.sizes, h.ok, h.begun, h.err, h.ended, h.reason
	}
}

func (h *taking) look(s *seenStream) {
	if h != nil {
		s.receiver = true
		s.taken, s.cost, s.waiting, s.over, s.stopped, s.takeErr = h.taken, h.bytes, h.waiting, h.over, h.stopped, h.err
	}
}

// windUp brings all calls to their end and sees that nothing of them is left.
func (r *pairRun) windUp() bool {
	if r.stall {
		r.toggle()
	}
	r.p.note("wind up")
	if !r.settle() {
		return false
	}
	for range len(r.calls) + 1 {
		busy := false
		for _, c := range r.calls {
			if m := r.runOf(c); m.busy() {
				busy = true
				m.answer(10, 0)
			}
			// A method that waits for credit can answer when nobody wants more.
			if h := r.halves(c, false); h.in != nil {
				h.taker.stopTaking(h.in, h.take)
			}
		}
		if !r.settle() {
			return false
		}
		if !busy {
			break
		}
	}
	if !r.alive() || !r.ending.IsZero() {
		return true
	}
	for _, c := range r.calls {
		e := r.ends[c.from]
		e.mu.Lock()
		how, after := c.how, c.after
		if c.begun.IsZero() {
			how = howGaveUp
		}
		e.mu.Unlock()
		if how == howOpen || how == howQueued && after == howOpen {
			r.t.Errorf("call %d has no end after all methods have: %v", c.tag, how)
		}
	}
	for i, e := range r.ends {
		for _, text := range e.left(r.acc[i], r.acc[1-i]) {
			r.t.Error(text)
		}
	}
	if r.t.Failed() {
		r.t.Logf("the program:\n%v", r.p)
	}
	return !r.t.Failed()
}

// left returns what a session without calls still counts.
func (e *modelEnd) left(local, remote wire.Limits) (text []string) {
	say := func(what string, got, want int) {
		if got != want {
			text = append(text, fmt.Sprintf("%s: without calls, %s is %d, want %d", e.name, what, got, want))
		}
	}
	say("busy", int(e.s.busy.Load()), 0)
	say("partial", int(e.s.partial.Load()), 0)
	l := &e.s.large
	l.mu.Lock()
	say("bytes of large messages", l.inUse, 0)
	say("large messages that wait", len(l.waiting), 0)
	l.mu.Unlock()
	c := &e.s.calls
	c.mu.Lock()
	say("calls in flight", c.inFlight, 0)
	say("callers that wait", len(c.waiting), 0)
	say("the peer's window", c.window, int(remote.Window))
	say("free slots", len(c.free), len(c.slots))
	c.mu.Unlock()
	in := &e.s.incoming
	in.mu.Lock()
	say("calls from the peer", in.inFlight, 0)
	say("the window", in.window, int(local.Window))
	for i, call := range in.slots {
		if call != nil {
			say(fmt.Sprintf("slot %d", i), 1, 0)
		}
	}
	in.mu.Unlock()
	w := &e.s.writer
	w.mu.Lock()
	say("bytes to write", len(w.pend), 0)
	say("large messages to write", len(w.bulk), 0)
	w.mu.Unlock()
	return text
}

// cleanUp ends everything and sees that it has ended.
func (r *pairRun) cleanUp(ok bool) {
	for _, e := range r.ends {
		e.s.Close()
	}
	r.causes = append(r.causes, "closed")
	r.stall = false
	r.net[0].Resume()
	if ok {
		ok = r.settle()
	}
	for _, c := range r.calls {
		c.cancel()
		if m := r.runOf(c); m.busy() {
			m.answer(0, wire.KindInternal)
		}
	}
	for _, e := range r.ends {
		e.s.Wait()
		e.mu.Lock()
		for _, c := range r.calls {
			if c.end == e && c.out != nil {
				close(c.out.work)
			}
			if c.end == e && c.in != nil {
				close(c.in.work)
			}
		}
		for _, m := range e.runs {
			if m.in != nil {
				close(m.in.work)
			}
		}
		e.mu.Unlock()
		<-e.ran
		e.wg.Wait()
	}
	synctest.Wait()
	for _, e := range r.ends {
		if os.Getenv("STATS") != "" {
			for _, c := range r.calls {
				if c.end == e {
					stats[fmt.Sprint(c.how, " ", c.size2 > 65527, " ", c.flags&(sends|wants) != 0)]++
					if c.in != nil {
						stats["back items "] += c.in.taken
					}
				}
			}
			for _, m := range e.runs {
				stats["runs"]++
				if m.in != nil {
					stats["toward items"] += m.in.taken
				}
			}
		}
		if e.timers() && ok {
			r.t.Errorf("%s: a timer runs after Close\n%v", e.name, r.p)
		}
		e.mu.Lock()
		for _, text := range e.faults {
			if ok {
				r.t.Errorf("at the end: %s\n%v", text, r.p)
			}
		}
		e.mu.Unlock()
	}
}

var stats = map[string]int{}

// timers reports whether a timer of the session still runs, and stops it.
func (e *modelEnd) timers() bool {
	a, h := &e.s.alarm, &e.s.heartbeat
	a.mu.Lock()
	defer a.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	return a.timer != nil && a.timer.Stop() || h.timer != nil && h.timer.Stop()
}
