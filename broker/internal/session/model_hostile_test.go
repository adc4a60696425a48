package session

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
)

// What a program does to an end, as its peer and beside it.

func (r *peerRun) step() {
	op := r.p.pick(32)
	if r.isPaused() && op >= 24 && op != 28 {
		op -= 16 // whether it is right depends on what has not been read
	}
	switch {
	case op < 4:
		r.peerCalls()
	case op < 7:
		r.peerGoesOn()
	case op < 9:
		r.endCalls()
	case op < 12:
		r.peerAnswers()
	case op < 14:
		r.peerItems()
	case op == 14:
		r.peerCredits()
	case op == 15:
		r.peerEndsOrCancels()
	case op < 18:
		r.endAnswers()
	case op < 20:
		r.endItems()
	case op < 22:
		r.endTakes()
	case op == 22:
		r.endStops()
	case op == 23:
		r.endCancels()
	case op == 24:
		r.peerAnyFrame()
	case op == 25:
		r.peerWrongCall()
	case op == 26:
		r.peerControls()
	case op == 27:
		r.peerUnasked()
	case op < 30:
		r.pauses()
	case op == 30:
		r.cutsOff()
	default:
		r.endings()
	}
}

// frame bytes as PROTOCOL §3.1 has them.
func frameBytes(kind, flags byte, id uint32, length int, payload []byte) []byte {
	b := []byte{byte(length >> 16), byte(length >> 8), byte(length), kind, flags}
	return append(binary.BigEndian.AppendUint32(b, id), payload...)
}

// send sends a frame, sometimes in two pieces.
func (r *peerRun) send(kind, flags byte, id uint32, payload []byte) {
	f := specFrame{kind: kind, flags: flags, id: id, length: len(payload), payload: payload}
	raw := frameBytes(kind, flags, id, len(payload), payload)
	cut := 0
	if r.p.pick(8) == 7 {
		cut = 1 + int(r.p.byte())*7%len(raw)
	}
	v := r.s.fromPeer(f)
	r.p.note("the peer sends %v: %+v, in two pieces: %d", f, v.why, cut)
	if r.isPaused() && (v.ends || v.may) {
		r.vague = true
	}
	switch {
	case v.ends && r.mustEnd == "" && !r.vague:
		r.mustEnd = fmt.Sprintf("%v: %s", f, v.why)
	case v.may, v.ends:
		r.mayEnd, r.vague = v.why, true
	}
	if cut > 0 && cut < len(raw) {
		r.out <- raw[:cut]
		r.quiesce()
		raw = raw[cut:]
	}
	r.out <- raw
	if v.whole != nil {
		r.whole(v.whole)
	}
	if c := v.answered; c != nil {
		if tag, ok := r.tags[c]; ok {
			m := r.made[tag]
			m.answered, m.kind, m.payload = true, kind, v.payload
			if kind == specData {
				m.kind = specResult
			}
		}
	}
}

// whole notes what must become of a call that is complete.
func (r *peerRun) whole(c *specCall) {
	args, ok := specEnvelope(c.call.content)
	if !ok {
		c.refusal = 6
		return
	}
	r.expected[c.id] = append(r.expected[c.id], args)
	r.mine = append(r.mine, c)
}

// specEnvelope reads the envelope of a call and returns its arguments. §5.1.
func specEnvelope(b []byte) (args []byte, ok bool) {
	if len(b) == 0 || b[0] != 0x84 {
		return nil, false
	}
	b = b[1:]
	for range 2 {
		v, rest, ok := specValue(b, 0)
		if s, text := v.(string); !ok || !text || b[0]>>5 != 3 || len(s) < 1 || len(s) > 255 {
			return nil, false
		}
		b = rest
	}
	if len(b) == 0 || b[0] != 0xf6 {
		return nil, false // programs send no other metadata than null, and wrong ones
	}
	v, rest, ok := specValue(b[1:], 0)
	if _, number := v.(uint64); !ok || !number {
		return nil, false
	}
	return rest, true
}

func (r *peerRun) hello() {
	limits := pickOf(r.p, hostileLimits, wire.Limits{Calls: 1, Message: 65536, Window: 65536, IdleSeconds: 60})
	body, _ := wire.AppendControl(nil, wire.Hello, 0, &wire.HelloBody{Limits: limits})
	r.send(specHello, 0, 0, body[9:])
}

// message sends the beginning of a message, or all of it, if it fits a frame.
func (r *peerRun) message(kind, flags byte, id uint32, content []byte) {
	if len(content) <= specMax {
		r.send(kind, flags, id, content)
		return
	}
	first := binary.BigEndian.AppendUint32(nil, uint32(len(content)))
	r.drafts = append(r.drafts, &draft{id, content[specFirst:]})
	r.send(kind, flags|specMore, id, append(first, content[:specFirst]...))
}

// goOn sends the next fragment of a draft.
func (r *peerRun) goOn(d *draft) {
	n, flags := min(len(d.rest), specMax), byte(specMore)
	part := d.rest[:n]
	if d.rest = d.rest[n:]; len(d.rest) == 0 {
		flags = 0
		for i, other := range r.drafts {
			if other == d {
				r.drafts = append(r.drafts[:i], r.drafts[i+1:]...)
				break
			}
		}
	}
	r.send(specData, flags, d.id, part)
}

func (r *peerRun) peerGoesOn() {
	if len(r.drafts) == 0 {
		return
	}
	d := r.drafts[r.p.pick(len(r.drafts))]
	for n := pickOf(r.p, 1, 1, 9); n > 0 && len(d.rest) > 0; n-- {
		r.goOn(d)
	}
}

// side is the bit of the peer's own ids.
func (r *peerRun) side() uint32 {
	if r.s.daemon {
		return 0
	}
	return 1
}

// freshID returns an id in a free slot of the peer.
func (r *peerRun) freshID() (uint32, bool) {
	for slot := range uint32(r.s.accepts.calls) {
		if id := slot<<1 | r.side(); r.s.inSlot(id) == nil {
			r.serial++
			return r.serial<<14 | id, true
		}
	}
	return 0, false
}

func (r *peerRun) size() int {
	return pickOf(r.p, 10, 0, 600, 600, 5000, 20_000, specMax, specMax+1, 66_000, 90_000, 140_000, 199_000, 210_000)
}

func (r *peerRun) manner() {
	m := manner{}
	switch r.p.pick(6) {
	case 0, 1:
		m.quick = true
		if m.kind = pickOf(r.p, 0, 0, wire.KindApplication); m.kind == 0 {
			m.size = r.size()
		}
	case 2:
		m.aside = true
	}
	r.e.mu.Lock()
	r.e.next = m
	r.e.mu.Unlock()
	r.p.note("the next method is run as %+v", m)
}

func (r *peerRun) peerCalls() {
	id, ok := r.freshID()
	if !ok {
		return
	}
	r.manner()
	flags := pickOf(r.p, byte(0), specOneway, specSends, specWants, specSends|specWants, 0x04, 0x20)
	head := modelHead(int(r.serial), pickOf(r.p, uint64(0), 1<<62))
	size := max(r.size()-len(head), 8)
	if size+len(head) <= r.s.accepts.message {
		if used, _ := r.s.window(false); used+size+len(head) > r.s.accepts.window && r.p.pick(8) != 7 {
			size = 8
		}
	}
	r.message(specCallType, flags, id, append(head, filled(seedCall|r.serial, size)...))
}

// all returns the calls without an answer for which ok holds, in a fixed order.
func (r *peerRun) all(ok func(*specCall) bool) (of []*specCall) {
	for _, side := range []uint32{0, 1} {
		for slot := range uint32(8) {
			if c := r.s.inSlot(slot<<1 | side); c != nil && c.refusal == 0 && ok(c) {
				of = append(of, c)
			}
		}
	}
	return of
}

func (r *peerRun) chosen(ok func(*specCall) bool) *specCall {
	of := r.all(ok)
	if len(of) == 0 {
		return nil
	}
	return of[r.p.pick(len(of))]
}

func (r *peerRun) endCalls() {
	c := &sent{tag: len(r.theirs) + 1}
	c.flags = pickOf(r.p, 0, 0, oneway, sends, wants, sends|wants)
	c.size = r.size()
	timeout := pickOf(r.p, 0, 0, 500*time.Millisecond)
	if c.flags&oneway != 0 {
		timeout = 0
	}
	r.theirs = append(r.theirs, c)
	r.made[c.tag] = new(madeCall)
	f := r.e.call(c, timeout, r.p.pick(2) == 1)
	r.p.note("the end makes call %d: flags %02x, %d bytes, timeout %v", c.tag, c.flags, c.size, timeout)
	if c.size > r.s.grants.message {
		r.p.note("... too large")
	}
	if len(r.s.gens) == 0 && r.s.hello {
		return // a daemon must not call before it has the limits
	}
	r.e.wg.Go(f)
}

func (r *peerRun) peerAnswers() {
	c := r.chosen(func(c *specCall) bool { return c.fromEnd && c.comes() == nil })
	if c == nil {
		return
	}
	if r.p.pick(3) == 2 {
		r.send(specError, 0, c.id, pickOf(r.p, []byte{0xa1, 1, 1}, []byte{0xa1, 1, 9}, []byte{0xa1, 1, 7}, []byte{}, []byte{0xff}))
		return
	}
	size := r.size()
	if _, most := r.s.unfinished(false); size > specMax && (size > r.s.accepts.message || most+size > r.s.accepts.window) && r.p.pick(8) != 7 {
		size = 600
	}
	r.message(specResult, 0, c.id, filled(seedResult, size))
}

func (r *peerRun) peerItems() {
	c := r.chosen(func(c *specCall) bool {
		_, flow := r.s.flow(c.id)
		return flow != nil && c.comes() == nil && !flow.ended
	})
	if c == nil {
		return
	}
	_, flow := r.s.flow(c.id)
	for n := pickOf(r.p, 1, 1, 3, 12); n > 0 && c.comes() == nil && r.s.calls[c.id] == c; n-- {
		size := r.size()
		wild := r.p.pick(16) == 15
		if flow.credit <= 0 && !wild {
			return
		}
		if _, most := r.s.unfinished(false); size > specMax && (size > r.s.accepts.message || most+size > r.s.accepts.window) && !wild {
			size = 5000
		}
		r.serial++
		r.message(specItem, 0, c.id, filled(r.serial, size))
	}
}

func (r *peerRun) peerCredits() {
	c := r.chosen(func(c *specCall) bool { return c.fromEnd && c.toward != nil || !c.fromEnd && c.back != nil })
	if c != nil {
		n := pickOf(r.p, 100_000, 1, 0, 300_000, 1<<31-1)
		r.send(specCredit, 0, c.id, binary.BigEndian.AppendUint32(nil, uint32(n)))
	}
}

func (r *peerRun) peerEndsOrCancels() {
	if r.p.pick(2) == 0 {
		c := r.chosen(func(c *specCall) bool { return !c.fromEnd && c.toward != nil && c.comes() == nil && !c.toward.ended })
		if c != nil {
			r.send(specEnd, 0, c.id, pickOf(r.p, nil, []byte{0xa1, 1, 1}, []byte{0xa2, 1, 1, 2, 0x61, 'x'}))
		}
		return
	}
	if c := r.chosen(func(c *specCall) bool { return !c.fromEnd }); c != nil {
		r.send(specCancel, 0, c.id, nil)
	}
}

// someID returns an id that means something, or nothing.
func (r *peerRun) someID() uint32 {
	of := []uint32{0, 0xffffffff, r.side(), 1 - r.side(), 5<<14 | uint32(r.s.accepts.calls)<<1 | r.side(), 77<<14 | r.side(), 77<<14 | (1 - r.side())}
	for _, c := range r.all(func(*specCall) bool { return true }) {
		of = append(of, c.id, c.id, c.id^(1<<14)) // and another generation
	}
	return of[r.p.pick(len(of))]
}

// peerAnyFrame sends a frame of any type, with any flags, for any id, of any length.
func (r *peerRun) peerAnyFrame() {
	kind := pickOf(r.p, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x20, 0x21, 0x05, 0x01, 0x02, 0x03, 0x04, 0x18, 0x7f, 0x80, 0xff, r.p.byte())
	flags := pickOf(r.p, 0, 0, 0, 1, 1, 2, 8, 0x10, 0x40, r.p.byte())
	id := r.someID()
	length := pickOf(r.p, 0, 1, 3, 4, 5, specFirst, specMax, specMax+1, 1<<24-1)
	if length > specMax {
		f := specFrame{kind: kind, flags: flags, id: id, length: length}
		r.p.note("the peer sends the header of %v", f)
		r.mustEnd = fmt.Sprint(f)
		r.out <- frameBytes(kind, flags, id, length, nil)
		return
	}
	payload := make([]byte, length)
	if length >= 4 {
		binary.BigEndian.PutUint32(payload, pickOf(r.p, 0, 1, 100_000, uint32(specFirst), specFirst+1, specMax, specMax+1, 1<<31-1, 1<<31, 1<<32-1))
	}
	r.send(kind, flags, id, payload)
}

// peerWrongCall makes a call that is wrong in one way, or more.
func (r *peerRun) peerWrongCall() {
	id, ok := r.freshID()
	if !ok || r.p.pick(2) == 0 {
		id = r.someID()
	}
	switch r.p.pick(4) {
	case 0: // an envelope that is none
		r.send(specCallType, 0, id, pickOf(r.p, nil, []byte{0x84}, []byte{0xff}, []byte{0x84, 0x60, 0x61, 'm', 0xf6, 0}, []byte{0x84, 0x61, 'o', 0x61, 0xff, 0xf6, 0},
			[]byte{0x84, 0x61, 'o', 0x61, 'm', 0xf6}, []byte{0x84, 0x61, 'o', 0x61, 'm', 0xf6, 0x20}, []byte{0x84, 0x61, 'o', 0x61, 'm', 0xf6, 0x18, 3},
			[]byte{0x84, 0x61, 'o', 0x61, 'm', 0x00, 0}, []byte{0x84, 0x61, 'o', 0x61, 'm', 0xbf, 0xff, 0}, []byte{0x83, 0x61, 'o', 0x61, 'm', 0xf6},
			[]byte{0x84, 0x61, 'o', 0x61, 'm', 0xa2, 0x61, 'a', 0x60, 0x61, 'a', 0x60, 0}, []byte{0x84, 0x78, 0xff}))
	case 1: // a good one in a slot that may be taken
		head := modelHead(int(r.serial), 0)
		r.send(specCallType, 0, id, append(head, filled(seedCall|r.serial, 20)...))
	default: // a first fragment
		payload := make([]byte, specMax)
		copy(payload[4:], modelHead(int(r.serial), 0))
		binary.BigEndian.PutUint32(payload, pickOf(r.p, 66_000, 150_000, 150_001, 210_001, 1<<30, 0, uint32(specFirst), specFirst+1, 1<<32-1))
		r.send(specCallType, specMore, id, payload)
	}
}

func (r *peerRun) peerControls() {
	drain, end := []byte{0xa2, 1, 0xf5, 2, 0x61, 'd'}, []byte{0xa1, 2, 0x61, 'e'}
	switch r.p.pick(10) {
	case 0, 1:
		r.drains = true
		r.send(specGoAway, 0, 0, drain)
	case 2:
		r.causes = append(r.causes, "ended by the peer")
		r.ending = time.Now()
		r.send(specGoAway, 0, 0, end)
	case 3:
		r.send(specGoAway, 0, 0, pickOf(r.p, []byte{}, []byte{1}, []byte{0xa1, 9, 1}, []byte{0xa1, 2, 0x61, 0xff}, []byte{0xa1, 2, 1}, []byte{0xa2, 2, 0x61, 'e', 1, 0xf5}))
	case 4:
		r.send(specHello, 0, 0, pickOf(r.p, []byte{}, []byte{0xa0}, []byte{0xa1, 1, 0xa0}, []byte{0xa1, 1, 0xa4, 1, 1, 2, 0x19, 0xff, 0xff, 3, 0x1a, 0, 2, 0, 0, 4, 9}))
	case 5:
		r.send(pickOf(r.p, byte(0x80), 0xc3, 0xff), r.p.byte(), uint32(r.p.byte()), make([]byte, pickOf(r.p, 0, 9, specMax)))
	default:
		r.send(specPing, 0, uint32(r.p.byte()), make([]byte, pickOf(r.p, 0, 1, specMax)))
	}
}

// peerUnasked sends what nobody asked for.
func (r *peerRun) peerUnasked() {
	id := r.someID()
	switch r.p.pick(4) {
	case 0:
		r.message(specResult, 0, id, make([]byte, pickOf(r.p, 0, 100, 90_000)))
	case 1:
		r.send(specError, 0, id, []byte{0xa1, 1, 1})
	case 2:
		r.message(specItem, 0, id, make([]byte, pickOf(r.p, 0, 100, 90_000)))
	default:
		r.send(specCancel, 0, id, nil)
	}
}

func (r *peerRun) pauses() {
	on := !r.isPaused()
	r.p.note("the peer stops reading: %v", on)
	r.pause(on)
}

// cutsOff sends a part of a frame and leaves.
func (r *peerRun) cutsOff() {
	if r.p.pick(2) == 0 {
		return
	}
	id, ok := r.freshID()
	if !ok {
		return
	}
	head := modelHead(int(r.serial), 0)
	payload := append(head, filled(seedCall|r.serial, 50)...)
	raw := frameBytes(specCallType, 0, id, len(payload), payload)
	raw = raw[:1+int(r.p.byte())%(len(raw)-1)]
	how := r.p.pick(3)
	r.p.note("the peer sends %d bytes of call %#x and leaves: %d", len(raw), id, how)
	r.causes = append(r.causes, "left")
	r.closed = true
	r.out <- raw
	r.quiesce()
	switch how {
	case 0:
		r.net.Close()
	case 1:
		r.net.CloseWrite()
	default:
		r.net.Abort()
	}
}

// endings ends the session at the end, or begins to.
func (r *peerRun) endings() {
	s := r.e.s
	switch r.p.pick(8) {
	case 0, 1, 2:
		r.p.note("the end drains")
		s.Drain("drained by the program")
		r.s.draining = true
	case 3:
		r.p.note("the end is killed")
		r.causes = append(r.causes, "killed")
		s.Kill()
	case 4:
		r.p.note("the end ends the session")
		r.causes = append(r.causes, "ended")
		r.ending = time.Now()
		r.e.wg.Go(func() { s.End(wire.GoAwayBody{Reason: "ended by the program"}, ErrClosed) })
	case 5:
		r.p.note("the end finishes and closes")
		r.causes = append(r.causes, "closed")
		r.ending, r.finish = time.Now(), true
		r.e.wg.Go(func() { s.Finish(time.Second); s.Close() })
	}
}

func (r *peerRun) busyRuns() (of []*run) {
	r.e.mu.Lock()
	defer r.e.mu.Unlock()
	for _, m := range r.e.runs {
		if !m.ordered && !m.refused {
			of = append(of, m)
		}
	}
	return of
}

func (r *peerRun) endAnswers() {
	of := r.busyRuns()
	if len(of) == 0 {
		return
	}
	m := of[r.p.pick(len(of))]
	if r.p.pick(8) == 7 {
		r.p.note("run %d is refused: %v", m.tag, m.refuse())
		return
	}
	kind := pickOf(r.p, 0, 0, wire.KindApplication)
	size := r.size()
	r.p.note("run %d answers: kind %d, %d bytes", m.tag, kind, size)
	m.answer(size, kind)
}

// endStreams returns the halves of streams at the end.
func (r *peerRun) endStreams() (of []halves) {
	r.e.mu.Lock()
	defer r.e.mu.Unlock()
	for _, m := range r.e.runs {
		h := halves{sender: r.e, taker: r.e, out: m.out, in: m.in}
		if m.out != nil {
			h.send, h.ctx = m.call.Out, m.call.Context()
		}
		if m.in != nil {
			h.take, h.tctx = m.call.In, m.call.Context()
		}
		of = append(of, h)
	}
	for _, c := range r.theirs {
		h := halves{c: c, sender: r.e, taker: r.e, out: c.out, in: c.in}
		if c.out != nil {
			h.send, h.ctx = c.stream.Out, c.ctx
		}
		if c.in != nil {
			h.take, h.tctx = c.stream.In, c.ctx
		}
		of = append(of, h)
	}
	return of
}

func (r *peerRun) endStream(ok func(halves) bool) (halves, bool) {
	var of []halves
	for _, h := range r.endStreams() {
		if ok(h) {
			of = append(of, h)
		}
	}
	if len(of) == 0 {
		return halves{}, false
	}
	return of[r.p.pick(len(of))], true
}

func (r *peerRun) endItems() {
	if h, ok := r.endStream(func(h halves) bool { return h.out != nil }); ok {
		for n := pickOf(r.p, 1, 1, 3, 12); n > 0; n-- {
			size := r.size()
			r.p.note("the end sends an item of %d bytes on stream %d", size, h.out.tag)
			r.e.item(h.out, h.send, h.ctx, size)
		}
	}
}

func (r *peerRun) endTakes() {
	if h, ok := r.endStream(func(h halves) bool { return h.in != nil }); ok {
		n := pickOf(r.p, 1, 1, 3, 30)
		r.p.note("the end takes %d items of stream %d", n, h.in.tag)
		for range n {
			r.e.take(h.in, h.take, h.tctx, nil)
		}
	}
}

func (r *peerRun) endStops() {
	if r.p.pick(2) == 0 {
		if h, ok := r.endStream(func(h halves) bool { return h.in != nil }); ok {
			r.p.note("the end stops stream %d", h.in.tag)
			r.e.stopTaking(h.in, h.take)
		}
		return
	}
	if h, ok := r.endStream(func(h halves) bool { return h.out != nil && h.c != nil }); ok {
		r.p.note("the end ends stream %d", h.out.tag)
		r.e.endStream(h.out, h.send, pickOf(r.p, "", "broken off"))
	}
}

func (r *peerRun) endCancels() {
	if r.p.pick(3) == 2 {
		d := pickOf(r.p, time.Millisecond, 600*time.Millisecond, 10*time.Second)
		r.p.note("sleep %v", d)
		time.Sleep(d)
		return
	}
	var of []*sent
	r.e.mu.Lock()
	for _, c := range r.theirs {
		if c.how == howOpen {
			of = append(of, c)
		}
	}
	r.e.mu.Unlock()
	if len(of) > 0 {
		c := of[r.p.pick(len(of))]
		r.p.note("the end cancels call %d", c.tag)
		c.gaveUp = true
		c.cancel()
	}
}

// windUp brings all calls to their end and sees that nothing of them is left.
func (r *peerRun) windUp() bool {
	r.pause(false)
	r.p.note("wind up")
	if !r.settle() {
		return false
	}
	for range 40 {
		if r.over() || r.mustEnd != "" || r.vague || r.closed || !r.ending.IsZero() || r.s.hello {
			return true
		}
		for len(r.drafts) > 0 {
			r.goOn(r.drafts[0])
		}
		for _, c := range r.all(func(c *specCall) bool { return true }) {
			if c.fromEnd {
				r.send(specError, 0, c.id, []byte{0xa1, 1, 1})
			} else if c.back != nil && !c.back.stopped {
				r.send(specCredit, 0, c.id, []byte{0, 0, 0, 0})
			}
		}
		for _, m := range r.busyRuns() {
			m.answer(10, 0)
		}
		if !r.settle() {
			return false
		}
	}
	if n := len(r.s.calls); n > 0 {
		r.fault("%d calls have no end", n)
	}
	for _, c := range r.theirs {
		if c.how == howOpen && !c.begun.IsZero() {
			r.fault("call %d has no end", c.tag)
		}
	}
	if !r.over() {
		r.faults = append(r.faults, r.e.left(
			wire.Limits{Window: uint32(r.s.accepts.window)}, wire.Limits{Window: uint32(r.s.grants.window)})...)
	}
	return r.settle()
}
