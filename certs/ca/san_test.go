package ca

import (
	"crypto/x509"
	"slices"
	"strings"
	"testing"

	"github.com/pyrossl/pyrossl/validator"
)

func TestParseSAN(t *testing.T) {
	for in, want := range map[string]string{
		"localhost":                      "dns:localhost",
		"dns:localhost":                  "dns:localhost",
		"Bank.Example.":                  "dns:bank.example",
		"dns:xn--bcher-kva.example":      "dns:xn--bcher-kva.example",
		"my_service":                     "dns:my_service",
		"192.0.2.1":                      "ip:192.0.2.1",
		"ip:::1":                         "ip:::1",
		"::1":                            "ip:::1",
		"2001:DB8:0:0::1":                "ip:2001:db8::1",
		"ip:::ffff:192.0.2.1":            "ip:192.0.2.1",
		"alice@bank.example":             "email:alice@bank.example",
		"Alice@Bank.Example":             "email:Alice@bank.example", // only the domain has no case
		"email:dev@localhost":            "email:dev@localhost",
		"spiffe://bank.example/teller":   "uri:spiffe://bank.example/teller",
		"uri:spiffe://bank.example/a@b":  "uri:spiffe://bank.example/a@b",
		"https://bank.example/a/b-c.d_e": "uri:https://bank.example/a/b-c.d_e",
	} {
		got, err := ParseSAN(in)
		if err != nil || got != want {
			t.Errorf("ParseSAN(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestParseSANRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":                                 "empty",
		"dns:":                             "empty",
		"*":                                "wildcard",
		"*.bank.example":                   "list each host",
		"bank..example":                    "empty label",
		"-bank.example":                    `label with a "-"`,
		"bank.example\x00.evil.example":    "other characters",
		"bank example":                     "other characters",
		"b\u00fccher.example":              "xn--",
		"\u212Aiosk.example":               "xn--", // the Kelvin sign, which folds to k
		"[::1]":                            "without brackets",
		"dns:192.0.2.1":                    "ends with a number",
		"10.0.0.0/8":                       "other characters",
		"ip:10.0.0.0/8":                    "does not parse",
		"ip:bank.example":                  "does not parse",
		"ip:fe80::1%eth0":                  "zone",
		"0.0.0.0":                          "not that of one host",
		"224.0.0.1":                        "not that of one host",
		"@bank.example":                    `nothing before the "@"`,
		"a@b@bank.example":                 `exactly one "@"`,
		"email:admin":                      `exactly one "@"`,
		"alice@":                           "domain",
		"spiffe://bank.example/%61dmin":    "percent-encoding",
		"spiffe://bank.example/a/../admin": "dot segment",
		"spiffe://bank.example//admin":     "empty segment",
		"SPIFFE://bank.example/a":          "lower case",
		"spiffe://user@bank.example/a":     "user info",
		"spiffe://bank.example:8443/a":     "port",
		"https://bank.example/?q":          "query",
		"https://bank.example/#f":          "fragment",
		"a://.":                            "empty label",
		"spiffe://bank..example/a":         "empty label",
		"spiffe://bank.example./a":         "empty label",
		"uri:admin":                        "does not begin",
		"cn:alice":                         "other characters", // the common name is no alternative name
	} {
		got, err := ParseSAN(in)
		if err == nil {
			t.Errorf("ParseSAN(%q) = %q, want an error with %q", in, got, want)
			continue
		}
		wantError(t, err, want)
		if strings.ContainsAny(err.Error(), "\x00\n\x1b") {
			t.Errorf("ParseSAN(%q): error %q has control characters", in, err)
		}
	}
}

// What a certificate is issued for is what a broker reads from it: there is no name
// that we write and it refuses, or reads in another way.
func FuzzParseSAN(f *testing.F) {
	for _, s := range []string{"localhost", "Bank.Example.", "ip:::1", "alice@bank.example", "spiffe://bank.example/teller", "https://a/~", "uri:x://-/a@b:c", "x://" + strings.Repeat("a", 64), "*", "[::1]", "dns:1.2.3.4", "email:a@\u212A"} {
		f.Add(s)
	}
	c := newTestCA(f, Options{})
	f.Fuzz(func(t *testing.T, s string) {
		san, err := ParseSAN(s)
		if err != nil {
			if san != "" {
				t.Fatalf("ParseSAN(%q) = %q with error %v", s, san, err)
			}
			return
		}
		if again, err := ParseSAN(san); err != nil || again != san {
			t.Fatalf("ParseSAN(%q) = %q, and of that %q, %v", s, san, again, err)
		}
		purpose := Client
		if isHost(san) {
			purpose = Server
		}
		i, err := c.Issue(Request{Name: "x", SANs: []string{s}, Purposes: []Purpose{purpose}})
		if err != nil {
			t.Fatalf("Issue for %q: %v", s, err)
		}
		if got := sansOf(i.Leaf()); !slices.Equal(got, []string{san}) {
			t.Fatalf("asked for %q, the certificate has %q", san, got)
		}
		got, err := validator.Principals([]*x509.Certificate{i.Leaf(), c.Root()})
		switch {
		case err != nil:
			t.Fatalf("a broker refuses %q: %v", san, err)
		case strings.HasPrefix(san, "ip:"):
			if len(got) > 0 {
				t.Fatalf("%q is an identity: %v", san, got)
			}
		case len(got) != 1 || got[0].String() != san:
			t.Fatalf("%q is to a broker %v", san, got)
		}
	})
}
