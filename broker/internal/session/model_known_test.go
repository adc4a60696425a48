package session

import (
	"context"
	"io"
	"sync"
	"testing"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
)

// TestItemCutAfterAnswer: the call is answered while its caller sends a large item,
// which is then given up. The item gives its bytes back.
func TestItemCutAfterAnswer(t *testing.T) {
	limits := testLimits
	limits.Message, limits.Window = 64<<20, 64<<20 // more than the socket takes
	c, s, cc, _ := tlsPair(t)
	client := New(Config{TLS: c, Conn: cc, Side: wire.ClientSide, Local: limits, Remote: limits})
	var wg sync.WaitGroup
	wg.Go(func() { client.Run() })
	defer func() {
		s.NetConn().Close()
		client.Close()
		wg.Wait()
	}()
	st := open(t, t.Context(), client, wire.Sends)
	ctx, cancel := context.WithCancel(t.Context())
	sent := make(chan error, 1)
	wg.Go(func() { sent <- st.Out.Send(ctx, nil, make([]byte, 60<<20)) })
	var id uint32
	for id == 0 { // the daemon reads as far as the call
		var head [wire.HeaderSize]byte
		if _, err := io.ReadFull(s, head[:]); err != nil {
			t.Fatal(err)
		}
		h, _ := wire.ParseHeader(head[:])
		io.CopyN(io.Discard, s, int64(h.Length))
		id = h.ID
	}
	eventually(t, "the item is under way", func() bool {
		client.large.mu.Lock()
		defer client.large.mu.Unlock()
		return client.large.inUse > 0
	})
	s.Write(wire.AppendHeader(nil, wire.Header{Type: wire.Result, ID: id}))
	if _, err := st.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-sent; err != context.Canceled {
		t.Fatalf("Send: %v", err)
	}
	client.large.mu.Lock()
	defer client.large.mu.Unlock()
	if client.large.inUse != 0 {
		t.Errorf("%d bytes are taken without end", client.large.inUse)
	}
}

// TestLargeCallInTakenSlot: a call that is larger than the limit ends the connection too
// when its slot is taken by a call of another generation, or does not exist. PROTOCOL §3.4.
func TestLargeCallInTakenSlot(t *testing.T) {
	limits := testLimits
	limits.Calls = 4
	for _, id := range []uint32{wire.CallID(2, 0, wire.ClientSide), wire.CallID(1, 4, wire.ClientSide)} {
		c := newRawClient(t, echo, limits).hello()
		c.frame(wire.Call, wire.More, wire.CallID(1, 0, wire.ClientSide), firstFragment(1<<20))
		c.frame(wire.Call, wire.More, id, firstFragment(1<<30))
		if h, _, err := c.next(); h.Type != wire.GoAway {
			t.Errorf("call %#x: got %v, %v, want goaway", id, h.Type, err)
		}
		c.tls.NetConn().Close()
	}
}
