package validator

import (
	"context"
	"crypto/x509"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/pyrossl/pyrossl/internal/testca"
)

// odd is a validator whose steps are functions; those that are nil are Default's.
type odd struct {
	*Default
	host   func(context.Context) error
	cert   func(context.Context, Identity) error
	begin  func(*Exchange) ([]byte, error)
	accept func(*Exchange, []byte) ([]byte, bool, error)
	token  func(*Exchange, []byte) ([]byte, error)
	munge  func(any) (any, error)
}

func (o *odd) AcceptHost(ctx context.Context, a netip.Addr) error {
	if o.host == nil {
		return o.Default.AcceptHost(ctx, a)
	}
	return o.host(ctx)
}

func (o *odd) CheckCertificate(ctx context.Context, id Identity, leaf *x509.Certificate) error {
	if o.cert == nil {
		return o.Default.CheckCertificate(ctx, id, leaf)
	}
	return o.cert(ctx, id)
}

func (o *odd) CreateAuthChallenge(ctx context.Context, ex *Exchange) ([]byte, error) {
	if o.begin == nil {
		return o.Default.CreateAuthChallenge(ctx, ex)
	}
	return o.begin(ex)
}

func (o *odd) AcceptIdentification(ctx context.Context, ex *Exchange, token []byte) ([]byte, bool, error) {
	if o.accept == nil {
		return o.Default.AcceptIdentification(ctx, ex, token)
	}
	return o.accept(ex, token)
}

func (o *odd) CreateAuthToken(ctx context.Context, ex *Exchange, challenge []byte) ([]byte, error) {
	if o.token == nil {
		return o.Default.CreateAuthToken(ctx, ex, challenge)
	}
	return o.token(ex, challenge)
}

func (o *odd) MungeIdent(ident any) (any, error) {
	if o.munge == nil {
		return o.Default.MungeIdent(ident)
	}
	return o.munge(ident)
}

func TestStepsOf(t *testing.T) {
	for what, v := range map[string]Validator{
		"nil":               nil,
		"nil Default":       (*Default)(nil),
		"typed nil":         (*odd)(nil),
		"without Default":   &odd{},
		"without a pointer": struct{ *Default }{},
		"nil interface":     struct{ Validator }{},
	} {
		s, err := StepsOf(v)
		if err == nil || strings.Count(err.Error(), "validator: ") != 1 {
			t.Errorf("%s: got %v, want an error", what, err)
		}
		if d := s.AcceptHost(t.Context(), netip.Addr{}); d == nil {
			t.Errorf("%s: the Steps accept", what)
		}
	}
	for _, v := range []Validator{new(Default), &odd{Default: new(Default)}, struct{ Validator }{new(Default)}} {
		if _, err := StepsOf(v); err != nil {
			t.Errorf("%T: %v", v, err)
		}
	}
}

func TestZeroStepsRefuse(t *testing.T) {
	var s Steps
	ctx := t.Context()
	_, d1 := s.CheckCertificate(ctx, nil)
	_, d2 := s.Challenge(ctx, &Exchange{})
	_, _, d3 := s.AcceptIdentification(ctx, &Exchange{}, nil)
	_, d4 := s.Admit(Identity{}, netip.Addr{})
	_, err1 := s.CreateAuthToken(ctx, &Exchange{}, nil)
	_, err2 := s.MungeIdent("x")
	if d := s.AcceptHost(ctx, netip.Addr{}); d == nil || d1 == nil || d2 == nil || d3 == nil || d4 == nil || err1 == nil || err2 == nil {
		t.Error("the zero Steps let something pass", d, d1, d2, d3, d4, err1, err2)
	}
}

// An override may say yes to everything; what the Default refuses stays refused.
func TestOverrideCanOnlyNarrow(t *testing.T) {
	ca := testca.New(t)
	chain := chainOf(ca, ca.Client(t, "alice@bank.example"))
	yes := func(d *Default) *odd {
		return &odd{Default: d,
			host:   func(context.Context) error { return nil },
			cert:   func(context.Context, Identity) error { return nil },
			begin:  func(*Exchange) ([]byte, error) { return nil, nil },
			accept: func(*Exchange, []byte) ([]byte, bool, error) { return nil, true, nil },
		}
	}
	base := must(New(Config{Admit: []Peer{Named("bob")}, DenyHosts: []string{"192.0.2.1"}}))
	if err := base.SetAllowedIdentifications([]Identification{}); err != nil {
		t.Fatal(err)
	}
	s := must(StepsOf(yes(base)))
	if d := s.AcceptHost(t.Context(), netip.MustParseAddr("192.0.2.1")); d == nil || d.Code != DeniedHostBlocked {
		t.Errorf("blocked host: %v", d)
	}
	if _, d := s.CheckCertificate(t.Context(), chain); d == nil || d.Check != CheckAdmission {
		t.Errorf("not admitted: %v", d)
	}
	if _, d := s.CheckCertificate(t.Context(), nil); d == nil || d.Check != CheckIdentity {
		t.Errorf("no certificate: %v", d)
	}
	ex := &Exchange{ChannelBinding: make([]byte, 32)}
	if _, d := s.Challenge(t.Context(), ex); d == nil || d.Check != CheckIdentification {
		t.Errorf("identification left out: %v", d)
	}
	if _, done, d := s.AcceptIdentification(t.Context(), ex, []byte("x")); done || d == nil || d.Check != CheckIdentification {
		t.Errorf("identification waved through: %v", d)
	}

	// And it does narrow.
	o := &odd{Default: must(New(Config{Admit: []Peer{AnyIdentity()}}))}
	o.cert = func(_ context.Context, id Identity) error { return &Denial{Code: DeniedSecurity, Got: "it is night"} }
	if _, d := must(StepsOf(o)).CheckCertificate(t.Context(), chain); d == nil || d.Got != "it is night" || d.Check != CheckAdmission {
		t.Errorf("got %v", d)
	}
	o.host = func(context.Context) error { return errors.New("secret reason") }
	d := must(StepsOf(o)).AcceptHost(t.Context(), netip.MustParseAddr("192.0.2.2"))
	if d == nil || d.Code != DeniedUnspecified || d.Err == nil || strings.Contains(d.Error(), "secret") {
		t.Errorf("unknown error: %v with %v", d, d.Err)
	}
}

// What a validator writes into its arguments reaches nobody else.
func TestValidatorCannotChangeIdentities(t *testing.T) {
	ca := testca.New(t)
	m := must(NewMapper(MapRule{Name: "x", Match: Email, Pattern: `.*`, Roles: []string{"guest"}}))
	o := &odd{Default: must(New(Config{Identities: m, Admit: []Peer{AnyIdentity()}}))}
	o.cert = func(_ context.Context, id Identity) error {
		id.Roles[0], id.Principals[0].Value = "admin", "root"
		return nil
	}
	o.begin = func(ex *Exchange) ([]byte, error) {
		ex.Identity.Roles[0], ex.Identity.Name, ex.ChannelBinding[0] = "admin", "root", 1
		ex.User, ex.State = "u", 7
		return []byte("?"), nil
	}
	s := must(StepsOf(o))
	id, d := s.CheckCertificate(t.Context(), chainOf(ca, ca.Client(t, "alice@bank.example")))
	if d != nil || id.Roles[0] != "guest" || id.Principals[0].Value != "alice@bank.example" {
		t.Errorf("got %+v, %v", id, d)
	}
	ex := &Exchange{Identity: id, ChannelBinding: make([]byte, 32)}
	if _, d := s.Challenge(t.Context(), ex); d != nil || ex.Identity.Roles[0] != "guest" || ex.Identity.Name != id.Name || ex.ChannelBinding[0] != 0 {
		t.Errorf("got %+v, %v", ex, d)
	}
	if ex.User != "u" || ex.State != 7 {
		t.Errorf("user and state are lost: %+v", ex)
	}
}

// TestStepsWithIdentities: other mapping rules are tried, and nothing is changed.
func TestStepsWithIdentities(t *testing.T) {
	d, err := New(Config{Admit: []Peer{AnyIdentity()}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := StepsOf(d)
	if err != nil {
		t.Fatal(err)
	}
	ca := testca.New(t)
	chain := append(ca.Client(t, "alice@bank.example").Chain, ca.RootCert())
	m, err := NewMapper(MapRule{Name: "all", Match: Email, Pattern: `(.*)@bank\.example`, As: "$1"})
	if err != nil {
		t.Fatal(err)
	}
	version := s.Version()
	for _, test := range []struct {
		steps Steps
		want  string
	}{{s, "email:alice@bank.example"}, {s.WithIdentities(m), "alice"}, {s, "email:alice@bank.example"}, {s.WithIdentities(m).WithIdentities(nil), "email:alice@bank.example"}} {
		if id, denial := test.steps.CheckCertificate(t.Context(), chain); denial != nil || id.Name != test.want {
			t.Errorf("got %q, %v, want %q", id.Name, denial, test.want)
		}
	}
	if s.Version() != version || s.WithIdentities(m).Version() != version {
		t.Error("a trial counts as a change")
	}
	if _, denial := (Steps{}).WithIdentities(m).CheckCertificate(t.Context(), chain); denial == nil {
		t.Error("the zero Steps with identities let somebody in")
	}
}
