package session

import (
	"encoding/binary"
	"fmt"
)

// watched frames: what docs/protocol.md asks of the frames of the end under test.

// fromEnd takes a frame of the end under test and returns what is wrong with it. done,
// when not nil, is the call that its answer, or its call, is complete with.
func (s *spec) fromEnd(f specFrame) (done *specMade, wrong []string) {
	bad := func(format string, args ...any) (*specMade, []string) {
		return nil, []string{fmt.Sprintf("%v: ", f) + fmt.Sprintf(format, args...)}
	}
	flags, known := specFlags[f.kind]
	more := f.flags&specMore != 0
	switch {
	case f.length > specMax:
		return bad("too long")
	case !known || f.kind < specHello:
		return bad("unknown type")
	case f.flags&^flags != 0:
		return bad("unknown flags")
	case s.said == (f.kind == specHello):
		return bad("hello must come first, and once")
	case f.kind < specCallType || f.kind >= specPing:
		if f.id != 0 {
			return bad("its id must be 0")
		}
	case s.closing && f.kind == specCallType: // of what runs, something may still be on its way
		return bad("comes after goaway")
	}
	switch f.kind {
	case specHello:
		s.said = true
		if m, ok := specMap(f.payload); !ok || m[1] == nil {
			return bad("no map")
		}
	case specGoAway:
		m, ok := specMap(f.payload)
		if _, text := m[2].(string); !ok || !text {
			return bad("no map with a reason")
		}
		if drain, _ := m[1].(bool); drain {
			s.draining = true
		} else {
			s.closing = true
		}
	case specCallType:
		return s.endCall(f, more, bad)
	case specData:
		return s.endData(f, more, bad)
	case specResult, specError:
		return s.endAnswer(f, more, bad)
	case specItem:
		return s.endItem(f, more, bad)
	case specCredit:
		return s.endCredit(f, bad)
	case specEnd:
		c := s.find(f.id, true)
		if c == nil {
			if s.old[f.id] && s.byEnd(f.id) {
				return nil, nil // it crosses the answer
			}
			return bad("no such call")
		}
		if m, ok := specMap(f.payload); f.length > 0 && (!ok || m[1] == nil) {
			return bad("neither empty nor an error")
		}
		if c.toward == nil || c.toward.ended || c.toward.item.open() {
			return bad("no stream that could end")
		}
		c.toward.ended = true
	case specCancel:
		if f.length != 0 {
			return bad("not empty")
		}
		c := s.find(f.id, true)
		if c == nil {
			if s.old[f.id] && s.byEnd(f.id) {
				return nil, nil
			}
			return bad("no such call")
		}
		c.canceled = true
		c.call = specMessage{} // what is left of it does not come
	}
	return nil, nil
}

// specMade is a message of the end that is complete.
type specMade struct {
	call    *specCall
	kind    byte // call, result, error or item
	content []byte
	index   int // of an item
}

type complain func(format string, args ...any) (*specMade, []string)

// begins looks at the start of a message of the end.
func (s *spec) begins(f specFrame, bad complain) (total int, wrong []string) {
	if f.length != specMax {
		_, wrong = bad("a first fragment that does not fill its frame")
		return 0, wrong
	}
	total = int(binary.BigEndian.Uint32(f.payload))
	if total <= specMax {
		_, wrong = bad("%d bytes were split", total)
	}
	if total > s.grants.message {
		_, wrong = bad("%d bytes, the limit is %d", total, s.grants.message)
	}
	return total, wrong
}

func (s *spec) endCall(f specFrame, more bool, bad complain) (*specMade, []string) {
	c := &specCall{id: f.id, fromEnd: true, flags: f.flags &^ specMore, size: f.length}
	switch {
	case !s.byEnd(f.id):
		return bad("the wrong side")
	case specSlot(f.id) >= s.grants.calls:
		return bad("slot %d of %d", specSlot(f.id), s.grants.calls)
	case s.inSlot(f.id) != nil:
		return bad("its slot is taken")
	case s.gens[f.id&0x3fff] == f.id:
		return bad("the same generation again")
	}
	s.gens[f.id&0x3fff] = f.id
	if f.flags&specSends != 0 {
		c.toward = &specFlow{credit: ruleFirstCredit}
	}
	if f.flags&specWants != 0 {
		c.back = &specFlow{credit: ruleFirstCredit}
	}
	if more {
		total, wrong := s.begins(f, bad)
		if wrong != nil {
			return nil, wrong
		}
		c.size = total
		c.call = specMessage{total: total, content: append([]byte(nil), f.payload[4:]...)}
	}
	if bytes, _ := s.window(true); bytes+c.size > s.grants.window {
		return bad("calls of %d bytes, the window is %d", bytes+c.size, s.grants.window)
	}
	s.calls[f.id] = c
	if more {
		return nil, nil
	}
	return &specMade{call: c, kind: specCallType, content: f.payload}, nil
}

// goes returns the message of the end that is on its way, or nil.
func (c *specCall) goes() *specMessage {
	var all []*specMessage
	if c.fromEnd {
		all = append(all, &c.call)
		if c.toward != nil {
			all = append(all, &c.toward.item)
		}
	} else {
		all = append(all, &c.result)
		if c.back != nil {
			all = append(all, &c.back.item)
		}
	}
	for _, m := range all {
		if m.open() {
			return m
		}
	}
	return nil
}

func (s *spec) endData(f specFrame, more bool, bad complain) (*specMade, []string) {
	c := s.calls[f.id]
	if c == nil {
		if s.old[f.id] {
			return nil, nil // it crosses the answer
		}
		return bad("no such call")
	}
	m := c.goes()
	left := 0
	if m != nil {
		left = m.total - len(m.content) - f.length
	}
	switch {
	case m == nil:
		return bad("a fragment of nothing")
	case more && f.length != specMax:
		return bad("a fragment that does not fill its frame")
	case left < 0 || (left == 0) == more:
		return bad("%d bytes are left, more is %v", left, more)
	}
	m.content = append(m.content, f.payload...)
	if more {
		return nil, nil
	}
	content := m.content
	switch m {
	case &c.call:
		m.total = 0
		return &specMade{call: c, kind: specCallType, content: content}, nil
	case &c.result:
		s.answered(c)
		return &specMade{call: c, kind: specResult, content: content}, nil
	}
	flow := c.back
	if c.fromEnd {
		flow = c.toward
	}
	*m = specMessage{}
	return flow.complete(c, content), nil
}

func (flow *specFlow) complete(c *specCall, content []byte) *specMade {
	flow.items = append(flow.items, content)
	return &specMade{call: c, kind: specItem, content: content, index: len(flow.items) - 1}
}

func (s *spec) endAnswer(f specFrame, more bool, bad complain) (*specMade, []string) {
	c := s.find(f.id, false)
	switch {
	case c == nil:
		return bad("an answer to nothing")
	case c.call.open():
		return bad("an answer to a call that is not complete")
	case f.kind == specResult && c.goes() != nil:
		return bad("a result before the message before it was complete")
	case f.kind == specResult && c.refusal != 0:
		return bad("a result, want an error of kind %d", c.refusal)
	}
	if f.kind == specError {
		m, ok := specMap(f.payload)
		kind, _ := m[1].(uint64)
		if !ok || kind == 0 {
			return bad("no error")
		}
		if c.refusal != 0 && int(kind) != c.refusal && !(c.any && (kind == 9 || kind == 10)) {
			return bad("kind %d, want %d", kind, c.refusal)
		}
	}
	if !more {
		s.answered(c)
		return &specMade{call: c, kind: f.kind, content: f.payload}, nil
	}
	total, wrong := s.begins(f, bad)
	if wrong != nil {
		return nil, wrong
	}
	if least, _ := s.unfinished(true); least+total > s.grants.window {
		return bad("%d bytes of results and items, the window is %d", least+total, s.grants.window)
	}
	c.result = specMessage{total: total, content: append([]byte(nil), f.payload[4:]...)}
	return nil, nil
}

func (s *spec) endItem(f specFrame, more bool, bad complain) (*specMade, []string) {
	c := s.calls[f.id]
	if c == nil {
		if s.old[f.id] && s.byEnd(f.id) {
			return nil, nil // it crosses the answer
		}
		return bad("no such call")
	}
	flow := c.back
	if c.fromEnd {
		flow = c.toward
	}
	switch {
	case flow == nil:
		return bad("no such stream")
	case c.goes() != nil:
		return bad("comes before the message before it is complete")
	case flow.credit <= 0:
		return bad("there is no credit")
	case flow.ended && c.fromEnd:
		return bad("comes after the end")
	}
	total := f.length
	if more {
		var wrong []string
		if total, wrong = s.begins(f, bad); wrong != nil {
			return nil, wrong
		}
		if least, _ := s.unfinished(true); least+total > s.grants.window {
			return bad("%d bytes of results and items, the window is %d", least+total, s.grants.window)
		}
	}
	flow.credit -= total + ruleItemCost
	flow.cost += total + ruleItemCost
	if more {
		flow.item = specMessage{total: total, content: append([]byte(nil), f.payload[4:]...)}
		return nil, nil
	}
	return flow.complete(c, f.payload), nil
}

func (s *spec) endCredit(f specFrame, bad complain) (*specMade, []string) {
	if f.length != 4 || binary.BigEndian.Uint32(f.payload) >= 1<<31 {
		return bad("not a number below 2^31")
	}
	c := s.calls[f.id]
	if c == nil {
		if s.old[f.id] {
			return nil, nil
		}
		return bad("no such call")
	}
	flow := c.toward
	if c.fromEnd {
		flow = c.back
	}
	if flow == nil {
		return bad("no such stream")
	}
	n := int(binary.BigEndian.Uint32(f.payload))
	flow.credit += n
	flow.granted += n
	if flow.stopped = flow.stopped || n == 0; flow.credit > ruleKept {
		return bad("%d bytes of credit, at most %d are kept", flow.credit, ruleKept)
	}
	return nil, nil
}
