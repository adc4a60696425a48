package attack

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
)

// patience is how long a raw peer waits for the other side at most.
const patience = 20 * time.Second

// reckless are the settings of a client that shows whatever it was told to, and looks at
// nothing.
func reckless(p testca.Pair) *tls.Config {
	c := &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{certs.ALPN}, ServerName: "localhost", InsecureSkipVerify: true,
	}
	if p.Key != nil {
		own := p.TLS()
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
	}
	return c
}

// raw is a peer that speaks in frames of its own making.
type raw struct {
	*tls.Conn
	tb testing.TB
}

// dial opens a TCP connection that ends with the test.
func (w *world) dial() net.Conn {
	w.tb.Helper()
	c, err := net.Dial("tcp", w.daemon.Addr().String())
	if err != nil {
		w.tb.Fatal(err)
	}
	w.tb.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// attack does the handshake of a reckless client. In TLS 1.3 it succeeds although the
// daemon will refuse the certificate.
func (w *world) attack(config *tls.Config) (*raw, error) {
	w.tb.Helper()
	c := tls.Client(w.dial(), config)
	return &raw{c, w.tb}, c.Handshake()
}

// enter connects as p and reads the verdict, which must be the welcome.
func (w *world) enter(p testca.Pair) *raw {
	w.tb.Helper()
	c, err := w.attack(reckless(p))
	if err != nil {
		w.tb.Fatal(err)
	}
	if h, _, err := c.next(); err != nil || h.Type != wire.Welcome {
		w.tb.Fatalf("%v, %v, want the welcome", h.Type, err)
	}
	return c
}

// wideLimits let the other side send whatever it likes.
var wideLimits = wire.Limits{Calls: 1024, Message: 4 << 20, Window: 8 << 20, IdleSeconds: 60}

func (c *raw) hello() *raw {
	f, err := wire.AppendControl(nil, wire.Hello, 0, &wire.HelloBody{Limits: wideLimits})
	if err != nil {
		c.tb.Fatal(err)
	}
	return c.send(f)
}

// send writes bytes. It may fail: the other side may have had enough.
func (c *raw) send(b []byte) *raw {
	c.Write(b)
	return c
}

func frameOf(t wire.Type, f wire.Flags, id uint32, payload []byte) []byte {
	return append(wire.AppendHeader(nil, wire.Header{Length: len(payload), Type: t, Flags: f, ID: id}), payload...)
}

func (c *raw) frame(t wire.Type, f wire.Flags, id uint32, payload []byte) *raw {
	return c.send(frameOf(t, f, id, payload))
}

// next reads a frame.
func (c *raw) next() (wire.Header, []byte, error) {
	var head [wire.HeaderSize]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return wire.Header{}, nil, err
	}
	h, err := wire.ParseHeader(head[:])
	if err != nil {
		return h, nil, err
	}
	p := make([]byte, h.Length)
	_, err = io.ReadFull(c, p)
	return h, p, err
}

// until reads frames up to the first that is wanted.
func (c *raw) until(want func(wire.Header) bool) (wire.Header, []byte, error) {
	for {
		h, p, err := c.next()
		if err != nil || want(h) {
			return h, p, err
		}
	}
}

// goaway reads up to the goaway frame, and returns it.
func (c *raw) goaway() (body wire.GoAwayBody, err error) {
	_, p, err := c.until(func(h wire.Header) bool { return h.Type == wire.GoAway })
	if err == nil {
		err = wire.ParseControl(wire.GoAway, p, &body)
	}
	return body, err
}

// denied reads the verdict, which must be a refusal.
func (c *raw) denied() (body wire.DenyBody) {
	c.tb.Helper()
	h, p, err := c.next()
	if err != nil || h.Type != wire.Deny {
		c.tb.Fatalf("%v, %v, want deny", h.Type, err)
	}
	if err := wire.ParseControl(h.Type, p, &body); err != nil {
		c.tb.Fatal(err)
	}
	return body
}

// gone waits until the other side has closed, and fails the test if it says anything
// more.
func (c *raw) gone() {
	c.tb.Helper()
	n, err := c.Read(make([]byte, 1))
	var timeout net.Error
	if n > 0 || err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		c.tb.Errorf("%d bytes, %v, want the end of the connection", n, err)
	}
}

// callTo is the payload of a call, with arguments that are encoded already.
func callTo(object, method string, args ...byte) []byte {
	p, err := wire.AppendCallHead(nil, object, method, nil, 0)
	if err != nil {
		panic(err)
	}
	return append(p, args...)
}

// served makes a call, and fails the test unless it is answered with a result.
func (c *raw) served(slot int) {
	c.tb.Helper()
	id := wire.CallID(77, slot, wire.ClientSide)
	c.frame(wire.Call, 0, id, callTo("target", "Nothing"))
	if h, p, err := c.until(func(h wire.Header) bool { return h.ID == id || h.Type == wire.GoAway }); err != nil || h.Type != wire.Result {
		c.tb.Errorf("an honest call: %v %q, %v", h.Type, p, err)
	}
}
