package session

import (
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
