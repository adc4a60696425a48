package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/memnet"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// resuming is a server that resumes, with a source that the test changes.
type resuming struct {
	t      *testing.T
	ca     *testca.CA
	src    *changing
	server *tls.Config
}

func newResuming(t *testing.T, opts ...certs.ServerOption) *resuming {
	t.Helper()
	r := &resuming{t: t, ca: testca.New(t)}
	r.src = &changing{material(t, r.ca.Server(t, "bank.example"), r.ca)}
	server, err := certs.ServerConfig(r.src, append(opts, certs.ResumeSessions())...)
	if err != nil {
		t.Fatal(err)
	}
	r.server = server
	return r
}

// met is how one connection went.
type met struct {
	server, client error
	resumed        bool // as the server sees it
	peer           []*x509.Certificate
}

// meet connects, in memory and by the bubble's clock.
func (r *resuming) meet(client *tls.Config) (m met) {
	r.t.Helper()
	a, b := memnet.Pipe()
	done := make(chan struct{})
	var resumed bool
	go func() {
		defer close(done)
		conn := tls.Server(a, r.server)
		defer conn.Close()
		if m.server = conn.Handshake(); m.server == nil {
			cs := conn.ConnectionState()
			resumed, m.peer = cs.DidResume, cs.PeerCertificates
			_, m.server = conn.Write([]byte("w"))
		}
	}()
	conn := tls.Client(b, client)
	if m.client = conn.Handshake(); m.client == nil {
		if _, m.client = io.ReadFull(conn, make([]byte, 1)); m.client == nil && conn.ConnectionState().DidResume != resumed {
			defer func() { r.t.Error("the sides do not agree on whether the session was resumed") }()
		}
	}
	b.Close()
	<-done
	m.resumed = resumed
	return m
}

// expect dials and checks whether the session is resumed.
func (r *resuming) expect(name string, client *tls.Config, resumed bool) {
	r.t.Helper()
	if m := r.meet(client); m.server != nil || m.client != nil || m.resumed != resumed {
		r.t.Errorf("%s: resumed %v, want %v; server %v, client %v", name, m.resumed, resumed, m.server, m.client)
	}
}

// eager is a client that resumes whatever it can, and checks nothing but the chain.
func eager(pair testca.Pair, trust *testca.CA) *tls.Config {
	c := plainClient(pair, trust, "bank.example")
	c.ClientSessionCache = tls.NewLRUClientSessionCache(10)
	return c
}

// TestTicketsAreBoundToTheMaterial: each kind of change makes them useless, and who
// comes with one goes through all checks.
func TestTicketsAreBoundToTheMaterial(t *testing.T) {
	other := testca.New(t)
	for _, c := range []struct {
		name   string
		change func(r *resuming, alice testca.Pair) *certs.Material
		check  validator.Check // of the refusal; empty: a full handshake
	}{
		{"another certificate of ours", func(r *resuming, _ testca.Pair) *certs.Material {
			return material(t, r.ca.Server(t, "bank.example"), r.ca)
		}, ""},
		{"an authority more", func(r *resuming, _ testca.Pair) *certs.Material {
			p := r.ca.Server(t, "bank.example")
			m, err := certs.NewMaterial(p.Chain, newKey(t, p), []*x509.Certificate{r.ca.RootCert(), other.RootCert()})
			if err != nil {
				t.Fatal(err)
			}
			return m
		}, ""},
		{"authority removed", func(r *resuming, _ testca.Pair) *certs.Material {
			return material(t, r.ca.Server(t, "bank.example"), other)
		}, validator.CheckChain},
		{"revoked", func(r *resuming, alice testca.Pair) *certs.Material {
			return withRevocations(t, r.src.m, revokes(t, r.ca, alice))
		}, certs.CheckRevocation},
		{"somebody else revoked", func(r *resuming, _ testca.Pair) *certs.Material {
			return withRevocations(t, r.src.m, revokes(t, r.ca, r.ca.Client(t, "bob@a.example")))
		}, ""},
		{"denied", func(r *resuming, alice testca.Pair) *certs.Material {
			return withRevocations(t, r.src.m, certs.RevocationConfig{Deny: deny(t, "number 1\nkey "+spki(alice.Chain[0]))})
		}, certs.CheckRevocation},
	} {
		r := newResuming(t)
		alice := r.ca.Client(t, "alice@a.example")
		client := eager(alice, r.ca)
		r.expect(c.name+": first", client, false)
		r.expect(c.name+": second", client, true)
		r.src.m = c.change(r, alice)
		for range 2 { // a ticket from before, and again
			m := r.meet(client)
			if c.check == "" {
				if m.server != nil || m.client != nil || m.resumed {
					t.Errorf("%s: resumed %v; server %v, client %v", c.name, m.resumed, m.server, m.client)
				}
				break
			}
			refused(t, c.name, certs.ServerRefusal(m.server, r.src.m), c.check, "client certificate for email:alice@a.example")
			if m.client == nil {
				t.Errorf("%s: the client was let in", c.name)
			}
		}
	}
}

// TestResumedPeersAreRechecked: with the option for a later check the ticket of a
// revoked client still gets through TLS, and what it presented is there to be checked.
func TestResumedPeersAreRechecked(t *testing.T) {
	r := newResuming(t, certs.RecheckAfterHandshake())
	alice := r.ca.Client(t, "alice@a.example")
	client := eager(alice, r.ca)
	r.src.m = withRevocations(t, r.src.m, revokes(t, r.ca, alice))
	r.expect("first", client, false)
	m := r.meet(client)
	if m.server != nil || m.client != nil || !m.resumed {
		t.Fatalf("resumed %v; server %v, client %v", m.resumed, m.server, m.client)
	}
	refused(t, "recheck", certs.Recheck(m.peer, r.src.m, certs.ClientAuth, time.Now()), certs.CheckRevocation, "email:alice@a.example: it was revoked on")
}

// TestTicketsAndTime: nothing changes but the clock.
func TestTicketsAndTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newResuming(t)
		long := eager(r.ca.Client(t, "long@a.example"), r.ca)
		brief := eager(r.ca.Issue(t, testca.Leaf{Emails: []string{"brief@a.example"}, EKU: clientAuth, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * time.Minute)}), r.ca)
		r.expect("long", long, false)
		r.expect("brief", brief, false)
		time.Sleep(30 * time.Minute)
		r.expect("in its last moment", brief, true)
		time.Sleep(time.Second)
		m := r.meet(brief)
		refused(t, "expired", certs.ServerRefusal(m.server, r.src.m), validator.CheckDates, "email:brief@a.example: it expired on")
		r.expect("long", long, true)
		// The key is replaced every hour, and taken for one more.
		time.Sleep(31 * time.Minute)
		r.expect("by the last key", long, true)
		fresh := eager(r.ca.Client(t, "fresh@a.example"), r.ca)
		r.expect("fresh", fresh, false)
		time.Sleep(2 * time.Hour)
		r.expect("after hours", fresh, false)

		// A list that becomes stale closes this door, too.
		r.src.m = withRevocations(t, r.src.m, certs.RevocationConfig{CRLs: crls(t, r.ca.CRL(t, testca.List{NextUpdate: time.Now().Add(10 * time.Minute)}))})
		r.expect("with a list", long, false)
		r.expect("with a list, again", long, true)
		time.Sleep(11 * time.Minute)
		m = r.meet(long)
		refused(t, "stale list", certs.ServerRefusal(m.server, r.src.m), certs.CheckRevocation, "is stale")
	})
}

// TestOneServersTicketsAreNotAnothers: two servers with the same certificate share no
// keys, nor do a server's earlier and later life.
func TestOneServersTicketsAreNotAnothers(t *testing.T) {
	r := newResuming(t)
	client := eager(r.ca.Client(t, "alice@a.example"), r.ca)
	r.expect("first", client, false)
	again, err := certs.ServerConfig(r.src, certs.ResumeSessions())
	if err != nil {
		t.Fatal(err)
	}
	r.server = again
	r.expect("the other", client, false)
}

// TestClientsResumeBoundToTheMaterial: our client, with servers that would resume
// anything.
func TestClientsResumeBoundToTheMaterial(t *testing.T) {
	for _, expect := range []certs.Expect{{Host: "bank.example"}, {Host: "bank.example", ID: "dns:bank.example"}} {
		t.Run(expect.ID, func(t *testing.T) {
			r := &resuming{t: t, ca: testca.New(t)}
			server := r.ca.Server(t, "bank.example")
			r.server = plainServer(server, r.ca)
			alice := r.ca.Client(t, "alice@a.example")
			src, store := &changing{material(t, alice, r.ca)}, certs.NewSessions(0)
			config := func(e certs.Expect) *tls.Config {
				t.Helper()
				c, err := certs.ClientConfig(src, e, certs.ResumeWith(store))
				if err != nil {
					t.Fatal(err)
				}
				return c
			}
			r.expect("first", config(expect), false)
			r.expect("second", config(expect), true)
			r.expect("without the option", clientConfig(t, src.m, expect), false)
			// Another expectation is another ticket: what was proved to one is not proved to all.
			another := certs.Expect{Host: "bank.example", ID: "dns:bank.example"}
			if expect == another {
				another.ID = ""
			}
			r.expect("another expectation", config(another), false)
			old := config(expect)
			src.m = material(t, r.ca.Client(t, "alice@a.example"), r.ca)
			r.expect("another certificate of ours", config(expect), false)
			r.expect("again", config(expect), true)
			r.expect("settings from before", old, true) // their own store is still theirs
			r.expect("and they leave the new ones alone", config(expect), true)
			src.m = withRevocations(t, src.m, revokes(t, r.ca, server))
			m := r.meet(config(expect))
			refused(t, "revoked", certs.Refusal(m.client, src.m, expect), certs.CheckRevocation, "server certificate for dns:bank.example: it was revoked on")
			src.m = material(t, alice, testca.New(t))
			m = r.meet(config(expect))
			refused(t, "authority removed", certs.Refusal(m.client, src.m, expect), validator.CheckChain, "which we do not trust")
		})
	}
}

// TestNoResumptionBehindOurBack: who turns tickets on in our settings, without the
// options, gets no connection by one.
func TestNoResumptionBehindOurBack(t *testing.T) {
	r := &resuming{t: t, ca: testca.New(t)}
	r.server = plainServer(r.ca.Server(t, "bank.example"), r.ca)
	m, expect := material(t, r.ca.Client(t, "alice@a.example"), r.ca), certs.Expect{Host: "bank.example"}
	client := clientConfig(t, m, expect)
	client.SessionTicketsDisabled, client.ClientSessionCache = false, tls.NewLRUClientSessionCache(1)
	r.expect("first", client, false)
	refused(t, "client", certs.Refusal(r.meet(client).client, m, expect), validator.CheckProtocol, "a resumed TLS session")

	ours := material(t, r.ca.Server(t, "bank.example"), r.ca)
	child, err := serverConfig(t, ours).GetConfigForClient(nil)
	if err != nil {
		t.Fatal(err)
	}
	r.server = child.Clone()
	r.server.SessionTicketsDisabled = false
	client = eager(r.ca.Client(t, "bob@a.example"), r.ca)
	r.expect("first", client, false)
	refused(t, "server", certs.ServerRefusal(r.meet(client).server, ours), validator.CheckProtocol, "a resumed TLS session")
}

// TestClientsDoNotResumeBadServers: the server's certificate expires, or the list
// becomes stale, while the ticket is good.
func TestClientsDoNotResumeBadServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &resuming{t: t, ca: testca.New(t)}
		brief := r.ca.Issue(t, testca.Leaf{DNS: []string{"bank.example"}, EKU: serverAuth, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)})
		r.server = plainServer(brief, r.ca)
		m := withRevocations(t, material(t, r.ca.Client(t, "alice@a.example"), r.ca), certs.RevocationConfig{CRLs: crls(t, r.ca.CRL(t, testca.List{NextUpdate: time.Now().Add(30 * time.Minute)}))})
		store := certs.NewSessions(4)
		for i, expect := range []certs.Expect{{Host: "bank.example"}, {Host: "bank.example", ID: "dns:bank.example"}} {
			config, err := certs.ClientConfig(certs.Static(m), expect, certs.ResumeWith(store))
			if err != nil {
				t.Fatal(err)
			}
			r.expect(fmt.Sprint(i, " first"), config, false)
			r.expect(fmt.Sprint(i, " second"), config, true)
			if i == 0 {
				continue
			}
			time.Sleep(31 * time.Minute)
			refused(t, "stale list", certs.Refusal(r.meet(config).client, m, expect), certs.CheckRevocation, "is stale")
			time.Sleep(30 * time.Minute)
			refused(t, "expired", certs.Refusal(r.meet(config).client, m, expect), validator.CheckDates, "expired on")
		}
	})
}
