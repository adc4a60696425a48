package session

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// spec follows one connection frame by frame, as docs/protocol.md has it, and knows
// nothing else: neither package wire nor the session under test. One side of the
// connection is the end under test, whose frames must be right; the other is the peer,
// whose frames may be anything, and of which it says what the end must do about them.
type spec struct {
	daemon   bool       // the end under test is the daemon
	accepts  specLimits // what the end accepts
	grants   specLimits // what the peer does
	hello    bool       // the peer's first frame is still to come
	said     bool       // the end's has come
	closing  bool       // the end has said goaway, not to drain
	draining bool       // it takes no new calls

	calls map[uint32]*specCall // without an answer
	old   map[uint32]bool      // ids that were in use
	gens  map[uint32]uint32    // the last id in each slot of the end's calls
}

type specLimits struct{ calls, message, window int }

// specCall is a call without an answer.
type specCall struct {
	id       uint32
	fromEnd  bool
	flags    byte
	size     int
	call     specMessage // in fragments, from the caller
	result   specMessage // to the caller
	toward   *specFlow   // the caller's stream, nil for none
	back     *specFlow
	canceled bool // by a cancel frame, or of no use to the end's caller any more
	refusal  int  // of the kind of error that must answer it, 0: it must run
	any      bool // any refusal will do
}

// specMessage is one that has begun to come in fragments; total is 0 for none.
type specMessage struct {
	total   int
	content []byte
}

func (m *specMessage) open() bool { return m.total > 0 }

// specFlow is a stream.
type specFlow struct {
	credit  int // of its sender
	granted int // in all
	cost    int // of all items
	item    specMessage
	items   [][]byte // complete ones
	ended   bool
	stopped bool // by a credit of 0
	reason  bool // it ended with one
}

// specFrame is a frame. Its payload is what came of length bytes.
type specFrame struct {
	kind, flags byte
	id          uint32
	length      int
	payload     []byte
}

func (f specFrame) String() string {
	return fmt.Sprintf("frame %02x flags %02x id %#x length %d %.8x", f.kind, f.flags, f.id, f.length, f.payload)
}

// Numbers of docs/protocol.md §3.
const (
	specHello, specWelcome, specDeny                          = 0x05, 0x03, 0x04
	specCallType, specResult, specError, specData, specCancel = 0x10, 0x11, 0x12, 0x13, 0x14
	specItem, specCredit, specEnd, specPing, specGoAway       = 0x15, 0x16, 0x17, 0x20, 0x21
	specMore, specOneway, specSends, specWants                = 0x01, 0x02, 0x08, 0x10

	specMax   = 65527
	specFirst = specMax - 4
	specSlots = 8192
)

// specFlags are the flags that may stand on each type.
var specFlags = map[byte]byte{
	0x01: 0, 0x02: 0, 0x03: 0, 0x04: 0, 0x05: 0, 0x10: 0x3f, 0x11: 1, 0x12: 0, 0x13: 1, 0x14: 0, 0x15: 1, 0x16: 0, 0x17: 0, 0x20: 0, 0x21: 0,
}

func newSpec(daemon bool, accepts, grants specLimits) *spec {
	return &spec{
		daemon: daemon, accepts: accepts, grants: grants, hello: daemon, said: daemon,
		calls: make(map[uint32]*specCall), old: make(map[uint32]bool), gens: make(map[uint32]uint32),
	}
}

// slot and side of an id. §3.4.
func specSlot(id uint32) int { return int(id>>1) & (specSlots - 1) }

// byEnd reports whether the id has the end's side.
func (s *spec) byEnd(id uint32) bool { return (id&1 == 1) == s.daemon }

// answered frees the slot of a call.
func (s *spec) answered(c *specCall) {
	delete(s.calls, c.id)
	s.old[c.id] = true
}

// find returns the call with this id if it was made by the end, or by the peer.
func (s *spec) find(id uint32, byEnd bool) *specCall {
	if c := s.calls[id]; c != nil && c.fromEnd == byEnd {
		return c
	}
	return nil
}

// inSlot returns the call in the slot of an id, on its side.
func (s *spec) inSlot(id uint32) *specCall {
	for _, c := range s.calls {
		if specSlot(c.id) == specSlot(id) && c.id&1 == id&1 {
			return c
		}
	}
	return nil
}

// window is the bytes of calls without an answer, and count their number.
func (s *spec) window(fromEnd bool) (bytes, count int) {
	for _, c := range s.calls {
		if c.fromEnd == fromEnd {
			bytes += c.size
			count++
		}
	}
	return bytes, count
}

// unfinished is the declared bytes of results and items that the end, or the peer, has
// begun to send. Those that nobody wants any more may or may not count.
func (s *spec) unfinished(byEnd bool) (least, most int) {
	for _, c := range s.calls {
		back, toward := 0, 0
		back += c.result.total
		unwanted := c.canceled
		if c.back != nil {
			back += c.back.item.total
			unwanted = unwanted || c.back.stopped
		}
		if c.toward != nil {
			toward += c.toward.item.total
		}
		n := back
		if c.fromEnd == byEnd {
			n, unwanted = toward, c.toward != nil && (c.toward.stopped || c.toward.ended)
		}
		most += n
		if !unwanted {
			least += n
		}
	}
	return least, most
}

// verdict is what the end must do about a frame of its peer.
type verdict struct {
	ends     bool      // the connection must end
	may      bool      // it may end: the specification does not say
	why      string    // it ends, or may
	whole    *specCall // a call is complete with it
	answered *specCall // so is the answer to a call
	payload  []byte    // with this payload
}

func ends(format string, args ...any) verdict {
	return verdict{ends: true, why: fmt.Sprintf(format, args...)}
}

func may(format string, args ...any) verdict {
	return verdict{may: true, why: fmt.Sprintf(format, args...)}
}

// fromPeer takes a frame of the peer.
func (s *spec) fromPeer(f specFrame) verdict {
	if f.length > specMax {
		return ends("length %d (§3.1)", f.length)
	}
	if f.kind >= 0x80 {
		if s.hello {
			return may("an optional frame before hello")
		}
		return verdict{} // §3.2
	}
	flags, known := specFlags[f.kind]
	switch {
	case !known:
		return ends("unknown type %02x (§3.2)", f.kind)
	case f.flags&^flags != 0:
		return ends("flags %02x on type %02x (§3.3)", f.flags, f.kind)
	case f.kind < specHello:
		return ends("type %02x after the verdict (§3.2)", f.kind)
	case s.hello != (f.kind == specHello):
		return ends("type %02x, hello expected: %v (§4.6)", f.kind, s.hello)
	}
	more := f.flags&specMore != 0
	switch f.kind {
	case specHello:
		return s.peerHello(f)
	case specCallType:
		return s.peerCall(f, more)
	case specData:
		return s.peerData(f, more)
	case specResult, specError:
		return s.peerAnswer(f, more)
	case specItem:
		return s.peerItem(f, more)
	case specCredit:
		return s.peerCredit(f)
	case specEnd:
		return s.peerEnd(f)
	case specCancel:
		return s.peerCancel(f)
	case specGoAway:
		m, ok := specMap(f.payload)
		switch {
		case !ok || !specOnly(m, 4):
			return ends("goaway that is no map (§6.3)")
		case m[2] == nil:
			return may("goaway without a reason (§6.3)")
		}
		if _, text := m[2].(string); !text {
			return ends("goaway whose reason is no text (§6.3)")
		}
		return verdict{}
	}
	return verdict{} // ping
}

func (s *spec) peerHello(f specFrame) verdict {
	s.hello = false
	m, ok := specMap(f.payload)
	limits, is := m[1].(map[uint64]any)
	if !ok || !is || !specOnly(m, 2) || !specOnly(limits, 4) {
		return ends("hello that is no map of limits (§4.6)")
	}
	n := func(key uint64) int64 { v, _ := limits[key].(uint64); return int64(min(v, 1<<40)) }
	s.grants = specLimits{int(n(1)), int(n(2)), int(n(3))}
	switch {
	case n(1) < 1 || n(1) > specSlots || n(2) < 65536 || n(3) < n(2):
		return ends("hello with limits %+v (§4.4)", s.grants)
	case n(2) >= 1<<31 || n(3) >= 1<<31 || n(4) == 0 || n(4) > 86400:
		return may("hello with odd limits")
	}
	return verdict{}
}

// first reads the start of a fragmented message. §3.5.
func (s *spec) first(f specFrame) (total int, part []byte, v verdict) {
	if f.length != specMax {
		return 0, nil, ends("first fragment of %d bytes (§3.5)", f.length)
	}
	n := uint64(binary.BigEndian.Uint32(f.payload))
	switch {
	case n <= specFirst:
		return 0, nil, ends("%d bytes in all, after %d (§3.5)", n, specFirst)
	case n >= 1<<31:
		return 0, nil, may("%d bytes in all", n)
	case n <= specMax:
		v = may("a message of %d bytes was split", n)
	}
	return int(n), f.payload[4:], v
}

func (s *spec) peerCall(f specFrame, more bool) verdict {
	c := &specCall{id: f.id, flags: f.flags &^ specMore, size: f.length}
	var v verdict
	var part []byte
	switch {
	case s.byEnd(f.id):
		return ends("a call with the end's side (§3.4)")
	case specSlot(f.id) >= s.accepts.calls:
		return ends("a call in slot %d of %d (§3.4)", specSlot(f.id), s.accepts.calls)
	case s.inSlot(f.id) != nil:
		return ends("a call in a slot that is taken (§3.4)")
	}
	if more {
		if c.size, part, v = s.first(f); v.ends || c.size == 0 {
			return v
		}
	}
	if f.flags&specSends != 0 {
		c.toward = &specFlow{credit: ruleFirstCredit}
	}
	if f.flags&specWants != 0 {
		c.back = &specFlow{credit: ruleFirstCredit}
	}
	in, _ := s.window(false)
	switch {
	case c.size > s.accepts.message:
		c.refusal = 10
	case c.size+in > s.accepts.window:
		return ends("calls of %d bytes, the window is %d (§5.7)", c.size+in, s.accepts.window)
	}
	if s.draining {
		c.refusal, c.any = 9, c.refusal != 0
	}
	s.calls[f.id] = c
	switch {
	case c.refusal != 0: // answered at once; what follows is skipped
	case more:
		c.call = specMessage{total: c.size, content: append([]byte(nil), part...)}
	default:
		c.call.content = f.payload
		v.whole = c
	}
	return v
}

func (s *spec) peerData(f specFrame, more bool) verdict {
	var m *specMessage
	c := s.calls[f.id]
	short := more && f.length != specMax
	if c != nil {
		m = c.comes()
	}
	switch {
	case c == nil && short:
		return may("a short fragment for an id that is not in use")
	case c == nil || c.refusal != 0:
		return verdict{} // skipped
	case short:
		return ends("a fragment of %d bytes before the last (§3.5)", f.length)
	case m == nil:
		return ends("a fragment of nothing (§3.5)")
	}
	left := m.total - len(m.content) - f.length
	if left < 0 || (left == 0) == more {
		return ends("fragments do not add up: %d bytes are left, more is %v (§3.5)", left, more)
	}
	m.content = append(m.content, f.payload...)
	if more {
		return verdict{}
	}
	content := m.content
	switch m {
	case &c.call:
		m.total = 0
		return verdict{whole: c}
	case &c.result:
		s.answered(c)
		return verdict{answered: c, payload: content}
	}
	flow := c.toward
	if c.fromEnd {
		flow = c.back
	}
	flow.items = append(flow.items, content)
	*m = specMessage{}
	return verdict{}
}

// comes returns the message from the peer that is on its way, or nil.
func (c *specCall) comes() *specMessage {
	var all []*specMessage
	if c.fromEnd {
		all = append(all, &c.result)
		if c.back != nil {
			all = append(all, &c.back.item)
		}
	} else {
		all = append(all, &c.call)
		if c.toward != nil {
			all = append(all, &c.toward.item)
		}
	}
	for _, m := range all {
		if m.open() {
			return m
		}
	}
	return nil
}

func (s *spec) peerAnswer(f specFrame, more bool) verdict {
	if !s.byEnd(f.id) {
		return may("an answer to a call of the peer itself")
	}
	c := s.find(f.id, true)
	if c == nil {
		if more && f.length != specMax {
			return may("a first fragment of %d bytes for an id that is not in use", f.length)
		}
		if more {
			if _, _, v := s.first(f); v.ends {
				return may("a fragmented result for an id that is not in use")
			}
		}
		return verdict{} // §3.4
	}
	if m := c.comes(); m != nil && f.kind == specResult {
		return ends("a result before the message before it was complete (§3.5)")
	}
	if !more {
		if c.call.open() && !c.canceled {
			// It may come early: what is left of the call is not needed.
			c.call.total = 0
		}
		s.answered(c)
		return verdict{answered: c, payload: f.payload}
	}
	total, part, v := s.first(f)
	if v.ends || total == 0 {
		return v
	}
	least, most := s.unfinished(false)
	switch {
	case total > s.accepts.message:
		return ends("a result of %d bytes (§3.5)", total)
	case least+total > s.accepts.window && !c.canceled:
		return ends("%d bytes of results and items (§5.7)", least+total)
	case most+total > s.accepts.window:
		v = may("%d bytes of results and items, of which %d are wanted", most+total, least)
	}
	c.result = specMessage{total: total, content: append([]byte(nil), part...)}
	return v
}

// flow returns the call with this id and its stream from the peer.
func (s *spec) flow(id uint32) (*specCall, *specFlow) {
	c := s.calls[id]
	switch {
	case c == nil || c.refusal != 0:
		return nil, nil
	case c.fromEnd:
		return c, c.back
	}
	return c, c.toward
}

func (s *spec) peerItem(f specFrame, more bool) verdict {
	c, flow := s.flow(f.id)
	switch {
	case c == nil:
		return verdict{} // §5.8
	case flow == nil:
		return ends("an item, and there is no such stream (§5.8)")
	case c.comes() != nil:
		return ends("an item before the message before it was complete (§3.5)")
	}
	total, part, v := f.length, f.payload, verdict{}
	if more {
		if total, part, v = s.first(f); v.ends || total == 0 {
			return v
		}
	}
	late := flow.ended || flow.stopped || c.canceled
	if total > s.accepts.message && more {
		return ends("an item of %d bytes (§3.5)", total)
	}
	if flow.credit <= 0 {
		if late {
			return may("an item without credit that nobody wants")
		}
		return ends("an item without credit (§5.8)")
	}
	if flow.ended {
		v = may("an item after the end")
	}
	flow.credit -= total + ruleItemCost
	flow.cost += total + ruleItemCost
	if !more {
		flow.items = append(flow.items, f.payload)
		return v
	}
	least, most := s.unfinished(false)
	switch {
	case !late && least+total > s.accepts.window:
		return ends("%d bytes of results and items (§5.7)", least+total)
	case most+total > s.accepts.window:
		v = may("%d bytes of results and items, of which %d are wanted", most+total, least)
	}
	flow.item = specMessage{total: total, content: append([]byte(nil), part...)}
	return v
}

func (s *spec) peerCredit(f specFrame) verdict {
	c := s.calls[f.id]
	bad := f.length != 4 || binary.BigEndian.Uint32(f.payload) >= 1<<31
	switch {
	case (c == nil || c.refusal != 0) && bad:
		return may("a wrong credit for an id that is not in use")
	case c == nil || c.refusal != 0:
		return verdict{}
	case bad:
		return ends("a wrong credit (§5.8)")
	}
	flow := c.back // a credit is for the stream that flows towards its sender
	if c.fromEnd {
		flow = c.toward
	}
	if flow == nil {
		return ends("a credit, and there is no such stream (§5.8)")
	}
	n := int(binary.BigEndian.Uint32(f.payload))
	flow.credit += n
	flow.granted += n
	flow.stopped = flow.stopped || n == 0
	return verdict{}
}

func (s *spec) peerEnd(f specFrame) verdict {
	m, ok := specMap(f.payload)
	bad := f.length > 0 && (!ok || !specOnly(m, 5))
	c, flow := s.flow(f.id)
	switch {
	case s.byEnd(f.id):
		if c != nil {
			return ends("the end of a stream of the end's own call (§5.8)")
		}
		return may("the end of a stream of a call that the end made")
	case c == nil && bad:
		return may("a wrong end for an id that is not in use")
	case c == nil:
		return verdict{}
	case bad:
		return ends("an end that is no error (§5.8)")
	case flow == nil:
		return ends("an end, and there is no such stream (§5.8)")
	case flow.item.open():
		return ends("an end in the middle of an item (§3.5)")
	}
	v := verdict{}
	switch {
	case c.call.open():
		v = may("an end in the middle of the call")
	case f.length > 0 && m[1] == nil:
		v = may("an end with an error without a kind")
	case flow.ended:
		v = may("a second end")
	}
	if !flow.ended {
		flow.ended, flow.reason = true, f.length > 0
	}
	return v
}

func (s *spec) peerCancel(f specFrame) verdict {
	v := verdict{}
	if f.length > 0 {
		v = may("a cancel with a payload")
	}
	c := s.find(f.id, false)
	if c == nil || c.refusal != 0 {
		return v // §5.5
	}
	if c.call.open() {
		c.refusal = 7 // it will never be complete
		c.call.total = 0
	}
	c.canceled = true
	return v
}

// specMap reads a CBOR map whose keys are small integers. It is no more of CBOR than
// the maps of the protocol need.
func specMap(b []byte) (map[uint64]any, bool) {
	v, rest, ok := specValue(b, 0)
	m, is := v.(map[uint64]any)
	return m, ok && is && len(rest) == 0
}

func specValue(b []byte, depth int) (v any, rest []byte, ok bool) {
	if len(b) == 0 || depth > 4 {
		return nil, nil, false
	}
	if b[0] == 0xf4 || b[0] == 0xf5 {
		return b[0] == 0xf5, b[1:], true
	}
	major, n, rest := b[0]>>5, uint64(b[0]&31), b[1:]
	if n >= 24 {
		size := 1 << (n - 24)
		if n > 27 || len(rest) < size {
			return nil, nil, false
		}
		low := n
		n = 0
		for _, c := range rest[:size] {
			n = n<<8 | uint64(c)
		}
		if rest = rest[size:]; n < []uint64{24, 1 << 8, 1 << 16, 1 << 32}[low-24] {
			return nil, nil, false
		}
	}
	switch major {
	case 0:
		return n, rest, true
	case 2, 3:
		if n > uint64(len(rest)) || major == 3 && !utf8.Valid(rest[:n]) {
			return nil, nil, false
		}
		return string(rest[:n]), rest[n:], true
	case 4:
		var all []any
		for range n {
			var e any
			if e, rest, ok = specValue(rest, depth+1); !ok {
				return nil, nil, false
			}
			all = append(all, e)
		}
		return all, rest, true
	case 5:
		m, last := make(map[uint64]any), -1
		for range n {
			var k, e any
			if k, rest, ok = specValue(rest, depth+1); !ok {
				return nil, nil, false
			}
			key, is := k.(uint64)
			if !is || int(key) <= last {
				return nil, nil, false
			}
			last = int(key)
			if e, rest, ok = specValue(rest, depth+1); !ok {
				return nil, nil, false
			}
			m[key] = e
		}
		return m, rest, true
	}
	return nil, nil, false
}

// specOnly reports whether the keys of a map are 1 to n.
func specOnly(m map[uint64]any, n uint64) bool {
	for k := range m {
		if k < 1 || k > n {
			return false
		}
	}
	return true
}
