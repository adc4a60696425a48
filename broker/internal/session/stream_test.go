package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
)

// double answers a stream with each of its items twice, and then with their number.
func double(in *Incoming) {
	in.Release()
	ctx, n := in.Context(), 0
	for {
		item, ok, err := in.In.Next(ctx)
		if err != nil {
			in.Fail(&wire.ErrorBody{Kind: wire.KindApplication, Message: err.Error()})
			return
		}
		if !ok {
			break
		}
		n++
		for range 2 {
			if err := in.Out.Send(ctx, nil, item); err != nil {
				in.Fail(&wire.ErrorBody{Kind: wire.KindApplication, Message: err.Error()})
				return
			}
		}
	}
	in.Reply([]byte(fmt.Sprint(n)), nil)
}

func open(tb testing.TB, ctx context.Context, s *Session, flags wire.Flags) *Stream {
	tb.Helper()
	r := request(tb, "m", nil)
	r.Flags = flags
	st, err := s.Open(ctx, r)
	if err != nil {
		tb.Fatal(err)
	}
	return st
}

// answer is what Wait got, as text.
func answer(tb testing.TB, ctx context.Context, st *Stream) string {
	tb.Helper()
	resp, err := st.Wait(ctx)
	if err != nil {
		return "lost: " + err.Error()
	}
	defer resp.Release()
	if resp.Type == wire.Error {
		var body wire.ErrorBody
		if err := wire.ParseControl(wire.Error, resp.Payload, &body); err != nil {
			tb.Fatal(err)
		}
		return "error: " + body.Message
	}
	return string(resp.Payload)
}

// TestStreamBothWays sends and takes items of all sizes at once, many times the
// window, and looks at every byte.
func TestStreamBothWays(t *testing.T) {
	p := newPair(t, double, testLimits)
	sizes := []int{0, 1, 100, 5000, wire.MaxPayload, wire.MaxPayload + 1, 300_000, 1 << 20}
	item := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, sizes[i%len(sizes)]) }
	const n = 200
	st := open(t, t.Context(), p.client, wire.Sends|wire.Wants)
	sent := make(chan error, 1)
	go func() {
		for i := range n {
			if err := st.Out.Send(t.Context(), nil, item(i)); err != nil {
				sent <- err
				return
			}
		}
		st.Out.End(nil)
		sent <- nil
	}()
	for i := range 2 * n {
		got, ok, err := st.In.Next(t.Context())
		if !ok || err != nil || !bytes.Equal(got, item(i/2)) {
			t.Fatalf("item %d: %d bytes, %v, %v; want %d bytes", i, len(got), ok, err, len(item(i/2)))
		}
	}
	if _, ok, err := st.In.Next(t.Context()); ok || err != nil {
		t.Errorf("after the last item: %v, %v", ok, err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if got := answer(t, t.Context(), st); got != fmt.Sprint(n) {
		t.Errorf("answer %q", got)
	}
	for _, s := range []*Session{p.client, p.server} {
		if held := s.partial.Load(); held != 0 {
			t.Errorf("%d bytes of items are still counted", held)
		}
	}
}

// TestStreamReasons: why a stream ends reaches the other end.
func TestStreamReasons(t *testing.T) {
	t.Run("the sender breaks off", func(t *testing.T) {
		p := newPair(t, double, testLimits)
		st := open(t, t.Context(), p.client, wire.Sends|wire.Wants)
		st.Out.End(&wire.ErrorBody{Kind: wire.KindApplication, Message: "the file is broken"})
		if got, want := answer(t, t.Context(), st), "error: session: the sender broke the stream off: the file is broken"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("the receiver stops", func(t *testing.T) {
		p := newPair(t, func(in *Incoming) {
			in.Release()
			in.In.Next(in.Context())
			in.In.Stop()
			<-in.Context().Done()
			in.Fail(&wire.ErrorBody{Kind: wire.KindCanceled, Message: "gone"})
		}, testLimits)
		ctx, cancel := context.WithCancel(t.Context())
		st := open(t, ctx, p.client, wire.Sends)
		var err error
		for err == nil {
			err = st.Out.Send(ctx, nil, []byte("x"))
		}
		if err != ErrStopped {
			t.Errorf("Send: %v, want ErrStopped", err)
		}
		cancel()
		if got := answer(t, ctx, st); got != "lost: context canceled" {
			t.Errorf("answer %q", got)
		}
	})
	t.Run("answered before the stream ends", func(t *testing.T) {
		p := newPair(t, echo, testLimits)
		st := open(t, t.Context(), p.client, wire.Sends|wire.Wants)
		if got := answer(t, t.Context(), st); got != "" {
			t.Errorf("answer %q", got)
		}
		if err := st.Out.Send(t.Context(), nil, nil); err != ErrStopped {
			t.Errorf("Send: %v, want ErrStopped", err)
		}
		if _, ok, err := st.In.Next(t.Context()); ok || err != nil {
			t.Errorf("Next: %v, %v", ok, err)
		}
		st.Out.End(nil) // for a call that is over
		if _, err := invoke(t, p.client, "m", []byte("next")); err != nil {
			t.Error(err)
		}
	})
	t.Run("the caller gives up", func(t *testing.T) {
		ended := make(chan error, 1)
		p := newPair(t, func(in *Incoming) {
			in.Release()
			var err error
			for err == nil {
				err = in.Out.Send(in.Context(), nil, make([]byte, 1000))
			}
			ended <- err
			in.Fail(&wire.ErrorBody{Kind: wire.KindCanceled})
		}, testLimits)
		ctx, cancel := context.WithCancel(t.Context())
		st := open(t, ctx, p.client, wire.Wants)
		if _, ok, err := st.In.Next(ctx); !ok || err != nil {
			t.Fatal(ok, err)
		}
		cancel()
		st.Wait(ctx)
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the sender got %v", err)
		}
		eventually(t, "the slot is free again", func() bool { return p.client.busy.Load() == 0 })
	})
	t.Run("the deadline passes", func(t *testing.T) {
		p := newPair(t, func(in *Incoming) {
			in.Release()
			_, _, err := in.In.Next(in.Context())
			in.Fail(&wire.ErrorBody{Kind: wire.KindDeadline, Message: err.Error()})
		}, testLimits)
		r := request(t, "m", nil)
		r.Flags, r.Timeout = wire.Sends|wire.Wants, 20*time.Millisecond
		st, err := p.client.Open(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok, err := st.In.Next(t.Context()); ok || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Next: %v, %v", ok, err)
		}
		if err := st.Out.Send(t.Context(), nil, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Send: %v", err)
		}
		if got := answer(t, t.Context(), st); got != "lost: context deadline exceeded" {
			t.Errorf("answer %q", got)
		}
	})
	t.Run("the connection is lost", func(t *testing.T) {
		p := newPair(t, func(in *Incoming) {
			in.Release()
			in.Out.Send(in.Context(), nil, []byte("first"))
			<-in.Context().Done()
			_, _, err := in.In.Next(context.Background())
			if err == nil {
				t.Error("the reading end saw no error")
			}
			in.Fail(&wire.ErrorBody{Kind: wire.KindCanceled})
		}, testLimits)
		st := open(t, t.Context(), p.client, wire.Sends|wire.Wants)
		if got, ok, err := st.In.Next(t.Context()); !ok || string(got) != "first" {
			t.Fatal(ok, err)
		}
		p.server.Kill()
		if _, ok, err := st.In.Next(t.Context()); ok || err == nil {
			t.Errorf("Next: %v, %v", ok, err)
		}
		if err := st.Out.Send(t.Context(), nil, nil); err == nil {
			t.Error("Send worked")
		}
		var unanswered *NotAnswered
		if _, err := st.Wait(t.Context()); !errors.As(err, &unanswered) || !unanswered.Sent {
			t.Errorf("Wait: %v", err)
		}
	})
}

// TestStreamStalls: a reader that takes nothing bounds what the sender can send and
// this end keeps, and stops nobody else on the connection.
func TestStreamStalls(t *testing.T) {
	for _, size := range []int{0, 10, 1000, 100_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			p := newPair(t, func(in *Incoming) {
				if in.Out == nil {
					echo(in)
					return
				}
				in.Release()
				var err error
				for err == nil {
					err = in.Out.Send(in.Context(), nil, make([]byte, size))
				}
				in.Fail(&wire.ErrorBody{Kind: wire.KindCanceled})
			}, testLimits)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			st := open(t, ctx, p.client, wire.Wants)
			if _, ok, err := st.In.Next(ctx); !ok {
				t.Fatal(err) // the window is open in full
			}
			for range 50 {
				if got, err := invoke(t, p.client, "m", []byte("beside")); got != "beside" || err != nil {
					t.Fatal(got, err)
				}
			}
			eventually(t, "the credit is used up", func() bool {
				st.In.mu.Lock()
				defer st.In.mu.Unlock()
				return st.In.granted <= 0
			})
			st.In.mu.Lock()
			kept := 0
			for _, item := range append(st.In.arrived, st.In.taken...) {
				kept += cap(item) + 24
			}
			st.In.mu.Unlock()
			if most := streamWindow + size + size/4 + 1000; kept > most {
				t.Errorf("%d bytes are kept, want at most %d", kept, most)
			}
			cancel()
			st.Wait(ctx)
		})
	}
}

// TestStreamIsTheCallsOwn: the same id on another connection reaches nothing.
func TestStreamIsTheCallsOwn(t *testing.T) {
	got := make(chan string, 1)
	handler := func(in *Incoming) {
		in.Release()
		item, _, _ := in.In.Next(in.Context())
		got <- string(item)
		in.Reply(nil, nil)
	}
	owner := newPair(t, handler, testLimits)
	st := open(t, t.Context(), owner.client, wire.Sends)
	thief := newRawClient(t, handler, testLimits).hello()
	thief.frame(wire.Item, 0, st.begun.id, []byte("stolen")).frame(wire.End, 0, st.begun.id, nil).frame(wire.Credit, 0, st.begun.id, []byte{0, 0, 0, 0})
	if err := st.Out.Send(t.Context(), nil, []byte("mine")); err != nil {
		t.Fatal(err)
	}
	if s := <-got; s != "mine" {
		t.Errorf("got %q", s)
	}
	if got := answer(t, t.Context(), st); got != "" {
		t.Error(got)
	}
}
