package certs_test

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
)

// TestChanged: who is refused by the material after a change, and that the one before
// is as it was.
func TestChanged(t *testing.T) {
	ca, other := testca.New(t), testca.New(t)
	alice, bob := ca.Client(t, "alice@bank.example"), other.Client(t, "bob@bank.example")
	server := ca.Server(t, "bank.example")
	m := material(t, server, ca, other)
	deny, err := certs.ParseDenyList([]byte("number 3\nprincipal email:carol@bank.example # left\n"))
	if err != nil {
		t.Fatal(err)
	}
	denying, err := certs.NewRevocations(certs.RevocationConfig{Deny: deny})
	if err != nil {
		t.Fatal(err)
	}
	if m, err = m.WithRevocations(denying); err != nil {
		t.Fatal(err)
	}
	lists := func(ca *testca.CA, l testca.List) []*certs.CRL {
		all, err := certs.ParseCRLs(ca.CRL(t, l))
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	carol := ca.Client(t, "carol@bank.example")
	refused := func(m *certs.Material) string {
		var who []string
		for name, p := range map[string]testca.Pair{"alice": alice, "bob": bob, "carol": carol} {
			if certs.Recheck(p.Chain, m, certs.ClientAuth, time.Now()) != nil {
				who = append(who, name)
			}
		}
		slices.Sort(who)
		return strings.Join(who, " ")
	}
	for _, test := range []struct {
		name   string
		change certs.Change
		want   string
	}{
		{"nothing", certs.Change{}, "carol"},
		{"an authority", certs.Change{Without: []*x509.Certificate{other.RootCert()}}, "bob carol"},
		{"a serial number", certs.Change{Deny: []string{fmt.Sprintf("serial %x", alice.Chain[0].SerialNumber)}}, "alice carol"},
		{"two entries", certs.Change{Deny: []string{"principal email:alice@bank.example", "principal email:bob@bank.example"}}, "alice bob carol"},
		{"the first list", certs.Change{CRLs: lists(ca, testca.List{Revoked: alice.Chain[:1]})}, "alice bob carol"},
		{"lists of both", certs.Change{CRLs: append(lists(ca, testca.List{}), lists(other, testca.List{Revoked: bob.Chain[:1]})...)}, "bob carol"},
		{"all at once", certs.Change{
			Without: []*x509.Certificate{other.RootCert()}, CRLs: lists(ca, testca.List{}), Deny: []string{"principal email:alice@bank.example"},
		}, "alice bob carol"},
	} {
		next, err := m.Changed(test.change, time.Now())
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if got := refused(next); got != test.want {
			t.Errorf("%s: would refuse %q, want %q", test.name, got, test.want)
		}
		if got := refused(m); got != "carol" {
			t.Errorf("%s: the material before refuses %q", test.name, got)
		}
	}
	for _, test := range []struct {
		change certs.Change
		want   string
	}{
		{certs.Change{Without: []*x509.Certificate{alice.Chain[0]}}, "is not among the authorities"},
		{certs.Change{Without: []*x509.Certificate{nil}}, "nil"},
		{certs.Change{Without: m.Roots}, "no authority to trust"},
		{certs.Change{CRLs: []*certs.CRL{nil}}, "nil"},
		{certs.Change{Deny: []string{""}}, "no entry of a deny list"},
		{certs.Change{Deny: []string{"serial " + strings.Repeat("1", 5000)}}, "no entry of a deny list"},
		{certs.Change{Deny: []string{"principal alice"}}, "principal"},
	} {
		if _, err := m.Changed(test.change, time.Now()); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: got %v, want an error with %q", test.change, err, test.want)
		}
	}
	if _, err := new(certs.Material).Changed(certs.Change{}, time.Now()); err == nil {
		t.Error("a material that was not made can be changed")
	}
}
