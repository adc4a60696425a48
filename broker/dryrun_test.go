package broker_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// dryRun is a daemon with two clients, who both have a session and have called bank.Balance.
type dryRun struct {
	*guarded
	w           *world
	self        *broker.Proxy // of the bystander
	asVictim    *broker.Proxy // for bank
	asBystander *broker.Proxy
	audit       *logBuffer
}

func newDryRun(t *testing.T, victimOf func(g *guarded) *testca.CA) *dryRun {
	t.Helper()
	g := &guarded{t: t, ca: testca.New(t), other: testca.New(t), source: new(swapped), validator: anyone(t)}
	var err error
	if g.rules, err = validator.NewRules(everything("*")); err != nil {
		t.Fatal(err)
	}
	g.server = g.ca.Server(t, "localhost")
	g.victim, g.bystander = victimOf(g).Client(t, "victim@bank.example"), g.ca.Client(t, "bystander@bank.example")
	g.source.p.Store(materialOf(t, g.server, g.ca.RootCert(), g.other.RootCert()))
	r := &dryRun{guarded: g, audit: new(logBuffer)}
	r.w = newWorld(t, func(c *broker.Config) {
		c.Certs, c.Validator, c.Authorizer = g.source, g.validator, g.rules
		c.Audit = slog.New(slog.NewTextHandler(r.audit, nil))
	})
	if _, err := r.w.daemon.Register("bank", newBank()); err != nil {
		t.Fatal(err)
	}
	client := func(p testca.Pair) *broker.Client {
		return r.w.client("", func(c *broker.ClientConfig) { c.Certs = certs.Static(materialOf(t, p, g.ca.RootCert())) })
	}
	bystander := client(g.bystander)
	r.self, r.asBystander = r.w.proxy(bystander, r.w.uri(broker.SelfName)), r.w.proxy(bystander, r.w.uri("bank"))
	r.asVictim = r.w.proxy(client(g.victim), r.w.uri("bank"))
	for _, p := range []*broker.Proxy{r.asVictim, r.asBystander} {
		if err := p.Call(t.Context(), "Balance", nil, "alice"); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (r *dryRun) wouldCut(c broker.Change) []broker.Cut {
	r.t.Helper()
	var cuts []broker.Cut
	if err := r.self.Call(r.t.Context(), "WouldCut", &cuts, c); err != nil {
		r.t.Fatal(err)
	}
	return cuts
}

// ended lists the sessions that the daemon has ended, by identity.
func (r *dryRun) ended() map[string]broker.Incident {
	r.t.Helper()
	var all []broker.Incident
	if err := r.self.Call(r.t.Context(), "Incidents", &all, 100); err != nil {
		r.t.Fatal(err)
	}
	by := make(map[string]broker.Incident)
	for _, i := range all {
		if i.Event == "session ended" {
			by[i.Identity] = i
		}
	}
	return by
}

func pemOf(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func keyOf(c *x509.Certificate) string {
	return fmt.Sprintf("%x", sha256.Sum256(c.RawSubjectPublicKeyInfo))
}

var onlyBystander = validator.MapRule{Name: "bystander", Match: validator.Email, Pattern: `bystander@bank\.example`}

// dryRuns say what a change is, as it is tried and as it is made.
var dryRuns = []struct {
	name   string
	other  bool // the victim has its certificate from the other authority
	change func(r *dryRun) broker.Change
	make   func(r *dryRun, c broker.Change)
}{
	{"revocation list", false, func(r *dryRun) broker.Change {
		return broker.Change{CRLs: [][]byte{r.ca.CRL(r.t, testca.List{Number: 1, Revoked: r.victim.Chain[:1]})}}
	}, func(r *dryRun, c broker.Change) {
		lists, err := certs.ParseCRLs(c.CRLs[0])
		if err != nil {
			r.t.Fatal(err)
		}
		r.revoke(certs.RevocationConfig{CRLs: lists})
	}},
	{"first list, and none of the other authority", true, func(r *dryRun) broker.Change {
		return broker.Change{CRLs: [][]byte{testca.CRLPEM(r.ca.CRL(r.t, testca.List{Number: 1}))}}
	}, func(r *dryRun, c broker.Change) {
		lists, err := certs.ParseCRLs(c.CRLs[0])
		if err != nil {
			r.t.Fatal(err)
		}
		r.revoke(certs.RevocationConfig{CRLs: lists})
	}},
	{"serial", false, func(r *dryRun) broker.Change {
		return broker.Change{Deny: []string{"serial:" + r.victim.Chain[0].SerialNumber.Text(16)}}
	}, denyIt},
	{"key", false, func(r *dryRun) broker.Change {
		return broker.Change{Deny: []string{"spki:" + keyOf(r.victim.Chain[0])}}
	}, denyIt},
	{"authority's key", true, func(r *dryRun) broker.Change {
		return broker.Change{Deny: []string{"ca:" + keyOf(r.other.IntermediateCert())}}
	}, denyIt},
	{"principal", false, func(*dryRun) broker.Change { return broker.Change{Deny: []string{"principal:" + victimName}} }, denyIt},
	{"authority", true, func(r *dryRun) broker.Change { return broker.Change{WithoutCA: pemOf(r.other.RootCert())} },
		func(r *dryRun, _ broker.Change) { r.source.p.Store(materialOf(r.t, r.server, r.ca.RootCert())) }},
	{"identities", false, func(*dryRun) broker.Change { return broker.Change{Identities: []validator.MapRule{onlyBystander}} },
		func(r *dryRun, c broker.Change) {
			m, err := validator.NewMapper(c.Identities...)
			if err != nil {
				r.t.Fatal(err)
			}
			r.validator.SetIdentities(m)
		}},
}

func denyIt(r *dryRun, c broker.Change) {
	kind, value, _ := strings.Cut(c.Deny[0], ":")
	r.deny(strings.Replace(kind, "spki", "key", 1) + " " + value)
}

// TestWouldCutIsWhatIsCut: what a dry run says is what happens, to the word, and it
// happens to nobody before.
func TestWouldCutIsWhatIsCut(t *testing.T) {
	for _, test := range dryRuns {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newDryRun(t, func(g *guarded) *testca.CA {
				if test.other {
					return g.other
				}
				return g.ca
			})
			change := test.change(r)
			before := r.audit.String()
			cuts := r.wouldCut(change)
			if len(cuts) != 1 || cuts[0].Identity != victimName || !cuts[0].Ends || cuts[0].Serial != r.victim.Chain[0].SerialNumber.Text(16) {
				t.Fatalf("would cut %+v, want the victim", cuts)
			}
			if err := r.asVictim.Call(t.Context(), "Balance", nil, "alice"); err != nil || len(r.ended()) != 0 {
				t.Fatalf("after the dry run: %v, ended %v", err, r.ended())
			}
			if after := strings.TrimPrefix(r.audit.String(), before); strings.Contains(after, "allowed=false") {
				t.Errorf("a dry run wrote into the audit log:\n%s", after)
			}
			test.make(r, change)
			eventually(t, "the victim's session ends", func() bool { return len(r.ended()) > 0 })
			ended := r.ended()
			got := ended[victimName]
			if len(ended) != 1 || got.Check != cuts[0].Check || got.Got != cuts[0].Got || got.Want != cuts[0].Want {
				t.Errorf("ended %+v, want as foretold: %+v", ended, cuts)
			}
			if err := r.asBystander.Call(t.Context(), "Balance", nil, "alice"); err != nil {
				t.Error(err)
			}
			eventually(t, "no change would cut nobody", func() bool { return len(r.wouldCut(broker.Change{})) == 0 })
		})
	}
}

// TestWouldDeny: rules end no connection, but take rights away.
func TestWouldDeny(t *testing.T) {
	r := newDryRun(t, func(g *guarded) *testca.CA { return g.ca })
	rules := []validator.Rule{
		everything(bystanderName),
		{Name: "less", Effect: validator.Allow, Identities: []string{victimName}, Objects: []string{"bank"}, Methods: []string{"Deposit"}},
	}
	cuts := r.wouldCut(broker.Change{Rules: rules})
	if len(cuts) != 1 || cuts[0].Identity != victimName || cuts[0].Ends || !slices.Equal(cuts[0].Denied, []string{"bank.Balance"}) {
		t.Fatalf("would cut %+v, want bank.Balance of the victim", cuts)
	}
	if err := r.asVictim.Call(t.Context(), "Balance", nil, "alice"); err != nil {
		t.Fatal(err)
	}
	if err := r.rules.Replace(rules...); err != nil {
		t.Fatal(err)
	}
	if err := r.asVictim.Call(t.Context(), "Balance", nil, "alice"); kindOf(t, err) != broker.KindDenied {
		t.Errorf("got %v, want denied", err)
	}
	if cuts := r.wouldCut(broker.Change{Rules: rules}); len(cuts) != 0 {
		t.Errorf("would cut %+v, which it has cut", cuts)
	}
}

// TestWouldCutRefuses what a daemon would not take up.
func TestWouldCutRefuses(t *testing.T) {
	r := newDryRun(t, func(g *guarded) *testca.CA { return g.ca })
	lists, err := certs.ParseCRLs(r.ca.CRL(t, testca.List{Number: 7}))
	if err != nil {
		t.Fatal(err)
	}
	r.revoke(certs.RevocationConfig{CRLs: lists})
	forged := testca.New(t).CRL(t, testca.List{Number: 8})
	for _, test := range []struct {
		name   string
		change broker.Change
		want   string
	}{
		{"no PEM", broker.Change{WithoutCA: []byte("nothing")}, "PEM"},
		{"not trusted", broker.Change{WithoutCA: pemOf(testca.New(t).RootCert())}, "is not among the authorities that are trusted here"},
		{"the last authority", broker.Change{WithoutCA: slices.Concat(pemOf(r.ca.RootCert()), pemOf(r.other.RootCert()))}, "no authority to trust"},
		{"older list", broker.Change{CRLs: [][]byte{r.ca.CRL(t, testca.List{Number: 6})}}, "is older than number 7, which is in use"},
		{"same number", broker.Change{CRLs: [][]byte{r.ca.CRL(t, testca.List{Number: 7, Revoked: r.victim.Chain[:1]})}}, "different content"},
		{"list from the future", broker.Change{CRLs: [][]byte{r.ca.CRL(t, testca.List{Number: 8, ThisUpdate: time.Now().Add(time.Hour)})}}, "in the future"},
		{"no list", broker.Change{CRLs: [][]byte{[]byte("nothing")}}, "X509 CRL"},
		{"deny what", broker.Change{Deny: []string{"who:alice"}}, "no entry of a deny list"},
		{"deny a header", broker.Change{Deny: []string{"number:9"}}, "no entry of a deny list"},
		{"deny a bad key", broker.Change{Deny: []string{"spki:1f2a"}}, "SHA-256"},
		{"deny two lines", broker.Change{Deny: []string{"serial:1f2a\nserial:1f2b"}}, "want a hexadecimal number"},
		{"too many", broker.Change{Deny: slices.Repeat([]string{"serial:1"}, 10_001)}, "want at most 10000"},
		{"bad pattern", broker.Change{Identities: []validator.MapRule{{Name: "a", Match: validator.Email, Pattern: "("}}}, "pattern"},
		{"bad rule", broker.Change{Rules: []validator.Rule{{Name: "a"}}}, "a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := r.self.Call(t.Context(), "WouldCut", nil, test.change)
			var e *broker.Error
			if !errors.As(err, &e) || e.Kind != broker.KindApplication || !strings.Contains(e.Message, test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
	// A list under another authority's name, whose certificate nobody has shown, cannot
	// be told from a good one, and counts for nobody here.
	if cuts := r.wouldCut(broker.Change{CRLs: [][]byte{forged}}); len(cuts) != 0 {
		t.Errorf("a stranger's list would cut %+v", cuts)
	}
}

// TestWouldCutIsAuthorized as every call.
func TestWouldCutIsAuthorized(t *testing.T) {
	w := newWorld(t, nil)
	p := w.proxy(w.client("mallory@bank.example", nil), w.uri(broker.SelfName))
	if err := p.Call(t.Context(), "WouldCut", nil, broker.Change{}); kindOf(t, err) != broker.KindDenied {
		t.Errorf("got %v, want denied", err)
	}
	p = w.proxy(w.client("alice@bank.example", nil), w.uri(broker.SelfName))
	if err := p.Call(t.Context(), "WouldCut", nil, broker.Change{Rules: []validator.Rule{everything("*")}}); kindOf(t, err) != broker.KindApplication || !strings.Contains(err.Error(), "does not decide calls by rules") {
		t.Errorf("rules for an authorizer that has none: got %v", err)
	}
}
