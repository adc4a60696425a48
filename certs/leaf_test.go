package certs_test

import (
	"crypto/x509"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

func TestCheckLeaf(t *testing.T) {
	ca := testca.New(t)
	server, client := ca.Server(t, "bank.example").Chain[0], ca.Client(t, "alice@a.example").Chain[0]
	both := ca.Issue(t, testca.Leaf{DNS: []string{"a"}, EKU: append(clientAuth, serverAuth...)}).Chain[0]
	noUsage := ca.Issue(t, testca.Leaf{DNS: []string{"a"}, EKU: serverAuth, Modify: func(c *x509.Certificate) { c.KeyUsage = 0 }}).Chain[0]
	for _, c := range []struct {
		name    string
		leaf    *x509.Certificate
		purpose certs.Purpose
		now     time.Time
		check   validator.Check
	}{
		{"server", server, certs.ServerAuth, time.Now(), ""},
		{"client", client, certs.ClientAuth, time.Now(), ""},
		{"both as server", both, certs.ServerAuth, time.Now(), ""},
		{"both as client", both, certs.ClientAuth, time.Now(), ""},
		{"without key usage", noUsage, certs.ServerAuth, time.Now(), ""},
		{"first moment", server, certs.ServerAuth, server.NotBefore, ""},
		{"last moment", server, certs.ServerAuth, server.NotAfter, ""},
		{"moment before", server, certs.ServerAuth, server.NotBefore.Add(-1), validator.CheckDates},
		{"moment after", server, certs.ServerAuth, server.NotAfter.Add(1), validator.CheckDates},
		{"server as client", server, certs.ClientAuth, time.Now(), validator.CheckPurpose},
		{"client as server", client, certs.ServerAuth, time.Now(), validator.CheckPurpose},
		{"root", ca.RootCert(), certs.ServerAuth, time.Now(), validator.CheckPurpose},
		{"no purpose asked for", both, 0, time.Now(), validator.CheckPurpose},
		{"unknown purpose asked for", both, 9, time.Now(), validator.CheckPurpose},
		{"none", nil, certs.ServerAuth, time.Now(), validator.CheckChain},
	} {
		d := certs.CheckLeaf(c.leaf, c.purpose, c.now)
		if c.check == "" {
			if d != nil {
				t.Errorf("%s: %v", c.name, d)
			}
			continue
		}
		refused(t, c.name, d, c.check)
		if d != nil && d.Code != validator.DeniedSecurity {
			t.Errorf("%s: code %v", c.name, d.Code)
		}
	}
}

func TestCovers(t *testing.T) {
	ca := testca.New(t)
	leaf := ca.Issue(t, testca.Leaf{DNS: []string{"bank.example", "*.shop.example", "broker"}, IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")}, EKU: serverAuth}).Chain[0]
	for _, host := range []string{"bank.example", "BANK.example", "bank.example.", "a.shop.example", "broker", "Broker", "10.0.0.1", "2001:db8::1", "[2001:DB8::1]", "::ffff:10.0.0.1"} {
		if err := certs.Covers(leaf, host); err != nil {
			t.Errorf("%q: %v", host, err)
		}
	}
	for host, want := range map[string]string{
		"":                    "is empty",
		"bank.example:7766":   "without a port",
		"*.shop.example":      "is a pattern",
		"shop.example":        `certificate does not cover the host "shop.example": got certificate for dns:bank.example, dns:*.shop.example, dns:broker, ip:10.0.0.1, ip:2001:db8::1`,
		"a.b.shop.example":    "does not cover",
		"borker":              `did you mean "broker"?`,
		"10.0.0.2":            "ip:10.0.0.2 among its names",
		"2001:db8::2":         "ip:2001:db8::2 among its names",
		"bank.example..":      "is not a DNS name",
		"bank.example/a":      "is not a DNS name",
		"xn--bnk-qla.example": "does not cover",
	} {
		if err := certs.Covers(leaf, host); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want error with %q", host, err, want)
		}
	}
	if err := certs.Covers(nil, "a"); err == nil {
		t.Error("no certificate covers a host")
	}
}

// TestNamesAreShownSafely puts into a certificate what could fool a terminal.
func TestNamesAreShownSafely(t *testing.T) {
	ca := testca.New(t)
	leaf := ca.Issue(t, testca.Leaf{DNS: []string{"bank.example\x1b[2K\r\nok", "a\x00b", strings.Repeat("long.", 200)}, EKU: serverAuth,
		Modify: func(c *x509.Certificate) { c.Subject.CommonName = "b\u202eank\n" }}).Chain[0]
	err := certs.Covers(leaf, "other.test")
	if err == nil || strings.ContainsAny(err.Error(), "\x00\x1b\r\n") || len(err.Error()) > 1000 {
		t.Errorf("got %q", err)
	}
	only := ca.Issue(t, testca.Leaf{EKU: serverAuth, Modify: func(c *x509.Certificate) { c.Subject.CommonName = "b\u202eank\n" }}).Chain[0]
	if err := certs.Covers(only, "other.test"); err == nil || strings.ContainsAny(err.Error(), "\u202e\n") {
		t.Errorf("got %q", err)
	}
}

// FuzzCovers holds Covers against crypto/x509: it is never more generous.
func FuzzCovers(f *testing.F) {
	ca := testca.New(f)
	leaf := ca.Issue(f, testca.Leaf{DNS: []string{"bank.example", "*.shop.example", "*"}, IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, EKU: serverAuth}).Chain[0]
	for _, seed := range []string{"bank.example", "a.shop.example", "*.shop.example", "10.0.0.1", "[::1]", "::ffff:10.0.0.1", "a", "bank.example.", "\xff", "a:1", "%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		err := certs.Covers(leaf, host)
		if err == nil && leaf.VerifyHostname(host) != nil && !strings.HasPrefix(host, "::") && !strings.HasPrefix(host, "[") {
			t.Fatalf("covers %q, which crypto/x509 does not", host)
		}
		if err == nil && (strings.Contains(host, "*") || !strings.ContainsAny(host, ".:")) {
			t.Fatalf("covers %q", host)
		}
		if err != nil && (len(err.Error()) > 2000 || strings.ContainsAny(err.Error(), "\n\r\x00\x1b")) {
			t.Fatalf("error reads %q", err)
		}
	})
}
