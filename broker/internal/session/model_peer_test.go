package session

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/internal/memnet"
)

// peerRun runs a program against one session, as its peer, which makes frames by hand.
type peerRun struct {
	t   *testing.T
	p   *program
	e   *modelEnd
	s   *spec
	net *memnet.Conn
	tls *tls.Conn
	wg  sync.WaitGroup

	out chan []byte // to the end

	mu     sync.Mutex // guards what follows
	gate   *sync.Cond
	paused bool // nothing is read
	inbox  []byte
	eof    bool

	left     []byte              // of the inbox: less than a frame
	expected map[uint32][][]byte // arguments of the calls with each id that must have run
	mine     []*specCall         // those calls
	vague    bool                // the specification does not say how things stand
	theirs   []*sent
	made     map[int]*madeCall // by tag
	tags     map[*specCall]int
	drafts   []*draft
	serial   uint32

	mustEnd, mayEnd string
	causes          []string
	goaway          map[uint64]any
	closed          bool // by the peer
	drains          bool // so the peer has said
	finish          bool
	ending          time.Time
	faults          []string
}

// madeCall is what the peer has seen and done about a call of the end.
type madeCall struct {
	seen     bool // some of it
	whole    bool
	call     *specCall
	answered bool
	kind     byte // of the answer
	payload  []byte
}

// draft is the rest of a message of the peer that has begun.
type draft struct {
	id   uint32
	rest []byte
}

var hostileLimits = wire.Limits{Calls: 3, Message: 150_000, Window: 210_000, IdleSeconds: 60}

// runPeer runs a program.
func runPeer(t *testing.T, b []byte) {
	synctest.Test(t, func(t *testing.T) {
		r := &peerRun{
			t: t, p: &program{b: b}, out: make(chan []byte, 4096), expected: make(map[uint32][][]byte),
			made: make(map[int]*madeCall), tags: make(map[*specCall]int),
		}
		r.gate = sync.NewCond(&r.mu)
		r.start()
		ok := true
		for n, late := 0, 0; ok && n < 200 && late < 3 && r.p.more(); n++ {
			r.step()
			if ok = r.settle(); r.over() || r.vague {
				late++
			}
		}
		if ok && r.p.pick(3) != 0 {
			ok = r.windUp()
		}
		r.cleanUp(ok)
	})
}

func (r *peerRun) start() {
	daemon := r.p.pick(2) == 0
	net, ends, conns := modelPipe(r.t, pickOf(r.p, 64<<10, 1<<10, 1<<20))
	me, it := 0, 1
	c := Config{Side: wire.ServerSide, Local: modelLimits[1], Inline: r.p.pick(2) == 1}
	grants := specLimits{}
	if !daemon {
		me, it = 1, 0
		c = Config{Side: wire.ClientSide, Local: modelLimits[0], Remote: hostileLimits}
		grants = specLimits{int(hostileLimits.Calls), int(hostileLimits.Message), int(hostileLimits.Window)}
	}
	c.TLS, c.Conn = ends[it], conns[it]
	r.net, r.tls = net[me], ends[me]
	r.s = newSpec(daemon, specLimits{int(c.Local.Calls), int(c.Local.Message), int(c.Local.Window)}, grants)
	r.p.note("against a daemon: %v, inline %v", daemon, c.Inline)
	r.e = newModelEnd("end", c)
	r.e.hostile = true
	r.wg.Go(r.write)
	r.wg.Go(r.read)
	if daemon && r.p.pick(8) != 7 {
		r.hello()
	}
}

// write ends when out is closed.
func (r *peerRun) write() {
	for b := range r.out {
		r.tls.Write(b) // fails when the connection has ended
	}
}

// read ends with the connection.
func (r *peerRun) read() {
	p := make([]byte, 32<<10)
	for {
		r.mu.Lock()
		for r.paused {
			r.gate.Wait()
		}
		r.mu.Unlock()
		n, err := r.tls.Read(p)
		r.mu.Lock()
		r.inbox = append(r.inbox, p[:n]...)
		r.eof = r.eof || err != nil
		r.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (r *peerRun) fault(format string, args ...any) {
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}

// over reports whether the end has ended the session, or is about to.
func (r *peerRun) over() bool { return r.e.dead() || r.s.closing }

// settle waits until nothing moves any more and looks at what the end has done.
func (r *peerRun) settle() bool {
	r.t.Helper()
	r.quiesce()
	if !r.over() && !r.isPaused() {
		r.look()
	}
	r.watch()
	if r.mustEnd != "" && !r.over() && !r.isPaused() {
		r.fault("the connection goes on after %s", r.mustEnd)
	}
	_, unanswered := r.s.window(true)
	if r.drains && unanswered == 0 && !r.isPaused() && r.mustEnd == "" && !r.vague && !r.e.dead() {
		r.fault("the peer drains, no call is without an answer, and the connection goes on")
	}
	if r.over() && r.mustEnd == "" && r.mayEnd == "" && len(r.causes) == 0 && !(r.drains && unanswered == 0) {
		r.fault("the connection has ended, %v, goaway %v", r.e.s.Err(), r.goaway)
	}
	r.e.mu.Lock()
	r.faults = append(r.faults, r.e.faults...)
	r.e.mu.Unlock()
	r.faults = append(r.faults, r.e.memory()...)
	for _, text := range r.faults {
		r.t.Error(text)
	}
	if len(r.faults) > 0 {
		r.t.Logf("the program:\n%v", r.p)
	}
	return len(r.faults) == 0
}

// quiesce waits until nothing moves any more, and takes what the end has sent.
func (r *peerRun) quiesce() {
	for moved, last := r.moved(), ^uint32(0); moved != last; last, moved = moved, r.moved() {
		time.Sleep(moment)
	}
	r.take()
}

func (r *peerRun) moved() uint32 {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.e.s.readState.reads.Load() + uint32(len(r.inbox))
}

func (r *peerRun) isPaused() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.paused
}

// take looks at the frames that have come.
func (r *peerRun) take() {
	r.pair()
	r.mu.Lock()
	b := append(r.left, r.inbox...)
	r.inbox, r.left = nil, nil
	r.mu.Unlock()
	for len(b) >= 9 {
		f := specFrame{
			length: int(b[0])<<16 | int(b[1])<<8 | int(b[2]), kind: b[3], flags: b[4], id: binary.BigEndian.Uint32(b[5:]),
		}
		if len(b) < 9+f.length {
			break
		}
		f.payload, b = b[9:9+f.length:9+f.length], b[9+f.length:]
		r.frame(f)
	}
	r.mu.Lock()
	r.left = append(r.left, b...)
	r.mu.Unlock()
}

// frame takes a frame of the end.
func (r *peerRun) frame(f specFrame) {
	before := r.s.calls[f.id]
	if m, _ := specMap(f.payload); f.kind == specGoAway && m[1] != true {
		r.goaway = m
	}
	done, wrong := r.s.fromEnd(f)
	if r.vague {
		return // it is not known what would be wrong
	}
	for _, text := range wrong {
		r.fault("the end sends: %s", text)
	}
	switch {
	case f.kind == specCallType:
		r.called(f, before)
	}
	if done == nil {
		return
	}
	switch done.kind {
	case specCallType:
		r.calledWhole(done)
	case specResult, specError:
		r.answeredBy(done, f)
	case specItem:
		r.itemOf(done)
	}
}

// called notes that the end has begun to send a call.
func (r *peerRun) called(f specFrame, before *specCall) {
	c := r.s.calls[f.id]
	if c == nil || c == before {
		return
	}
	payload := f.payload
	if f.flags&specMore != 0 {
		payload = payload[4:]
	}
	var tag int
	// The envelope of modelHead: [text "model", text "m000000", ...
	if len(payload) < 15 || !bytes.HasPrefix(payload, []byte("\x84\x65model\x67m")) {
		r.fault("a call that nobody made: %v", f)
		return
	}
	fmt.Sscanf(string(payload[9:15]), "%d", &tag)
	m := r.made[tag]
	switch {
	case m == nil:
		r.fault("call %d, which nobody made", tag)
		return
	case m.seen:
		r.fault("call %d comes twice", tag)
	}
	m.seen, m.call = true, c
	r.tags[c] = tag
}

func (r *peerRun) calledWhole(done *specMade) {
	tag, ok := r.tags[done.call]
	if !ok {
		return
	}
	c := r.theirs[tag-1]
	head := modelHead(tag, c.millis)
	if want := append(head, filled(seedCall|uint32(tag), c.size-len(head))...); !bytes.Equal(done.content, want) {
		r.fault("call %d came as %d other bytes, want %d", tag, len(done.content), len(want))
	}
	r.made[tag].whole = true
}

// answeredBy sees that an answer is what the method has given.
func (r *peerRun) answeredBy(done *specMade, f specFrame) {
	m := r.runOf(done.call)
	kind := uint64(0)
	if done.kind == specError {
		fields, _ := specMap(done.content)
		kind, _ = fields[1].(uint64)
	}
	switch {
	case m == nil:
		if done.call.refusal == 0 {
			r.fault("%v answers a call that did not run", f)
		}
		return
	case done.kind == specResult:
		r.e.mu.Lock()
		defer r.e.mu.Unlock()
		if !m.answering || m.kind != 0 || !bytes.Equal(done.content, filled(seedResult|uint32(m.tag), m.result)) {
			r.fault("a result of %d bytes that the method did not give: it answered %v with kind %d, %d bytes", len(done.content), m.answering, m.kind, m.result)
		}
		return
	}
	r.e.mu.Lock()
	defer r.e.mu.Unlock()
	cutOff := m.answering && (kind == 7 || kind == 8) && (m.result > specMax || m.out != nil && m.out.err != nil)
	if !(m.answering && uint64(m.kind) == kind) && !(m.refused && kind == 3) && !cutOff {
		r.fault("an error of kind %d that the method did not give: it answered %v with kind %d", kind, m.answering, m.kind)
	}
}

// itemOf sees that an item is what was sent.
func (r *peerRun) itemOf(done *specMade) {
	r.e.mu.Lock()
	defer r.e.mu.Unlock()
	var s *sending
	if done.call.fromEnd {
		if tag, ok := r.tags[done.call]; ok {
			s = r.theirs[tag-1].out
		}
	} else {
		for _, m := range r.e.runs {
			if m.spec == done.call {
				s = m.out
			}
		}
	}
	if s == nil || done.index >= len(s.sizes) || !bytes.Equal(done.content, filled(itemSeed(s.seed, s.tag, done.index), s.sizes[done.index])) {
		r.fault("item %d of call %#x, of %d bytes, is not the one that was sent", done.index, done.call.id, len(done.content))
	}
}

// runOf returns the run of a call of the peer, or nil.
func (r *peerRun) runOf(c *specCall) *run {
	r.pair()
	r.e.mu.Lock()
	defer r.e.mu.Unlock()
	for _, m := range r.e.runs {
		if m.spec == c {
			return m
		}
	}
	return nil
}

// pair finds which run is of which call.
func (r *peerRun) pair() {
	r.e.mu.Lock()
	defer r.e.mu.Unlock()
	paired := make(map[*specCall]bool)
	for _, m := range r.e.runs {
		paired[m.spec] = true
	}
	for _, m := range r.e.runs {
		for _, c := range r.mine {
			if m.spec == nil && c.id == m.call.id && !paired[c] {
				m.spec, paired[c] = c, true
			}
		}
	}
}

// look sees that the end has done what it must, when all has arrived.
func (r *peerRun) look() {
	if r.mustEnd != "" || !r.ending.IsZero() || r.closed || r.vague {
		return
	}
	r.lookAtRuns()
	r.lookAtCalls()
	for id, c := range r.s.calls {
		if c.refusal != 0 && !c.fromEnd && r.mayEnd == "" {
			r.fault("call %#x is not refused, want an error of kind %d", id, c.refusal)
		}
	}
}

// lookAtRuns sees that what must run has run, once, with the right arguments.
func (r *peerRun) lookAtRuns() {
	r.pair()
	r.e.mu.Lock()
	defer r.e.mu.Unlock()
	got := make(map[uint32][][]byte)
	for _, m := range r.e.runs {
		got[m.call.id] = append(got[m.call.id], m.args)
	}
	for id, want := range r.expected {
		if len(got[id]) != len(want) {
			r.fault("call id %#x has run %d times, want %d", id, len(got[id]), len(want))
			continue
		}
		for i := range want {
			if !bytes.Equal(got[id][i], want[i]) {
				r.fault("call id %#x ran with %d other bytes of arguments, want %d", id, len(got[id][i]), len(want[i]))
			}
		}
	}
	for id := range got {
		if r.expected[id] == nil {
			r.fault("call id %#x has run, and must not", id)
		}
	}
	for _, m := range r.e.runs {
		if c := m.spec; c != nil {
			r.lookAtRun(m, c)
		}
	}
}

// lookAtRun is called with e.mu held.
func (r *peerRun) lookAtRun(m *run, c *specCall) {
	err := m.call.Context().Err()
	running := !m.answering && !m.refused
	if running && (err != nil) != c.canceled {
		r.fault("call %#x runs, its context says %v, it was cancelled: %v", c.id, err, c.canceled)
	}
	if r.s.calls[c.id] == c && (m.answered || m.refused) {
		r.fault("call %#x was answered, and no answer came", c.id)
	}
	if t := m.in; t != nil && c.toward != nil {
		r.lookAtItems(c, t, c.toward, running && err == nil)
	}
	if m.out != nil && c.back != nil && running && err == nil {
		r.lookAtSending(c, m.out, c.back)
	}
}

// lookAtItems sees what the end has taken of a stream of the peer. It is called with
// e.mu held.
func (r *peerRun) lookAtItems(c *specCall, t *taking, flow *specFlow, running bool) {
	for i, item := range t.items {
		if i >= len(flow.items) || !bytes.Equal(item, flow.items[i]) {
			r.fault("call %#x: item %d, of %d bytes, was not sent", c.id, i, len(item))
			return
		}
	}
	if !running {
		return
	}
	if t.waiting && (t.taken < len(flow.items) || flow.ended) {
		r.fault("call %#x: an item is waited for, %d were taken, %d sent, the stream has ended: %v", c.id, t.taken, len(flow.items), flow.ended)
	}
	if t.over && !flow.ended {
		r.fault("call %#x: the stream has ended, %v, and nobody ended it", c.id, t.err)
	}
	var broken *Broken
	if t.over && errors.As(t.err, &broken) != flow.reason {
		r.fault("call %#x: the stream ended with %v, a reason was given: %v", c.id, t.err, flow.reason)
	}
	if t.stopped && !flow.stopped && !flow.ended && !t.over {
		r.fault("call %#x: the stream is not wanted, and the peer was not told", c.id)
	}
	// What was taken must be granted again, or the stream stands still.
	if unread := flow.cost - t.bytes; flow.credit <= 0 && unread == 0 && flow.cost > 0 && !flow.ended && !t.stopped && !t.over && !flow.item.open() && t.taken == len(flow.items) {
		r.fault("call %#x: all was taken, and there is no credit", c.id)
	}
}

// lookAtSending sees that items do not wait that could go. It is called with e.mu held.
func (r *peerRun) lookAtSending(c *specCall, s *sending, flow *specFlow) {
	if s.begun == s.ok || s.err != nil {
		return
	}
	if flow.stopped {
		r.fault("call %#x: an item waits that nobody wants", c.id)
	}
	if flow.credit > 0 && !(s.sizes[s.ok] > specMax && r.anyOpen()) {
		r.fault("call %#x: an item waits, and there are %d bytes of credit", c.id, flow.credit)
	}
}

// anyOpen reports whether the end has begun a large message that it has not finished.
func (r *peerRun) anyOpen() bool {
	_, most := r.s.unfinished(true)
	return most > 0
}

// lookAtCalls sees what became of the end's own calls.
func (r *peerRun) lookAtCalls() {
	r.e.mu.Lock()
	defer r.e.mu.Unlock()
	now := time.Now()
	bytesOut, slots := r.s.window(true)
	var first []*sent
	for _, c := range r.theirs {
		m := r.made[c.tag]
		if c.begun.IsZero() {
			continue
		}
		switch {
		case c.how == howOpen && c.gaveUp:
			r.fault("call %d was given up, and waits", c.tag)
		case c.how == howOpen && !c.due.IsZero() && now.After(c.due):
			r.fault("call %d: its time is up, and it waits", c.tag)
		case c.how == howOpen && m.answered:
			r.fault("call %d was answered, and waits", c.tag)
		case c.how == howOpen && r.drains && !m.seen:
			r.fault("call %d waits, and the peer drains", c.tag)
		case c.how == howOpen && !m.seen:
			if len(first) > 0 && c.begun.Before(first[0].begun) {
				first = nil
			}
			if len(first) == 0 || c.begun.Equal(first[0].begun) {
				first = append(first, c)
			}
		case c.how == howOpen && !m.whole && !m.call.canceled && m.call.call.open():
			r.fault("call %d is not sent to its end", c.tag)
		case c.how == howResult || c.how == howError:
			want := byte(specResult)
			if c.how == howError {
				want = specError
			}
			if !m.answered || m.kind != want || !bytes.Equal(c.payload, m.payload) {
				r.fault("call %d: a %v of %d bytes that nobody gave", c.tag, c.how, len(c.payload))
			}
		case c.how == howGaveUp && !c.gaveUp:
			r.fault("call %d was given up, and nobody asked for that", c.tag)
		case c.how == howUnsent && m.seen:
			r.fault("call %d: %v, and it has come", c.tag, c.how)
		case c.how == howRefused && (m.whole || !r.drains && !r.finish):
			r.fault("call %d was refused: seen %v, the peer drains: %v", c.tag, m.seen, r.drains)
		case (c.how == howGaveUp || c.how == howTimeout) && m.call != nil && r.s.calls[m.call.id] == m.call && !m.call.canceled:
			r.fault("call %d: %v, and no cancel came", c.tag, c.how)
		}
		if c.flags&oneway != 0 && c.how == howQueued {
			switch {
			case m.answered && c.afters != 1:
				r.fault("call %d: After was called %d times", c.tag, c.afters)
			case !m.answered && c.afters != 0:
				r.fault("call %d: After was called without an answer", c.tag)
			}
		}
		if m.call != nil {
			r.lookAtStreams(c, m)
		}
	}
	for _, c := range first {
		if slots == r.s.grants.calls || bytesOut+c.size > r.s.grants.window {
			return
		}
	}
	if len(first) > 0 {
		r.fault("call %d, of %d bytes, waits, and %d calls of %d bytes are without an answer", first[0].tag, first[0].size, slots, bytesOut)
	}
}

// lookAtStreams is called with e.mu held.
func (r *peerRun) lookAtStreams(c *sent, m *madeCall) {
	running := c.how == howOpen && r.s.calls[m.call.id] == m.call
	if c.in != nil && m.call.back != nil {
		flow := m.call.back
		if c.how != howOpen { // the answer is the end
			ended := *flow
			ended.ended = true
			flow = &ended
		}
		r.lookAtItems(m.call, c.in, flow, running)
	}
	if c.out != nil && m.call.toward != nil && running && m.whole {
		r.lookAtSending(m.call, c.out, m.call.toward)
	}
}

// watch sees what holds at any time.
func (r *peerRun) watch() {
	r.e.mu.Lock()
	defer r.e.mu.Unlock()
	for _, c := range r.theirs {
		m := r.made[c.tag]
		if (c.how == howUnsent || c.how == howLarge) && m.seen {
			r.fault("call %d: %v, and it has come", c.tag, c.how)
		}
		if (c.how == howUnsent || c.how == howLost) && !r.e.dead() {
			r.fault("call %d: %v, and the connection lives", c.tag, c.how)
		}
		if c.afters > 1 {
			r.fault("call %d: After was called %d times", c.tag, c.afters)
		}
	}
}

// cleanUp ends everything and sees that it has ended.
func (r *peerRun) cleanUp(ok bool) {
	r.pause(false)
	if r.over() && ok {
		r.lookAtEnd()
	}
	r.tls.NetConn().Close()
	r.closed = true
	close(r.out)
	r.wg.Wait()
	if ok && r.mustEnd != "" && len(r.causes) == 0 && !r.drainedBefore() {
		<-r.e.s.Done()
		var bad *ProtocolError
		if !errors.As(r.e.s.Err(), &bad) {
			r.fault("after %s the session ended with %v", r.mustEnd, r.e.s.Err())
		}
	}
	r.e.s.Close()
	synctest.Wait()
	r.e.mu.Lock()
	runs := append([]*run(nil), r.e.runs...)
	r.e.mu.Unlock()
	for _, m := range runs {
		if m.call.Context().Err() == nil {
			r.fault("a method's context goes on after the end")
		}
		if m.busy() {
			m.answer(0, wire.KindInternal)
		}
	}
	r.e.s.Wait()
	<-r.e.ran
	for _, m := range runs {
		if m.in != nil {
			close(m.in.work)
		}
	}
	r.e.mu.Lock()
	for _, c := range r.theirs {
		c.cancel()
		if c.out != nil {
			close(c.out.work)
		}
		if c.in != nil {
			close(c.in.work)
		}
	}
	r.e.mu.Unlock()
	r.e.wg.Wait()
	for _, c := range r.theirs {
		if c.how == howOpen && !c.begun.IsZero() {
			r.fault("call %d still waits after the end", c.tag)
		}
	}
	if r.e.timers() {
		r.fault("a timer runs after Close")
	}
	r.e.mu.Lock()
	r.faults = append(r.faults, r.e.faults...)
	r.e.mu.Unlock()
	if ok && len(r.faults) > 0 {
		for _, text := range r.faults {
			r.t.Errorf("at the end: %s", text)
		}
		r.t.Logf("the program:\n%v", r.p)
	}
}

// lookAtEnd sees that the peer was told why the connection has ended.
func (r *peerRun) lookAtEnd() {
	time.Sleep(3 * time.Second)
	r.quiesce()
	if !r.e.dead() {
		r.fault("the session goes on three seconds after it said goaway")
	}
	if r.mustEnd == "" || len(r.causes) > 0 || r.drainedBefore() {
		return
	}
	if check, _ := r.goaway[3].(string); check != "protocol" {
		r.fault("after %s: goaway %v, want check \"protocol\" (§6.4)", r.mustEnd, r.goaway)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.eof || len(r.left) > 0 {
		r.fault("the end does not close its direction: end of file %v, %d bytes of a frame", r.eof, len(r.left))
	}
}

// drainedBefore reports whether the end left, as it may when the peer drains and no call
// is without an answer, before it had read what must end the connection.
func (r *peerRun) drainedBefore() bool {
	_, unanswered := r.s.window(true)
	return r.drains && unanswered == 0 && r.e.dead() && errors.Is(r.e.s.Err(), ErrDraining)
}

func (r *peerRun) pause(on bool) {
	r.mu.Lock()
	r.paused = on
	r.mu.Unlock()
	r.gate.Broadcast()
}
