package broker_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
)

func TestShutdown(t *testing.T) {
	w := newWorld(t, nil)
	b := newBank()
	p := w.register("bank", b)
	result := make(chan error, 1)
	go func() { result <- p.Call(t.Context(), "Gate", nil) }()
	eventually(t, "the call runs", func() bool {
		select {
		case b.gate <- struct{}{}: // one call passes the gate
			return true
		default:
			return false
		}
	})
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	go func() { result <- p.Call(t.Context(), "Gate", nil) }()
	stopped := make(chan error, 1)
	time.Sleep(50 * time.Millisecond)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		stopped <- w.daemon.Shutdown(ctx)
	}()
	eventually(t, "new calls are refused", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		return p.Call(ctx, "Nothing", nil) != nil
	})
	close(b.gate)
	if err := <-result; err != nil {
		t.Errorf("a call in flight did not survive the shutdown: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// TestShutdownCutsOff has a method that does not end.
func TestShutdownCutsOff(t *testing.T) {
	w := newWorld(t, nil)
	p := w.register("bank", newBank())
	result := make(chan error, 1)
	go func() { result <- p.Call(t.Context(), "Wait", nil) }()
	time.Sleep(50 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := w.daemon.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	var e *broker.Error
	if err := <-result; !errors.As(err, &e) || e.Kind != broker.KindLost && e.Kind != broker.KindCanceled {
		t.Errorf("the call that was cut off: %v", err)
	}
}

// TestDaemonRestart sees that a proxy comes back by itself.
func TestDaemonRestart(t *testing.T) {
	w := newWorld(t, nil)
	w.daemon.Register("bank", newBank())
	addr := w.daemon.Addr().String()
	p := w.proxy(w.client("alice@bank.example", nil), w.uri("bank"))
	if err := p.Call(t.Context(), "Nothing", nil); err != nil {
		t.Fatal(err)
	}
	w.daemon.Close()
	var e *broker.Error
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := p.Call(ctx, "Nothing", nil); err == nil || !strings.Contains(err.Error(), "localhost") {
		t.Errorf("without a daemon: %v %v", err, e)
	}
	second := newWorld(t, func(c *broker.Config) {
		c.Addr = addr
		c.Certs = source(t, w.ca, w.ca.Server(t, "localhost"))
	})
	second.daemon.Register("bank", newBank())
	if err := p.Call(t.Context(), "Nothing", nil); err != nil {
		t.Errorf("after the restart: %v", err)
	}
}

// TestExpiry sees that a session ends when its certificate does, with the reason.
func TestExpiry(t *testing.T) {
	w := newWorld(t, nil)
	w.daemon.Register("bank", newBank())
	short := w.ca.Issue(t, clientLeaf("alice@bank.example", 2*time.Second))
	c := w.client("alice@bank.example", func(c *broker.ClientConfig) { c.Certs = source(t, w.ca, short) })
	p := w.proxy(c, w.uri("bank"))
	var e *broker.Error
	err := p.Call(t.Context(), "Wait", nil)
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "it expired on") && e.Kind != broker.KindCanceled {
		t.Errorf("a call at the end of the certificate: %v", err)
	}
	if log := w.log.String(); !strings.Contains(log, "check=dates") || !strings.Contains(log, "it expired on") {
		t.Errorf("the daemon's log does not say why: %s", log)
	}
}

// cutListener hands out connections that tell when they are accepted for good, and
// count the deadlines in the past that are set after that.
type cutListener struct {
	net.Listener
	accepted func()
	late     atomic.Int32
}

func (l *cutListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &cutConn{Conn: c, l: l}, err
}

type cutConn struct {
	net.Conn
	l    *cutListener
	done atomic.Bool
}

func (c *cutConn) SetDeadline(t time.Time) error {
	switch {
	case t.IsZero():
		c.done.Store(true)
		c.l.accepted()
	case c.done.Load() && t.Before(time.Now()):
		c.l.late.Add(1)
	}
	return c.Conn.SetDeadline(t)
}

// TestShutdownRightAfterWelcome begins a shutdown in the moment in which a
// connection has been accepted: what bounds handshakes must not cut its calls off.
func TestShutdownRightAfterWelcome(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &cutListener{Listener: inner}
	w := newWorld(t, func(c *broker.Config) { c.Listener = l })
	p := w.register("bank", newBank())
	l.accepted = func() {
		go w.daemon.Shutdown(context.Background())
		for { // until the daemon accepts no more
			c, err := net.Dial("tcp", inner.Addr().String())
			if err != nil {
				break
			}
			c.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	p.Call(ctx, "Nothing", nil) // how it ends depends on who was first
	if n := l.late.Load(); n != 0 {
		t.Errorf("%d deadlines in the past on an accepted connection, want none", n)
	}
}
