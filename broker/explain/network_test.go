package explain_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker/explain"
	"github.com/pyrossl/pyrossl/certs"
)

// TestNetwork has what goes wrong before a server shows itself.
func TestNetwork(t *testing.T) {
	for _, s := range []sabotage{
		{
			name: "plaintext scheme", step: "uri", who: explain.Client, want: explain.Misused,
			texts: []string{"PYRO://", "no connection without TLS", "PYROSSL://"},
			world: func(w *world) explain.Options { return w.options("PYRO://bank.example:7766/bank") },
		},
		{
			name: "bad port", step: "uri", who: explain.Client, want: explain.Misused,
			texts: []string{`"99999"`, "1–65535", "correct the port"},
			world: func(w *world) explain.Options { return w.options("PYROSSL://bank.example:99999/bank") },
		},
		{
			name: "name for a name server", step: "uri", who: explain.Client, want: explain.Misused,
			texts: []string{"name server", "PYROSSL://"},
			world: func(w *world) explain.Options { return w.options("PYRONAME://bank") },
		},
		{
			name: "no such host", step: "dns", who: explain.Client, want: explain.Failed,
			texts: []string{"there is no host bank.exampel", "NXDOMAIN", "misspelling"},
			world: func(w *world) explain.Options {
				o := w.options("PYROSSL://bank.exampel/bank")
				o.Resolver = w.nameServer(rcodeNameError)
				return o
			},
		},
		{
			name: "name server fails", step: "dns", who: explain.Network, want: explain.Failed,
			texts: []string{"cannot be looked up"},
			world: func(w *world) explain.Options {
				o := w.options("PYROSSL://bank.example/bank")
				o.Resolver = w.nameServer(rcodeRefused)
				return o
			},
		},
		{
			name: "name server is silent", step: "dns", who: explain.Network, want: explain.Failed,
			texts: []string{"no answer about bank.example in time", "port 53"},
			world: func(w *world) explain.Options {
				o := w.options("PYROSSL://bank.example/bank")
				o.Resolver, o.Timeout = w.nameServer(silent), 300*time.Millisecond
				return o
			},
		},
		{
			name: "refused", step: "tcp", who: explain.Client, want: explain.Failed,
			texts: []string{"refused, nothing listens there", "check the port", "server: start the daemon"},
			world: func(w *world) explain.Options { return w.at(w.freePort()) },
		},
		{
			name: "filtered", step: "tcp", who: explain.Network, want: explain.Failed,
			texts: []string{"no answer in time", "firewall"},
			world: func(w *world) explain.Options {
				o := w.options("PYROSSL://bank.example/bank")
				o.Timeout = 200 * time.Millisecond
				o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					<-ctx.Done()
					return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
				}
				return o
			},
		},
		{
			name: "no way there", step: "tcp", who: explain.Network, want: explain.Failed,
			texts: []string{"no way leads there"},
			world: func(w *world) explain.Options {
				o := w.options("PYROSSL://bank.example/bank")
				o.Dial = func(_ context.Context, network, address string) (net.Conn, error) {
					return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.EHOSTUNREACH}
				}
				return o
			},
		},
		{
			name: "one address of two refuses", step: "tcp", who: explain.Client, warns: true, want: explain.AllWell,
			texts: []string{"127.0.0.2", "refused, nothing listens there", "127.0.0.1", "connected"},
			world: func(w *world) explain.Options {
				o := w.at(w.daemon(nil))
				o.Resolver = addresses{netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.1")}
				return o
			},
		},
		{
			name: "HTTP", step: "protocol", who: explain.Client, want: explain.Failed,
			texts: []string{"an HTTP server without TLS", "HTTP/1.1 400 Bad Request", "check host and port"},
			world: func(w *world) explain.Options { return w.at(w.says("HTTP/1.1 400 Bad Request\r\n\r\n")) },
		},
		{
			name: "SSH", step: "protocol", who: explain.Client, want: explain.Failed,
			texts: []string{"an SSH server", "SSH-2.0-OpenSSH_9.2"},
			world: func(w *world) explain.Options { return w.at(w.says("SSH-2.0-OpenSSH_9.2\r\n")) },
		},
		{
			name: "banner that would steer a terminal", step: "protocol", who: explain.Client, want: explain.Failed,
			texts: []string{"not TLS", `\x1b[2J`},
			world: func(w *world) explain.Options { return w.at(w.says("\x1b[2Jhello, world")) },
		},
		{
			name: "silence", step: "protocol", who: explain.Server, want: explain.Failed,
			texts: []string{"took the connection and said nothing", "client: check host and port"},
			world: func(w *world) explain.Options {
				o := w.at(w.listen(func(c net.Conn) { io.Copy(io.Discard, c) }))
				o.Timeout = 300 * time.Millisecond
				return o
			},
		},
		{
			name: "closes at once", step: "protocol", who: explain.Server, want: explain.Failed,
			texts: []string{"closed the connection without a word", "too many handshakes"},
			world: func(w *world) explain.Options { return w.at(w.listen(func(net.Conn) {})) },
		},
		{
			name: "TLS 1.2 only", step: "protocol", who: explain.Client, want: explain.Failed,
			texts: []string{"TLS 1.2 at best", "TLS 1.3", "it shows: dns:bank.example"},
			world: func(w *world) explain.Options {
				return w.at(w.tls(w.ca.Server(w, host), func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }))
			},
		},
		{
			name: "no common key exchange", step: "protocol", who: explain.Server, want: explain.Failed,
			texts: []string{"CurveP384", "X25519MLKEM768, X25519 or P-256"},
			world: func(w *world) explain.Options {
				return w.at(w.tls(w.ca.Server(w, host), func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP384} }))
			},
		},
		{
			name: "another protocol", step: "alpn", who: explain.Client, want: explain.Failed,
			texts: []string{`"h2"`, certs.ALPN, "it shows: dns:bank.example"},
			world: func(w *world) explain.Options {
				return w.at(w.tls(w.ca.Server(w, host), func(c *tls.Config) { c.NextProtos = []string{"h2"} }))
			},
		},
		{
			name: "no protocol at all", step: "alpn", who: explain.Client, want: explain.Failed,
			texts: []string{"no application protocol", "ends TLS"},
			world: func(w *world) explain.Options {
				return w.at(w.tls(w.ca.Server(w, host), func(c *tls.Config) { c.NextProtos = nil }))
			},
		},
		{
			name: "asks for no certificate", step: "protocol", who: explain.Client, want: explain.Failed,
			texts: []string{"TLS 1.3 that asks for no certificate of ours", "network: ", "ends TLS"},
			world: func(w *world) explain.Options {
				config := &tls.Config{Certificates: []tls.Certificate{w.ca.Server(w, host).TLS()}, NextProtos: []string{certs.ALPN}}
				return w.at(w.listen(func(c net.Conn) {
					t := tls.Server(c, config)
					t.Handshake()
					if n, _ := t.Read(make([]byte, 1)); n > 0 {
						w.Errorf("the look sent application data")
					}
				}))
			},
		},
	} {
		t.Run(s.name, s.run)
	}
}

// TestAddressesDiffer is a host of which one address is something else: what is wrong
// there is told, and that the other is otherwise.
func TestAddressesDiffer(t *testing.T) {
	w := newWorld(t)
	to := map[string]string{"192.0.2.1": w.daemon(nil).String(), "192.0.2.2": w.says("SSH-2.0-OpenSSH_9.2\r\n").String()}
	o := w.options("PYROSSL://bank.example/bank")
	o.Resolver = addresses{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
	o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		at, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		return new(net.Dialer).DialContext(ctx, network, to[at])
	}
	s := explain.Run(t.Context(), o).Step("protocol")
	if s.State != explain.Fail || !strings.Contains(s.Got, "SSH") || !slices.Contains(s.Facts, "192.0.2.1:7766 answers otherwise; what follows is about 192.0.2.2:7766") {
		t.Errorf("%+v", s)
	}
	delete(to, "192.0.2.2")
	o.Resolver = addresses{netip.MustParseAddr("192.0.2.1")}
	if report := explain.Run(t.Context(), o); report.Outcome != explain.AllWell {
		t.Errorf("%+v", report.Failure())
	}
}

// TestCancelled: whoever gives up gets a report, too, and at once.
func TestCancelled(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	o := w.at(w.listen(func(c net.Conn) {
		io.ReadFull(c, make([]byte, 1))
		cancel()
		io.Copy(io.Discard, c)
	}))
	o.Timeout = time.Hour
	report := explain.Run(ctx, o)
	if f := report.Failure(); f == nil || f.Name != "protocol" || len(report.Steps) != steps {
		t.Errorf("%+v", report)
	}
}

// addresses is a resolver with one answer.
type addresses []netip.Addr

func (a addresses) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) { return a, nil }

// freePort is a port where nothing listens any more.
func (w *world) freePort() net.Addr {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	l.Close()
	return l.Addr()
}

// says answers whatever comes with a text.
func (w *world) says(text string) net.Addr {
	return w.listen(func(c net.Conn) {
		io.WriteString(c, text)
		io.Copy(io.Discard, c)
	})
}

// What a name server answers, RFC 1035 section 4.1.1.
const (
	rcodeNameError = 3
	rcodeRefused   = 5
	silent         = -1
)

// nameServer is Go's resolver with a name server that gives every question this answer.
func (w *world) nameServer(rcode int) *net.Resolver {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // ends with the test
		defer close(done)
		buf := make([]byte, 512)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			if rcode == silent || n < 12 {
				continue
			}
			// The header, then the question as it came, and nothing else.
			end := 12
			for buf[end] != 0 {
				end += int(buf[end]) + 1
			}
			reply := append([]byte(nil), buf[:end+5]...)
			binary.BigEndian.PutUint16(reply[2:], 0x8180|uint16(rcode))
			clear(reply[6:12])
			pc.WriteTo(reply, from)
		}
	}()
	w.Cleanup(func() {
		pc.Close()
		<-done
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}
