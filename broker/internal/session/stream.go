package session

import (
	"context"
	"errors"
	"sync"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
)

// A stream belongs to a call and has its id, so nobody but the two ends of this
// connection can name it, and it ends at the latest with the call. A call may have
// one in each direction. PROTOCOL §5.8.

// ErrStopped is what the sender of a stream gets when the receiver wants no more.
var ErrStopped = errors.New("session: the receiver of the stream wants no more")

// streamWindow is how many bytes of a stream this end keeps for a reader that is
// slow, beside the item that went over the edge.
const streamWindow = 256 << 10

// Inbound is the receiving end of a stream. One goroutine may use it.
type Inbound struct {
	s    *Session
	id   uint32
	wake chan struct{} // holds one token when there is news

	mu      sync.Mutex
	arrived [][]byte // items not yet taken
	unread  int      // what the items that were not yet consumed count
	granted int      // bytes that the peer may still send; below zero after a large item
	held    int      // declared bytes of the item that comes in fragments
	over    bool     // no more will come
	err     error    // why, if the stream broke off

	taken [][]byte // only the consumer touches it

	part assembly // an item in fragments; only the reader touches it
}

func newInbound(s *Session, id uint32) *Inbound {
	return &Inbound{s: s, id: id, wake: make(chan struct{}, 1), granted: wire.FirstCredit}
}

// Next returns the next item, which is the caller's. ok is false when the stream has
// ended; err is why, unless it ended well.
func (in *Inbound) Next(ctx context.Context) (item []byte, ok bool, err error) {
	for {
		if len(in.taken) > 0 {
			item, in.taken = in.taken[0], in.taken[1:]
			in.consumed(len(item) + wire.ItemCost)
			return item, true, nil
		}
		in.mu.Lock()
		in.taken, in.arrived = in.arrived, nil
		over, err := in.over, in.err
		in.mu.Unlock()
		switch {
		case len(in.taken) > 0:
			continue
		case over:
			return nil, false, err
		}
		select {
		case <-in.wake:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}

// consumed lets the peer send as much again, when that has become half of the window.
func (in *Inbound) consumed(n int) {
	in.mu.Lock()
	in.unread -= n
	grant := streamWindow - in.unread - in.granted
	if in.over || grant < streamWindow/2 {
		in.mu.Unlock()
		return
	}
	in.granted += grant
	in.mu.Unlock()
	in.s.writer.post(wire.AppendCredit(nil, in.id, grant))
}

// Stop tells the sender that no more is wanted; what still comes is dropped.
func (in *Inbound) Stop() {
	in.mu.Lock()
	tell := !in.over
	in.over, in.arrived = true, nil
	in.drop()
	in.mu.Unlock()
	in.taken = nil
	if tell {
		in.s.writer.post(wire.AppendCredit(nil, in.id, 0))
	}
}

// charge takes an item of n bytes off the credit. Called by the reader.
func (in *Inbound) charge(n int) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.granted <= 0 {
		return protocolErrorf("item of %d bytes for call id %#x, which has no credit left", n, in.id)
	}
	in.granted -= n + wire.ItemCost
	in.unread += n + wire.ItemCost
	return nil
}

// hold counts an item whose fragments are on their way. It reports false when nobody
// wants it.
func (in *Inbound) hold(total int) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.over {
		return false
	}
	in.held = total
	in.s.partial.Add(int64(total))
	return true
}

// let is the end of hold.
func (in *Inbound) let() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.drop()
}

// drop is let with mu held.
func (in *Inbound) drop() {
	in.s.partial.Add(-int64(in.held))
	in.held = 0
}

// deliver adds a whole item. Called by the reader.
func (in *Inbound) deliver(item []byte) {
	in.mu.Lock()
	if !in.over {
		in.arrived = append(in.arrived, item)
	}
	in.mu.Unlock()
	in.signal()
}

// finish ends the stream: what has arrived may still be taken. Only the first call
// counts.
func (in *Inbound) finish(err error) {
	if in == nil {
		return
	}
	in.mu.Lock()
	if !in.over {
		in.over, in.err = true, err
		in.drop()
	}
	in.mu.Unlock()
	in.signal()
}

func (in *Inbound) signal() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// Outbound is the sending end of a stream. One goroutine may use it.
type Outbound struct {
	s    *Session
	id   uint32
	wake chan struct{}

	mu     sync.Mutex
	credit int
	cut    bool  // a part of an item was sent, and the rest will not be
	held   int   // bytes of it that the peer still counts
	over   bool  // the call is answered: the peer counts nothing of it any more
	err    error // why nothing more can be sent
}

// letGo gives back what the peer counts no longer, for the call is answered.
func (out *Outbound) letGo() {
	if out == nil {
		return
	}
	out.mu.Lock()
	defer out.mu.Unlock()
	out.over = true
	out.s.letGo(&out.held)
}

// isCut reports whether the stream ends in the middle of an item.
func (out *Outbound) isCut() bool {
	if out == nil {
		return false
	}
	out.mu.Lock()
	defer out.mu.Unlock()
	return out.cut
}

func newOutbound(s *Session, id uint32) *Outbound {
	return &Outbound{s: s, id: id, wake: make(chan struct{}, 1), credit: wire.FirstCredit}
}

// Send sends an item made of head and body, which are the caller's again when it
// returns. It waits for credit. The error is ErrStopped when the receiver wants no
// more, ErrTooLarge, one of package context, or why the connection was lost.
func (out *Outbound) Send(ctx context.Context, head, body []byte) error {
	n := len(head) + len(body)
	if n > int(out.s.remote.Message) {
		return ErrTooLarge
	}
	if err := out.reserve(ctx, n+wire.ItemCost); err != nil {
		return err
	}
	h := wire.Header{Type: wire.Item, ID: out.id}
	if n > wire.MaxPayload {
		held := 0
		begun, err := out.s.sendLarge(ctx, &bulk{header: h, head: head, body: body}, &held)
		if begun && err != nil {
			out.mu.Lock()
			out.cut, out.held = true, held
			if out.over { // the answer came while the item was given up
				out.s.letGo(&out.held)
			}
			if out.err == nil {
				out.err = err
			}
			out.mu.Unlock()
		}
		return err
	}
	return out.s.writer.sendSoon(ctx, h, head, body)
}

// reserve waits until there is credit. An item may exceed what is left of it.
func (out *Outbound) reserve(ctx context.Context, n int) error {
	for {
		out.mu.Lock()
		err, free := out.err, out.credit > 0
		if err == nil && free {
			out.credit -= n
		}
		out.mu.Unlock()
		if err != nil || free {
			return err
		}
		select {
		case <-out.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// End ends the caller's stream, with a reason unless it is nil.
func (out *Outbound) End(reason *wire.ErrorBody) {
	out.mu.Lock()
	tell := !out.cut && (out.err == nil || out.err == ErrStopped)
	out.err = ErrClosed
	out.mu.Unlock()
	if !tell {
		return
	}
	if reason == nil {
		out.s.writer.post(wire.AppendHeader(nil, wire.Header{Type: wire.End, ID: out.id}))
		return
	}
	out.s.writer.sendFrame(failureFrame(wire.End, out.id, reason))
}

// add takes a Credit frame of the peer.
func (out *Outbound) add(n int) {
	out.mu.Lock()
	if n == 0 && out.err == nil {
		out.err = ErrStopped
	}
	out.credit = min(out.credit+n, 1<<31-1)
	out.mu.Unlock()
	out.signal()
}

// finish makes Send fail. Only the first reason counts.
func (out *Outbound) finish(err error) {
	if out == nil {
		return
	}
	out.mu.Lock()
	if out.err == nil {
		out.err = err
	}
	out.mu.Unlock()
	out.signal()
}

func (out *Outbound) signal() {
	select {
	case out.wake <- struct{}{}:
	default:
	}
}
