package explain_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/explain"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// TestVerdict has what a daemon refuses.
func TestVerdict(t *testing.T) {
	for _, s := range []sabotage{
		{
			name: "client of another authority", step: "verdict", who: explain.Client, want: explain.Denied,
			texts: []string{"does not trust who issued our certificate for email:alice@bank.example", "the daemon accepts certificates of: CN=testca root", "server: add the authority", "only a TLS alert"},
			world: func(w *world) explain.Options {
				other := testca.New(w)
				w.client(other.Client(w, "alice@bank.example"))
				w.write("ca.crt", append(other.RootPEM(), w.ca.RootPEM()...))
				return w.at(w.daemon(nil))
			},
		},
		{
			name: "client without its intermediate", step: "certificate", who: explain.Client, warns: true, want: explain.Denied,
			texts: []string{"is neither among the CAs that we trust nor does", "put the intermediate certificate CN=testca intermediate", "after our own"},
			world: clientWithoutIntermediate,
		},
		{
			name: "client without its intermediate, refused", step: "verdict", who: explain.Client, want: explain.Denied,
			texts: []string{"does not trust", "is an intermediate: the daemon itself shows its certificate", "put the intermediate certificate CN=testca intermediate", "client.crt"},
			world: clientWithoutIntermediate,
		},
		{
			name: "daemon's clock is ahead", step: "verdict", who: explain.Server, want: explain.Denied,
			texts: []string{"clocks that agree", "the daemon's clock is ahead by more than 11 hours, or behind by more than 12 hours"},
			world: func(w *world) explain.Options {
				return w.at(w.tls(w.ca.Server(w, host), func(c *tls.Config) {
					c.Time = func() time.Time { return time.Now().Add(20 * time.Hour) }
				}))
			},
		},
		{
			name: "no identity", step: "verdict", who: explain.Authority, want: explain.Denied,
			texts: []string{`check "identity"`, "it has no URI, DNS or e-mail name", "server: write a mapping rule"},
			world: func(w *world) explain.Options {
				w.client(w.ca.Issue(w, testca.Leaf{CN: "alice", EKU: clientAuth}))
				return w.at(w.daemon(nil))
			},
		},
		{
			name: "ambiguous identity", step: "verdict", who: explain.Authority, want: explain.Denied,
			texts: []string{`check "identity"`, "its names are dns:alice.bank.example, email:alice@bank.example", "exactly one"},
			world: func(w *world) explain.Options {
				w.client(w.ca.Issue(w, testca.Leaf{DNS: []string{"alice.bank.example"}, Emails: []string{"alice@bank.example"}, EKU: clientAuth}))
				return w.at(w.daemon(nil))
			},
		},
		{
			name: "identity that no rule maps", step: "verdict", who: explain.Server, want: explain.Denied,
			texts: []string{`check "identity"`, "the daemon has mapping rules, and none gives it an identity", "write a mapping rule for email:alice@bank.example"},
			world: func(w *world) explain.Options {
				m, err := validator.NewMapper(validator.MapRule{Name: "staff", Match: validator.Email, Pattern: `(.*)@staff\.example`, As: "$1"})
				if err != nil {
					w.Fatal(err)
				}
				return w.at(w.daemon(func(c *broker.Config) { c.Validator = w.validator(validator.Config{Identities: m}) }))
			},
		},
		{
			name: "not admitted", step: "verdict", who: explain.Server, want: explain.Denied,
			texts: []string{`check "admission"`, "alice@bank.example", "admit this identity"},
			world: func(w *world) explain.Options {
				return w.at(w.daemon(func(c *broker.Config) {
					c.Validator = w.validator(validator.Config{Admit: []validator.Peer{validator.Named("email:bob@bank.example")}})
				}))
			},
		},
		{
			name: "revoked", step: "verdict", who: explain.Client, want: explain.Denied,
			texts: []string{`check "revocation"`, "was revoked on", "number 4", "a new certificate with a new key"},
			world: func(w *world) explain.Options {
				p := w.ca.Client(w, "alice@bank.example")
				w.client(p)
				return w.at(w.revoking(testca.List{Number: 4, Revoked: p.Chain[:1]}))
			},
		},
		{
			name: "daemon's list is stale", step: "verdict", who: explain.Server, want: explain.Denied,
			texts: []string{`check "revocation"`, "is stale", "put the authority's newest revocation list into the place", "authority: issue a new list"},
			world: func(w *world) explain.Options {
				return w.at(w.revoking(testca.List{Number: 4, ThisUpdate: time.Now().Add(-2 * time.Hour), NextUpdate: time.Now().Add(-time.Hour)}))
			},
		},
		{
			name: "host blocked", step: "verdict", who: explain.Server, want: explain.Denied,
			texts: []string{`code 2 (host blocked), check "host"`, "127.0.0.1", "AllowHosts and DenyHosts", "client: connect from an address"},
			world: func(w *world) explain.Options {
				return w.at(w.daemon(func(c *broker.Config) {
					c.Validator = w.validator(validator.Config{DenyHosts: []string{"127.0.0.0/8"}})
				}))
			},
		},
		{
			name: "server too busy", step: "verdict", who: explain.Server, want: explain.Denied,
			texts: []string{`code 1 (server too busy), check "busy"`, "1 connections already", "another attempt after 1s", "raise MaxConnections", "client: try again later"},
			world: func(w *world) explain.Options {
				addr := w.daemon(func(c *broker.Config) { c.Validator = w.validator(validator.Config{MaxConnections: 1}) })
				w.occupy(addr)
				return w.at(addr)
			},
		},
		{
			name: "second factor not sent", step: "verdict", who: explain.Client, want: explain.Denied,
			texts: []string{"asks for an identification", "it was this side that did not go on", "--passphrase-file"},
			world: func(w *world) explain.Options { return w.at(w.secured()) },
		},
		{
			name: "wrong second factor", step: "verdict", who: explain.Client, want: explain.Denied,
			texts: []string{`check "identification"`, "not accepted", "compare login and passphrase", "server: allow this identification"},
			world: func(w *world) explain.Options {
				o := w.at(w.secured())
				o.Identification = validator.Passphrase(wrongPassphrase)
				return o
			},
		},
		{
			name: "second factor that nobody wants", step: "identification", who: explain.Client, warns: true, want: explain.AllWell,
			texts: []string{"was not sent", "leave it out"},
			world: func(w *world) explain.Options {
				o := w.at(w.daemon(nil))
				o.Identification = validator.Passphrase(passphrase)
				return o
			},
		},
		{
			name: "no verdict", step: "verdict", who: explain.Server, want: explain.Failed,
			texts: []string{"no verdict", "limit of handshakes", "network: "},
			world: func(w *world) explain.Options {
				config := w.serverConfig(w.ca.Server(w, host))
				return w.at(w.listen(func(c net.Conn) { tls.Server(c, config).Handshake() }))
			},
		},
		{
			name: "policy", step: "policy", who: explain.Server, want: explain.Denied,
			texts: []string{"email:bob@bank.example", "bank.Deposit", "add a rule that allows email:bob@bank.example to call bank.Deposit"},
			world: func(w *world) explain.Options {
				w.client(w.ca.Client(w, "bob@bank.example"))
				o := w.at(w.daemon(nil))
				o.Method = "Deposit"
				return o
			},
		},
		{
			name: "unknown object", step: "policy", who: explain.Client, want: explain.Failed,
			texts: []string{"no object bnak", "did you mean bank?", "there are: Pyro.Daemon, bank", "server: register the object"},
			world: func(w *world) explain.Options {
				o := w.options(fmt.Sprintf("PYROSSL://%s:%s/bnak", host, port(w.daemon(nil))))
				o.Method = "Deposit"
				return o
			},
		},
		{
			name: "unknown method", step: "policy", who: explain.Client, want: explain.Failed,
			texts: []string{"bank exposes no method deposit", "did you mean Deposit?", "there are: Close, Deposit, Note"},
			world: func(w *world) explain.Options {
				o := w.at(w.daemon(nil))
				o.Method = "deposit"
				return o
			},
		},
		{
			name: "method that cannot be sent", step: "policy", who: explain.Client, want: explain.Failed,
			texts: []string{"no decision about bank.xxx"},
			world: func(w *world) explain.Options {
				o := w.at(w.daemon(nil))
				o.Method = strings.Repeat("x", 100_000)
				return o
			},
		},
		{
			name: "daemon with a stale list of an authority that matters to nobody", step: "daemon", who: explain.Server, warns: true, want: explain.AllWell,
			texts: []string{"STALE", "number 9", "put the newest list in its place"},
			world: func(w *world) explain.Options {
				past := testca.List{Number: 9, ThisUpdate: time.Now().Add(-2 * time.Hour), NextUpdate: time.Now().Add(-time.Hour)}
				return w.at(w.revokingBy(testca.CRLPEM(w.ca.CRL(w, testca.List{}), w.ca.Sibling(w).CRL(w, past))))
			},
		},
	} {
		t.Run(s.name, s.run)
	}
}

func clientWithoutIntermediate(w *world) explain.Options {
	p := w.ca.Client(w, "alice@bank.example")
	p.Chain = p.Chain[:1]
	w.client(p)
	return w.at(w.daemon(nil))
}

// serverConfig lets clients of the world in.
func (w *world) serverConfig(p testca.Pair) *tls.Config {
	config, err := certs.ServerConfig(certs.Static(w.material(p)))
	if err != nil {
		w.Fatal(err)
	}
	return config
}

// secured asks for a second factor.
func (w *world) secured() net.Addr {
	v := w.validator(validator.Config{})
	if err := v.SetAllowedIdentifications([]validator.Identification{validator.Passphrase(passphrase)}); err != nil {
		w.Fatal(err)
	}
	return w.daemon(func(c *broker.Config) { c.Validator = v })
}

// revoking is a daemon with this revocation list.
func (w *world) revoking(l testca.List) net.Addr { return w.revokingBy(testca.CRLPEM(w.ca.CRL(w, l))) }

func (w *world) revokingBy(pem []byte) net.Addr {
	lists, err := certs.ParseCRLs(pem)
	if err != nil {
		w.Fatal(err)
	}
	r, err := certs.NewRevocations(certs.RevocationConfig{CRLs: lists})
	if err != nil {
		w.Fatal(err)
	}
	m, err := w.material(w.ca.Server(w, host)).WithRevocations(r)
	if err != nil {
		w.Fatal(err)
	}
	return w.daemon(func(c *broker.Config) { c.Certs = certs.Static(m) })
}

// dialer is a client of a daemon of this world.
func (w *world) dialer(addr net.Addr, object string) *broker.Proxy {
	c, err := broker.NewClient(broker.ClientConfig{
		Certs: certs.Static(w.material(w.ca.Client(w, "alice@bank.example"))), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { c.Close() })
	p, err := c.Proxy(w.Context(), fmt.Sprintf("PYROSSL://127.0.0.1:%s/%s", port(addr), object))
	if err != nil {
		w.Fatal(err)
	}
	return p
}

// occupy takes a place at a daemon until the test ends.
func (w *world) occupy(addr net.Addr) {
	if _, err := w.dialer(addr, "bank").Connect(w.Context()); err != nil {
		w.Fatal(err)
	}
}

// log is a daemon's.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestAllWell is a connection with nothing wrong, and what the daemon notices of the
// diagnosis: nothing that an operator would have to look at.
func TestAllWell(t *testing.T) {
	w := newWorld(t)
	seen := new(log)
	addr := w.daemon(func(c *broker.Config) {
		c.Logger = slog.New(slog.NewTextHandler(seen, &slog.HandlerOptions{Level: slog.LevelInfo}))
	})
	o := w.at(addr)
	o.Method = "Deposit"
	report := explain.Run(t.Context(), o)
	var printed bytes.Buffer
	report.WriteText(&printed)
	for _, s := range report.Steps {
		want := explain.OK
		switch s.Name {
		case "lists", "revocation", "identification":
			want = explain.Skipped
		}
		if s.State != want || len(s.Fixes) > 0 {
			t.Errorf("step %s: %s, want %s", s.Name, s.State, want)
		}
	}
	for _, want := range []string{
		"ok    policy         email:alice@bank.example may call bank.Deposit\n",
		"ok    identity       to the daemon we are email:alice@bank.example\n",
		"ok    protocol       TLS 1.3, key exchange X25519MLKEM768, asks for a certificate\n",
		"1024 calls in flight, 4096 KiB a message, 1m0s idle",
	} {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("%q is not in\n%s", want, printed.String())
		}
	}
	if report.Outcome != explain.AllWell || report.Failure() != nil {
		t.Errorf("outcome %s", report.Outcome)
	}
	if text := seen.String(); strings.Contains(text, "level=WARN") || strings.Contains(text, "level=ERROR") {
		t.Errorf("the daemon's log:\n%s", text)
	}
	if t.Failed() {
		t.Log(printed.String())
	}
}

// TestSecondFactor: one that is accepted.
func TestSecondFactor(t *testing.T) {
	w := newWorld(t)
	o := w.at(w.secured())
	o.Identification = validator.Passphrase(passphrase)
	report := explain.Run(t.Context(), o)
	if s := report.Step("identification"); report.Outcome != explain.AllWell || s.State != explain.OK || !strings.Contains(s.Got, "took ours") {
		t.Errorf("outcome %s, %+v", report.Outcome, s)
	}
}

// Shapes has methods of every shape. None of them may run.
type Shapes struct{ t *testing.T }

func ran(t *testing.T, method string) error {
	t.Errorf("%s has run", method)
	return nil
}

func (s *Shapes) None()                                            { ran(s.t, "None") }
func (s *Shapes) One(string)                                       { ran(s.t, "One") }
func (s *Shapes) Any(...any)                                       { ran(s.t, "Any") }
func (s *Shapes) Takes(iter.Seq2[int, error])                      { ran(s.t, "Takes") }
func (s *Shapes) Yields(...any) iter.Seq2[int, error]              { ran(s.t, "Yields"); return nil }
func (s *Shapes) Both(iter.Seq2[int, error]) iter.Seq2[int, error] { ran(s.t, "Both"); return nil }

// TestQuestionRunsNothing asks about methods of every shape: with the arguments that
// they take, and any others, and with and without streams.
func TestQuestionRunsNothing(t *testing.T) {
	w := newWorld(t)
	addr := w.daemon(nil, func(d *broker.Daemon) error {
		value := broker.Attribute("Value", func(context.Context) (int, error) { return 0, ran(t, "get:Value") }, func(context.Context, int) error { return ran(t, "set:Value") })
		_, err := d.Register("shapes", &Shapes{t}, value)
		return err
	})
	for _, method := range []string{"None", "One", "Any", "Takes", "Yields", "Both", "get:Value", "set:Value"} {
		o := w.options(fmt.Sprintf("PYROSSL://%s:%s/shapes", host, port(addr)))
		o.Method = method
		s := explain.Run(t.Context(), o).Step("policy")
		if s.State != explain.OK || !strings.Contains(s.Got, "may call shapes."+method) {
			t.Errorf("%s: %+v", method, s)
		}
	}
}

// TestIncidentIsTheDaemons: the id in the report is one that the daemon has noted.
func TestIncidentIsTheDaemons(t *testing.T) {
	w := newWorld(t)
	w.client(w.ca.Client(t, "bob@bank.example"))
	addr := w.daemon(nil)
	o := w.at(addr)
	o.Method = "Deposit"
	s := explain.Run(t.Context(), o).Step("policy")
	if s.Incident == "" {
		t.Fatalf("no incident: %+v", s)
	}
	var i broker.Incident
	if err := w.dialer(addr, broker.SelfName).Call(t.Context(), "Incident", &i, s.Incident); err != nil || i.Method != "Deposit" || i.Identity != "email:bob@bank.example" {
		t.Errorf("%v, %+v", err, i)
	}
}

// TestNoCertificateToStrangers: a server that fails a check never gets our certificate,
// and nothing but a TLS handshake.
func TestNoCertificateToStrangers(t *testing.T) {
	w := newWorld(t)
	var mu sync.Mutex
	var got [][]*x509.Certificate
	seen := func(cs tls.ConnectionState) error {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, cs.PeerCertificates)
		return nil
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{testca.New(t).Server(t, host).TLS()}, NextProtos: []string{certs.ALPN},
		ClientAuth: tls.RequestClientCert, VerifyConnection: seen, SessionTicketsDisabled: true,
	}
	addr := w.listen(func(c net.Conn) {
		s := tls.Server(c, config)
		s.Handshake()
		io.Copy(io.Discard, s)
	})
	if report := explain.Run(t.Context(), w.at(addr)); report.Failure() == nil || report.Failure().Name != "chain" {
		t.Errorf("%+v", report.Failure())
	}
	mu.Lock()
	defer mu.Unlock()
	if len(got) > 0 {
		t.Errorf("handshakes were completed, with certificates %v", got)
	}
}
