package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

func revokes(t testing.TB, ca *testca.CA, revoked ...testca.Pair) certs.RevocationConfig {
	t.Helper()
	var all []*x509.Certificate
	for _, p := range revoked {
		all = append(all, p.Chain[0])
	}
	return certs.RevocationConfig{CRLs: crls(t, ca.CRL(t, testca.List{Number: 12, Revoked: all}))}
}

// TestRevokedClients: without the option the handshake fails; with it the client gets
// through TLS, and Recheck has the reason.
func TestRevokedClients(t *testing.T) {
	ca := testca.New(t)
	mallory, alice := ca.Client(t, "mallory@a.example"), ca.Client(t, "alice@a.example")
	m := withRevocations(t, material(t, ca.Server(t, "bank.example"), ca), revokes(t, ca, mallory))
	expect := certs.Expect{Host: "bank.example"}
	asMallory, asAlice := clientConfig(t, material(t, mallory, ca), expect), clientConfig(t, material(t, alice, ca), expect)

	strict := serverConfig(t, m)
	if o := connect(t, strict, asAlice); o.client != nil || o.server != nil {
		t.Fatalf("client %v, server %v", o.client, o.server)
	}
	o := connect(t, strict, asMallory)
	refused(t, "in the server's log", certs.ServerRefusal(o.server, m), certs.CheckRevocation, "client certificate for email:mallory@a.example: it was revoked on", "number 12")
	// All that crypto/tls can say is bad_certificate.
	if o.client == nil || !strings.Contains(o.client.Error(), "remote error: tls: bad certificate") {
		t.Errorf("the client gets %v", o.client)
	}
	refused(t, "told to the client", certs.Refusal(o.client, material(t, mallory, ca), expect), validator.CheckChain, "the server's own checks refused our certificate", "a revocation")

	lenient, err := certs.ServerConfig(certs.Static(m), certs.RecheckAfterHandshake())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		config *tls.Config
		words  []string
	}{{asAlice, nil}, {asMallory, []string{"client certificate for email:mallory@a.example: it was revoked on", "number 12", "another certificate"}}} {
		o := connect(t, lenient, c.config)
		if o.client != nil || o.server != nil {
			t.Fatalf("client %v, server %v", o.client, o.server)
		}
		d := certs.Recheck(o.serverState.PeerCertificates, m, certs.ClientAuth, time.Now())
		if c.words == nil && d != nil {
			t.Error(d)
		} else if c.words != nil {
			refused(t, "recheck", d, certs.CheckRevocation, c.words...)
		}
	}
	// Whatever else is wrong still fails in the handshake.
	for name, pair := range map[string]testca.Pair{
		"stranger": testca.New(t).Client(t, "alice@a.example"), "wrong purpose": ca.Server(t, "alice.example"),
		"expired": ca.Issue(t, testca.Leaf{Emails: []string{"a@b.c"}, EKU: clientAuth, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}),
	} {
		if o := connect(t, lenient, plainClient(pair, ca, "bank.example")); o.client == nil || o.server == nil {
			t.Errorf("%s: let in", name)
		}
	}
}

// TestRevokedServers: the client finds out in the handshake, by host and by principal.
func TestRevokedServers(t *testing.T) {
	ca := testca.New(t)
	revoked, good := ca.Server(t, "bank.example"), ca.Server(t, "bank.example")
	m := withRevocations(t, material(t, ca.Client(t, "alice@a.example"), ca), revokes(t, ca, revoked))
	authority := m
	if next, err := m.WithRevocations(revocations(t, certs.RevocationConfig{Deny: deny(t, "number 2\nca "+spki(ca.IntermediateCert()))})); err != nil {
		t.Fatal(err)
	} else {
		authority = next
	}
	for how, expect := range map[string]certs.Expect{"by host": {Host: "bank.example"}, "by principal": {Host: "bank.example", ID: "dns:bank.example"}} {
		if o := connect(t, plainServer(good, ca), clientConfig(t, m, expect)); o.client != nil || o.server != nil {
			t.Fatalf("%s: client %v, server %v", how, o.client, o.server)
		}
		o := connect(t, plainServer(revoked, ca), clientConfig(t, m, expect))
		refused(t, how, certs.Refusal(o.client, m, expect), certs.CheckRevocation, "server certificate for dns:bank.example: it was revoked on")
		ours := material(t, revoked, ca)
		refused(t, how+", in the server's log", certs.ServerRefusal(o.server, ours), validator.CheckChain, "the client refused our certificate for dns:bank.example", "not to be revoked")
		o = connect(t, plainServer(good, ca), clientConfig(t, authority, expect))
		refused(t, how+", authority denied", certs.Refusal(o.client, authority, expect), certs.CheckRevocation, "server certificate for dns:bank.example: the key of its authority")
	}
}

// TestOtherFaultsComeBeforeRevocation: the cause that the holder can see for himself
// is told first.
func TestOtherFaultsComeBeforeRevocation(t *testing.T) {
	ca := testca.New(t)
	wrong := ca.Server(t, "bank.example")
	m := withRevocations(t, material(t, ca.Client(t, "alice@a.example"), ca), revokes(t, ca, wrong))
	refused(t, "purpose", certs.Recheck(wrong.Chain, m, certs.ClientAuth, time.Now()), validator.CheckPurpose, "serverAuth")
	refused(t, "dates", certs.Recheck(wrong.Chain, m, certs.ServerAuth, time.Now().AddDate(0, 0, 2)), validator.CheckDates, "expired")
	for _, expect := range []certs.Expect{{Host: "shop.example"}} {
		o := connect(t, plainServer(wrong, ca), clientConfig(t, m, expect))
		refused(t, "name", certs.Refusal(o.client, m, expect), validator.CheckName, "shop.example")
	}
}

func TestRecheckFollowsTheMaterial(t *testing.T) {
	ca, other := testca.New(t), testca.New(t)
	alice, server := ca.Client(t, "alice@a.example"), ca.Server(t, "bank.example")
	now := time.Now()
	m := material(t, server, ca)
	key := newKey(t, server)
	both, err := certs.NewMaterial(server.Chain, key, []*x509.Certificate{ca.RootCert(), other.RootCert()})
	if err != nil {
		t.Fatal(err)
	}
	gone := material(t, server, other)
	for _, c := range []struct {
		name  string
		m     *certs.Material
		chain []*x509.Certificate
		at    time.Time
		check validator.Check // empty: good
		words string
	}{
		{"same", m, alice.Chain, now, "", ""},
		{"as a verified chain", m, chainOf(ca, alice), now, "", ""},
		{"another authority added", both, alice.Chain, now, "", ""},
		{"authority removed", gone, alice.Chain, now, validator.CheckChain, "client certificate for email:alice@a.example, issued by CN=testca root "},
		{"expired", m, alice.Chain, alice.Chain[0].NotAfter.Add(time.Second), validator.CheckDates, "it expired on"},
		{"server's purpose", m, server.Chain, now, validator.CheckPurpose, "serverAuth"},
		{"revoked", withRevocations(t, m, revokes(t, ca, alice)), alice.Chain, now, certs.CheckRevocation, "it was revoked on"},
		{"intermediate left out", m, alice.Chain[:1], now, validator.CheckChain, "sent no intermediate"},
		{"nothing", m, nil, now, validator.CheckChain, "no verified certificate"},
		{"nil", m, []*x509.Certificate{nil}, now, validator.CheckChain, "no verified certificate"},
		{"no material", nil, alice.Chain, now, validator.CheckChain, "cannot be verified"},
		{"unknown purpose", m, alice.Chain, now, "", ""},
	} {
		for range 2 { // from memory the second time
			purpose := certs.ClientAuth
			d := certs.Recheck(c.chain, c.m, purpose, c.at)
			if c.check == "" {
				if d != nil {
					t.Errorf("%s: %v", c.name, d)
				}
				continue
			}
			refused(t, c.name, d, c.check, c.words)
		}
	}
	if d := certs.Recheck(alice.Chain, m, certs.Purpose(9), now); d == nil {
		t.Error("an unknown purpose is good")
	}
}

// TestRecheckTakesAnotherPath: one path is revoked, another is not. The chain that
// VerifyPeer gives is the good one, since identity is derived from it.
func TestRecheckTakesAnotherPath(t *testing.T) {
	ca, second := testca.New(t), testca.New(t)
	alice, server := ca.Client(t, "alice@a.example"), ca.Server(t, "bank.example")
	presented := append(alice.Chain[:2:2], ca.CrossSigned(t, second))
	m, err := certs.NewMaterial(server.Chain, newKey(t, server), []*x509.Certificate{ca.RootCert(), second.RootCert()})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for name, c := range map[string]struct{ denied, anchor *x509.Certificate }{
		"first denied":  {ca.RootCert(), second.RootCert()},
		"second denied": {second.RootCert(), ca.RootCert()},
	} {
		with := withRevocations(t, m, certs.RevocationConfig{Deny: deny(t, "number 1\nca "+spki(c.denied))})
		for range 2 {
			chain, err := certs.VerifyPeer(presented, with, certs.ClientAuth, now)
			if err != nil || !chain[len(chain)-1].Equal(c.anchor) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	with := withRevocations(t, m, certs.RevocationConfig{Deny: deny(t, "number 1\nca "+spki(ca.RootCert())+"\nca "+spki(second.RootCert()))})
	for range 2 {
		refused(t, "both denied", certs.Recheck(presented, with, certs.ClientAuth, now), certs.CheckRevocation, "the key of its authority")
	}
}

// TestMemoryDecidesNothing compares checks that may use what is remembered with checks
// that may not: over many changes of roots, lists and time both must agree.
func TestMemoryDecidesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 2000))
	now := time.Now()
	cas := []*testca.CA{testca.New(t), testca.New(t), testca.New(t)}
	brief := cas[0].Reissued(t, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.Add(2*time.Hour), now.Add(4*time.Hour) })
	cross, late := cas[0].CrossSigned(t, cas[1]), cas[1].CrossSigned(t, cas[2])
	var peers [][]*x509.Certificate
	for i, ca := range cas {
		p := ca.Client(t, fmt.Sprintf("peer%d@a.example", i))
		peers = append(peers, p.Chain, p.Chain[:1], append(p.Chain[:2:2], cross, late, brief.IntermediateCert()))
		p = ca.Issue(t, testca.Leaf{Emails: []string{"x@a.example"}, EKU: append(serverAuth[:1:1], clientAuth...)})
		clientsOnly := ca.Reissued(t, func(c *x509.Certificate) { c.ExtKeyUsage = clientAuth })
		peers = append(peers, p.Chain, append(p.Chain[:1:1], clientsOnly.IntermediateCert()))
	}
	peers = append(peers, append(peers[0][:1:1], brief.IntermediateCert()), append(peers[0][:1:1], brief.IntermediateCert(), cross))
	denials := []string{""}
	for _, ca := range cas {
		denials = append(denials, "ca "+spki(ca.RootCert()), "serial "+ca.IntermediateCert().SerialNumber.Text(16), "key "+spki(ca.IntermediateCert()))
	}
	denials = append(denials, "serial "+cross.SerialNumber.Text(16), "principal email:peer1@a.example")

	own := cas[0].Server(t, "bank.example")
	warm, err := certs.NewMaterial(own.Chain, newKey(t, own), []*x509.Certificate{cas[0].RootCert()})
	if err != nil {
		t.Fatal(err)
	}
	agree, good := 0, 0
	for range 3000 {
		var roots []*x509.Certificate
		for len(roots) == 0 {
			for _, ca := range cas {
				if r.IntN(2) == 0 {
					roots = append(roots, ca.RootCert())
				}
			}
		}
		var lists *certs.Revocations
		if entry := denials[r.IntN(len(denials))]; entry != "" {
			lists = revocations(t, certs.RevocationConfig{Deny: deny(t, "number 1\n"+entry)})
		}
		next, err := certs.NewMaterial(own.Chain, newKey(t, own), roots)
		if err != nil {
			t.Fatal(err)
		}
		cold, err := next.WithRevocations(lists)
		if err != nil {
			t.Fatal(err)
		}
		warm = cold.Remembering(warm)
		at := now.Add(time.Duration(r.IntN(14)-2) * time.Hour)
		peer, purpose := peers[r.IntN(len(peers))], certs.Purpose(1+r.IntN(2))
		cold.Forget()
		want, got := certs.Recheck(peer, cold, purpose, at), certs.Recheck(peer, warm, purpose, at)
		if (want == nil) != (got == nil) || want != nil && want.Check != got.Check {
			t.Fatalf("at %v, purpose %v, %d roots, %v: from memory %v, without %v", at.Sub(now), purpose, len(roots), lists != nil, got, want)
		}
		agree++
		if want == nil {
			good++
		}
	}
	if good < agree/20 || good > agree*19/20 {
		t.Errorf("of %d checks %d were good: the test does not see both", agree, good)
	}
}

func TestVerifyPeerGivesTypedErrors(t *testing.T) {
	ca := testca.New(t)
	alice := ca.Client(t, "alice@a.example")
	m := withRevocations(t, material(t, ca.Server(t, "bank.example"), ca), revokes(t, ca, alice))
	_, err := certs.VerifyPeer(alice.Chain, m, certs.ClientAuth, time.Now())
	var d *validator.Denial
	var cause *certs.Error
	if !errors.As(err, &d) || !errors.As(err, &cause) || !strings.Contains(cause.Error(), "serial number "+alice.Chain[0].SerialNumber.Text(16)) {
		t.Errorf("got %v with cause %v", err, cause)
	}
	_, err = certs.VerifyPeer(alice.Chain, material(t, ca.Server(t, "a"), testca.New(t)), certs.ClientAuth, time.Now())
	var unknown x509.UnknownAuthorityError
	var verification *tls.CertificateVerificationError
	if !errors.As(err, &unknown) || !errors.As(err, &verification) || len(verification.UnverifiedCertificates) != 2 {
		t.Errorf("got %v", err)
	}
}

// TestValidUntil: at that moment the peer is good, and a moment later it is not.
func TestValidUntil(t *testing.T) {
	ca := testca.New(t)
	now := time.Now().UTC().Truncate(time.Second)
	alice := ca.Client(t, "alice@a.example")
	long := ca.Issue(t, testca.Leaf{Emails: []string{"long@a.example"}, EKU: clientAuth, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 0, 60)})
	brief := ca.Reissued(t, func(c *x509.Certificate) { c.NotAfter = now.Add(3 * time.Hour) })
	m := material(t, ca.Server(t, "bank.example"), ca)
	until := func(hours int) time.Time { return now.Add(time.Duration(hours) * time.Hour) }
	list := func(number int64, next int, root bool) []byte {
		return ca.CRL(t, testca.List{Number: number, ThisUpdate: until(-1), NextUpdate: until(next), ByRoot: root})
	}
	// The key identifier differs, so that only the signature can tell.
	impostor := testca.New(t).Reissued(t, func(c *x509.Certificate) { c.RawSubject = ca.IntermediateCert().RawSubject })
	lists := func(c certs.RevocationConfig, ders ...[]byte) *certs.Material {
		c.CRLs = crls(t, ders...)
		return withRevocations(t, m, c)
	}
	denied := fmt.Sprintf("number 1\nissued %s\nmax-age 6h\n", now.Format(time.RFC3339))
	for _, c := range []struct {
		name  string
		m     *certs.Material
		chain []*x509.Certificate
		want  time.Time
		check validator.Check
	}{
		{"leaf", m, chainOf(ca, alice), alice.Chain[0].NotAfter, validator.CheckDates},
		{"intermediate", m, chainOf(ca, testca.Pair{Chain: []*x509.Certificate{alice.Chain[0], brief.IntermediateCert()}}), until(3), validator.CheckDates},
		{"root", m, chainOf(ca, long), ca.RootCert().NotAfter, validator.CheckDates},
		{"next update", lists(certs.RevocationConfig{}, list(1, 2, false)), chainOf(ca, alice), until(2), certs.CheckRevocation},
		{"next update of the root's list", lists(certs.RevocationConfig{}, list(1, 4, false), list(1, 2, true)), chainOf(ca, alice), until(2), certs.CheckRevocation},
		{"maximum age", lists(certs.RevocationConfig{MaxAge: 4 * time.Hour}, list(1, 9, false)), chainOf(ca, alice), until(3), certs.CheckRevocation},
		{"newer list", lists(certs.RevocationConfig{}, list(1, 2, false), list(2, 5, false)), chainOf(ca, alice), until(5), certs.CheckRevocation},
		{"forged newer list", lists(certs.RevocationConfig{}, list(1, 2, false), impostor.CRL(t, testca.List{Number: 9, NextUpdate: until(9)})), chainOf(ca, alice), until(2), certs.CheckRevocation},
		{"list outlives the leaf", lists(certs.RevocationConfig{}, list(1, 1000, false)), chainOf(ca, alice), alice.Chain[0].NotAfter, validator.CheckDates},
		{"list of others", lists(certs.RevocationConfig{Require: certs.InsecureNoListsRequired}, ca.Sibling(t).CRL(t, testca.List{ThisUpdate: until(-1), NextUpdate: until(1)})), chainOf(ca, alice), alice.Chain[0].NotAfter, validator.CheckDates},
		{"stale lists pass", lists(certs.RevocationConfig{InsecureAllowStaleLists: true, Deny: deny(t, denied)}, list(1, 2, false)), chainOf(ca, alice), alice.Chain[0].NotAfter, validator.CheckDates},
		{"deny list", lists(certs.RevocationConfig{Deny: deny(t, denied)}), chainOf(ca, alice), until(6), certs.CheckRevocation},
	} {
		got := certs.ValidUntil(c.chain, c.m)
		if !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
			continue
		}
		if d := certs.Recheck(c.chain, c.m, certs.ClientAuth, got); d != nil {
			t.Errorf("%s: refused in its last moment: %v", c.name, d)
		}
		if d := certs.Recheck(c.chain, c.m, certs.ClientAuth, got.Add(1)); d == nil || d.Check != c.check {
			t.Errorf("%s: a moment later: %v", c.name, d)
		}
	}
	for name, got := range map[string]time.Time{"no chain": certs.ValidUntil(nil, m), "nil": certs.ValidUntil([]*x509.Certificate{nil}, m), "no material": certs.ValidUntil(chainOf(ca, alice), nil)} {
		if !got.IsZero() {
			t.Errorf("%s: %v", name, got)
		}
	}
}
