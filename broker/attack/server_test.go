package attack

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/internal/testca"
)

// server is a hostile daemon: it accepts, does a handshake if it has settings for one,
// and then does what it was told to.
type server struct {
	tb       testing.TB
	listener net.Listener
	outcomes chan outcome
	wg       sync.WaitGroup
}

// outcome is what became of one connection to a hostile server.
type outcome struct {
	err  error // of its handshake or its first read
	read int   // bytes that the client sent inside TLS
}

type serverSettings struct {
	pair      testca.Pair
	protocols []string
	change    func(*tls.Config)
}

func (s *serverSettings) config() *tls.Config {
	c := &tls.Config{Certificates: []tls.Certificate{s.pair.TLS()}, ClientAuth: tls.RequireAnyClientCert, NextProtos: s.protocols}
	if s.change != nil {
		s.change(c)
	}
	return c
}

// newServer starts a hostile server. Without settings, what it does is done without TLS.
// Without a deed it reads once after the handshake.
func newServer(tb testing.TB, settings *serverSettings, deed func(net.Conn)) *server {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := &server{tb: tb, listener: l, outcomes: make(chan outcome, 1000)}
	s.wg.Go(func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(patience))
				s.meet(c, settings, deed)
			})
		}
	})
	tb.Cleanup(func() { l.Close(); s.wg.Wait() })
	return s
}

func (s *server) meet(c net.Conn, settings *serverSettings, deed func(net.Conn)) {
	if settings != nil {
		t := tls.Server(c, settings.config())
		if err := t.Handshake(); err != nil {
			s.outcomes <- outcome{err: err}
			return
		}
		c = t
	}
	if deed != nil {
		deed(c)
		return
	}
	n, err := c.Read(make([]byte, 1))
	s.outcomes <- outcome{err, n}
}

func (s *server) uri(object string) string {
	_, port, _ := net.SplitHostPort(s.listener.Addr().String())
	return "PYROSSL://localhost:" + port + "/" + object
}

// outcome waits for the next one.
func (s *server) outcome() outcome {
	s.tb.Helper()
	select {
	case o := <-s.outcomes:
		return o
	case <-time.After(patience):
		s.tb.Fatal("nobody came")
		return outcome{}
	}
}

// welcome is the frame with which a daemon accepts.
func welcome(tb testing.TB, change func(*wire.WelcomeBody)) []byte {
	tb.Helper()
	body := wire.WelcomeBody{Version: wire.Version, Session: "HOSTILE", Principal: "email:alice@bank.example", Name: "alice",
		NotAfter: time.Now().Add(time.Hour).Unix(), Limits: wideLimits}
	if change != nil {
		change(&body)
	}
	f, err := wire.AppendControl(nil, wire.Welcome, 0, &body)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// accepting is a deed: it welcomes the client, waits for its first call, and goes on with
// the call's id.
func accepting(tb testing.TB, then func(c *raw, id uint32)) func(net.Conn) {
	return func(n net.Conn) {
		c := &raw{n.(*tls.Conn), tb}
		c.send(welcome(tb, nil))
		h, _, err := c.until(func(h wire.Header) bool { return h.Type == wire.Call })
		if err == nil {
			then(c, h.ID)
		}
		io.Copy(io.Discard, c)
	}
}
