package broker_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// TestRefused has clients that may not connect, for one reason each. Every one
// gets the same typed error with the check that failed.
func TestRefused(t *testing.T) {
	other := testca.New(t)
	clientAuth := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	tests := []struct {
		name  string
		cert  func(w *world) certs.Source
		uri   func(w *world) string
		check validator.Check
	}{
		{"client of another CA", func(w *world) certs.Source {
			// It trusts the daemon's CA, but its own certificate is from another.
			p := other.Client(t, "alice@bank.example")
			key, _ := certs.NewPrivateKey(p.Key)
			m, err := certs.NewMaterial(p.Chain, key, []*x509.Certificate{w.ca.RootCert()})
			if err != nil {
				t.Fatal(err)
			}
			return certs.Static(m)
		}, nil, validator.CheckChain},
		{"daemon of another CA", func(w *world) certs.Source { return source(t, other, other.Client(t, "alice@bank.example")) }, nil, validator.CheckChain},
		{"expired", func(w *world) certs.Source {
			return source(t, w.ca, w.ca.Issue(t, testca.Leaf{Emails: []string{"a@b.example"}, EKU: clientAuth, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}))
		}, nil, validator.CheckDates},
		{"not yet valid", func(w *world) certs.Source {
			return source(t, w.ca, w.ca.Issue(t, testca.Leaf{Emails: []string{"a@b.example"}, EKU: clientAuth, NotBefore: time.Now().Add(time.Hour), NotAfter: time.Now().Add(2 * time.Hour)}))
		}, nil, validator.CheckDates},
		{"a server's certificate", func(w *world) certs.Source { return source(t, w.ca, w.ca.Server(t, "localhost")) }, nil, validator.CheckPurpose},
		{"no extended key usage", func(w *world) certs.Source {
			return source(t, w.ca, w.ca.Issue(t, testca.Leaf{Emails: []string{"a@b.example"}}))
		}, nil, validator.CheckPurpose},
		{"no name", func(w *world) certs.Source {
			return source(t, w.ca, w.ca.Issue(t, testca.Leaf{CN: "admin", EKU: clientAuth}))
		}, nil, validator.CheckIdentity},
		{"two names", func(w *world) certs.Source {
			return source(t, w.ca, w.ca.Issue(t, testca.Leaf{Emails: []string{"a@b.example", "c@d.example"}, EKU: clientAuth}))
		}, nil, validator.CheckIdentity},
		{"wildcard", func(w *world) certs.Source {
			return source(t, w.ca, w.ca.Issue(t, testca.Leaf{DNS: []string{"*.bank.example"}, EKU: clientAuth}))
		}, nil, validator.CheckIdentity},
		{"another host", nil, func(w *world) string { return strings.Replace(w.uri("bank"), "localhost", "127.0.0.2", 1) }, validator.CheckName},
		{"another identity", nil, func(w *world) string { return w.uri("bank") + "?id=spiffe://bank.example/other" }, validator.CheckPin},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, func(c *broker.Config) { c.Addr = "0.0.0.0:0" })
			b := newBank()
			w.daemon.Register("bank", b)
			c := w.client("alice@bank.example", func(c *broker.ClientConfig) {
				if test.cert != nil {
					c.Certs = test.cert(w)
				}
			})
			target := w.uri("bank")
			if test.uri != nil {
				target = test.uri(w)
			}
			var denied *broker.ConnectionDeniedError
			err := w.proxy(c, target).Call(t.Context(), "Balance", nil, "alice")
			if !errors.As(err, &denied) {
				t.Fatalf("got %T %v, want a *ConnectionDeniedError", err, err)
			}
			if denied.Check != test.check || denied.Got == "" && denied.Want == "" {
				t.Errorf("got check %q (%v), want %q with a reason", denied.Check, err, test.check)
			}
			if denied.Incident != "" && !strings.Contains(w.log.String(), denied.Incident) {
				t.Errorf("incident %s is not in the daemon's log", denied.Incident)
			}
			for _, vague := range []string{"bad certificate", "EOF", "broken pipe"} {
				if strings.Contains(err.Error(), vague) {
					t.Errorf("%q says nothing", err)
				}
			}
			if b.runs.Load() != 0 {
				t.Error("the method ran")
			}
		})
	}
}

// TestPinned reaches a server by its identity, whatever its host.
func TestPinned(t *testing.T) {
	ca := testca.New(t)
	leaf := ca.Issue(t, testca.Leaf{
		DNS: []string{"localhost"}, URIs: []string{"spiffe://bank.example/server"}, EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	w := newWorld(t, func(c *broker.Config) { c.Addr, c.Certs = "0.0.0.0:0", source(t, ca, leaf) })
	w.ca = ca
	w.daemon.Register("bank", newBank())
	c := w.client("alice@bank.example", nil)
	target := strings.Replace(w.uri("bank"), "localhost", "127.0.0.2", 1) + "?id=spiffe://bank.example/server"
	info, err := w.proxy(c, target).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.Principal != "email:alice@bank.example" || info.Session == "" || info.KeyShare != "X25519MLKEM768" || info.Limits.MessageBytes != broker.DefaultMessageBytes {
		t.Errorf("connected as %+v", info)
	}
}

// TestRefuseToStart has configurations that no daemon may run with.
func TestRefuseToStart(t *testing.T) {
	ca := testca.New(t)
	good := func() broker.Config {
		return broker.Config{
			Addr: "127.0.0.1:0", PublishHost: "localhost", Certs: source(t, ca, ca.Server(t, "localhost")),
			Validator: anyone(t), Authorizer: new(allow),
		}
	}
	tests := []struct {
		name   string
		change func(*broker.Config)
		want   string
	}{
		{"no certificate", func(c *broker.Config) { c.Certs = nil }, "Certs is nil"},
		{"no validator", func(c *broker.Config) { c.Validator = nil }, "Validator"},
		{"nil validator", func(c *broker.Config) { c.Validator = (*validator.Default)(nil) }, "Validator"},
		{"no authorizer", func(c *broker.Config) { c.Authorizer = nil }, "Authorizer is nil"},
		{"host not covered", func(c *broker.Config) { c.PublishHost = "localhots" }, `host "localhots", which its own certificate does not cover`},
		{"address not covered", func(c *broker.Config) { c.PublishHost = "127.0.0.1" }, "does not cover"},
		{"client's certificate", func(c *broker.Config) { c.Certs = source(t, ca, ca.Client(t, "a@b.example")) }, "purpose"},
		{"port taken", func(c *broker.Config) { c.Addr = "256.0.0.1:1" }, "256.0.0.1"},
		{"publish port", func(c *broker.Config) { c.PublishPort = 70000 }, "70000"},
		{"message limit", func(c *broker.Config) { c.Limits.MessageBytes = 100 }, "message limit"},
		{"idle", func(c *broker.Config) { c.Limits.Idle = time.Millisecond }, "Idle"},
		{"error table", func(c *broker.Config) { c.Errors = broker.Errors{"x": nil} }, `error "x" is nil`},
	}
	for _, test := range tests {
		c := good()
		test.change(&c)
		d, err := broker.NewDaemon(c)
		if err == nil {
			d.Close()
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want an error with %q", test.name, err, test.want)
		}
	}
	d, err := broker.NewDaemon(good())
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	if err := d.Serve(t.Context()); err != nil {
		t.Errorf("Serve after Close: %v", err)
	}
}

// TestPublish stands behind NAT: other host and port in the URIs.
func TestPublish(t *testing.T) {
	w := newWorld(t, func(c *broker.Config) { c.PublishHost, c.PublishPort = "LOCALHOST", 17766 })
	u, err := w.daemon.Register("bank", newBank())
	if err != nil || u.String() != "PYROSSL://localhost:17766/bank" {
		t.Errorf("got %v, %v", u, err)
	}
}

// TestSilentClients neither speak nor close. They must be gone in time, and not
// be in the way of others.
func TestSilentClients(t *testing.T) {
	w := newWorld(t, func(c *broker.Config) {
		c.HandshakeTimeout = 300 * time.Millisecond
		c.MaxHandshakesPerAddress = 4
	})
	w.daemon.Register("bank", newBank())
	var silent []net.Conn
	for range 20 {
		c, err := net.Dial("tcp", w.daemon.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		silent = append(silent, c)
	}
	begin := time.Now()
	for i, c := range silent {
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("silent connection %d: %v", i, err)
		}
	}
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("silent connections were kept for %v", took)
	}
	p := w.proxy(w.client("alice@bank.example", nil), w.uri("bank"))
	eventually(t, "a client gets through", func() bool { return p.Call(t.Context(), "Nothing", nil) == nil })
}

// TestPlaintext speaks plainly to a daemon, and has a client meet a plain server.
func TestPlaintext(t *testing.T) {
	w := newWorld(t, nil)
	c, err := net.Dial("tcp", w.daemon.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	answer, _ := io.ReadAll(c)
	if strings.Contains(string(answer), "HTTP") {
		t.Errorf("answered %q", answer)
	}
	eventually(t, "the log says so", func() bool { return strings.Contains(w.log.String(), "TLS handshake refused") })

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "220 smtp.example ESMTP\r\n")
			io.Copy(io.Discard, c)
			c.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	var denied *broker.ConnectionDeniedError
	_, err = w.proxy(w.client("alice@bank.example", nil), "PYROSSL://localhost:"+port+"/bank").Connect(t.Context())
	if !errors.As(err, &denied) || denied.Check != validator.CheckProtocol {
		t.Errorf("a plain server: %v", err)
	}
}

// TestNoVerdict meets a TLS server that never says Welcome, and one that says
// something else.
func TestNoVerdict(t *testing.T) {
	ca := testca.New(t)
	server, err := certs.ServerConfig(source(t, ca, ca.Server(t, "localhost")))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		say  string
		kind string
	}{
		{"silence", "", "unreachable"},
		{"rubbish", strings.Repeat("\xff", 100), "protocol"},
		{"a call before the verdict", "\x00\x00\x00\x10\x00\x00\x00\x00\x00", "protocol"},
		{"a huge verdict", "\x00\xff\x00\x03\x00\x00\x00\x00\x00", "protocol"},
		{"half a verdict", "\x00\x00\xff\x03\x00\x00\x00\x00\x00\xa1", "unreachable"},
		{"empty welcome", "\x00\x00\x00\x03\x00\x00\x00\x00\x00", "unreachable"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, err := tls.Listen("tcp", "127.0.0.1:0", server)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer c.Close()
						io.WriteString(c, test.say)
						if test.say == "" {
							io.Copy(io.Discard, c)
						}
					}()
				}
			}()
			c, err := broker.NewClient(broker.ClientConfig{Certs: source(t, ca, ca.Client(t, "alice@bank.example")), ConnectTimeout: 300 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, port, _ := net.SplitHostPort(l.Addr().String())
			p, _ := c.Proxy(t.Context(), "PYROSSL://localhost:"+port+"/bank")
			_, err = p.Connect(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.kind) {
				t.Errorf("got %v, want %q", err, test.kind)
			}
		})
	}
}

// TestIdentification uses the second factor.
func TestIdentification(t *testing.T) {
	v, err := validator.New(validator.Config{Admit: []validator.Peer{validator.AnyIdentity()}, Iterations: 4096})
	if err != nil {
		t.Fatal(err)
	}
	pw := validator.Passphrase("pw")
	if err := v.SetAllowedIdentifications([]validator.Identification{validator.Passphrase("s3cr3t"), validator.Login{Name: "irmen", Passphrase: pw}}); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(c *broker.Config) { c.Validator = v })
	w.daemon.Register("bank", newBank())
	c := w.client("alice@bank.example", nil)
	tests := []struct {
		name  string
		ident any
		user  string
		ok    bool
	}{
		{"right passphrase", validator.Passphrase("s3cr3t"), "", true},
		{"right login", validator.Login{Name: "irmen", Passphrase: pw}, "irmen", true},
		{"wrong passphrase", validator.Passphrase("secret"), "", false},
		{"wrong login", validator.Login{Name: "irmen", Passphrase: validator.Passphrase("s3cr3t")}, "", false},
		{"unknown login", validator.Login{Name: "root", Passphrase: pw}, "", false},
		{"none", nil, "", false},
	}
	for _, test := range tests {
		var opts []broker.ProxyOption
		if test.ident != nil {
			opts = append(opts, broker.WithIdentification(test.ident))
		}
		info, err := w.proxy(c, w.uri("bank"), opts...).Connect(t.Context())
		if test.ok {
			if err != nil || info.User != test.user {
				t.Errorf("%s: %+v, %v", test.name, info.User, err)
			}
			continue
		}
		var denied *broker.ConnectionDeniedError
		if !errors.As(err, &denied) || denied.Check != validator.CheckIdentification {
			t.Errorf("%s: %v", test.name, err)
		}
		for _, secret := range []string{"s3cr3t", "secret"} {
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error has the passphrase: %v", test.name, err)
			}
		}
	}
	if strings.Contains(w.log.String(), "s3cr3t") {
		t.Error("the daemon's log has the passphrase")
	}
	// Proxies with different identifications have connections of their own.
	var status broker.Status
	if err := w.proxy(c, w.uri(broker.SelfName), broker.WithIdentification(validator.Passphrase("s3cr3t"))).Call(t.Context(), "Status", &status); err != nil || status.Connections != 2 {
		t.Errorf("%d connections, want 2; %v", status.Connections, err)
	}
}

// office is a validator of a user's own, as Pyro's are subclasses.
type office struct {
	*validator.Default
	closed atomic.Bool
}

func (o *office) AcceptHost(ctx context.Context, addr netip.Addr) error {
	if o.closed.Load() {
		return &validator.Denial{Code: validator.DeniedHostBlocked, Check: validator.CheckHost, Got: "a call at night", Want: "one by day"}
	}
	return nil
}

func TestCustomValidator(t *testing.T) {
	o := &office{Default: anyone(t)}
	w := newWorld(t, func(c *broker.Config) { c.Validator = o })
	p := w.proxy(w.client("alice@bank.example", nil), w.uri("bank"))
	if _, err := p.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.closed.Store(true)
	var denied *broker.ConnectionDeniedError
	_, err := w.proxy(w.client("alice@bank.example", nil), w.uri("bank")).Connect(t.Context())
	if !errors.As(err, &denied) || denied.Code != validator.DeniedHostBlocked || denied.Got != "a call at night" {
		t.Errorf("got %v", err)
	}
}

// TestMaxConnections counts authenticated sessions only.
func TestMaxConnections(t *testing.T) {
	v, err := validator.New(validator.Config{Admit: []validator.Peer{validator.AnyIdentity()}, MaxConnections: 2})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(c *broker.Config) { c.Validator = v })
	var clients []*broker.Client
	for range 2 {
		c := w.client("alice@bank.example", nil)
		if _, err := w.proxy(c, w.uri("bank")).Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	third := w.proxy(w.client("alice@bank.example", nil), w.uri("bank"))
	var denied *broker.ConnectionDeniedError
	if _, err := third.Connect(t.Context()); !errors.As(err, &denied) || denied.Code != validator.DeniedServerTooBusy || !denied.Temporary() {
		t.Errorf("third connection: %v", err)
	}
	clients[0].Close()
	eventually(t, "a place is free", func() bool { _, err := third.Connect(t.Context()); return err == nil })
}
