package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
)

func TestEcho(t *testing.T) {
	p := newPair(t, echo, testLimits)
	sizes := []int{0, 1, 100, 512, 4 << 10, 16 << 10, wire.MaxPayload - 100, wire.MaxPayload, wire.MaxPayload + 1, 1 << 20, 4<<20 - 100}
	for _, n := range sizes {
		args := bytes.Repeat([]byte("x"), n)
		got, err := invoke(t, p.client, "echo", args)
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if got != string(args) {
			t.Fatalf("%d bytes: got %d back", n, len(got))
		}
	}
}

// TestSideBySide has many more callers than slots, of small and large messages,
// and sees that each gets its own answer.
func TestSideBySide(t *testing.T) {
	limits := testLimits
	limits.Calls = 16
	limits.Window = limits.Message
	p := newPair(t, echo, limits)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			for j := range 20 {
				n := 10
				if (i+j)%50 == 0 {
					n = 300 << 10
				}
				args := bytes.Repeat([]byte{byte(i), byte(j)}, n)
				got, err := invoke(t, p.client, "echo", args)
				if err != nil || got != string(args) {
					t.Errorf("caller %d, call %d: %d bytes back, error %v", i, j, len(got), err)
					return
				}
			}
		})
	}
	wg.Wait()
	eventually(t, "all slots are free", func() bool {
		p.server.incoming.mu.Lock()
		defer p.server.incoming.mu.Unlock()
		return p.server.incoming.inFlight == 0 && p.server.incoming.window == int(limits.Window)
	})
	if p.client.busy.Load() != 0 || p.client.calls.window != int(limits.Window) {
		t.Errorf("after all calls: busy %d, window %d", p.client.busy.Load(), p.client.calls.window)
	}
}

func TestTooLarge(t *testing.T) {
	big := bytes.Repeat([]byte("y"), 4<<20)
	p := newPair(t, func(in *Incoming) {
		in.Release()
		if err := in.Reply(big, big); err != ErrTooLarge {
			panic("an oversized result was accepted")
		}
		in.Fail(&wire.ErrorBody{Kind: wire.KindTooLarge, Message: "too large"})
	}, testLimits)
	if _, err := invoke(t, p.client, "m", big); err != ErrTooLarge {
		t.Errorf("call over the limit: got %v, want ErrTooLarge", err)
	}
	var r remote
	if _, err := invoke(t, p.client, "m", nil); !errors.As(err, &r) || r.Kind != wire.KindTooLarge {
		t.Errorf("result over the limit: got %v, want kind too large", err)
	}
	// The daemon checks too: a client that lies about the limit gets an error,
	// and the connection lives on.
	p.client.remote.Message = 64 << 20
	p.client.calls.message = int(p.client.remote.Message)
	p.client.calls.window = 64 << 20
	if _, err := invoke(t, p.client, "m", append(big, big...)); !errors.As(err, &r) || r.Kind != wire.KindTooLarge {
		t.Errorf("call over the daemon's limit: got %v, want kind too large", err)
	}
	if _, err := invoke(t, p.client, "m", nil); !errors.As(err, &r) {
		t.Errorf("the connection did not survive: %v", err)
	}
}

// TestCancel gives up in the middle and sees that the method's context ends,
// that the slot is used again, and that no answer meets another call.
func TestCancel(t *testing.T) {
	started, ended := make(chan struct{}), make(chan error, 1)
	p := newPair(t, func(in *Incoming) {
		if string(in.Head.Method) == "echo" {
			echo(in)
			return
		}
		in.Release()
		ctx := in.Context()
		close(started)
		<-ctx.Done()
		ended <- ctx.Err()
		in.Reply([]byte("late"), nil)
	}, testLimits)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := p.client.Call(ctx, request(t, "wait", nil))
		result <- err
	}()
	<-started
	cancel()
	if err := <-result; err != context.Canceled {
		t.Errorf("caller got %v, want context.Canceled", err)
	}
	if err := <-ended; err != context.Canceled {
		t.Errorf("method's context: %v, want context.Canceled", err)
	}
	for range 10 {
		if got, err := invoke(t, p.client, "echo", []byte("a")); got != "a" || err != nil {
			t.Fatalf("after cancel: got %q, %v", got, err)
		}
	}
	eventually(t, "the slot is free again", func() bool { return p.client.busy.Load() == 0 })
}

func TestDeadline(t *testing.T) {
	ended := make(chan error, 2)
	p := newPair(t, func(in *Incoming) {
		in.Release()
		ctx := in.Context()
		<-ctx.Done()
		ended <- ctx.Err()
		in.Fail(&wire.ErrorBody{Kind: wire.KindDeadline})
	}, testLimits)
	head, _ := wire.AppendCallHead(nil, "obj", "wait", nil, 30)
	resp, err := p.client.Call(t.Context(), &Request{Head: head})
	if err != nil || resp.Type != wire.Error {
		t.Fatalf("deadline on the daemon's side: got %v, %v", resp.Type, err)
	}
	if err := <-ended; err != context.DeadlineExceeded {
		t.Errorf("method's context: %v", err)
	}
	r := request(t, "wait", nil)
	r.Timeout = 30 * time.Millisecond
	if _, err := p.client.Call(t.Context(), r); err != context.DeadlineExceeded {
		t.Errorf("deadline on the caller's side: got %v", err)
	}
	if err := <-ended; err != context.Canceled {
		t.Errorf("method's context after the caller gave up: %v", err)
	}
	eventually(t, "the slot is free again", func() bool { return p.client.busy.Load() == 0 })
}

// TestContextFollows sees that a context derived from a call's ends with it and
// without a goroutine of its own.
func TestContextFollows(t *testing.T) {
	derived := make(chan context.Context, 1)
	p := newPair(t, func(in *Incoming) {
		in.Release()
		ctx, cancel := context.WithCancel(in.Context())
		_ = cancel
		derived <- ctx
		in.Reply(nil, nil)
	}, testLimits)
	if _, err := invoke(t, p.client, "m", nil); err != nil {
		t.Fatal(err)
	}
	select {
	case <-(<-derived).Done():
	case <-time.After(5 * time.Second):
		t.Error("a derived context outlives its call")
	}
}

func TestOneway(t *testing.T) {
	var ran atomic.Int32
	p := newPair(t, func(in *Incoming) {
		if !in.Oneway() {
			panic("oneway flag lost")
		}
		in.Release()
		ran.Add(1)
		in.Fail(&wire.ErrorBody{Kind: wire.KindDenied, Message: "no"})
	}, testLimits)
	failed := make(chan string, 100)
	for range 100 {
		r := request(t, "m", []byte("a"))
		r.Flags = wire.Oneway
		r.After = func(resp *Response) {
			if resp == nil {
				failed <- "lost"
				return
			}
			failed <- resp.Type.String()
		}
		if _, err := p.client.Call(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	p.client.Finish(10 * time.Second)
	if n := ran.Load(); n != 100 {
		t.Errorf("%d oneway calls ran before Finish returned, want 100", n)
	}
	for range 100 {
		if got := <-failed; got != "error" {
			t.Fatalf("After saw %q, want the error", got)
		}
	}
}

func TestDrain(t *testing.T) {
	release := make(chan struct{})
	started := make(chan struct{})
	p := newPair(t, func(in *Incoming) {
		in.Release()
		close(started)
		<-release
		in.Reply([]byte("done"), nil)
	}, testLimits)
	result := make(chan error, 1)
	go func() {
		got, err := invoke(t, p.client, "slow", nil)
		if err == nil && got != "done" {
			err = fmt.Errorf("got %q", got)
		}
		result <- err
	}()
	<-started
	idle := p.server.Drain("going")
	eventually(t, "the client knows", func() bool {
		_, err := invoke(t, p.client, "m", nil)
		return err == ErrDraining
	})
	select {
	case <-idle:
		t.Fatal("idle with a call in flight")
	default:
	}
	close(release)
	if err := <-result; err != nil {
		t.Errorf("a call in flight did not survive the drain: %v", err)
	}
	<-idle
	select {
	case <-p.server.Done(): // the client leaves after its last answer
	case <-time.After(5 * time.Second):
		t.Error("the client does not leave a drained connection")
	}
}

// TestEnd sees that a reason reaches the peer, and what runs is cancelled.
func TestEnd(t *testing.T) {
	started := make(chan struct{})
	p := newPair(t, func(in *Incoming) {
		in.Release()
		close(started)
		<-in.Context().Done()
		in.Reply(nil, nil)
	}, testLimits)
	result := make(chan error, 1)
	go func() {
		_, err := invoke(t, p.client, "wait", nil)
		result <- err
	}()
	<-started
	why := errors.New("revoked")
	p.server.End(wire.GoAwayBody{Reason: "revoked", Check: "serial", Incident: "I"}, why)
	var ended *Ended
	err := <-result
	if err != nil && (!errors.As(err, &ended) || ended.Incident != "I") {
		t.Errorf("caller got %v, want the reason", err)
	}
	<-p.client.Done()
	if !errors.As(p.client.Err(), &ended) || ended.Reason != "revoked" || ended.Check != "serial" {
		t.Errorf("client session ended with %v", p.client.Err())
	}
	if p.server.Err() != why {
		t.Errorf("server session ended with %v", p.server.Err())
	}
}

// TestLost sees what is known of calls when the connection breaks.
func TestLost(t *testing.T) {
	started := make(chan struct{})
	p := newPair(t, func(in *Incoming) {
		in.Release()
		close(started)
		<-in.Context().Done()
		in.Reply(nil, nil)
	}, testLimits)
	result := make(chan error, 1)
	go func() {
		_, err := invoke(t, p.client, "wait", nil)
		result <- err
	}()
	<-started
	p.server.Kill()
	var n *NotAnswered
	if err := <-result; !errors.As(err, &n) || !n.Sent {
		t.Errorf("call in flight: got %v, want NotAnswered and sent", err)
	}
	<-p.client.Done()
	if _, err := invoke(t, p.client, "m", nil); !errors.As(err, &n) || n.Sent {
		t.Errorf("call on a dead session: got %v, want NotAnswered and not sent", err)
	}
}

// TestStalledPeer has a peer that reads nothing. Callers must get away in time,
// and what is held for the peer must stay bounded.
func TestStalledPeer(t *testing.T) {
	c, silent, cc, _ := tlsPair(t)
	defer silent.NetConn().Close() // not earlier, as the collector might
	s := New(Config{TLS: c, Conn: cc, Side: wire.ClientSide, Local: testLimits, Remote: testLimits})
	var wg sync.WaitGroup
	wg.Go(func() { s.Run() })
	defer wg.Wait()
	defer s.Close()
	args := bytes.Repeat([]byte("z"), 32<<10)
	var callers sync.WaitGroup
	for range 400 {
		callers.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if _, err := s.Call(ctx, request(t, "m", args)); err != context.DeadlineExceeded {
				t.Errorf("got %v, want context.DeadlineExceeded", err)
			}
		})
	}
	begin := time.Now()
	callers.Wait()
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("callers of a stalled peer waited for %v", took)
	}
	s.writer.mu.Lock()
	held := len(s.writer.pend)
	s.writer.mu.Unlock()
	cc.mu.Lock()
	held += len(cc.out) + len(cc.taken)
	cc.mu.Unlock()
	if limit := 2*maxPending + 4*wire.MaxFrame; held > limit {
		t.Errorf("%d bytes held for a peer that does not read, want at most %d", held, limit)
	}
}

// TestSmallBesideLarge sees that a small call does not wait for a large one.
func TestSmallBesideLarge(t *testing.T) {
	p := newPair(t, echo, testLimits)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		large := bytes.Repeat([]byte("L"), 4<<20-1000)
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := invoke(t, p.client, "echo", large); err != nil {
					t.Errorf("large: %v", err)
					return
				}
			}
		}
	})
	for range 200 {
		if got, err := invoke(t, p.client, "echo", []byte("s")); got != "s" || err != nil {
			t.Errorf("small: %q, %v", got, err)
			break
		}
	}
	close(stop)
	wg.Wait()
}

// TestWindow sees that a call waits for room in the window, within its time.
func TestWindow(t *testing.T) {
	limits := testLimits
	limits.Window, limits.Message = 1<<20, 1<<20
	release := make(chan struct{})
	p := newPair(t, func(in *Incoming) {
		in.Release()
		<-release
		in.Reply(nil, nil)
	}, limits)
	var wg sync.WaitGroup
	args := bytes.Repeat([]byte("w"), 700<<10)
	wg.Go(func() {
		if _, err := invoke(t, p.client, "first", args); err != nil {
			t.Errorf("first: %v", err)
		}
	})
	eventually(t, "the first call arrived", func() bool {
		p.server.incoming.mu.Lock()
		defer p.server.incoming.mu.Unlock()
		return p.server.incoming.inFlight == 1
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := p.client.Call(ctx, request(t, "second", args)); err != context.DeadlineExceeded {
		t.Errorf("a call beyond the window: got %v, want it to wait", err)
	}
	close(release)
	wg.Wait()
	if _, err := invoke(t, p.client, "third", args); err != nil {
		t.Errorf("after the window was free again: %v", err)
	}
}

func TestErrorTextIsCut(t *testing.T) {
	p := newPair(t, func(in *Incoming) {
		in.Release()
		in.Fail(&wire.ErrorBody{Kind: wire.KindApplication, Message: strings.Repeat("é", 100<<10), Data: bytes.Repeat([]byte{1}, 100<<10)})
	}, testLimits)
	var r remote
	if _, err := invoke(t, p.client, "m", nil); !errors.As(err, &r) || len(r.Message) > maxText+10 {
		t.Errorf("got %d bytes of %T", len(r.Message), err)
	}
}
