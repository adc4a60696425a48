package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

func TestBothSidesShowACertificate(t *testing.T) {
	ca := testca.New(t)
	const id = "spiffe://bank.example/teller"
	server := ca.Issue(t, testca.Leaf{DNS: []string{"bank.example"}, IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}, URIs: []string{id}, EKU: serverAuth})
	pinOnly := ca.Issue(t, testca.Leaf{URIs: []string{id}, EKU: serverAuth})
	client := ca.Client(t, "alice@bank.example")
	for _, c := range []struct {
		name   string
		server testca.Pair
		expect certs.Expect
	}{
		{"by name", server, certs.Expect{Host: "bank.example"}},
		{"by name in capitals with a dot", server, certs.Expect{Host: "Bank.Example."}},
		{"by address", server, certs.Expect{Host: "127.0.0.1"}},
		{"by IPv6 address", server, certs.Expect{Host: "::1"}},
		{"by IPv6 address in brackets", server, certs.Expect{Host: "[::1]"}},
		{"by mapped address", server, certs.Expect{Host: "::ffff:127.0.0.1"}},
		{"by principal", server, certs.Expect{ID: "uri:" + id}},
		{"by principal instead of the host", pinOnly, certs.Expect{Host: "other.example", ID: "uri:" + id}},
		{"by bare URI", pinOnly, certs.Expect{ID: id}},
	} {
		o := connect(t, serverConfig(t, material(t, c.server, ca)), clientConfig(t, material(t, client, ca), c.expect))
		if o.client != nil || o.server != nil {
			t.Errorf("%s: client %v, server %v", c.name, o.client, o.server)
			continue
		}
		for side, cs := range map[string]tls.ConnectionState{"client": o.clientState, "server": o.serverState} {
			if cs.Version != tls.VersionTLS13 || cs.NegotiatedProtocol != certs.ALPN || cs.DidResume || cs.CurveID != tls.X25519MLKEM768 || len(cs.PeerCertificates) != 2 {
				t.Errorf("%s: %s has version %x, protocol %q, resumed %v, curve %v, %d certificates", c.name, side, cs.Version, cs.NegotiatedProtocol, cs.DidResume, cs.CurveID, len(cs.PeerCertificates))
			}
		}
		if len(o.serverState.VerifiedChains) == 0 || !o.serverState.PeerCertificates[0].Equal(client.Chain[0]) {
			t.Errorf("%s: server has not verified the client's certificate", c.name)
		}
	}
}

func TestConfigsAreStrict(t *testing.T) {
	ca := testca.New(t)
	parent := serverConfig(t, material(t, ca.Server(t, "bank.example"), ca))
	child, err := parent.GetConfigForClient(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*tls.Config{
		"parent": parent, "child": child,
		"client": clientConfig(t, material(t, ca.Client(t, "alice@a.example"), ca), certs.Expect{Host: "bank.example"}),
		"pinned": clientConfig(t, material(t, ca.Client(t, "alice@a.example"), ca), certs.Expect{ID: "spiffe://a/b"}),
	} {
		if c.MinVersion != tls.VersionTLS13 || c.MaxVersion != tls.VersionTLS13 || !slices.Equal(c.NextProtos, []string{certs.ALPN}) ||
			!slices.Equal(c.CurvePreferences, []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256}) {
			t.Errorf("%s: versions, protocol or curves are %x-%x, %v, %v", name, c.MinVersion, c.MaxVersion, c.NextProtos, c.CurvePreferences)
		}
		if !c.SessionTicketsDisabled || c.ClientSessionCache != nil || c.VerifyConnection == nil || c.VerifyPeerCertificate != nil || c.KeyLogWriter != nil {
			t.Errorf("%s: sessions can be resumed, or verification is not in VerifyConnection", name)
		}
		if c.InsecureSkipVerify != (name == "pinned") {
			t.Errorf("%s: InsecureSkipVerify is %v", name, c.InsecureSkipVerify)
		}
	}
	for _, c := range []*tls.Config{parent, child} {
		if c.ClientAuth != tls.RequireAndVerifyClientCert || c.ClientCAs == nil || c.ClientCAs.Equal(x509.NewCertPool()) {
			t.Error("client certificates are not required and verified by our own authorities")
		}
	}
}

// changing is a source whose material the test replaces.
type changing struct{ m *certs.Material }

func (c *changing) Current() *certs.Material { return c.m }
func (c *changing) Status() certs.Status     { return certs.Status{} }

func TestConfigsFollowTheSource(t *testing.T) {
	ca, other := testca.New(t), testca.New(t)
	alice, bob := material(t, ca.Client(t, "alice@a.example"), ca), material(t, other.Client(t, "bob@b.example"), ca)
	src := &changing{material(t, ca.Server(t, "bank.example"), ca)}
	server, err := certs.ServerConfig(src)
	if err != nil {
		t.Fatal(err)
	}
	ask := func() *tls.Config {
		child, err := server.GetConfigForClient(nil)
		if err != nil {
			t.Fatal(err)
		}
		return child
	}
	first := ask()
	if first != ask() {
		t.Error("the same material gives two configs")
	}
	expect := certs.Expect{Host: "bank.example"}
	if o := connect(t, server, clientConfig(t, alice, expect)); o.client != nil {
		t.Fatal(o.client)
	}
	if o := connect(t, server, clientConfig(t, bob, expect)); o.client == nil {
		t.Fatal("a stranger is let in")
	}
	next := ca.Server(t, "bank.example")
	src.m = material(t, next, other)
	if first == ask() {
		t.Error("new material gives the old config")
	}
	if o := connect(t, server, clientConfig(t, bob, expect)); o.client != nil || !o.clientState.PeerCertificates[0].Equal(next.Chain[0]) {
		t.Errorf("after the change: %v", o.client)
	}
	if o := connect(t, server, clientConfig(t, alice, expect)); o.client == nil {
		t.Error("who is no longer trusted is let in")
	}
	for _, bad := range []*certs.Material{nil, {}} {
		src.m = bad
		if o := connect(t, server, clientConfig(t, bob, expect)); o.client == nil || o.server == nil {
			t.Errorf("a source without material lets everyone in")
		}
	}
}

func TestConfigsRefuseBadSources(t *testing.T) {
	for name, src := range map[string]certs.Source{"none": nil, "nil material": &changing{}, "empty material": &changing{&certs.Material{}}} {
		if c, err := certs.ServerConfig(src); err == nil || c != nil {
			t.Errorf("%s: ServerConfig gives %v, %v", name, c, err)
		}
		if c, err := certs.ClientConfig(src, certs.Expect{Host: "a"}); err == nil || c != nil {
			t.Errorf("%s: ClientConfig gives %v, %v", name, c, err)
		}
		if chain, err := certs.VerifyPeer(nil, nil, certs.ServerAuth, time.Now()); err == nil || chain != nil {
			t.Errorf("VerifyPeer gives %v, %v", chain, err)
		}
	}
}

// TestOwnCertificateIsCheckedFirst: what every peer would refuse is refused here.
func TestOwnCertificateIsCheckedFirst(t *testing.T) {
	ca := testca.New(t)
	now := time.Now()
	for _, c := range []struct {
		name  string
		leaf  testca.Leaf
		check validator.Check
		words []string
	}{
		{"no purpose", testca.Leaf{}, validator.CheckPurpose, []string{"our own certificate", "names no purpose"}},
		{"any purpose", testca.Leaf{EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}, validator.CheckPurpose, []string{"is for "}},
		{"code signing", testca.Leaf{EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}, validator.CheckPurpose, []string{"is for codeSigning"}},
		{"expired", testca.Leaf{EKU: append(clientAuth, serverAuth...), NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour)}, validator.CheckDates, []string{"expired on", "a renewed one"}},
		{"not yet valid", testca.Leaf{EKU: append(clientAuth, serverAuth...), NotBefore: now.Add(time.Hour)}, validator.CheckDates, []string{"is not valid before", "clocks"}},
		{"authority", testca.Leaf{EKU: append(clientAuth, serverAuth...), IsCA: true}, validator.CheckPurpose, []string{"is an authority's (CA:TRUE)"}},
	} {
		c.leaf.DNS = []string{"bank.example"}
		src := certs.Static(material(t, ca.Issue(t, c.leaf), ca))
		_, serverErr := certs.ServerConfig(src)
		_, clientErr := certs.ClientConfig(src, certs.Expect{Host: "bank.example"})
		for side, err := range map[string]error{"server": serverErr, "client": clientErr} {
			var d *validator.Denial
			if !errors.As(err, &d) {
				t.Errorf("%s %s: %v", c.name, side, err)
				continue
			}
			refused(t, c.name+" "+side, d, c.check, c.words...)
		}
	}
	server, client := certs.Static(material(t, ca.Server(t, "bank.example"), ca)), certs.Static(material(t, ca.Client(t, "alice@a.example"), ca))
	if _, err := certs.ServerConfig(client); err == nil || !strings.Contains(err.Error(), "serverAuth") {
		t.Errorf("a client's certificate serves: %v", err)
	}
	if _, err := certs.ClientConfig(server, certs.Expect{Host: "a"}); err == nil || !strings.Contains(err.Error(), "clientAuth") {
		t.Errorf("a server's certificate calls: %v", err)
	}
}

func TestClientConfigRefusesBadExpectations(t *testing.T) {
	ca := testca.New(t)
	src := certs.Static(material(t, ca.Client(t, "alice@a.example"), ca))
	for _, c := range []struct {
		expect certs.Expect
		want   string
	}{
		{certs.Expect{}, "is empty"},
		{certs.Expect{Host: "*.bank.example"}, "is a pattern"},
		{certs.Expect{Host: "bank.example:7766"}, "without a port"},
		{certs.Expect{Host: "fe80::1%eth0"}, "has a zone"},
		{certs.Expect{Host: "[::1"}, "not closed"},
		{certs.Expect{Host: "[bank.example]"}, "not an IPv6 address"},
		{certs.Expect{Host: "bänk.example"}, "xn--"},
		{certs.Expect{Host: "bank..example"}, "not a DNS name"},
		{certs.Expect{Host: "bank\x00.example"}, "not a DNS name"},
		{certs.Expect{Host: "bank example"}, "not a DNS name"},
		{certs.Expect{Host: strings.Repeat("a.", 200) + "a"}, "longer than 253"},
		{certs.Expect{Host: strings.Repeat("a", 64)}, "1 to 63 letters"},
		{certs.Expect{Host: "."}, "not a DNS name"},
		{certs.Expect{ID: "teller"}, "is not a principal"},
		{certs.Expect{ID: "uri:"}, "is not a principal"},
		{certs.Expect{Host: "*", ID: "spiffe://a/b"}, "is a pattern"},
	} {
		config, err := certs.ClientConfig(src, c.expect)
		if err == nil || config != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want error with %q", c.expect, err, c.want)
		}
	}
}

// TestNoSessionIsResumed dials twice with a client that would resume, and with
// servers that would, against each of our configs.
func TestNoSessionIsResumed(t *testing.T) {
	ca := testca.New(t)
	server, client := ca.Server(t, "bank.example"), ca.Client(t, "alice@a.example")
	eager := plainClient(client, ca, "bank.example")
	eager.ClientSessionCache = tls.NewLRUClientSessionCache(10)
	ours, willing := serverConfig(t, material(t, server, ca)), plainServer(server, ca)
	dialTwice := func(server, client *tls.Config) (resumed bool) {
		t.Helper()
		for range 2 {
			o := connect(t, server, client)
			if o.client != nil || o.server != nil {
				t.Fatalf("client %v, server %v", o.client, o.server)
			}
			resumed = resumed || o.clientState.DidResume || o.serverState.DidResume
		}
		return resumed
	}
	if dialTwice(ours, eager) {
		t.Error("our server resumes")
	}
	mine := clientConfig(t, material(t, client, ca), certs.Expect{Host: "bank.example"})
	if dialTwice(willing, mine) {
		t.Error("our client resumes")
	}
	// The same two, to show that this test would notice.
	if !dialTwice(willing, eager) {
		t.Error("not even a willing server and an eager client resume")
	}
	// A ticket of an earlier life of the server must not break the handshake either.
	if dialTwice(ours, eager) {
		t.Error("our server takes up a session of another config")
	}
	// And if somebody adds a cache to our own client config, it still does not resume.
	mine.ClientSessionCache = tls.NewLRUClientSessionCache(10)
	if dialTwice(willing, mine) {
		t.Error("our client resumes from a cache")
	}
}

func TestVerifyPeer(t *testing.T) {
	ca, other := testca.New(t), testca.New(t)
	server := ca.Server(t, "bank.example")
	m, stranger := material(t, ca.Client(t, "alice@a.example"), ca), material(t, ca.Client(t, "alice@a.example"), other)
	chain, err := certs.VerifyPeer(server.Chain, m, certs.ServerAuth, time.Now())
	if err != nil || len(chain) != 3 || !chain[0].Equal(server.Chain[0]) || !chain[2].Equal(ca.RootCert()) {
		t.Errorf("got %d certificates, %v", len(chain), err)
	}
	for name, err := range map[string]error{
		"other authority": second(certs.VerifyPeer(server.Chain, stranger, certs.ServerAuth, time.Now())),
		"other purpose":   second(certs.VerifyPeer(server.Chain, m, certs.ClientAuth, time.Now())),
		"later":           second(certs.VerifyPeer(server.Chain, m, certs.ServerAuth, time.Now().AddDate(10, 0, 0))),
		"no intermediate": second(certs.VerifyPeer(server.Chain[:1], m, certs.ServerAuth, time.Now())),
		"nothing":         second(certs.VerifyPeer(nil, m, certs.ServerAuth, time.Now())),
	} {
		if err == nil || certs.Refusal(err, m, certs.Expect{}) == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestFilesUnderTLS replaces a server's files under a listener: the next connection
// sees the new certificate.
func TestFilesUnderTLS(t *testing.T) {
	ca, dir := testca.New(t), t.TempDir()
	old, next := ca.Server(t, "bank.example"), ca.Server(t, "bank.example")
	cert, key := old.WriteFiles(t, dir, "bank")
	root := write(t, filepath.Join(dir, "ca.crt"), ca.RootPEM(), 0o644)
	src, err := certs.Files(certs.FilesConfig{Cert: cert, Key: key, CA: root, Purpose: certs.ServerAuth})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	server, err := certs.ServerConfig(src)
	if err != nil {
		t.Fatal(err)
	}
	client := clientConfig(t, material(t, ca.Client(t, "alice@a.example"), ca), certs.Expect{Host: "bank.example"})
	for _, want := range []testca.Pair{old, next} {
		rename(t, cert, want.CertPEM(), 0o644)
		rename(t, key, want.KeyPEM(), 0o600)
		if err := src.Reload(); err != nil {
			t.Fatal(err)
		}
		if o := connect(t, server, client); o.client != nil || !o.clientState.PeerCertificates[0].Equal(want.Chain[0]) {
			t.Fatalf("client %v, server %v", o.client, o.server)
		}
	}
}

// plainText answers a client's first bytes with a text.
func plainText(t *testing.T, text string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			raw.SetDeadline(time.Now().Add(5 * time.Second))
			raw.Read(make([]byte, 100))
			io.WriteString(raw, text)
			drain(raw)
			raw.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l
}
