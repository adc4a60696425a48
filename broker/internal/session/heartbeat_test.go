package session

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/internal/memnet"
)

func memPair(t *testing.T, handler func(*Incoming)) *pair {
	t.Helper()
	a, b := memnet.Pipe()
	c, s, cc, sc := handshake(t, a, b)
	return startPair(t, c, s, cc, sc, handler, testLimits)
}

// TestHeartbeat has an hour pass on an idle connection.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := memPair(t, echo)
		defer p.close()
		if got, err := invoke(t, p.client, "echo", []byte("a")); got != "a" || err != nil {
			t.Fatalf("got %q, %v", got, err)
		}
		time.Sleep(time.Hour)
		if got, err := invoke(t, p.client, "echo", []byte("b")); got != "b" || err != nil {
			t.Fatalf("after an hour: %q, %v", got, err)
		}
	})
}

// TestLongCall sees that a call that takes longer than the idle time is not
// taken for a dead connection.
func TestLongCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := memPair(t, func(in *Incoming) {
			in.Release()
			time.Sleep(10 * time.Minute)
			in.Reply([]byte("late"), nil)
		})
		defer p.close()
		if got, err := invoke(t, p.client, "m", nil); got != "late" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// TestSilentPeer sees that a peer that neither speaks nor closes is given up
// after the idle time, and not before.
func TestSilentPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memnet.Pipe()
		c, s, cc, _ := handshake(t, a, b)
		defer s.NetConn().Close()
		session := New(Config{TLS: c, Conn: cc, Side: wire.ClientSide, Local: testLimits, Remote: testLimits})
		begin := time.Now()
		err := session.Run()
		took := time.Since(begin)
		if err == nil || !strings.Contains(err.Error(), "nothing came from the peer") {
			t.Errorf("ended with %v", err)
		}
		if idle := time.Duration(testLimits.IdleSeconds) * time.Second; took < idle || took > 2*idle {
			t.Errorf("given up after %v, want about %v", took, idle)
		}
		session.Close()
	})
}

// TestEndsMeet has a call's context, its timeout and its answer come at the same
// moment, in any order. The call must have one end, and the next one its own.
func TestEndsMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := memPair(t, func(in *Incoming) {
			if string(in.Head.Method) == "echo" {
				echo(in)
				return
			}
			in.Release()
			time.Sleep(time.Second)
			in.Reply([]byte("late"), nil)
		})
		defer p.close()
		for i := range 300 {
			r := request(t, "wait", nil)
			r.Timeout = time.Second
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			resp, err := p.client.Call(ctx, r)
			cancel()
			if err == nil && string(resp.Payload) != "late" || err != nil && err != context.DeadlineExceeded {
				t.Fatalf("round %d: %q, %v", i, resp.Payload, err)
			}
			if got, err := invoke(t, p.client, "echo", []byte("next")); got != "next" || err != nil {
				t.Fatalf("round %d, the next call: %q, %v", i, got, err)
			}
		}
	})
}
