package session

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
)

// TestLargeAnswersWithinWindow has more large results on their way than the peer's
// window holds: they wait for each other.
func TestLargeAnswersWithinWindow(t *testing.T) {
	big := make([]byte, 4<<20-100)
	var ready sync.WaitGroup
	ready.Add(6)
	p := newPair(t, func(in *Incoming) {
		in.Release()
		ready.Done()
		ready.Wait()
		in.Reply(big, nil)
	}, testLimits)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if got, err := invoke(t, p.client, "m", nil); err != nil || len(got) != len(big) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	wg.Wait()
	eventually(t, "nothing is taken", func() bool { return largeInUse(p.server) == 0 })
}

func largeInUse(s *Session) int {
	s.large.mu.Lock()
	defer s.large.mu.Unlock()
	return s.large.inUse
}

// TestCutItem: a stream that was cut off in the middle of an item ends its call with an
// error, and gives its bytes back.
func TestCutItem(t *testing.T) {
	p := newPair(t, func(in *Incoming) {
		in.Release()
		brief, cancel := context.WithCancel(in.Context())
		time.AfterFunc(5*time.Millisecond, cancel)
		var err error
		for err == nil {
			err = in.Out.Send(brief, nil, make([]byte, 3<<20))
		}
		in.Reply(make([]byte, 1<<20), nil) // as if nothing had happened
	}, testLimits)
	for range 20 {
		st := open(t, t.Context(), p.client, wire.Wants)
		for {
			if _, ok, err := st.In.Next(t.Context()); !ok {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
		}
		resp, err := st.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		resp.Release()
	}
	eventually(t, "nothing is taken", func() bool { return largeInUse(p.server) == 0 })
	eventually(t, "nothing is counted", func() bool { return p.client.partial.Load() == 0 })
}

// TestTimeoutIsOfTheWholeCall: what a call waits for its slot is part of its time.
func TestTimeoutIsOfTheWholeCall(t *testing.T) {
	limits := testLimits
	limits.Calls = 1
	p := newPair(t, func(in *Incoming) {
		<-in.Context().Done()
		in.Release()
		in.Fail(&wire.ErrorBody{Kind: wire.KindCanceled})
	}, limits)
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan struct{})
	go func() {
		p.client.Call(ctx, request(t, "m", nil))
		close(first)
	}()
	eventually(t, "the slot is taken", func() bool { return p.server.busy.Load() == 1 })
	time.AfterFunc(150*time.Millisecond, cancel)
	r := request(t, "m", nil)
	r.Timeout = 200 * time.Millisecond
	begun := time.Now()
	if _, err := p.client.Call(t.Context(), r); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begun); took > 300*time.Millisecond {
		t.Logf("it took %v, want about 200ms", took)
	}
	<-first
}

// TestDrainBesideUnsent: the last call to a peer that drains is given up before it was
// sent; the connection is left.
func TestDrainBesideUnsent(t *testing.T) {
	p := newPair(t, echo, testLimits)
	c, err := p.client.calls.tryAcquire(1)
	if err != nil {
		t.Fatal(err)
	}
	p.server.Drain("for a test")
	eventually(t, "the client knows", func() bool {
		p.client.calls.mu.Lock()
		defer p.client.calls.mu.Unlock()
		return p.client.calls.draining
	})
	p.client.unsent(c, c.id, context.Canceled)
	select {
	case <-p.client.Done():
	case <-time.After(10 * time.Second):
		t.Error("the client does not leave")
	}
}
