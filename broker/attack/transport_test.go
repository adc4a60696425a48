package attack

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// TestHostileBytes says to a daemon what is not TLS, or not the TLS that it wants. It
// answers with an alert at most, and has one line and one incident for it.
func TestHostileBytes(t *testing.T) {
	ca := testca.New(t)
	alice := ca.Client(t, "alice@bank.example")
	call := frameOf(wire.Call, 0, 0, callTo("target", "Guarded", 1))
	tests := []struct {
		name  string
		say   []byte
		check validator.Check
		got   string
	}{
		{"a call in plain text", call, validator.CheckProtocol, "a client that does not speak TLS"},
		{"zeros", make([]byte, 1000), validator.CheckProtocol, "a client that does not speak TLS"},
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), validator.CheckProtocol, `beginning with "GET /"`},
		{"HTTP/2", []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), validator.CheckProtocol, `beginning with "PRI *"`},
		{"SSH", []byte("SSH-2.0-OpenSSH_9.2\r\n"), validator.CheckProtocol, `beginning with "SSH-2"`},
		{"SSL 2", []byte{0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10, 1, 0, 0x80}, validator.CheckProtocol, "a client that does not speak TLS"},
		{"an alert", []byte{21, 3, 3, 0, 2, 2, 40}, validator.CheckProtocol, "no TLS settings in common"},
		{"application data", []byte{23, 3, 3, 0, 5, 1, 2, 3, 4, 5}, validator.CheckProtocol, "a client that does not speak TLS"},
		{"a record of 64 KiB", append([]byte{22, 3, 1, 0xff, 0xff}, make([]byte, 1000)...), validator.CheckProtocol, "TLS record"},
		{"a ClientHello of 16 MiB", append([]byte{22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff}, make([]byte, 16380)...), validator.CheckProtocol, "broke the TLS protocol"},
		{"a ClientHello of zeros", append([]byte{22, 3, 1, 0, 104, 1, 0, 0, 100}, make([]byte, 100)...), validator.CheckProtocol, "broke the TLS protocol"},
		{"an empty ClientHello", []byte{22, 3, 1, 0, 4, 1, 0, 0, 0}, validator.CheckProtocol, "broke the TLS protocol"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, ca, nil)
			c := w.dial()
			c.Write(test.say)
			answer, _ := io.ReadAll(c)
			// RFC 8446, section 6: an alert is a record of type 21 with two bytes.
			if len(answer) > 0 && (answer[0] != 21 || len(answer) > 7) {
				t.Errorf("answered %q, want an alert or nothing", answer)
			}
			w.tellsOnce(1, test.check)
			if l := w.log.refusals(); len(l) != 1 || !strings.Contains(l[0].attrs["got"], test.got) {
				t.Errorf("the log says %v, want %q", l, test.got)
			}
			w.alive(alice)
		})
	}
}

// TestHostileHandshakes has TLS settings that the daemon must not take.
func TestHostileHandshakes(t *testing.T) {
	ca := testca.New(t)
	alice := ca.Client(t, "alice@bank.example")
	tests := []struct {
		name   string
		change func(*tls.Config)
		alert  string
		check  validator.Check
		got    string
	}{
		{"TLS 1.2", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS12 }, "protocol version not supported", validator.CheckProtocol, "does not speak TLS 1.3"},
		{"no certificate", func(c *tls.Config) {
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return new(tls.Certificate), nil }
		}, "certificate required", validator.CheckChain, "the client showed no certificate"},
		{"no ALPN", func(c *tls.Config) { c.NextProtos = nil }, "bad certificate", validator.CheckALPN, "client with no application protocol"},
		{"HTTP/2", func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} }, "no application protocol", validator.CheckALPN, "speaks another application protocol"},
		{"another version of ours", func(c *tls.Config) { c.NextProtos = []string{"pyrossl/2", "pyrossl/0", "PYROSSL/1"} }, "no application protocol", validator.CheckALPN, "speaks another application protocol"},
		{"a curve that we do not take", func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP521} }, "handshake failure", validator.CheckProtocol, "no TLS settings in common"},
		{"a signature by another key", func(c *tls.Config) {
			forged := alice.TLS()
			forged.PrivateKey = ca.Client(t, "mallory@bank.example").Key
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &forged, nil }
		}, "decrypt", validator.CheckProtocol, "invalid signature"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, ca, nil)
			config := reckless(alice)
			test.change(config)
			c, err := w.attack(config)
			if err == nil {
				_, _, err = c.next()
			}
			if err == nil || !strings.Contains(err.Error(), test.alert) {
				t.Errorf("got %v, want the alert %q", err, test.alert)
			}
			w.tellsOnce(1, test.check)
			if l := w.log.refusals(); len(l) != 1 || !strings.Contains(l[0].attrs["got"], test.got) {
				t.Errorf("the log says %v, want %q", l, test.got)
			}
			w.alive(alice)
		})
	}
}

// chopped sends every byte in a write of its own.
type chopped struct{ net.Conn }

func (c chopped) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		_, err = c.Conn.Write(p[n : n+1])
		n++
	}
	return n, err
}

func (c chopped) Read(p []byte) (int, error) { return c.Conn.Read(p[:min(1, len(p))]) }

// TestOneByteAtATime: a handshake and a call in writes of one byte are good ones, on
// either side.
func TestOneByteAtATime(t *testing.T) {
	ca := testca.New(t)
	w := newWorld(t, ca, nil)
	alice := ca.Client(t, "alice@bank.example")
	tcp := w.dial()
	tcp.(*net.TCPConn).SetNoDelay(true)
	c := &raw{tls.Client(chopped{tcp}, reckless(alice)), t}
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	if h, _, err := c.next(); err != nil || h.Type != wire.Welcome {
		t.Fatalf("%v, %v, want the welcome", h.Type, err)
	}
	frames := frameOf(wire.Call, 0, wire.CallID(1, 0, wire.ClientSide), callTo("target", "Nothing"))
	c.hello()
	for i := range frames { // TLS records of one byte, in packets of one byte
		c.send(frames[i : i+1])
	}
	if h, _, err := c.until(func(h wire.Header) bool { return h.Type == wire.Result }); err != nil || h.ID != wire.CallID(1, 0, wire.ClientSide) {
		t.Errorf("%+v, %v, want the result", h, err)
	}
	server := newServer(t, &serverSettings{pair: ca.Server(t, "localhost"), protocols: []string{"pyrossl/1"}}, func(n net.Conn) {
		c := &raw{n.(*tls.Conn), t}
		for _, b := range welcome(t, nil) {
			c.send([]byte{b})
		}
		h, _, err := c.until(func(h wire.Header) bool { return h.Type == wire.Call })
		if err != nil {
			t.Error(err)
			return
		}
		for _, b := range frameOf(wire.Result, 0, h.ID, []byte{0x18, 0x2a}) {
			c.send([]byte{b})
		}
		io.Copy(io.Discard, c)
	})
	client := w.client(alice, nil)
	var n int
	if err := proxyOf(t, client, server.uri("x")).Call(t.Context(), "Answer", &n); err != nil || n != 42 {
		t.Errorf("%d, %v, want 42", n, err)
	}
	client.Close()
}

// TestHostileServerBytes has our client meet servers that are no daemons.
func TestHostileServerBytes(t *testing.T) {
	ca := testca.New(t)
	w := &world{tb: t, roots: []*x509.Certificate{ca.RootCert()}}
	alice := ca.Client(t, "alice@bank.example")
	pair := ca.Server(t, "localhost")
	say := func(text string) func(net.Conn) {
		return func(c net.Conn) { io.WriteString(c, text); io.Copy(io.Discard, c) }
	}
	tls12 := &serverSettings{pair: pair, protocols: []string{"pyrossl/1"}, change: func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }}
	h2 := &serverSettings{pair: pair, protocols: []string{"h2"}}
	none := &serverSettings{pair: pair}
	stolen := &serverSettings{pair: testca.Pair{Chain: pair.Chain, Key: ca.Server(t, "localhost").Key}, protocols: []string{"pyrossl/1"}}
	tests := []struct {
		name  string
		with  *serverSettings
		deed  func(net.Conn)
		check validator.Check
		code  validator.Code
		got   string
	}{
		{"HTTP", nil, say("HTTP/1.1 400 Bad Request\r\n\r\n"), validator.CheckProtocol, validator.DeniedUnspecified, "an HTTP server without TLS"},
		{"SSH", nil, say("SSH-2.0-OpenSSH_9.2\r\n"), validator.CheckProtocol, validator.DeniedUnspecified, "an SSH server"},
		{"SMTP", nil, say("220 smtp.example ESMTP\r\n"), validator.CheckProtocol, validator.DeniedUnspecified, `beginning with "220 s"`},
		{"zeros", nil, say(strings.Repeat("\x00", 100)), validator.CheckProtocol, validator.DeniedUnspecified, "an answer that is not TLS"},
		{"a welcome in plain text", nil, say(string(welcome(t, nil))), validator.CheckProtocol, validator.DeniedUnspecified, "an answer that is not TLS"},
		{"an echo", nil, func(c net.Conn) { io.Copy(c, c) }, validator.CheckProtocol, validator.DeniedUnspecified, "the server broke the TLS protocol"},
		{"TLS 1.2", tls12, nil, validator.CheckProtocol, validator.DeniedSecurity, "the server does not speak TLS 1.3"},
		{"HTTP/2", h2, nil, validator.CheckALPN, validator.DeniedSecurity, "the server speaks another application protocol"},
		{"no ALPN", none, nil, validator.CheckALPN, validator.DeniedSecurity, "server with no application protocol"},
		{"a stolen certificate without its key", stolen, nil, validator.CheckProtocol, validator.DeniedUnspecified, "invalid signature"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t, test.with, test.deed)
			d := deniedOf(t, proxyOf(t, w.client(alice, nil), s.uri("target")).Call(t.Context(), "Guarded", nil, 1))
			if d.Check != test.check || d.Code != test.code || !strings.Contains(d.Got, test.got) {
				t.Errorf("our client says %v (%v), want check %s and %q", d, d.Code, test.check, test.got)
			}
			if test.with == nil {
				return
			}
			if o := s.outcome(); o.read != 0 || o.err == nil {
				t.Errorf("the server got %d bytes, %v", o.read, o.err)
			}
		})
	}
}

// TestNothingBeforeTheVerdict: a client of ours says nothing inside TLS to a server that
// says nothing.
func TestNothingBeforeTheVerdict(t *testing.T) {
	ca := testca.New(t)
	w := &world{tb: t, roots: []*x509.Certificate{ca.RootCert()}}
	s := newServer(t, serving(ca.Server(t, "localhost")), nil)
	c := w.client(ca.Client(t, "alice@bank.example"), func(c *broker.ClientConfig) {
		c.ConnectTimeout = 200 * time.Millisecond
		c.Identification = validator.Login{Name: "alice", Passphrase: validator.Passphrase(canaries.passphrase("said before the verdict: never"))}
	})
	err := proxyOf(t, c, s.uri("target")).Call(t.Context(), "Guarded", nil, 1)
	var e *broker.Error
	if !errors.As(err, &e) || e.Kind != broker.KindUnreachable {
		t.Errorf("our client says %v", err)
	}
	printed.error(err)
	if o := s.outcome(); o.read != 0 {
		t.Errorf("the server got %d bytes, %v", o.read, o.err)
	}
}

// TestSchemes: what is not TLS is not dialled, whoever names it.
func TestSchemes(t *testing.T) {
	ca := testca.New(t)
	w := newWorld(t, ca, nil)
	alice := ca.Client(t, "alice@bank.example")
	plain := newServer(t, nil, func(c net.Conn) { t.Error("a plain server was dialled") })
	_, port, _ := net.SplitHostPort(plain.listener.Addr().String())
	client := w.client(alice, nil)
	for _, scheme := range []string{"PYRO", "PYROLOC", "pyro", "Pyro", "PYRO ", "http", "PYROSSL\x00", "PYR0SSL", ""} {
		if p, err := client.Proxy(t.Context(), scheme+"://localhost:"+port+"/target"); err == nil {
			t.Errorf("a proxy for %v", p.URI())
		}
	}
	// A daemon that redirects: by a result that is a reference.
	for _, to := range []string{"PYRO://localhost:" + port + "/target", "PYROLOC://localhost:" + port + "/target", "PYROSSL://localhost:" + port + "/target"} {
		reference := append([]byte{0x78, byte(len(to))}, to...)
		s := newServer(t, serving(ca.Server(t, "localhost")), accepting(t, func(c *raw, id uint32) { c.frame(wire.Result, 0, id, reference) }))
		var p *broker.Proxy
		err := proxyOf(t, client, s.uri("target")).Call(t.Context(), "Redirect", &p)
		if err == nil {
			t.Errorf("%s was taken: %v", to, p)
		}
		printed.error(err)
		client.Close()
		client = w.client(alice, nil)
	}
}
