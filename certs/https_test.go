package certs_test

import (
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// TestHTTPSIsAsStrict: but for the protocols, settings for HTTPS are those of a daemon.
func TestHTTPSIsAsStrict(t *testing.T) {
	ca := testca.New(t)
	src := certs.Static(material(t, ca.Server(t, "bank.example"), ca))
	https, err := certs.HTTPSConfig(src)
	if err != nil {
		t.Fatal(err)
	}
	child, err := https.GetConfigForClient(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*tls.Config{"parent": https, "child": child} {
		daemon := serverConfig(t, src.Current())
		if !slices.Equal(c.NextProtos, []string{"h2", "http/1.1"}) {
			t.Errorf("%s: protocols %q", name, c.NextProtos)
		}
		if c.MinVersion != tls.VersionTLS13 || c.MaxVersion != tls.VersionTLS13 || c.ClientAuth != tls.RequireAndVerifyClientCert || !c.ClientCAs.Equal(daemon.ClientCAs) ||
			!slices.Equal(c.CurvePreferences, daemon.CurvePreferences) || !c.SessionTicketsDisabled || c.VerifyConnection == nil {
			t.Errorf("%s: it is not as strict as a daemon's", name)
		}
	}
	// A daemon's own settings are as they were.
	if p := serverConfig(t, src.Current()).NextProtos; !slices.Equal(p, []string{certs.ALPN}) {
		t.Errorf("a daemon's protocols are %q", p)
	}
	if _, err := certs.HTTPSConfig(certs.Static(material(t, ca.Client(t, "alice@bank.example"), ca))); err == nil {
		t.Error("a client's certificate serves")
	}
}

func TestHTTPSClients(t *testing.T) {
	ca := testca.New(t)
	own := material(t, ca.Server(t, "bank.example"), ca)
	alice, revoked := ca.Client(t, "alice@bank.example"), ca.Client(t, "alice@bank.example")
	lists, err := certs.ParseCRLs(ca.CRL(t, testca.List{Revoked: revoked.Chain[:1]}))
	if err != nil {
		t.Fatal(err)
	}
	r, err := certs.NewRevocations(certs.RevocationConfig{CRLs: lists})
	if err != nil {
		t.Fatal(err)
	}
	if own, err = own.WithRevocations(r); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		pair    testca.Pair
		alpn    []string
		options []certs.ServerOption
		want    validator.Check // "" if it gets through
	}{
		{"HTTP/2", alice, []string{"h2"}, nil, ""},
		{"HTTP/1.1", alice, []string{"http/1.1"}, nil, ""},
		{"both", alice, []string{"h2", "http/1.1"}, nil, ""},
		{"no protocol", alice, nil, nil, validator.CheckALPN},
		{"a client of a daemon", alice, []string{certs.ALPN}, nil, validator.CheckALPN},
		{"revoked", revoked, []string{"h2"}, nil, validator.CheckRevocation},
		{"revoked, and told later", revoked, []string{"h2"}, []certs.ServerOption{certs.RecheckAfterHandshake()}, ""},
		{"a server", ca.Server(t, "mallory.example"), []string{"h2"}, nil, validator.CheckPurpose},
	} {
		server, err := certs.HTTPSConfig(certs.Static(own), test.options...)
		if err != nil {
			t.Fatal(err)
		}
		o := connect(t, server, &tls.Config{RootCAs: ca.Pool(), ServerName: "bank.example", Certificates: []tls.Certificate{test.pair.TLS()}, NextProtos: test.alpn})
		if test.want == "" {
			if o.server != nil || o.client != nil {
				t.Errorf("%s: client %v, server %v", test.name, o.client, o.server)
			}
			continue
		}
		d := certs.ServerRefusal(o.server, own)
		if o.client == nil || d == nil || d.Check != test.want {
			t.Errorf("%s: client %v, server %v, want a refusal by %s", test.name, o.client, o.server, test.want)
		}
		var denial *validator.Denial
		if errors.As(o.server, &denial) && test.want == validator.CheckALPN && !strings.Contains(denial.Want, "http/1.1") {
			t.Errorf("%s: the refusal wants %q", test.name, denial.Want)
		}
	}
}
