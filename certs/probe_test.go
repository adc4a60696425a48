package certs_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// look looks once at what serve does with a connection, and gives what serve returned.
func look(t *testing.T, host string, wide bool, serve func(net.Conn) error) (*certs.UnverifiedServer, error, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() { // ends with the connection
		c, err := l.Accept()
		if err == nil {
			c.SetDeadline(time.Now().Add(20 * time.Second))
			err = serve(c)
			c.Close()
		}
		served <- err
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	seen, err := certs.InsecureLookAtServer(ctx, conn, host, wide)
	if _, werr := conn.Write([]byte("x")); !errors.Is(werr, net.ErrClosed) {
		t.Errorf("the connection is open after the look: %v", werr)
	}
	return seen, err, <-served
}

// handshake serves TLS and wants that no application data comes.
func handshake(t *testing.T, config *tls.Config) func(net.Conn) error {
	return func(c net.Conn) error {
		s := tls.Server(c, config)
		if err := s.Handshake(); err != nil {
			return err
		}
		if n, _ := s.Read(make([]byte, 1)); n > 0 {
			t.Error("application data came")
		}
		return nil
	}
}

func TestLookAtDaemon(t *testing.T) {
	ca, stranger := testca.New(t), testca.New(t)
	pair := ca.Server(t, "bank.example")
	config, err := certs.ServerConfig(certs.Static(material(t, pair, ca)))
	if err != nil {
		t.Fatal(err)
	}
	// Whoever asks for a name that the server does not have sees it, too.
	for _, host := range []string{"bank.example", "vault.example", "192.0.2.7"} {
		seen, err, served := look(t, host, false, handshake(t, config))
		if err != nil {
			t.Fatal(err)
		}
		if !errors.Is(served, io.EOF) {
			t.Errorf("the server saw %v, want a client that went away", served)
		}
		if seen.Version != tls.VersionTLS13 || seen.Group != tls.X25519MLKEM768 || seen.Protocol != certs.ALPN || !seen.AsksForCertificate || seen.Answer != nil {
			t.Errorf("%+v", seen)
		}
		if len(seen.Chain) != 2 || !seen.Chain[0].Equal(pair.Chain[0]) {
			t.Errorf("chain %v", seen.Chain)
		}
		if want := []string{ca.RootCert().Subject.String()}; !slices.Equal(seen.Authorities, want) {
			t.Errorf("authorities %q, want %q", seen.Authorities, want)
		}
		// Who trusts somebody else sees the same, and finds it wanting.
		for m, want := range map[*certs.Material]bool{
			material(t, ca.Client(t, "a@b.example"), ca): true, material(t, stranger.Client(t, "a@b.example"), stranger): false,
		} {
			for _, f := range seen.Check(m, certs.Expect{Host: "bank.example"}) {
				if ok := f.Denial == nil; ok != (want || f.Check != validator.CheckChain) {
					t.Errorf("%s: %v", f.Check, f.Denial)
				}
			}
		}
	}
}

// TestLookAtOthers: what is no daemon, and what it speaks instead.
func TestLookAtOthers(t *testing.T) {
	ca := testca.New(t)
	base := &tls.Config{Certificates: []tls.Certificate{ca.Server(t, "bank.example").TLS()}, SessionTicketsDisabled: true}
	with := func(change func(*tls.Config)) func(net.Conn) error {
		c := base.Clone()
		change(c)
		return handshake(t, c)
	}
	for _, c := range []struct {
		name   string
		wide   bool
		serve  func(net.Conn) error
		check  validator.Check // of the refusal, empty for none
		expect func(*certs.UnverifiedServer) bool
	}{
		{"asks for nothing", false, with(func(c *tls.Config) {}), "", func(s *certs.UnverifiedServer) bool {
			return !s.AsksForCertificate && s.Protocol == "" && s.Version == tls.VersionTLS13
		}},
		{"TLS 1.2", false, with(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), validator.CheckProtocol, func(s *certs.UnverifiedServer) bool { return s.Version == 0 && s.Chain == nil }},
		{"TLS 1.2, wide", true, with(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), "", func(s *certs.UnverifiedServer) bool { return s.Version == tls.VersionTLS12 && len(s.Chain) == 2 }},
		{"TLS 1.2 with client certificates, wide", true, with(func(c *tls.Config) { c.MaxVersion, c.ClientAuth = tls.VersionTLS12, tls.RequireAnyClientCert }), "", func(s *certs.UnverifiedServer) bool { return s.Version == tls.VersionTLS12 && s.AsksForCertificate }},
		{"h2", false, with(func(c *tls.Config) { c.NextProtos = []string{"h2"} }), validator.CheckALPN, func(s *certs.UnverifiedServer) bool { return s.Chain == nil }},
		{"h2, wide", true, with(func(c *tls.Config) { c.NextProtos = []string{"h2"} }), "", func(s *certs.UnverifiedServer) bool { return s.Protocol == "h2" }},
		{"P-384", false, with(func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP384} }), validator.CheckProtocol, func(s *certs.UnverifiedServer) bool { return s.Chain == nil }},
		{"P-384, wide", true, with(func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP384} }), "", func(s *certs.UnverifiedServer) bool { return s.Group == tls.CurveP384 }},
		{"text", false, func(c net.Conn) error {
			_, err := io.WriteString(c, "220 mail.example ESMTP"+strings.Repeat("!", 1000))
			return err
		}, validator.CheckProtocol, func(s *certs.UnverifiedServer) bool {
			return strings.HasPrefix(string(s.Answer), "220 mail.example") && len(s.Answer) <= 256
		}},
		{"closed", false, func(c net.Conn) error { return nil }, validator.CheckProtocol, func(s *certs.UnverifiedServer) bool { return s.Answer == nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			seen, err, _ := look(t, "bank.example", c.wide, c.serve)
			d := certs.Refusal(err, nil, certs.Expect{Host: "bank.example"})
			switch {
			case c.check == "" && err != nil:
				t.Errorf("%v", err)
			case c.check != "" && (d == nil || d.Check != c.check):
				t.Errorf("%v is explained by %v, want check %s", err, d, c.check)
			}
			if !c.expect(seen) {
				t.Errorf("%+v", seen)
			}
		})
	}
}

// TestLookEnds: a server that says nothing holds nobody up, and a host that is none
// is not asked.
func TestLookEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	a, b := net.Pipe()
	defer b.Close()
	go func() { // ends with the look
		io.ReadFull(b, make([]byte, 1))
		cancel()
		io.Copy(io.Discard, b)
	}()
	if _, err := certs.InsecureLookAtServer(ctx, a, "bank.example", false); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	c, d := net.Pipe()
	defer d.Close()
	if _, err := certs.InsecureLookAtServer(t.Context(), c, "*.example", false); err == nil {
		t.Error("a pattern was looked for")
	}
	if _, err := d.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("%v, want nothing to come", err)
	}
}

// TestFindingsAgreeWithConnections: what Check finds of any certificate is what a
// connection by ClientConfig makes of it.
func TestFindingsAgreeWithConnections(t *testing.T) {
	ca := testca.New(t)
	ours := material(t, ca.Client(t, "alice@bank.example"), ca)
	now := time.Now()
	good := testca.Leaf{DNS: []string{"bank.example"}, URIs: []string{"spiffe://bank.example/teller"}, EKU: serverAuth}
	with := func(change func(*testca.Leaf)) testca.Pair {
		l := good
		change(&l)
		return ca.Issue(t, l)
	}
	short := ca.Issue(t, good)
	short.Chain = short.Chain[:1]
	for name, pair := range map[string]testca.Pair{
		"good":            ca.Issue(t, good),
		"expired":         with(func(l *testca.Leaf) { l.NotAfter = now.Add(-time.Hour) }),
		"expired long":    with(func(l *testca.Leaf) { l.NotAfter = now.Add(-1000 * time.Hour) }),
		"early":           with(func(l *testca.Leaf) { l.NotBefore = now.Add(time.Hour) }),
		"client":          with(func(l *testca.Leaf) { l.EKU = clientAuth }),
		"no purpose":      with(func(l *testca.Leaf) { l.EKU = nil }),
		"authority":       with(func(l *testca.Leaf) { l.IsCA = true }),
		"other host":      with(func(l *testca.Leaf) { l.DNS = []string{"vault.example"} }),
		"no name":         with(func(l *testca.Leaf) { l.DNS, l.URIs = nil, nil }),
		"other identity":  with(func(l *testca.Leaf) { l.URIs = []string{"spiffe://bank.example/vault"} }),
		"no intermediate": short,
		"stranger":        testca.New(t).Issue(t, good),
		"self-signed":     ca.SelfSigned(t, good),
	} {
		for _, expect := range []certs.Expect{{Host: "bank.example"}, {Host: "bank.example", ID: "spiffe://bank.example/teller"}} {
			client, err := certs.ClientConfig(certs.Static(ours), expect)
			if err != nil {
				t.Fatal(err)
			}
			server := &tls.Config{
				Certificates: []tls.Certificate{pair.TLS()}, NextProtos: []string{certs.ALPN}, MinVersion: tls.VersionTLS13,
				ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool(), SessionTicketsDisabled: true,
			}
			refused := certs.Refusal(connect(t, server, client).client, ours, expect)
			seen := &certs.UnverifiedServer{Chain: pair.Chain}
			var found []string
			for _, f := range seen.Check(ours, expect) {
				if f.Denial != nil {
					found = append(found, f.Denial.Error())
				}
			}
			switch {
			case refused == nil && len(found) > 0, refused != nil && !slices.Contains(found, refused.Error()):
				t.Errorf("%s, %+v: a connection ends with\n\t%v\nfound is\n\t%s", name, expect, refused, strings.Join(found, "\n\t"))
			}
		}
	}
}
