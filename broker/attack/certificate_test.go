package attack

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// bad is a certificate that the other side must refuse.
type bad struct {
	name  string
	pair  testca.Pair
	check validator.Check
	alert string // that its TLS implementation gets; empty when it is refused in words
	got   string // part of what the refusing side says
	own   bool   // whoever has it refuses it before it dials
}

// badCertificates has openssl make them, for one side: purpose is its extended key
// usage, wrong that of the other side, and names the extension with its names.
func badCertificates(t *testing.T, ca, other *pki, purpose, wrong, names string) []bad {
	t.Helper()
	san := "subjectAltName=" + names + "\n"
	good := leafExtensions + "extendedKeyUsage=" + purpose + "\n" + san
	issue := func(r request) testca.Pair {
		if r.extensions == "" {
			r.extensions = good
		}
		r.subject = "/CN=bad"
		return ca.pair(t, r)
	}
	now := time.Now()
	another := other.pair(t, request{subject: "/CN=bad", extensions: good})
	incomplete := issue(request{})
	incomplete.Chain = incomplete.Chain[:1]
	ca.run(t, "req", "-x509", "-new", "-key", "leaf.key", "-out", "selfsigned.crt", "-days", "1", "-subj", "/CN=bad", "-config", "openssl.cnf",
		"-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage="+purpose, "-addext", strings.TrimSpace(san))
	return []bad{
		{name: "another CA", pair: another, check: validator.CheckChain, alert: "unknown certificate authority", got: "which we do not trust"},
		{name: "self-signed", pair: testca.Pair{Chain: ca.read(t, "selfsigned.crt"), Key: ca.signerOf(t, "")}, check: validator.CheckChain, alert: "unknown certificate authority", got: "which is self-signed"},
		{name: "missing intermediate", pair: incomplete, check: validator.CheckChain, alert: "unknown certificate authority", got: "intermediate, which we do not trust"},
		{name: "expired", pair: issue(request{from: now.Add(-2 * time.Hour), to: now.Add(-time.Hour)}), check: validator.CheckDates, alert: "expired certificate", got: "it expired on", own: true},
		{name: "not yet valid", pair: issue(request{from: now.Add(time.Hour)}), check: validator.CheckDates, alert: "expired certificate", got: "it is not valid before", own: true},
		{name: "of the other side only", pair: issue(request{extensions: leafExtensions + "extendedKeyUsage=" + wrong + "\n" + san}), check: validator.CheckPurpose, alert: "bad certificate", got: "it is for " + wrong, own: true},
		{name: "no extended key usage", pair: issue(request{extensions: leafExtensions + san}), check: validator.CheckPurpose, alert: "bad certificate", got: "it names no purpose", own: true},
		{name: "any extended key usage", pair: issue(request{extensions: leafExtensions + "extendedKeyUsage=anyExtendedKeyUsage\n" + san}), check: validator.CheckPurpose, alert: "bad certificate", got: "it is for ", own: true},
		{name: "an authority's own", pair: testca.Pair{Chain: []*x509.Certificate{ca.signer}, Key: ca.signerOf(t, "signer")}, check: validator.CheckPurpose, alert: "bad certificate", got: "it is an authority's", own: true},
		{name: "an authority's with the purpose", pair: issue(request{extensions: authorityExtensions + "extendedKeyUsage=" + purpose + "\n" + san}), check: validator.CheckPurpose, alert: "bad certificate", got: "it is an authority's", own: true},
	}
}

// TestHostileCertificates: clients with certificates of openssl's making. A client that
// looks at nothing gets the alert, and no byte more; ours says which check failed. The
// daemon has one line and one incident for each.
func TestHostileCertificates(t *testing.T) {
	ca, other := newPKI(t, "ours"), newPKI(t, "another")
	mapper := staff(t)
	good := ca.Client(t, "alice@bank.example")
	for _, b := range badClients(t, ca, other) {
		t.Run(b.name, func(t *testing.T) {
			w := newWorld(t, ca, func(c *broker.Config) { c.Validator = admit(t, validator.Config{Identities: mapper}) })
			testBadClient(w, b)
			ours := w.client(b.pair, nil)
			d := deniedOf(t, w.proxy(ours, "target").Call(t.Context(), "Guarded", nil, 1))
			if d.Check != b.check || d.Code != validator.DeniedSecurity || strings.HasPrefix(d.Got, "our own ") != b.own {
				t.Errorf("our client was told %v", d)
			}
			if (d.Incident == "") != (b.alert != "") {
				t.Errorf("our client has incident %q, %v", d.Incident, d)
			}
			w.alive(good)
			attempts := 2
			if b.own {
				attempts = 1
			}
			w.tellsOnce(attempts, b.check)
		})
	}
}

// staff maps the people of one domain, and nobody else.
func staff(tb testing.TB) *validator.Mapper {
	tb.Helper()
	m, err := validator.NewMapper(validator.MapRule{Name: "staff", Match: validator.Email, Pattern: `(\w+)@bank\.example`, As: "$1"})
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// badClients are the certificates that no daemon of the bank takes, with the mapper of its
// staff.
func badClients(t *testing.T, ca, other *pki) []bad {
	t.Helper()
	all := badCertificates(t, ca, other, "clientAuth", "serverAuth", "email:alice@bank.example")
	named := func(name, names string) bad {
		return bad{name: name, check: validator.CheckIdentity, pair: ca.pair(t, request{subject: "/CN=alice@bank.example", extensions: leafExtensions + "extendedKeyUsage=clientAuth\n" + names})}
	}
	return append(all,
		named("common name only", ""),
		named("names of a host", "subjectAltName=DNS:alice.bank.example"),
		named("another domain", "subjectAltName=email:alice@bank.example.evil.test"),
		named("a domain above", "subjectAltName=email:alice@evil.bank.example"),
		named("two people", "subjectAltName=email:alice@bank.example,email:bob@bank.example"),
		named("a wildcard", "subjectAltName=email:*@bank.example"),
	)
}

// testBadClient connects as a client that does not look at its own certificate.
func testBadClient(w *world, b bad) {
	t := w.tb
	t.Helper()
	c, err := w.attack(reckless(b.pair))
	if err != nil {
		t.Fatalf("the client's half of the handshake: %v", err)
	}
	if b.alert == "" {
		if d := c.denied(); d.Check != string(b.check) || validator.Code(d.Code) != validator.DeniedSecurity || d.Incident == "" {
			t.Errorf("denied with %+v, want check %s", d, b.check)
		}
		c.frame(wire.Call, 0, 0, callTo("target", "Guarded", 1)) // a call all the same
		c.CloseWrite()
		c.gone()
		return
	}
	c.hello().frame(wire.Call, 0, 0, callTo("target", "Guarded", 1))
	if _, _, err := c.next(); err == nil || !strings.Contains(err.Error(), "tls: "+b.alert) && !strings.Contains(err.Error(), "connection reset") && !strings.Contains(err.Error(), "broken pipe") {
		t.Errorf("got %v, want the alert %q", err, b.alert)
	}
}

// tellsOnce fails the test unless the daemon has told of so many refusals, each in one
// line and one incident of the same id.
func (w *world) tellsOnce(n int, check validator.Check) {
	w.tb.Helper()
	var lines []line
	eventually(w.tb, "every refusal is in the log", func() bool { lines = w.log.refusals(); return len(lines) >= n })
	incidents := w.incidents(n)
	if len(lines) != n || len(incidents) != n {
		w.tb.Errorf("%d lines and %d incidents for %d refusals:\n%v\n%+v", len(lines), len(incidents), n, lines, incidents)
	}
	known := make(map[string]int)
	for _, i := range incidents {
		known[i.ID]++
		if i.Check != string(check) {
			w.tb.Errorf("incident %+v, want check %s", i, check)
		}
	}
	for _, l := range lines {
		if known[l.attrs["incident"]] != 1 || l.attrs["check"] != string(check) {
			w.tb.Errorf("line %v, want check %s and one incident of its id", l, check)
		}
	}
}

// TestHostileServerCertificates: the same for servers, and a client of ours. Nothing of a
// call reaches a server that is not the one that was meant.
func TestHostileServerCertificates(t *testing.T) {
	ca, other := newPKI(t, "ours"), newPKI(t, "another")
	all := badCertificates(t, ca, other, "serverAuth", "clientAuth", "DNS:localhost")
	for i := range all {
		if all[i].name == "an authority's own" { // which has no name of a host either, and that is seen first
			all[i].check, all[i].got = validator.CheckName, "ours intermediate"
		}
	}
	named := func(name, got, names string) bad {
		return bad{name: name, got: got, check: validator.CheckName, alert: "bad certificate",
			pair: ca.pair(t, request{subject: "/CN=localhost", extensions: leafExtensions + "extendedKeyUsage=serverAuth\n" + names})}
	}
	all = append(all,
		named("common name only", `common name "localhost"`, ""),
		named("another host", "dns:bank.example", "subjectAltName=DNS:bank.example"),
		named("a star", "dns:*", "subjectAltName=DNS:*"),
		named("an address", "ip:127.0.0.1", "subjectAltName=IP:127.0.0.1"),
		named("an e-mail address", "email:root@localhost", "subjectAltName=email:root@localhost"),
	)
	alice := ca.Client(t, "alice@bank.example")
	for _, b := range all {
		t.Run(b.name, func(t *testing.T) {
			s := newServer(t, serving(b.pair), nil)
			w := &world{tb: t, roots: []*x509.Certificate{ca.root}}
			p := proxyOf(t, w.client(alice, nil), s.uri("target"))
			d := deniedOf(t, p.Call(t.Context(), "Guarded", nil, 1))
			if d.Check != b.check || d.Code != validator.DeniedSecurity || !strings.Contains(d.Got, b.got) || d.Incident != "" {
				t.Errorf("our client says %v, want check %s and %q", d, b.check, b.got)
			}
			if o := s.outcome(); o.err == nil || !strings.Contains(o.err.Error(), "tls: ") || o.read != 0 {
				t.Errorf("the server got %d bytes, %v, want an alert", o.read, o.err)
			}
		})
	}
}

// serving are the settings of a server that shows whatever it was told to, and takes any
// client.
func serving(p testca.Pair) *serverSettings {
	return &serverSettings{pair: p, protocols: []string{certs.ALPN}}
}
