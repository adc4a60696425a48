package attack

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// relay ends TLS on both sides, with certificates that both sides trust, and hands on what
// they say. What can be changed in the messages of an identification is tried in package
// validator; here are connections.
type relay struct {
	w   *world
	own testca.Pair // its client certificate
	lie bool        // it welcomes the victim itself

	mu     sync.Mutex
	tokens [][]byte // that the victim has made
}

// serve is a hostile server's deed.
func (r *relay) serve(n net.Conn) {
	victim := &raw{n.(*tls.Conn), r.w.tb}
	daemon, err := r.w.attack(reckless(r.own))
	if err != nil {
		r.w.tb.Errorf("the relay is not served: %v", err)
		return
	}
	defer daemon.Close()
	for {
		h, p, err := daemon.next()
		if err != nil {
			return
		}
		victim.frame(h.Type, h.Flags, h.ID, p)
		if h.Type != wire.Challenge {
			io.Copy(io.Discard, victim)
			return
		}
		h, token, err := victim.next()
		if err != nil {
			return
		}
		r.mu.Lock()
		r.tokens = append(r.tokens, token)
		said := len(r.tokens)
		r.mu.Unlock()
		if r.lie && said == 2 {
			victim.send(welcome(r.w.tb, func(b *wire.WelcomeBody) { b.Proof = []byte("v=AAAA") }))
			io.Copy(io.Discard, victim)
			return
		}
		daemon.frame(h.Type, h.Flags, h.ID, token)
	}
}

// TestRelay: a proof of the passphrase is bound to its TLS connection (RFC 9266), so that
// a relay can neither hand it on nor use it later, and cannot do without it either.
func TestRelay(t *testing.T) {
	ca := newPKI(t, "ours")
	pass := validator.Passphrase(canaries.passphrase("what the relay would like to know"))
	login := validator.Login{Name: "alice", Passphrase: pass}
	v := admit(t, validator.Config{})
	if err := v.SetAllowedIdentifications([]validator.Identification{pass, login}); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, ca, func(c *broker.Config) { c.Validator = v })
	alice, mallory := ca.Client(t, "alice@bank.example"), ca.Client(t, "mallory@bank.example")
	with := func(ident any) func(*broker.ClientConfig) {
		return func(c *broker.ClientConfig) { c.Identification = ident }
	}
	for name, ident := range map[string]any{"a passphrase": pass, "a name and a passphrase": login} {
		for _, lie := range []bool{false, true} {
			before := len(w.log.refusals())
			r := &relay{w: w, own: mallory, lie: lie}
			s := newServer(t, serving(ca.Server(t, "localhost")), r.serve)
			d := deniedOf(t, proxyOf(t, w.client(alice, with(ident)), s.uri("target")).Call(t.Context(), "Guarded", nil, 1))
			if d.Check != validator.CheckIdentification || !lie && !strings.Contains(d.Got, "another connection") {
				t.Errorf("%s: the victim is told %v", name, d)
			}
			if len(r.tokens) != 2 {
				t.Fatalf("%s: the relay has %d messages, want 2: then it has seen a whole proof", name, len(r.tokens))
			}
			eventually(t, "the daemon has refused the relay", func() bool { return len(w.log.refusals()) == before+1 })
			// Later, over a connection of its own, with either certificate.
			for _, pair := range []testca.Pair{mallory, alice} {
				c := w.challenged(pair)
				c.frame(wire.Ident, 0, 0, r.tokens[0])
				if h, _, err := c.next(); err != nil || h.Type != wire.Challenge {
					t.Fatalf("%s: %v, %v, want the second challenge", name, h.Type, err)
				}
				c.frame(wire.Ident, 0, 0, r.tokens[1])
				if d := c.denied(); d.Check != string(validator.CheckIdentification) {
					t.Errorf("%s, replayed: %+v", name, d)
				}
				c.NetConn().Close()
			}
		}
	}
	// Without the relay it is good.
	if err := w.proxy(w.client(alice, with(login)), "target").Call(t.Context(), "Nothing", nil); err != nil {
		t.Errorf("alice herself: %v", err)
	}
}

// TestTicketOfTheRevoked: a client keeps its ticket for a resumed session, and comes back
// with it when its certificate is revoked, its authority gone, or the daemon's policy
// another one.
func TestTicketOfTheRevoked(t *testing.T) {
	ca, other := newPKI(t, "ours"), newPKI(t, "another")
	tests := []struct {
		name  string
		by    *pki
		check validator.Check // that the daemon has for it
		fire  func(t *testing.T, s *swapped, p testca.Pair)
	}{
		{"serial number on a list", ca, validator.CheckRevocation, func(t *testing.T, s *swapped, p testca.Pair) {
			s.revoke(t, certs.RevocationConfig{CRLs: parseCRL(t, ca.crl(t, p.Chain[0]))})
		}},
		{"name denied", ca, validator.CheckRevocation, func(t *testing.T, s *swapped, p testca.Pair) {
			s.revoke(t, certs.RevocationConfig{Deny: denyList(t, "principal email:mallory@bank.example")})
		}},
		{"authority removed", other, validator.CheckChain, func(t *testing.T, s *swapped, p testca.Pair) {
			m, err := certs.NewMaterial(s.Current().Chain, s.Current().Key, []*x509.Certificate{ca.root})
			if err != nil {
				t.Fatal(err)
			}
			s.p.Store(m)
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			source := new(swapped)
			source.p.Store(material(t, ca.Server(t, "localhost"), ca.root, other.root))
			w := newWorld(t, ca, func(c *broker.Config) { c.Certs, c.ResumeSessions = source, true })
			mallory := test.by.Client(t, "mallory@bank.example")
			config := reckless(mallory)
			config.ClientSessionCache = tls.NewLRUClientSessionCache(0)
			if w.session(config).Close(); !resumes(t, w, config) {
				t.Fatal("no session is resumed, so that nothing is tried here")
			}
			test.fire(t, source, mallory)
			c, err := w.attack(config)
			if err == nil {
				err = c.verdict(nil)
			}
			if err == nil {
				t.Error("mallory was let in")
			}
			printed.error(err)
			var lines []line
			eventually(t, "the daemon has a line for it", func() bool {
				lines = w.log.find(func(l line) bool { return l.message == "connection denied" || l.message == "TLS handshake refused" })
				return len(lines) > 0
			})
			if len(lines) != 1 || lines[0].attrs["check"] != string(test.check) {
				t.Errorf("mallory is told %v, the log says %v, want check %s", err, lines, test.check)
			}
			w.alive(ca.Client(t, "alice@bank.example"))
		})
	}
}

// resumes connects once more, and reports whether a session was resumed.
func resumes(t *testing.T, w *world, config *tls.Config) bool {
	t.Helper()
	c := w.session(config)
	defer c.Close()
	return c.ConnectionState().DidResume
}
