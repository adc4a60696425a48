package session

import (
	"sync/atomic"
	"testing"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
)

// TestBacklog: a peer asks for large results and reads none. Few of its calls are run
// until it reads; then all are answered, and those that were cancelled meanwhile say so
// without having run.
func TestBacklog(t *testing.T) {
	const calls, size = 200, 1 << 20
	limits := testLimits
	limits.Window = 4 * size
	var runs atomic.Int32
	result := make([]byte, size)
	c := newRawClient(t, func(in *Incoming) {
		in.Release()
		runs.Add(1)
		in.Reply(result, nil)
	}, limits).hello()
	id := func(slot int) uint32 { return wire.CallID(1, slot, wire.ClientSide) }
	for slot := range calls {
		c.frame(wire.Call, 0, id(slot), callPayload(nil))
	}
	flying := func(most int) func() bool {
		return func() bool {
			incoming, _ := c.s.InFlight()
			return incoming <= most
		}
	}
	eventually(t, "the calls have come", func() bool { return !flying(calls - 40)() })
	for slot := 100; slot < calls; slot++ {
		c.frame(wire.Cancel, 0, id(slot), nil)
	}
	eventually(t, "the cancelled calls are over", flying(100))
	// 4 results fill the backlog; the socket may have taken a few more.
	if n := runs.Load(); n > 40 {
		t.Errorf("%d calls were run for a peer that does not read", n)
	}
	var results, cancelled int
	for whole := 0; whole < calls; {
		h, p, err := c.next()
		if err != nil {
			t.Fatalf("after %d results and %d errors: %v", results, cancelled, err)
		}
		switch {
		case h.Type == wire.Error:
			var body wire.ErrorBody
			if err := wire.ParseControl(h.Type, p, &body); err != nil || body.Kind != wire.KindCanceled {
				t.Errorf("%+v, %v, want cancelled", body, err)
			}
			cancelled++
			whole++
		case h.Flags&wire.More == 0:
			results++
			whole++
		}
	}
	if n := int(runs.Load()); n < results || cancelled < 80 || results+cancelled != calls {
		t.Errorf("%d runs, %d results, %d cancelled", n, results, cancelled)
	}
	c.s.backlog.mu.Lock()
	defer c.s.backlog.mu.Unlock()
	if c.s.backlog.bytes != 0 {
		t.Errorf("%d bytes are still counted", c.s.backlog.bytes)
	}
}
