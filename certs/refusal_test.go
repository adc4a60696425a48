package certs_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// hostile are certificates that neither side may accept, for the given purpose.
type hostileCase struct {
	name  string
	pair  testca.Pair
	check validator.Check
	words []string // on the side that refuses
	told  []string // on a client that was refused, from an alert and its own facts
}

func hostileCases(t *testing.T, ca, other *testca.CA, eku, wrong []x509.ExtKeyUsage) []hostileCase {
	t.Helper()
	now := time.Now()
	leaf := testca.Leaf{CN: "bank", DNS: []string{"bank.example"}, EKU: eku}
	with := func(change func(*testca.Leaf)) testca.Pair {
		l := leaf
		change(&l)
		return ca.Issue(t, l)
	}
	good := ca.Issue(t, leaf)
	return []hostileCase{
		{"other authority", other.Issue(t, leaf), validator.CheckChain, []string{"dns:bank.example", "do not trust", "CN="}, []string{"does not trust who issued our certificate for dns:bank.example", "server's CA file to hold our authority"}},
		{"self-signed", ca.SelfSigned(t, leaf), validator.CheckChain, []string{"is self-signed"}, []string{"does not trust our certificate", "it is self-signed"}},
		{"missing intermediate", testca.Pair{Chain: good.Chain[:1], Key: good.Key}, validator.CheckChain, []string{"no intermediate certificate"}, []string{"we sent no intermediate certificate"}},
		{"expired", with(func(l *testca.Leaf) { l.NotBefore, l.NotAfter = now.Add(-2*time.Hour), now.Add(-time.Hour) }), validator.CheckDates, []string{"expired on " + day(now.Add(-time.Hour))}, []string{"refused our certificate", "expired on", "renewed"}},
		{"not yet valid", with(func(l *testca.Leaf) { l.NotBefore = now.Add(time.Hour) }), validator.CheckDates, []string{"is not valid before " + day(now.Add(time.Hour)), "clocks"}, []string{"is not valid before", "clocks"}},
		{"wrong purpose", with(func(l *testca.Leaf) { l.EKU = wrong }), validator.CheckPurpose, []string{"it is for "}, []string{"refused our certificate", "is for " + wrong[0].String(), "extended key usage clientAuth"}},
		{"no purpose", with(func(l *testca.Leaf) { l.EKU = nil }), validator.CheckPurpose, []string{"names no purpose"}, []string{"names no purpose"}},
		{"any purpose", with(func(l *testca.Leaf) { l.EKU = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }), validator.CheckPurpose, []string{"is for "}, []string{"is for "}},
		{"authority as leaf", with(func(l *testca.Leaf) { l.IsCA = true }), validator.CheckPurpose, []string{"is an authority's"}, []string{"is an authority's"}},
		{"may sign certificates", with(func(l *testca.Leaf) { l.Modify = func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign } }), validator.CheckPurpose, []string{"may sign certificates"}, []string{"may sign certificates"}},
		{"may sign revocation lists", with(func(l *testca.Leaf) { l.Modify = func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCRLSign } }), validator.CheckPurpose, []string{"may sign certificates or revocation lists"}, nil},
		{"may not sign at all", with(func(l *testca.Leaf) {
			l.Modify = func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }
		}), validator.CheckPurpose, []string{"keyEncipherment", "digitalSignature"}, []string{"digitalSignature"}},
	}
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// TestHostileClients lets each of them dial our server: it must refuse, and the
// client must learn why from the alert and from what it knows of itself.
func TestHostileClients(t *testing.T) {
	ca, other := testca.New(t), testca.New(t)
	server := serverConfig(t, material(t, ca.Server(t, "bank.example"), ca))
	expect := certs.Expect{Host: "bank.example"}
	for _, c := range hostileCases(t, ca, other, clientAuth, serverAuth) {
		t.Run(c.name, func(t *testing.T) {
			// crypto/tls sends a certificate like this only when it is told to.
			o := connect(t, server, plainClient(c.pair, ca, "bank.example"))
			if o.client == nil || o.server == nil {
				t.Fatalf("let in: client %v, server %v", o.client, o.server)
			}
			ours := material(t, c.pair, ca)
			if c.name == "missing intermediate" {
				ours = material(t, c.pair, other)
			}
			refused(t, "told to the client", certs.Refusal(o.client, ours, expect), c.check, c.told...)
			words := []string{"client certificate"}
			for _, w := range c.words {
				words = append(words, strings.ReplaceAll(w, "server", "client"))
			}
			refused(t, "in the server's log", certs.ServerRefusal(o.server, nil), c.check, words...)
		})
	}
}

// TestHostileServers lets our client dial each of them, by host and by principal.
func TestHostileServers(t *testing.T) {
	ca, other := testca.New(t), testca.New(t)
	ours := material(t, ca.Client(t, "alice@a.example"), ca)
	for _, c := range hostileCases(t, ca, other, serverAuth, clientAuth) {
		for how, expect := range map[string]certs.Expect{"by host": {Host: "bank.example"}, "by principal": {Host: "bank.example", ID: "dns:bank.example"}} {
			t.Run(c.name+" "+how, func(t *testing.T) {
				o := connect(t, plainServer(c.pair, ca), clientConfig(t, ours, expect))
				if o.client == nil || o.server == nil {
					t.Fatalf("accepted: client %v, server %v", o.client, o.server)
				}
				d := certs.Refusal(o.client, ours, expect)
				refused(t, c.name, d, c.check, append(c.words, "server certificate")...)
				if d.Code != validator.DeniedSecurity || !errors.Is(o.client, o.client) {
					t.Errorf("code %v", d.Code)
				}
			})
		}
	}
}

// TestRemadeAuthority is a server whose authority was made anew under its old name.
func TestRemadeAuthority(t *testing.T) {
	ca := testca.New(t)
	pair := ca.Server(t, "bank.example")
	remade := ca.SelfSigned(t, testca.Leaf{IsCA: true, Modify: func(c *x509.Certificate) {
		c.Subject = ca.RootCert().Subject
	}})
	if _, err := certs.NewMaterial(ca.Client(t, "alice@a.example").Chain, newKey(t, ca.Client(t, "x")), remade.Chain); err == nil {
		t.Fatal("key of another certificate was taken")
	}
	client := ca.Client(t, "alice@a.example")
	m, err := certs.NewMaterial(client.Chain, newKey(t, client), remade.Chain)
	if err != nil {
		t.Fatal(err)
	}
	expect := certs.Expect{Host: "bank.example"}
	o := connect(t, plainServer(pair, ca), clientConfig(t, m, expect))
	refused(t, "remade", certs.Refusal(o.client, m, expect), validator.CheckChain, "we trust that name, but its key is another one", "made anew")
}

func TestNameMismatches(t *testing.T) {
	ca := testca.New(t)
	ours := material(t, ca.Client(t, "alice@a.example"), ca)
	for _, c := range []struct {
		name  string
		leaf  testca.Leaf
		host  string
		words []string
	}{
		{"misspelt", testca.Leaf{DNS: []string{"bank.example", "shop.example"}}, "bank.exmaple", []string{"server certificate for dns:bank.example, dns:shop.example", "dns:bank.exmaple among its names", `did you mean "bank.example"?`}},
		{"another", testca.Leaf{DNS: []string{"bank.example"}}, "library.test", []string{"dns:library.test among its names", "issue it again"}},
		{"common name only", testca.Leaf{CN: "bank.example"}, "bank.example", []string{`common name "bank.example"`, "a common name does not count"}},
		{"common name besides", testca.Leaf{CN: "bank.example", DNS: []string{"other.example"}}, "bank.example", []string{"dns:other.example"}},
		{"address as DNS name", testca.Leaf{DNS: []string{"127.0.0.1"}}, "127.0.0.1", []string{"ip:127.0.0.1 among its names", "as a DNS name, where it does not count"}},
		{"address for a name", testca.Leaf{DNS: []string{"bank.example"}}, "127.0.0.1", []string{"use a name it has (bank.example)"}},
		{"another address", testca.Leaf{IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}, "127.0.0.1", []string{"ip:10.0.0.1"}},
		{"name for an address", testca.Leaf{IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, "localhost", []string{"ip:127.0.0.1", "dns:localhost"}},
		{"e-mail of the host", testca.Leaf{Emails: []string{"root@bank.example"}}, "bank.example", []string{"email:root@bank.example"}},
		{"URI of the host", testca.Leaf{URIs: []string{"https://bank.example/"}}, "bank.example", []string{"uri:https://bank.example/"}},
		{"star alone", testca.Leaf{DNS: []string{"*"}}, "localhost", []string{"dns:*"}},
		{"wildcard above", testca.Leaf{DNS: []string{"*.example"}}, "a.bank.example", []string{"dns:*.example"}},
		{"no name", testca.Leaf{}, "bank.example", []string{"no name"}},
		{"many names", testca.Leaf{DNS: strings.Split(strings.Repeat("a.example,", 30)+"b.example", ",")}, "bank.test", []string{"and 26 more"}},
	} {
		c.leaf.EKU = serverAuth
		pair := ca.Issue(t, c.leaf)
		expect := certs.Expect{Host: c.host}
		o := connect(t, plainServer(pair, ca), clientConfig(t, ours, expect))
		refused(t, c.name, certs.Refusal(o.client, ours, expect), validator.CheckName, c.words...)
		err := certs.Covers(pair.Chain[0], c.host)
		if err == nil {
			t.Errorf("%s: Covers agrees", c.name)
			continue
		}
		for _, w := range c.words {
			if !strings.Contains("server "+err.Error(), strings.TrimPrefix(w, "server ")) {
				t.Errorf("%s: Covers says %v, want %q", c.name, err, w)
			}
		}
	}
}

func TestPins(t *testing.T) {
	ca := testca.New(t)
	ours := material(t, ca.Client(t, "alice@a.example"), ca)
	pair := ca.Issue(t, testca.Leaf{DNS: []string{"bank.example"}, URIs: []string{"spiffe://bank.example/teller"}, EKU: serverAuth})
	for _, id := range []string{"spiffe://bank.example/vault", "uri:spiffe://bank.example/tell", "dns:spiffe.example", "uri:spiffe://other.example/teller"} {
		expect := certs.Expect{Host: "bank.example", ID: id}
		o := connect(t, plainServer(pair, ca), clientConfig(t, ours, expect))
		refused(t, id, certs.Refusal(o.client, ours, expect), validator.CheckPin, "certificate for dns:bank.example, uri:spiffe://bank.example/teller", "server identity ")
	}
}

func TestAlertsAndOtherServers(t *testing.T) {
	ca := testca.New(t)
	pair, client := ca.Server(t, "bank.example"), ca.Client(t, "alice@a.example")
	ours := material(t, client, ca)
	expect := certs.Expect{Host: "bank.example"}
	change := func(f func(*tls.Config)) *tls.Config {
		c := plainServer(pair, ca)
		f(c)
		return c
	}
	for _, c := range []struct {
		name   string
		server *tls.Config
		check  validator.Check
		words  []string
	}{
		{"TLS 1.2 only", change(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), validator.CheckProtocol, []string{"does not speak TLS 1.3"}},
		{"other protocol", change(func(c *tls.Config) { c.NextProtos = []string{"h2"} }), validator.CheckALPN, []string{"another application protocol", certs.ALPN}},
		{"no protocol", change(func(c *tls.Config) { c.NextProtos = nil }), validator.CheckALPN, []string{"no application protocol", certs.ALPN}},
		{"no curve in common", change(func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP521} }), validator.CheckProtocol, []string{"no TLS settings in common"}},
		{"internal error", change(func(c *tls.Config) {
			c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errors.New("no") }
		}), validator.CheckProtocol, []string{"internal error of its own", "a look at its log"}},
		{"unknown host name", change(func(c *tls.Config) {
			c.Certificates = nil
			c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }
		}), validator.CheckName, []string{`does not know the host name at "bank.example"`}},
		{"its own rules", change(func(c *tls.Config) {
			c.VerifyConnection = func(tls.ConnectionState) error { return errors.New("revoked here") }
		}), validator.CheckChain, []string{"the server's own checks refused our certificate for email:alice@a.example, issued by CN=", "for clientAuth, valid ", "server's log"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := connect(t, c.server, clientConfig(t, ours, expect))
			if o.client == nil {
				t.Fatal("accepted")
			}
			d := certs.Refusal(o.client, ours, expect)
			refused(t, c.name, d, c.check, c.words...)
			if !errors.Is(d, o.client) && !errors.As(o.client, new(*validator.Denial)) {
				t.Errorf("the cause %v is lost", o.client)
			}
		})
	}
}

// TestServerRefusesForeignClients are clients that lack what ours always bring.
func TestServerRefusesForeignClients(t *testing.T) {
	ca := testca.New(t)
	server := serverConfig(t, material(t, ca.Server(t, "bank.example"), ca))
	expect := certs.Expect{Host: "bank.example"}
	change := func(f func(*tls.Config)) *tls.Config {
		c := plainClient(ca.Client(t, "alice@a.example"), ca, "bank.example")
		f(c)
		return c
	}
	for _, c := range []struct {
		name   string
		client *tls.Config
		check  validator.Check
		words  string
		server string
		logged validator.Check
	}{
		{"no certificate", change(func(c *tls.Config) { c.GetClientCertificate = nil }), validator.CheckChain, "received no certificate from us", "didn't provide a certificate", validator.CheckChain},
		{"TLS 1.2", change(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), validator.CheckProtocol, "does not speak TLS 1.3", "unsupported versions", validator.CheckProtocol},
		{"no protocol", change(func(c *tls.Config) { c.NextProtos = nil }), validator.CheckChain, "the server refused what we sent instead of a certificate", "no application protocol", validator.CheckALPN},
		{"other protocol", change(func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }), validator.CheckALPN, "another application protocol", "unsupported application protocols", validator.CheckALPN},
		{"curve", change(func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP384} }), validator.CheckProtocol, "no TLS settings in common", "no key exchanges", validator.CheckProtocol},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := connect(t, server, c.client)
			if o.client == nil || o.server == nil || !strings.Contains(o.server.Error(), c.server) {
				t.Fatalf("client %v, server %v", o.client, o.server)
			}
			refused(t, c.name, certs.Refusal(o.client, nil, expect), c.check, c.words)
			refused(t, c.name+" in the server's log", certs.ServerRefusal(o.server, material(t, ca.Server(t, "a"), ca)), c.logged)
		})
	}
}

// TestServersLearnOfClientsThatRefuseThem: the daemon's log says more than "bad
// certificate".
func TestServersLearnOfClientsThatRefuseThem(t *testing.T) {
	ca := testca.New(t)
	client := clientConfig(t, material(t, ca.Client(t, "alice@a.example"), ca), certs.Expect{Host: "bank.example"})
	m := material(t, ca.Server(t, "shop.example"), ca)
	o := connect(t, serverConfig(t, m), client)
	refused(t, "other name", certs.ServerRefusal(o.server, m), validator.CheckChain, "the client refused our certificate for dns:shop.example, issued by CN=", "the host it asked for to be among our names")
	purpose := material(t, ca.Client(t, "bank.example"), ca)
	o = connect(t, plainServer(ca.Client(t, "bank.example"), ca), client)
	refused(t, "purpose", certs.ServerRefusal(o.server, purpose), validator.CheckPurpose, "the client refused our certificate for dns:bank.example: it is for clientAuth")
}

func TestPlainTextClients(t *testing.T) {
	ca := testca.New(t)
	m := material(t, ca.Server(t, "bank.example"), ca)
	for text, want := range map[string]string{
		"GET / HTTP/1.1\r\n\r\n":               `a client that does not speak TLS, beginning with "GET /"`,
		"":                                     "the client went away during the handshake",
		"\x80\x2e\x01\x00\x02\x00\x15\x00\x00": "a client that does not speak TLS but SSL 2",
		"\x16\x03\x01\x00\x04\x01\xff\xff\xff": "the client broke the TLS protocol: handshake message of length 16777215",
	} {
		a, b := net.Pipe()
		go func() {
			io.WriteString(a, text)
			if text == "" {
				a.Close()
			}
			io.Copy(io.Discard, a)
		}()
		err := tls.Server(b, serverConfig(t, m)).Handshake()
		refused(t, text, certs.ServerRefusal(err, m), validator.CheckProtocol, want)
		a.Close()
		b.Close()
	}
	for _, err := range []error{nil, context.DeadlineExceeded, errors.New("something else")} {
		if d := certs.ServerRefusal(err, m); d != nil {
			t.Errorf("%v becomes %v", err, d)
		}
	}
}

func TestPlainTextServers(t *testing.T) {
	ca := testca.New(t)
	ours := material(t, ca.Client(t, "alice@a.example"), ca)
	expect := certs.Expect{Host: "bank.example"}
	for text, want := range map[string]string{
		"HTTP/1.1 400 Bad Request\r\n\r\n":     "an HTTP server without TLS",
		"SSH-2.0-OpenSSH_9.9\r\n":              "an SSH server",
		"hello, who is there?\r\n":             `an answer that is not TLS, beginning with "hello"`,
		"\x1b[31mred alert":                    `beginning with "\x1b[31m"`,
		"":                                     "the connection was closed without a word",
		"\x16\x03\x03\xff\xff":                 "damaged TLS record",
		"\x16\x03\x03\x00\x04\x02\xff\xff\xff": "the server broke the TLS protocol: handshake message of length 16777215",
	} {
		l := plainText(t, text)
		_, err := dial(t.Context(), t, l.Addr().String(), clientConfig(t, ours, expect))
		refused(t, text, certs.Refusal(err, ours, expect), validator.CheckProtocol, want)
	}
}

func TestRefusalLeavesOtherErrorsAlone(t *testing.T) {
	for _, err := range []error{
		nil, context.Canceled, context.DeadlineExceeded, os.ErrDeadlineExceeded, fmt.Errorf("dial: %w", context.DeadlineExceeded), errors.New("something else"),
		&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, &net.DNSError{Err: "no such host", Name: "bank.example"},
		&net.OpError{Op: "remote error", Err: errors.New("not an alert")}, net.ErrClosed,
	} {
		if d := certs.Refusal(err, nil, certs.Expect{}); d != nil {
			t.Errorf("%v becomes %v", err, d)
		}
	}
	denial := &validator.Denial{Code: validator.DeniedServerTooBusy, Got: "a", Want: "b"}
	if d := certs.Refusal(fmt.Errorf("wrapped: %w", denial), nil, certs.Expect{}); d != denial {
		t.Errorf("a denial becomes %v", d)
	}
	for _, err := range []error{io.EOF, io.ErrUnexpectedEOF, &net.OpError{Op: "read", Err: syscall.ECONNRESET}, &net.OpError{Op: "write", Err: syscall.EPIPE}} {
		d := certs.Refusal(err, nil, certs.Expect{Host: "bank.example"})
		refused(t, err.Error(), d, validator.CheckProtocol, `a Pyrossl daemon at "bank.example"`)
		if d != nil && !errors.Is(d, err) {
			t.Errorf("%v is lost", err)
		}
	}
}
