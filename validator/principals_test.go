package validator

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"strings"
	"testing"

	"github.com/pyrossl/pyrossl/internal/testca"
)

// chainOf is a verified chain: leaf, intermediate, root.
func chainOf(ca *testca.CA, p testca.Pair) []*x509.Certificate {
	return append(slices.Clone(p.Chain), ca.RootCert())
}

// raw puts alternative names into a leaf as they are, which crypto/x509 would not
// write. The tags are those of RFC 5280 section 4.2.1.6.
func raw(t testing.TB, names ...asn1.RawValue) func(*x509.Certificate) {
	for i := range names {
		names[i].Class = asn1.ClassContextSpecific
	}
	value, err := asn1.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oidSubjectAltName, Value: value})
	}
}

func name(tag int, value string) asn1.RawValue { return asn1.RawValue{Tag: tag, Bytes: []byte(value)} }

func TestPrincipals(t *testing.T) {
	ca := testca.New(t)
	issuer := IssuerOf(ca.RootCert())
	if err := checkIssuer(issuer); err != nil {
		t.Fatal(err)
	}
	leaf := testca.Leaf{CN: "*", DNS: []string{"B.example", "a.example", "b.example"}, URIs: []string{"spiffe://bank.example/x"}, Emails: []string{"alice@Bank.example"}}
	got, err := Principals(chainOf(ca, ca.Issue(t, leaf)))
	if err != nil {
		t.Fatal(err)
	}
	want := []Principal{{DNS, "b.example", issuer}, {DNS, "a.example", issuer}, {Email, "alice@bank.example", issuer}, {URI, "spiffe://bank.example/x", issuer}}
	byText := func(a, b Principal) int { return strings.Compare(a.String(), b.String()) }
	slices.SortFunc(got, byText)
	slices.SortFunc(want, byText)
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}

	for _, chain := range [][]*x509.Certificate{nil, {}, {nil}, {ca.RootCert(), nil}, {new(x509.Certificate)}, {{DNSNames: []string{"a"}}}} {
		if p, err := Principals(chain); err == nil {
			t.Errorf("Principals(%d certificates) = %v, want an error", len(chain), p)
		}
	}
}

// What crypto/x509 lets through must not become an identity.
func TestBadNamesRefuseTheCertificate(t *testing.T) {
	ca := testca.New(t)
	good := name(2, "bank.example")
	cases := map[string]struct {
		names []asn1.RawValue
		want  string
	}{
		"wildcard":        {[]asn1.RawValue{good, name(2, "*.bank.example")}, "wildcard"},
		"NUL":             {[]asn1.RawValue{name(2, "bank.example\x00.evil.example"), good}, "other characters"},
		"newline":         {[]asn1.RawValue{good, name(2, "bank\n")}, "other characters"},
		"empty":           {[]asn1.RawValue{good, name(2, "")}, "empty"},
		"space":           {[]asn1.RawValue{name(2, " ")}, "other characters"},
		"over-long":       {[]asn1.RawValue{name(2, strings.Repeat("a.", 200)+"b")}, "253"},
		"email without @": {[]asn1.RawValue{name(1, "admin")}, `"@"`},
		"email NUL":       {[]asn1.RawValue{name(1, "a\x00@bank.example")}, "other characters"},
		"relative URI":    {[]asn1.RawValue{name(6, "admin")}, "does not begin"},
		"scheme capitals": {[]asn1.RawValue{name(6, "SPIFFE://bank.example/a")}, "lower case"},
		"empty fragment":  {[]asn1.RawValue{name(6, "spiffe://bank.example/a#")}, "fragment"},
		"percent":         {[]asn1.RawValue{name(6, "spiffe://bank.example/%61dmin")}, "percent"},
		"bad beside good": {[]asn1.RawValue{good, name(6, "spiffe://bank.example/a/../b")}, "dot segment"},
		"URI with user":   {[]asn1.RawValue{name(6, "spiffe://root@bank.example/a")}, "user info"},
	}
	for what, c := range cases {
		chain := chainOf(ca, ca.Issue(t, testca.Leaf{Modify: raw(t, c.names...)}))
		if p, err := Principals(chain); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, %v, want an error with %q", what, p, err, c.want)
		}
		var m *Mapper
		if id, err := m.Identify(chain); err == nil {
			t.Errorf("%s: a nil Mapper maps it to %q", what, id.Name)
		}
	}
}

func TestCommonNames(t *testing.T) {
	ca := testca.New(t)
	m := must(NewMapper(MapRule{Name: "cn", Match: CN, Pattern: ".*"}))
	cn := func(values ...any) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			for _, v := range values {
				c.Subject.ExtraNames = append(c.Subject.ExtraNames, pkix.AttributeTypeAndValue{Type: oidCommonName, Value: v})
			}
		}
	}
	id, err := m.Identify(chainOf(ca, ca.Issue(t, testca.Leaf{DNS: []string{"*.x"}, Modify: cn("alice")})))
	if err != nil || id.Name != "cn:alice" || len(id.Principals) != 1 {
		t.Errorf("one common name: got %+v, %v", id, err)
	}
	for what, c := range map[string]struct {
		values []any
		want   string
	}{
		"none":      {nil, "mapping rule matches"},
		"two":       {[]any{"alice", "admin"}, "2 common names"},
		"two equal": {[]any{"alice", "alice"}, "2 common names"},
		"NUL":       {[]any{"alice\x00"}, "control"},
		"mixed":     {[]any{"\u0430dmin"}, "mixes"},
		"empty":     {[]any{""}, "empty"},
	} {
		if id, err := m.Identify(chainOf(ca, ca.Issue(t, testca.Leaf{Modify: cn(c.values...)}))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %q, %v, want an error with %q", what, id.Name, err, c.want)
		}
	}
	// Without a rule for it, the common name is nobody.
	if id, err := (*Mapper)(nil).Identify(chainOf(ca, ca.Issue(t, testca.Leaf{CN: "alice"}))); err == nil {
		t.Errorf("a common name alone became %q", id.Name)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
