package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParsePermit(t *testing.T) {
	got, err := canonicalPermit([]string{"uri:bank.example", "dns:Bank.Example.", "ip:10.1.2.3/8", "ip:::1", "email:.bank.example", "dns:bank.example", "ip:192.0.2.1"})
	want := []string{"dns:bank.example", "email:.bank.example", "ip:10.0.0.0/8", "ip:192.0.2.1/32", "ip:::1/128", "uri:bank.example"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	for _, in := range []string{"", "bank.example", "dns:", "dns:.bank.example", "dns:*", "ip:bank.example", "ip:10.0.0.0/33", "ip:::ffff:10.0.0.0/104", "ip:fe80::1%eth0",
		"email:alice@bank.example", "uri:https://bank.example", "uri:bank.example:80", "cn:bank", "email:..", "dns:b\u00fcch"} {
		if got, err := parsePermit(in); err == nil {
			t.Errorf("parsePermit(%q) = %q, want an error", in, got)
		}
	}
}

// What a constrained CA's certificates list is what its options said, in the root
// and in the intermediate.
func TestConstraintsAreWritten(t *testing.T) {
	permit := []string{"dns:bank.example", "email:bank.example", "ip:10.0.0.0/8", "uri:.bank.example"}
	c := newTestCA(t, Options{Permit: permit})
	for _, a := range []*x509.Certificate{c.Root(), c.Intermediate()} {
		got := permitted(a)
		slices.Sort(got)
		if !slices.Equal(got, permit) || !a.PermittedDNSDomainsCritical {
			t.Errorf("%s permits %q (critical: %t), want %q", a.Subject, got, a.PermittedDNSDomainsCritical, permit)
		}
	}
	if p := permitted(newTestCA(t, Options{}).Root()); len(p) > 0 {
		t.Errorf("a CA without limits permits %q only", p)
	}
}

// Each kind of name, permitted or not, under CAs that permit it, permit others of
// the kind, or leave the kind out: Issue, crypto/x509 and openssl agree. The second
// and third are asked about a certificate that was signed without asking the first.
func TestConstraintsAreEnforced(t *testing.T) {
	cas := map[string][]string{
		"all kinds":   {"dns:bank.example", "ip:10.0.0.0/8", "ip:fd00::/8", "uri:bank.example", "email:bank.example"},
		"dns only":    {"dns:bank.example"},
		"ip only":     {"ip:10.0.0.0/8"},
		"uri only":    {"uri:bank.example"},
		"email only":  {"email:bank.example"},
		"below hosts": {"uri:.bank.example", "email:.bank.example"},
	}
	names := map[string][]string{ // and under which CAs they are permitted
		"dns:bank.example":             {"all kinds", "dns only"},
		"dns:a.b.bank.example":         {"all kinds", "dns only"},
		"dns:otherbank.example":        nil,
		"dns:bank.example.evil":        nil,
		"dns:localhost":                nil,
		"ip:10.1.2.3":                  {"all kinds", "ip only"},
		"ip:11.1.2.3":                  nil,
		"ip:fd00::1":                   {"all kinds"},
		"ip:2001:db8::1":               nil,
		"email:alice@bank.example":     {"all kinds", "email only"},
		"email:alice@sub.bank.example": {"below hosts"},
		"email:alice@evil.example":     nil,
		"uri:spiffe://bank.example/a":  {"all kinds", "uri only"},
		"uri:https://x.bank.example/a": {"below hosts"},
		"uri:spiffe://evil.example/a":  nil,
	}
	generous := []string{"email:alice@sub.bank.example", "uri:https://x.bank.example/a"} // to crypto/x509, see permits
	for which, permit := range cas {
		c := newTestCA(t, Options{Permit: permit})
		for name, where := range names {
			want := slices.Contains(where, which)
			purpose := Client
			if isHost(name) {
				purpose = Server
			}
			r := Request{Name: "x.y", SANs: []string{name}, Purposes: []Purpose{purpose}}
			if _, err := c.Issue(r); (err == nil) != want {
				t.Errorf("%s: Issue for %s: %v, want permitted: %t", which, name, err, want)
			} else if err != nil {
				wantError(t, err, "the CA may not sign for "+name, "is limited to "+permit[0])
			}
			leaf := signUnasked(t, c, r)
			if err := verify([]*x509.Certificate{leaf, c.Intermediate()}, c.Root()); (err == nil) != want && (want || !slices.Contains(generous, name)) {
				t.Errorf("%s: crypto/x509 for %s: %v, want permitted: %t", which, name, err, want)
			}
			if out, ok := opensslVerify(t, c, leaf, map[Purpose]string{Client: "sslclient", Server: "sslserver"}[purpose]); ok != want {
				t.Errorf("%s: openssl for %s: %s, want permitted: %t", which, name, out, want)
			}
		}
	}
}

// signUnasked signs what Issue would sign, also what it refuses.
func signUnasked(t *testing.T, c *CA, r Request) *x509.Certificate {
	t.Helper()
	tmpl, err := c.template(r)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl.SerialNumber, tmpl.NotBefore, tmpl.NotAfter = big.NewInt(7), time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, tmpl, c.Intermediate(), key.Public(), c.Signer())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// openssl holds a common name that looks like a host against the constraints when
// there are no DNS names.
func TestNoHostlikeCommonNameUnderConstraints(t *testing.T) {
	limited, free := newTestCA(t, Options{Permit: []string{"uri:bank.example", "email:bank.example"}}), newTestCA(t, Options{})
	for name, want := range map[string]string{"alice.smith": "", "bank.example-teller": "", "teller": "CN=teller", "alice@bank.example": "CN=alice@bank.example"} {
		r := Request{Name: name, SANs: []string{"spiffe://bank.example/teller"}, Purposes: []Purpose{Client}}
		i := issue(t, limited, r)
		if got := i.Leaf().Subject.String(); got != want {
			t.Errorf("%s: subject %q, want %q", name, got, want)
		}
		if out, ok := opensslVerify(t, limited, i.Leaf(), "sslclient"); !ok {
			t.Errorf("%s: openssl: %s", name, out)
		}
		if got := issue(t, free, r).Leaf().Subject.CommonName; got != name {
			t.Errorf("%s: without limits, common name %q", name, got)
		}
	}
	// That is why: the same certificate with the common name is refused.
	r := Request{Name: "alice.smith", SANs: []string{"email:alice@bank.example"}, Purposes: []Purpose{Client}}
	i := issue(t, limited, r)
	tmpl := *i.Leaf()
	tmpl.Subject, tmpl.RawSubject = pkix.Name{CommonName: r.Name}, nil
	der, err := x509.CreateCertificate(rand.Reader, &tmpl, limited.Intermediate(), i.Key.Public(), limited.Signer())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if out, ok := opensslVerify(t, limited, leaf, "sslclient"); ok || !strings.Contains(out, "permitted subtree violation") {
		t.Errorf("openssl takes the common name by now, and it need not be left out: %s", out)
	}
}
