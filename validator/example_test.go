package validator_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/pyrossl/pyrossl/validator"
)

// A daemon that tellers and one other service may connect to, from the office only.
func ExampleNew() {
	identities, err := validator.NewMapper(
		validator.MapRule{Name: "staff", Match: validator.Email, Pattern: `([a-z]+)@bank\.example`, As: "$1", Roles: []string{"teller"}},
		validator.MapRule{Name: "services", Match: validator.URI, Pattern: `spiffe://bank\.example/service/([a-z-]+)`, As: "service-$1"},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := validator.New(validator.Config{
		Identities: identities,
		Admit:      []validator.Peer{validator.Role("teller"), validator.Named("service-ledger")},
		AllowHosts: []string{"192.0.2.0/24", "2001:db8::/32"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	id := validator.Identity{Name: "alice", Roles: []string{"teller"}}
	fmt.Println(v.CheckCertificate(context.Background(), id, nil))
	id = validator.Identity{Name: "service-printer"}
	fmt.Println(v.CheckCertificate(context.Background(), id, nil))
	// Output:
	// <nil>
	// security reasons: admission: service-printer, want an identity or role that the daemon admits
}

// officeHours lets nobody in at night. It embeds the Default, whose checks are made
// in any case.
type officeHours struct {
	*validator.Default
	now func() time.Time
}

func (v officeHours) CheckCertificate(_ context.Context, id validator.Identity, _ *x509.Certificate) error {
	if h := v.now().Hour(); h < 8 || h >= 18 {
		return &validator.Denial{Code: validator.DeniedSecurity, Got: "a connection at night", Want: "one between 8 and 18 h"}
	}
	return nil
}

// A validator of one's own embeds *Default and overrides a step. It can refuse more
// than the Default, and never less.
func ExampleValidator() {
	base, err := validator.New(validator.Config{Admit: []validator.Peer{validator.AnyIdentity()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	var v validator.Validator = officeHours{base, func() time.Time { return time.Date(2026, 1, 1, 23, 0, 0, 0, time.UTC) }}
	err = v.CheckCertificate(context.Background(), validator.Identity{Name: "alice"}, nil)
	var denial *validator.Denial
	if errors.As(err, &denial) {
		fmt.Println(denial.Got)
	}
	// Output: a connection at night
}

// The daemon asks for a passphrase on top of the certificate. It is configured with
// the stored form, from which the passphrase cannot be computed.
func ExampleDefault_SetAllowedIdentifications() {
	stored, err := validator.Munge(0, validator.Login{Name: "alice", Passphrase: validator.Passphrase("open sesame")})
	if err != nil {
		fmt.Println(err)
		return
	}
	line := stored[0].Text() // kept in a file, say
	fmt.Println(line[:20])

	ident, err := validator.ParseStoredIdent("alice", line)
	if err != nil {
		fmt.Println(err)
		return
	}
	var v validator.Default
	err = v.SetAllowedIdentifications([]validator.Identification{ident})
	fmt.Println(err)
	// Output:
	// SCRAM-SHA-256$600000
	// <nil>
}

// Who may call what. What no rule allows is denied.
func ExampleNewRules() {
	rules, err := validator.NewRules(
		validator.Rule{Name: "tellers", Effect: validator.Allow, Roles: []string{"teller"}, Objects: []string{"bank"}, Methods: []string{"Deposit", "Get*"}},
		validator.Rule{Name: "suspended", Effect: validator.Deny, Identities: []string{"trent"}, Objects: []string{"*"}, Methods: []string{"*"}},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range []string{"alice", "trent"} {
		id := &validator.Identity{Name: name, Roles: []string{"teller"}}
		d := rules.Authorize(context.Background(), validator.Request{Identity: id, Object: "bank", Method: "Deposit", Kind: validator.KindCall})
		fmt.Printf("%s: allowed %v by rule %s %q\n", name, d.Allowed, d.Rule, d.Reason)
	}
	// Output:
	// alice: allowed true by rule tellers ""
	// trent: allowed false by rule suspended "a policy forbids trent to call bank.Deposit"
}

func ExampleParsePrincipal() {
	p, err := validator.ParsePrincipal("email:alice@bank.example")
	fmt.Println(p, err)
	_, err = validator.ParsePrincipal("dns:Bank.example")
	fmt.Println(err)
	// Output:
	// email:alice@bank.example <nil>
	// validator: principal "dns:Bank.example" is not in its one spelling, want "dns:bank.example"
}

// The catalogue of checks says who can do something about a refusal, and what.
func ExampleCheck() {
	c := validator.CheckDates
	fmt.Println(c.Text())
	fmt.Println(c.Who() + ": " + c.Fix())
	// Output:
	// is the certificate valid now?
	// whoever shows the certificate: renew it; if it is fresh, compare the clocks of both machines
}
