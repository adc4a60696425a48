package attack

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// TestResetStorm: many connections are reset at every stage there is, while honest
// clients connect and call. No honest call fails, nothing stays behind, and the daemon's
// log has no line of level error.
func TestResetStorm(t *testing.T) {
	ca := testca.New(t)
	w := newWorld(t, ca, func(c *broker.Config) {
		c.Validator, c.MaxHandshakes = admit(t, validator.Config{MaxConnections: 5000}), 1024
		c.MaxHandshakesPerAddress = 256
	})
	mallory, alice := ca.Client(t, "mallory@bank.example"), ca.Client(t, "alice@bank.example")
	hello := clientHello()
	id := wire.CallID(1, 0, wire.ClientSide)
	var left atomic.Int64 // stages that were begun
	stages := []func(net.Conn) error{
		func(c net.Conn) error { return nil },
		func(c net.Conn) error { _, err := c.Write(hello[:100]); return err },
		func(c net.Conn) error { _, err := c.Write(hello); return err },
		func(c net.Conn) error { return tls.Client(c, reckless(mallory)).Handshake() },
		func(c net.Conn) error { return entered(c, mallory, nil) },
		func(c net.Conn) error {
			return entered(c, mallory, frameOf(wire.Call, 0, id, callTo("target", "Wait")))
		},
		func(c net.Conn) error {
			return entered(c, mallory, frameOf(wire.Call, 0, id, callTo("target", "Nothing"))[:20])
		},
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var wg sync.WaitGroup
	dialer := from("127.0.0.3")
	for range 8 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				c, err := dialer(ctx, "tcp", w.daemon.Addr().String())
				if err != nil {
					continue
				}
				c.SetDeadline(time.Now().Add(patience))
				if err := stages[n%len(stages)](c); err != nil && ctx.Err() == nil {
					t.Errorf("stage %d: %v", n%len(stages), err)
				}
				time.Sleep(rand.N(time.Millisecond))
				c.(*net.TCPConn).SetLinger(0) // close resets
				c.Close()
				left.Add(1)
			}
		})
	}
	var calls, connects int
	steady := w.proxy(w.client(alice, nil), "target")
	storm := int64(scaled(500, 10_000))
	for left.Load() < storm || connects < 5 {
		if ctx.Err() != nil {
			t.Fatalf("%d resets and %d honest connects in a minute, want %d and 5", left.Load(), connects, storm)
		}
		if err := steady.Call(t.Context(), "Nothing", nil); err != nil {
			t.Errorf("a call of an honest client: %v", err)
		}
		calls++
		if calls%20 == 0 {
			c := w.client(alice, nil)
			if err := w.proxy(c, "target").Call(t.Context(), "Nothing", nil); err != nil {
				t.Errorf("an honest client connects: %v", err)
			}
			c.Close()
			connects++
		}
	}
	stop()
	wg.Wait()
	t.Logf("%d resets, %d honest calls, %d honest connects", left.Load(), calls, connects)
	eventually(t, "what was reset is gone", func() bool {
		return w.metric("handshakes") == "0" && w.metric("sessions") == "1" && w.metric("calls_in_flight") == "0"
	})
	if lines := w.log.find(func(l line) bool { return l.level > 4 }); len(lines) != 0 {
		t.Errorf("errors in the log: %v", lines)
	}
}

// entered connects up to the welcome, and sends something after the hello.
func entered(c net.Conn, p interface{ TLS() tls.Certificate }, then []byte) error {
	own := p.TLS()
	config := reckless(testca.Pair{})
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
	s := &raw{Conn: tls.Client(c, config)}
	if err := s.Handshake(); err != nil {
		return err
	}
	if h, _, err := s.next(); err != nil || h.Type != wire.Welcome {
		return errors.Join(err, errors.New(h.Type.String()))
	}
	if then != nil {
		s.hello().send(then)
	}
	return nil
}
