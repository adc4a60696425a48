package attack

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"iter"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// slow is a peer that stops in the middle of something.
type slow struct {
	name string
	// stop gets a connection to that point, and returns it.
	stop func() net.Conn
	// drip, if not 0, is how often one more byte is sent from there on.
	drip time.Duration
}

// reaped fails the test unless the daemon ends the connection, and not before least is
// over. It prints when.
func (s slow) reaped(t *testing.T, c net.Conn, least time.Duration) {
	t.Helper()
	begin := time.Now()
	below := c
	if t, ok := c.(*tls.Conn); ok { // a deny frame is read, a reset is the end too
		below = t.NetConn()
	}
	done := make(chan struct{})
	if s.drip > 0 {
		go func() { // ends with the connection
			defer close(done)
			for {
				time.Sleep(s.drip)
				if _, err := c.Write([]byte{0}); err != nil {
					return
				}
			}
		}()
	} else {
		close(done)
	}
	below.SetReadDeadline(begin.Add(patience))
	_, err := io.Copy(io.Discard, below)
	took := time.Since(begin)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() || took < least {
		t.Errorf("%s: ended after %v (%v), want an end, and after %v", s.name, took, err, least)
	}
	t.Logf("%s: ended after %v", s.name, took.Round(time.Millisecond))
	below.Close()
	<-done
}

// clientHello is what a client sends first.
func clientHello() []byte {
	var b recording
	tls.Client(&b, &tls.Config{ServerName: "localhost", NextProtos: []string{"pyrossl/1"}, MinVersion: tls.VersionTLS13}).Handshake()
	return b.Bytes()
}

// recording keeps what is written, and has nothing to say.
type recording struct {
	bytes.Buffer
	net.Conn
}

func (r *recording) Write(p []byte) (int, error) { return r.Buffer.Write(p) }
func (r *recording) Read([]byte) (int, error)    { return 0, io.EOF }
func (r *recording) Close() error                { return nil }

// TestSlowBeforeTheVerdict: whoever stops before the verdict, or goes on by a byte at a
// time, is gone when the time of a handshake is over, and stands in nobody's way.
func TestSlowBeforeTheVerdict(t *testing.T) {
	t.Parallel()
	ca := testca.New(t)
	v := admit(t, validator.Config{})
	pass := canaries.passphrase("whoever is slow does not finish it")
	if err := v.SetAllowedIdentifications([]validator.Identification{validator.Passphrase(pass)}); err != nil {
		t.Fatal(err)
	}
	const budget = 1500 * time.Millisecond
	w := newWorld(t, ca, func(c *broker.Config) {
		c.Validator, c.HandshakeTimeout, c.MaxHandshakesPerAddress = v, budget, 100
	})
	mallory := ca.Client(t, "mallory@bank.example")
	hello := clientHello()
	said := func(b []byte) func() net.Conn {
		return func() net.Conn { c := w.dial(); c.Write(b); return c }
	}
	after := func(b []byte) func() net.Conn {
		return func() net.Conn { c := w.challenged(mallory); c.Write(b); return c.Conn }
	}
	ident := frameOf(wire.Ident, 0, 0, make([]byte, 100))
	all := []slow{
		{"a connection", said(nil), 0},
		{"one byte", said(hello[:1]), 0},
		{"half a record header", said(hello[:3]), 0},
		{"half a ClientHello", said(hello[:len(hello)/2]), 0},
		{"a ClientHello but for one byte", said(hello[:len(hello)-1]), 0},
		{"a ClientHello", said(hello), 0},
		{"a ClientHello by the byte", said(hello[:5]), 20 * time.Millisecond},
		{"TLS", after(nil), 0},
		{"half a header", after(ident[:5]), 0},
		{"half an identification", after(ident[:50]), 0},
		{"an identification by the byte", after(ident[:wire.HeaderSize]), 20 * time.Millisecond},
	}
	var wg sync.WaitGroup
	for _, s := range all {
		c := s.stop()
		wg.Go(func() { s.reaped(t, c, 0) })
	}
	if err := w.proxy(w.client(ca.Client(t, "alice@bank.example"), func(c *broker.ClientConfig) {
		c.Identification = validator.Passphrase(pass)
	}), "target").Call(t.Context(), "Nothing", nil); err != nil {
		t.Errorf("meanwhile, an honest client: %v", err)
	}
	wg.Wait()
	eventually(t, "no handshake is left", func() bool {
		return w.metric("handshakes") == "0"
	})
	timeouts := w.log.find(func(l line) bool { return l.attrs["check"] == string(validator.CheckTimeout) })
	if len(timeouts) < len(all)-1 {
		t.Errorf("%d lines about time that was up, want one for each of %d:\n%v", len(timeouts), len(all), w.log)
	}
}

// reader takes a stream and waits for each item.
type reader struct{}

func (reader) Read(_ context.Context, in iter.Seq2[[]byte, error]) error {
	for _, err := range in {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestSlowAfterTheVerdict: a client that says nothing for the idle time is gone, wherever
// it stopped.
func TestSlowAfterTheVerdict(t *testing.T) {
	t.Parallel()
	ca := testca.New(t)
	const idle = time.Second
	w := newWorld(t, ca, func(c *broker.Config) { c.Limits.Idle = idle })
	if _, err := w.daemon.Register("reader", reader{}); err != nil {
		t.Fatal(err)
	}
	mallory := ca.Client(t, "mallory@bank.example")
	id := wire.CallID(1, 0, wire.ClientSide)
	call := frameOf(wire.Call, 0, id, callTo("target", "Nothing"))
	first := append(wire.AppendHeader(nil, wire.Header{Type: wire.Call, Flags: wire.More, Length: wire.MaxPayload, ID: id}), wire.AppendTotal(nil, 4<<20)...)
	first = append(first, make([]byte, wire.MaxPayload-wire.TotalSize)...)
	second := append(wire.AppendHeader(nil, wire.Header{Type: wire.Data, Flags: wire.More, Length: wire.MaxPayload, ID: id}), make([]byte, 100)...)
	helloFrame, _ := wire.AppendControl(nil, wire.Hello, 0, &wire.HelloBody{Limits: wideLimits})
	stream := frameOf(wire.Call, wire.Sends, id, callTo("reader", "Read"))
	item := frameOf(wire.Item, 0, id, append([]byte{0x59, 0x10, 0}, make([]byte, 4096)...))
	bare := func(b []byte) func() net.Conn {
		return func() net.Conn { c := w.enter(mallory); c.Write(b); return c.Conn }
	}
	after := func(parts ...[]byte) func() net.Conn {
		return func() net.Conn { c := w.enter(mallory).hello(); c.Write(bytes.Join(parts, nil)); return c.Conn }
	}
	all := []slow{
		{"the welcome", bare(nil), 0},
		{"half a hello", bare(helloFrame[:len(helloFrame)/2]), 0},
		{"the hello", after(), 0},
		{"one byte of a header", after(call[:1]), 0},
		{"half a header", after(call[:5]), 0},
		{"a header", after(call[:wire.HeaderSize]), 0},
		{"half a call", after(call[:len(call)-3]), 0},
		{"half a message", after(first), 0},
		{"half a fragment", after(first, second), 0},
		{"a stream", after(stream), 0},
		{"half an item", after(stream, item[:2000]), 0},
		{"a call that waits", after(frameOf(wire.Call, 0, id, callTo("target", "Wait"))), 0},
	}
	var wg sync.WaitGroup
	for _, s := range all {
		c := s.stop()
		// The daemon's own heartbeats come meanwhile.
		wg.Go(func() { s.reaped(t, c, idle/2) })
	}
	// Who goes on by a byte is no more of a burden than who says nothing, and stays.
	dripping := after(call[:wire.HeaderSize])()
	for range 15 {
		time.Sleep(100 * time.Millisecond)
		if _, err := dripping.Write([]byte{0}); err != nil {
			break
		}
	}
	wg.Wait()
	dripping.Close()
	eventually(t, "nobody is connected", func() bool {
		return w.metric("sessions") == "0"
	})
	w.alive(ca.Client(t, "alice@bank.example"))
}
