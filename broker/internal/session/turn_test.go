package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
)

// gated is a handler whose method "slow" waits for the gate.
func gated(gate <-chan struct{}) func(*Incoming) {
	return func(in *Incoming) {
		if string(in.Head.Method) == "slow" {
			select {
			case <-gate:
			case <-in.Context().Done():
			}
		}
		echo(in)
	}
}

// TestSlowMethod: nothing waits behind a method that takes long, although the
// goroutine that reads runs it; not even the reply to a call that came with it.
func TestSlowMethod(t *testing.T) {
	gate := make(chan struct{})
	p := newPair(t, gated(gate), testLimits)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got, err := invoke(t, p.client, "slow", []byte("late")); got != "late" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	eventually(t, "all have arrived", func() bool { return p.server.busy.Load() == 20 })
	for range 100 {
		if got, err := invoke(t, p.client, "quick", []byte("now")); got != "now" || err != nil {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	close(gate)
	wg.Wait()
}

// TestReplyIsNotHeld: a quick call and a slow one come in one record.
func TestReplyIsNotHeld(t *testing.T) {
	gate := make(chan struct{})
	c := newRawClient(t, gated(gate), testLimits)
	hello, _ := wire.AppendControl(nil, wire.Hello, 0, &wire.HelloBody{Limits: testLimits})
	both := hello
	for i, method := range []string{"quick", "slow"} {
		head, _ := wire.AppendCallHead(nil, "obj", method, nil, 0)
		head = append(head, method...)
		both = append(wire.AppendHeader(both, wire.Header{Length: len(head), Type: wire.Call, ID: wire.CallID(1, i, wire.ClientSide)}), head...)
	}
	c.write(both)
	for _, want := range []string{"quick", "slow"} {
		h, p, err := c.next()
		if err != nil || h.Type != wire.Result || string(p) != want {
			t.Fatalf("got %v %q, %v, want %q", h.Type, p, err, want)
		}
		if want == "quick" {
			close(gate)
		}
	}
}

// TestEndBesideStuckMethod: the end of a session does not wait for a method that the
// reading goroutine runs and that heeds nothing.
func TestEndBesideStuckMethod(t *testing.T) {
	release := make(chan struct{})
	entered := make(chan struct{})
	c, s, cc, sc := tlsPair(t)
	client := New(Config{TLS: c, Conn: cc, Side: wire.ClientSide, Local: testLimits, Remote: testLimits})
	server := New(Config{TLS: s, Conn: sc, Side: wire.ServerSide, Local: testLimits, Inline: true, Handler: func(in *Incoming) {
		close(entered)
		<-release
		echo(in)
	}})
	var wg sync.WaitGroup
	wg.Go(func() { client.Run() })
	ended := make(chan error, 1)
	wg.Go(func() { server.Serve(func(err error) { ended <- err }) })
	wg.Go(func() { invoke(t, client, "stuck", nil) })
	<-entered
	client.Kill()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the session does not end")
	}
	server.Close()
	close(release)
	wg.Wait()
	server.Wait()
}

// TestCallerReads: a lone caller reads for itself, and can stop at any byte.
func TestCallerReads(t *testing.T) {
	// alone makes the client's turn free, by calling alone a few times.
	alone := func(t *testing.T, p *pair) {
		t.Helper()
		eventually(t, "a caller reads", func() bool {
			invoke(t, p.client, "quick", nil)
			return p.client.turn.state.Load()&turnMask == turnFree
		})
	}
	t.Run("cancel", func(t *testing.T) {
		p := newPair(t, gated(nil), testLimits)
		alone(t, p)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, cancel)
		if _, err := p.client.Call(ctx, request(t, "slow", nil)); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if got, err := invoke(t, p.client, "quick", []byte("on")); got != "on" || err != nil {
			t.Errorf("afterwards: %q, %v", got, err)
		}
	})
	t.Run("deadline", func(t *testing.T) {
		p := newPair(t, gated(nil), testLimits)
		alone(t, p)
		r := request(t, "slow", nil)
		r.Timeout = 10 * time.Millisecond
		if _, err := p.client.Call(t.Context(), r); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("lost", func(t *testing.T) {
		p := newPair(t, gated(nil), testLimits)
		alone(t, p)
		time.AfterFunc(10*time.Millisecond, p.server.Kill)
		var unanswered *NotAnswered
		if _, err := p.client.Call(t.Context(), request(t, "slow", nil)); !errors.As(err, &unanswered) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("large answer", func(t *testing.T) {
		p := newPair(t, echo, testLimits)
		for _, n := range []int{1, 10 << 10, largestForCaller, largestForCaller + 1, wire.MaxPayload, 1 << 20} {
			alone(t, p)
			if got, err := invoke(t, p.client, "echo", make([]byte, n)); len(got) != n || err != nil {
				t.Errorf("%d bytes: got %d, %v", n, len(got), err)
			}
		}
	})
	t.Run("others meanwhile", func(t *testing.T) {
		gate := make(chan struct{})
		p := newPair(t, gated(gate), testLimits)
		for range 20 {
			alone(t, p)
			first := make(chan error, 1)
			go func() { _, err := invoke(t, p.client, "slow", nil); first <- err }()
			eventually(t, "it reads", func() bool { return p.client.byCaller.Load() })
			for i := range 10 {
				if got, err := invoke(t, p.client, "quick", fmt.Append(nil, i)); got != fmt.Sprint(i) || err != nil {
					t.Fatal(got, err)
				}
			}
			gate <- struct{}{}
			if err := <-first; err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestCallerLeavesHalfAFrame cancels a caller who has read a part of its answer.
func TestCallerLeavesHalfAFrame(t *testing.T) {
	c, s, cc, _ := tlsPair(t)
	client := New(Config{TLS: c, Conn: cc, Side: wire.ClientSide, Local: testLimits, Remote: testLimits})
	var wg sync.WaitGroup
	wg.Go(func() { client.Run() })
	defer func() { client.Close(); s.Close(); wg.Wait() }()
	peer := &rawClient{tls: s}
	if h, _, err := peer.next(); err != nil || h.Type != wire.Hello {
		t.Fatal(h.Type, err)
	}
	// The answer to one call makes the turn free.
	for range 2 * stayReading {
		go func() {
			h, _, _ := peer.next()
			s.Write(append(wire.AppendHeader(nil, wire.Header{Length: 1, Type: wire.Result, ID: h.ID}), 7))
		}()
		if _, err := client.Call(t.Context(), request(t, "m", nil)); err != nil {
			t.Fatal(err)
		}
	}
	if at := client.turn.state.Load() & turnMask; at != turnFree {
		t.Fatalf("state %d, want the turn free", at)
	}
	var id uint32
	sent := make(chan struct{})
	go func() {
		h, _, _ := peer.next()
		id = h.ID
		s.Write(append(wire.AppendHeader(nil, wire.Header{Length: 1000, Type: wire.Result, ID: h.ID}), make([]byte, 500)...))
		close(sent)
	}()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-sent
		time.Sleep(10 * time.Millisecond)
		cancel()
	}()
	if _, err := client.Call(ctx, request(t, "m", nil)); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	// The rest of it comes, and the next call's answer is found behind it.
	if h, _, err := peer.next(); err != nil || h.Type != wire.Cancel || h.ID != id {
		t.Fatalf("got %v, %v, want cancel", h, err)
	}
	go func() {
		h, _, _ := peer.next()
		rest := wire.AppendHeader(make([]byte, 500), wire.Header{Length: 2, Type: wire.Result, ID: h.ID})
		s.Write(append(rest, "ok"...))
	}()
	if got, err := invoke(t, client, "m", nil); got != "ok" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestNobodyReads: what comes while nobody calls is noticed soon.
func TestNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := memPair(t, echo)
		defer p.close()
		for range 2 * stayReading {
			invoke(t, p.client, "m", nil)
		}
		drained := time.Now()
		p.server.Drain("for a test")
		<-p.client.Done()
		if took := time.Since(drained); took > 20*time.Millisecond {
			t.Errorf("noticed after %v", took)
		}
	})
}

// TestTurnStates: a call that has passed on cannot be left, nor another in its place.
func TestTurnStates(t *testing.T) {
	var s turn
	s.begin()
	first := s.enter()
	if !s.passOn(first) || s.leave(first) || s.passOn(first) {
		t.Error("a call passes on once, and then cannot be left")
	}
	second := s.enter()
	if s.leave(first) || s.passOn(first) || !s.leave(second) {
		t.Error("one call was taken for another")
	}
	if s.take() {
		t.Error("a turn that is held was taken")
	}
	s.free()
	if !s.take() || s.take() {
		t.Error("a free turn is taken once")
	}
}
