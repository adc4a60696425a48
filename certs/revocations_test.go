package certs_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// crls parses lists in DER form.
func crls(t testing.TB, ders ...[]byte) (all []*certs.CRL) {
	t.Helper()
	for _, der := range ders {
		l, err := certs.ParseCRLs(der)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l...)
	}
	return all
}

func deny(t testing.TB, text string) *certs.DenyList {
	t.Helper()
	d, err := certs.ParseDenyList([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func revocations(t testing.TB, c certs.RevocationConfig) *certs.Revocations {
	t.Helper()
	r, err := certs.NewRevocations(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func withRevocations(t testing.TB, m *certs.Material, c certs.RevocationConfig) *certs.Material {
	t.Helper()
	next, err := m.WithRevocations(revocations(t, c))
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// chainOf is what verification gives for a leaf of the authority.
func chainOf(ca *testca.CA, p testca.Pair) []*x509.Certificate {
	return append(slices.Clone(p.Chain), ca.RootCert())
}

func TestRevocationChecks(t *testing.T) {
	now := time.Now()
	ca, stranger := testca.New(t), testca.New(t)
	sibling := ca.Sibling(t)
	alice, bob := ca.Client(t, "alice@a.example"), ca.Client(t, "bob@a.example")
	carol := sibling.Client(t, "carol@a.example")
	list := func(l testca.List) []byte { return ca.CRL(t, l) }
	empty := list(testca.List{Number: 3})
	stale := testca.List{Number: 3, ThisUpdate: now.Add(-9 * 24 * time.Hour), NextUpdate: now.Add(-2 * 24 * time.Hour)}
	scoped := func(fields ...[]byte) []byte {
		return list(testca.List{Number: 4, Revoked: bob.Chain[:1], Modify: func(l *x509.RevocationList) { l.ExtraExtensions = []pkix.Extension{point(t, fields...)} }})
	}
	published := ca.Issue(t, testca.Leaf{Emails: []string{"dora@a.example"}, EKU: clientAuth, Modify: func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://crl.example/2"} }})
	// twin has alice's serial number, by another authority.
	twin := sibling.Issue(t, testca.Leaf{Emails: []string{"twin@a.example"}, EKU: clientAuth, Modify: func(c *x509.Certificate) { c.SerialNumber = alice.Chain[0].SerialNumber }})
	// mute is the same authority, certified anew without the right to sign lists.
	mute := ca.Reissued(t, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign })
	muted := mute.Client(t, "mute@a.example")
	// impostor has the authority's name and another key.
	impostor := stranger.Reissued(t, func(c *x509.Certificate) {
		c.RawSubject, c.SubjectKeyId = ca.IntermediateCert().RawSubject, ca.IntermediateCert().SubjectKeyId
	})
	forged := impostor.CRL(t, testca.List{Number: 99, Revoked: bob.Chain[:1]})

	for _, c := range []struct {
		name   string
		config certs.RevocationConfig
		of     *testca.CA
		pair   testca.Pair
		words  []string // of the denial; nil: none
	}{
		{"nothing configured", certs.RevocationConfig{}, ca, alice, nil},
		{"on no list", certs.RevocationConfig{CRLs: crls(t, empty)}, ca, alice, nil},
		{"revoked", certs.RevocationConfig{CRLs: crls(t, list(testca.List{Number: 12, Revoked: alice.Chain[:1]}))}, ca, alice,
			[]string{"certificate for email:alice@a.example: it was revoked on ", "says revocation list number 12 of CN=testca intermediate ", "another certificate"}},
		{"another one is revoked", certs.RevocationConfig{CRLs: crls(t, list(testca.List{Revoked: bob.Chain[:1]}))}, ca, alice, nil},
		{"revoked with a reason", certs.RevocationConfig{CRLs: crls(t, list(testca.List{Entries: []x509.RevocationListEntry{{SerialNumber: alice.Chain[0].SerialNumber, RevocationTime: now, ReasonCode: 1}}}))}, ca, alice,
			[]string{"(key compromise)"}},
		{"on hold", certs.RevocationConfig{CRLs: crls(t, list(testca.List{Entries: []x509.RevocationListEntry{{SerialNumber: alice.Chain[0].SerialNumber, RevocationTime: now, ReasonCode: 6}}}))}, ca, alice,
			[]string{"(on hold)"}},
		{"to be revoked tomorrow", certs.RevocationConfig{CRLs: crls(t, list(testca.List{Entries: []x509.RevocationListEntry{{SerialNumber: alice.Chain[0].SerialNumber, RevocationTime: now.Add(24 * time.Hour)}}}))}, ca, alice,
			[]string{"was revoked on"}},
		{"authority revoked", certs.RevocationConfig{CRLs: crls(t, empty, list(testca.List{Number: 5, ByRoot: true, Revoked: []*x509.Certificate{ca.IntermediateCert()}}))}, ca, alice,
			[]string{"certificate for email:alice@a.example: its authority CN=testca intermediate ", "was revoked on", "number 5 of CN=testca root "}},
		{"authority of others revoked", certs.RevocationConfig{CRLs: crls(t, empty, list(testca.List{ByRoot: true, Revoked: []*x509.Certificate{sibling.IntermediateCert()}}))}, ca, alice, nil},

		{"stale", certs.RevocationConfig{CRLs: crls(t, list(stale))}, ca, alice,
			[]string{"whether it is revoked is not known: revocation list number 3 of CN=testca", "is stale, it was issued 9 days ago, on ", "must put the authority's newest list in place"}},
		{"stale and let pass", certs.RevocationConfig{CRLs: crls(t, list(stale)), InsecureAllowStaleLists: true}, ca, alice, nil},
		{"stale list revokes", certs.RevocationConfig{CRLs: crls(t, list(testca.List{ThisUpdate: stale.ThisUpdate, NextUpdate: stale.NextUpdate, Revoked: alice.Chain[:1]}))}, ca, alice, []string{"was revoked on"}},
		{"stale list that is let pass revokes", certs.RevocationConfig{CRLs: crls(t, list(testca.List{ThisUpdate: stale.ThisUpdate, NextUpdate: stale.NextUpdate, Revoked: alice.Chain[:1]})), InsecureAllowStaleLists: true}, ca, alice, []string{"was revoked on"}},
		{"stale list of the root", certs.RevocationConfig{CRLs: crls(t, empty, list(testca.List{ByRoot: true, ThisUpdate: stale.ThisUpdate, NextUpdate: stale.NextUpdate}))}, ca, alice,
			[]string{"whether its authority CN=testca intermediate ", " is revoked is not known"}},
		{"too old", certs.RevocationConfig{CRLs: crls(t, empty), MaxAge: 59 * time.Minute}, ca, alice, []string{"is stale, it was issued 60 minutes ago"}},
		{"not too old", certs.RevocationConfig{CRLs: crls(t, empty), MaxAge: 61 * time.Minute}, ca, alice, nil},
		{"maximum age beyond the next update", certs.RevocationConfig{CRLs: crls(t, list(stale)), MaxAge: 1000 * time.Hour}, ca, alice, []string{"is stale"}},
		{"from the future", certs.RevocationConfig{CRLs: crls(t, list(testca.List{ThisUpdate: now.Add(time.Hour)}))}, ca, alice, []string{"was issued in the future", "clocks that agree"}},
		{"from a clock that is a little ahead", certs.RevocationConfig{CRLs: crls(t, list(testca.List{ThisUpdate: now.Add(time.Minute)}))}, ca, alice, nil},

		{"no list", certs.RevocationConfig{CRLs: crls(t, empty)}, sibling, carol,
			[]string{"there is no revocation list of its authority CN=testca intermediate ", "must configure it"}},
		{"no list, none required", certs.RevocationConfig{CRLs: crls(t, empty), Require: certs.InsecureNoListsRequired}, sibling, carol, nil},
		{"stale, none required", certs.RevocationConfig{CRLs: crls(t, list(stale)), Require: certs.InsecureNoListsRequired}, ca, alice, []string{"is stale"}},
		{"no list of the root", certs.RevocationConfig{CRLs: crls(t, empty), Require: certs.RequireAllLists}, ca, alice,
			[]string{"whether its authority CN=testca intermediate ", "there is no revocation list of its authority CN=testca root "}},
		{"every list", certs.RevocationConfig{CRLs: crls(t, empty, list(testca.List{ByRoot: true})), Require: certs.RequireAllLists}, ca, alice, nil},
		{"root's list only", certs.RevocationConfig{CRLs: crls(t, list(testca.List{ByRoot: true}))}, ca, alice, []string{"there is no revocation list of its authority CN=testca intermediate "}},

		{"same serial number by another authority", certs.RevocationConfig{CRLs: crls(t, list(testca.List{Revoked: alice.Chain[:1]}), sibling.CRL(t, testca.List{}))}, sibling, twin, nil},
		{"forged list revokes nobody", certs.RevocationConfig{CRLs: crls(t, forged, empty)}, ca, bob, nil},
		{"forged list vouches for nobody", certs.RevocationConfig{CRLs: crls(t, forged)}, ca, alice,
			[]string{"the revocation list under the name of CN=testca intermediate ", "has a signature that is not by the key of"}},
		{"authority may not sign lists", certs.RevocationConfig{CRLs: crls(t, empty)}, mute, muted, []string{"its key usage lacks cRLSign"}},
		{"same key, another certificate", certs.RevocationConfig{CRLs: crls(t, empty)}, ca.Reissued(t, func(*x509.Certificate) {}), alice, nil},

		{"list for users", certs.RevocationConfig{CRLs: crls(t, scoped(tlv(t, 1, false, yes)))}, ca, alice, nil},
		{"list for authorities", certs.RevocationConfig{CRLs: crls(t, scoped(tlv(t, 2, false, yes)))}, ca, alice, []string{"is complete for authorities' certificates only"}},
		{"list for authorities names a user", certs.RevocationConfig{CRLs: crls(t, scoped(tlv(t, 2, false, yes)))}, ca, bob, []string{"was revoked on"}},
		{"part of the list", certs.RevocationConfig{CRLs: crls(t, scoped(pointURI(t, "http://crl.example/1")))}, ca, published,
			[]string{"is complete for certificates with the distribution point http://crl.example/1 only"}},
		{"the other part", certs.RevocationConfig{CRLs: crls(t, scoped(pointURI(t, "http://crl.example/1", "http://crl.example/2")))}, ca, published, nil},
		{"part, for one without a distribution point", certs.RevocationConfig{CRLs: crls(t, scoped(pointURI(t, "http://crl.example/1")))}, ca, alice, []string{"is complete for certificates with the distribution point"}},
		{"revoked by another part", certs.RevocationConfig{CRLs: crls(t, scoped(pointURI(t, "http://crl.example/1")))}, ca, bob, []string{"was revoked on"}},

		{"newer list releases", certs.RevocationConfig{CRLs: crls(t, list(testca.List{Number: 8, Revoked: alice.Chain[:1]}), list(testca.List{Number: 9}))}, ca, alice, nil},
		{"newer list revokes", certs.RevocationConfig{CRLs: crls(t, list(testca.List{Number: 9, Revoked: alice.Chain[:1]}), list(testca.List{Number: 8}))}, ca, alice, []string{"number 9"}},
	} {
		chain := chainOf(c.of, c.pair)
		chain[1] = c.of.IntermediateCert()
		d := revocations(t, c.config).Check(chain, now)
		if c.words == nil {
			if d != nil {
				t.Errorf("%s: %v", c.name, d)
			}
			continue
		}
		refused(t, c.name, d, certs.CheckRevocation, c.words...)
		if d != nil && (d.Code != validator.DeniedSecurity || strings.Contains(d.Error(), "\"")) {
			t.Errorf("%s: %v", c.name, d)
		}
	}
	if d := (*certs.Revocations)(nil).Check(nil, now); d != nil {
		t.Errorf("no revocations give %v", d)
	}
	for name, chain := range map[string][]*x509.Certificate{"empty": nil, "nil": {nil}} {
		if d := revocations(t, certs.RevocationConfig{}).Check(chain, now); d == nil {
			t.Errorf("an %s chain is good", name)
		}
	}
}

func TestNewRevocationsRefuses(t *testing.T) {
	ca := testca.New(t)
	endless := crls(t, crafted(t, ca, 1, false, []pkix.Extension{extension(t, idCRLNumber, false, big.NewInt(1))}))
	for _, c := range []struct {
		name   string
		config certs.RevocationConfig
		want   string
	}{
		{"nil list", certs.RevocationConfig{CRLs: []*certs.CRL{nil}}, "is nil"},
		{"negative age", certs.RevocationConfig{MaxAge: -1}, "want none (0) or more"},
		{"unknown requirement", certs.RevocationConfig{Require: 9}, "want one of the constants"},
		{"list without an end", certs.RevocationConfig{CRLs: endless}, "does not say when the next one comes (nextUpdate)"},
		{"list without an end but with an age", certs.RevocationConfig{CRLs: endless, MaxAge: time.Hour}, ""},
		{"two of one number", certs.RevocationConfig{CRLs: crls(t, ca.CRL(t, testca.List{Number: 4}), ca.CRL(t, testca.List{Number: 4}))}, "two lists with different content that call themselves revocation list number 4"},
		{"two of one number, of two authorities", certs.RevocationConfig{CRLs: crls(t, ca.CRL(t, testca.List{Number: 4}), ca.CRL(t, testca.List{Number: 4, ByRoot: true}))}, ""},
	} {
		_, err := certs.NewRevocations(c.config)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	same := ca.CRL(t, testca.List{Number: 4})
	revocations(t, certs.RevocationConfig{CRLs: crls(t, same, same)})
}

// TestMaterialRefusesForgedLists: what can be checked before a peer comes, is.
func TestMaterialRefusesForgedLists(t *testing.T) {
	ca, stranger := testca.New(t), testca.New(t)
	m := material(t, ca.Server(t, "bank.example"), ca)
	impostor := stranger.Reissued(t, func(c *x509.Certificate) { c.RawSubject, c.SubjectKeyId = ca.IntermediateCert().RawSubject, nil })
	for _, c := range []struct {
		name string
		der  []byte
		want string
	}{
		{"own authority's", ca.CRL(t, testca.List{}), ""},
		{"root's", ca.CRL(t, testca.List{ByRoot: true}), ""},
		{"unknown authority's", ca.Sibling(t).CRL(t, testca.List{}), ""},
		{"impostor's", impostor.CRL(t, testca.List{Modify: func(l *x509.RevocationList) { l.Issuer = pkix.Name{} }}), ""},
	} {
		r := revocations(t, certs.RevocationConfig{CRLs: crls(t, c.der)})
		if _, err := m.WithRevocations(r); (err == nil) != (c.want == "") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// The impostor gives the right key identifier, so that it can only be a forgery.
	impostor = stranger.Reissued(t, func(c *x509.Certificate) {
		c.RawSubject, c.SubjectKeyId = ca.IntermediateCert().RawSubject, ca.IntermediateCert().SubjectKeyId
	})
	_, err := m.WithRevocations(revocations(t, certs.RevocationConfig{CRLs: crls(t, impostor.CRL(t, testca.List{Number: 6}))}))
	if err == nil || !strings.Contains(err.Error(), "revocation list number 6 of CN=testca intermediate") || !strings.Contains(err.Error(), "has a signature that is not by the key of") {
		t.Errorf("a forged list: %v", err)
	}
	if _, err := new(certs.Material).WithRevocations(nil); err == nil {
		t.Error("empty material takes revocations")
	}
	if (*certs.Material)(nil).Revocations() != nil || m.Revocations() != nil {
		t.Error("revocations from nowhere")
	}
	with := withRevocations(t, m, certs.RevocationConfig{})
	if without, err := with.WithRevocations(nil); err != nil || with.Revocations() == nil || without.Revocations() != nil || m.Revocations() != nil {
		t.Errorf("revocations are not taken away: %v", err)
	}
}

// TestLocalCauseStaysLocal: which file, and why an operator denied somebody, is for
// our log.
func TestLocalCauseStaysLocal(t *testing.T) {
	ca := testca.New(t)
	alice := ca.Client(t, "alice@a.example")
	r := revocations(t, certs.RevocationConfig{Deny: deny(t, "number 7\nprincipal email:alice@a.example # lost a laptop at the races\n")})
	d := r.Check(chainOf(ca, alice), time.Now())
	refused(t, "denied", d, certs.CheckRevocation, "its name email:alice@a.example is on the deny list (number 7)")
	if d == nil || strings.Contains(d.Error(), "races") || d.Err == nil || !strings.Contains(d.Err.Error(), "line 2: lost a laptop at the races") {
		t.Errorf("denial %v, cause %v", d, errors.Unwrap(d))
	}
}
