package session

import "github.com/pyrossl/pyrossl/broker/internal/wire"

// inbound returns the stream towards this end of the call with this id, or nil.
func (s *Session) inbound(id uint32) *Inbound {
	if wire.SideOf(id) != s.side {
		if in := s.incoming.find(id); in != nil {
			return in.In
		}
		return nil
	}
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	if c := s.calls.find(id); c != nil {
		return c.in
	}
	return nil
}

// outbound returns the stream from this end of the call with this id, or nil.
func (s *Session) outbound(id uint32) *Outbound {
	if wire.SideOf(id) != s.side {
		if in := s.incoming.find(id); in != nil {
			return in.Out
		}
		return nil
	}
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	if c := s.calls.find(id); c != nil {
		return c.out
	}
	return nil
}

// inUse reports whether the call with this id has no answer yet.
func (s *Session) inUse(id uint32) bool {
	if wire.SideOf(id) != s.side {
		return s.incoming.find(id) != nil
	}
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	return s.calls.find(id) != nil
}

// readItem reads an item of a stream, or its first fragment.
func (s *Session) readItem(r *reader, h wire.Header) error {
	in := s.inbound(h.ID)
	if in == nil {
		if s.inUse(h.ID) {
			return protocolErrorf("item for call id %#x, which has no stream in this direction", h.ID)
		}
		return r.skip(h.Length) // the call is over
	}
	if in.part.active || s.unfinished(h.ID) {
		return protocolErrorf("item for call id %#x before the message before it was complete", h.ID)
	}
	if h.Flags&wire.More == 0 {
		if err := in.charge(h.Length); err != nil {
			return err
		}
		item := make([]byte, h.Length)
		if err := r.into(item); err != nil {
			return err
		}
		in.deliver(item)
		return nil
	}
	total, left, err := r.total(h)
	if err != nil {
		return err
	}
	if total > int(s.local.Message) {
		return protocolErrorf("item of %d bytes, at most %d are accepted", total, s.local.Message)
	}
	if err := in.charge(total); err != nil {
		return err
	}
	kept := in.hold(total)
	if sum := s.partial.Load(); kept && sum > int64(s.local.Window) {
		return protocolErrorf("unfinished results and items of %d bytes, the window is %d", sum, s.local.Window)
	}
	in.part = newAssembly(total, !kept)
	room, _ := in.part.room(left)
	if room == nil {
		return r.skip(left)
	}
	return r.into(room)
}

// unfinished reports whether the call itself, or its result, has not come in full.
func (s *Session) unfinished(id uint32) bool {
	if wire.SideOf(id) == s.side {
		s.calls.mu.Lock()
		defer s.calls.mu.Unlock()
		c := s.calls.find(id)
		return c != nil && c.part.active
	}
	in := s.incoming.find(id)
	return in != nil && in.part.active && !in.part.complete()
}

func (s *Session) readItemPart(r *reader, h wire.Header, in *Inbound, more bool) error {
	room, ok := in.part.room(h.Length)
	if !ok || more == in.part.complete() {
		return protocolErrorf("item of call id %#x: fragments do not add up to the declared %d bytes", h.ID, in.part.total)
	}
	var err error
	if room == nil {
		err = r.skip(h.Length)
	} else {
		err = r.into(room)
	}
	if err != nil || !in.part.complete() {
		return err
	}
	part := in.part
	in.part = assembly{}
	in.let()
	if !part.discard {
		in.deliver(part.buf)
	}
	return nil
}

// readStreamControl reads a Credit or End frame.
func (s *Session) readStreamControl(r *reader, h wire.Header) error {
	if err := r.need(h.Length); err != nil {
		return err
	}
	payload := r.buf[r.r : r.r+h.Length]
	r.r += h.Length
	if h.Type == wire.Credit {
		n, err := wire.ParseCredit(payload)
		if err != nil {
			return protocolErrorf("%v", err)
		}
		if out := s.outbound(h.ID); out != nil {
			out.add(n)
		} else if s.inUse(h.ID) {
			return protocolErrorf("credit for call id %#x, which has no stream in this direction", h.ID)
		}
		return nil
	}
	if wire.SideOf(h.ID) == s.side {
		return protocolErrorf("end for call id %#x, want it from the caller only", h.ID)
	}
	var reason error
	if len(payload) > 0 {
		var body wire.ErrorBody
		if err := wire.ParseControl(wire.End, payload, &body); err != nil {
			return protocolErrorf("%v", err)
		}
		reason = &Broken{body}
	}
	in := s.inbound(h.ID)
	switch {
	case in == nil && s.inUse(h.ID):
		return protocolErrorf("end for call id %#x, which has no stream from the caller", h.ID)
	case in == nil:
		return nil
	case in.part.active:
		return protocolErrorf("end for call id %#x in the middle of an item", h.ID)
	}
	in.finish(reason)
	return nil
}

// Broken is why the sender of a stream broke it off.
type Broken struct{ Body wire.ErrorBody }

func (e *Broken) Error() string { return "session: the sender broke the stream off: " + e.Body.Message }
