package validator

import (
	"strings"
	"testing"

	"github.com/pyrossl/pyrossl/internal/testca"
)

func TestZeroDefaultLetsNobodyIn(t *testing.T) {
	ca := testca.New(t)
	chain := chainOf(ca, ca.Client(t, "alice@bank.example"))
	for what, v := range map[string]Validator{"zero": new(Default), "New": must(New(Config{})), "empty Admit": must(New(Config{Admit: []Peer{}}))} {
		id, d := must(StepsOf(v)).CheckCertificate(t.Context(), chain)
		if d == nil || d.Code != DeniedSecurity || d.Check != CheckAdmission {
			t.Errorf("%s: %q is denied as %v", what, id.Name, d)
		}
	}
}

func TestAdmit(t *testing.T) {
	ca, other := testca.New(t), testca.New(t)
	issuer := IssuerOf(ca.RootCert())
	m := must(NewMapper(MapRule{Name: "staff", Match: Email, Pattern: `(.*)@bank\.example`, As: "$1", Roles: []string{"teller"}}, MapRule{Name: "rest", Match: DNS, Pattern: `.*`}))
	alice := Principal{Kind: Email, Value: "alice@bank.example"}
	byCA := alice
	byCA.Issuer = issuer
	for _, c := range []struct {
		peer Peer
		name string
		ca   *testca.CA
		want bool
	}{
		{AnyIdentity(), "alice@bank.example", ca, true},
		{AnyIdentity(), "alice@elsewhere.example", ca, false}, // maps to nobody
		{Named("alice"), "alice@bank.example", ca, true},
		{Named("email:alice@bank.example"), "alice@bank.example", ca, false},
		{Named("bob"), "alice@bank.example", ca, false},
		{Named("dns:host"), "host", ca, true},
		{Role("teller"), "alice@bank.example", ca, true},
		{Role("manager"), "alice@bank.example", ca, false},
		{Role("teller"), "host", ca, false},
		{PrincipalIs(alice), "alice@bank.example", ca, true},
		{PrincipalIs(alice), "alice@bank.example", other, true},
		{PrincipalIs(byCA), "alice@bank.example", ca, true},
		{PrincipalIs(byCA), "alice@bank.example", other, false},
		{IssuedBy(issuer, Role("teller")), "alice@bank.example", ca, true},
		{IssuedBy(issuer, Role("teller")), "alice@bank.example", other, false},
		{IssuedBy(issuer, Role("manager")), "alice@bank.example", ca, false},
	} {
		s := must(StepsOf(must(New(Config{Identities: m, Admit: []Peer{c.peer}}))))
		id, d := s.CheckCertificate(t.Context(), chainOf(c.ca, c.ca.Client(t, c.name)))
		if got := d == nil; got != c.want {
			t.Errorf("%v admits %s: %v (%v), want %v", c.peer, c.name, got, d, c.want)
		}
		if d == nil && id.Name == "" {
			t.Errorf("%v admits nobody as %+v", c.peer, id)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for want, c := range map[string]Config{
		"empty Peer":          {Admit: []Peer{{}}},
		"Config.Admit[1]":     {Admit: []Peer{AnyIdentity(), Role("")}},
		"is empty":            {Admit: []Peer{Named("")}},
		"no principal":        {Admit: []Peer{Named("email:alice")}},
		`want "dns:a"`:        {Admit: []Peer{PrincipalIs(Principal{Kind: DNS, Value: "A"})}},
		"hexadecimal":         {Admit: []Peer{IssuedBy("CA", AnyIdentity())}},
		"Config.Admit[0]":     {Admit: []Peer{IssuedBy(issuerPrefix+strings.Repeat("0", 32), Peer{})}},
		"MaxConnections is -": {MaxConnections: -1},
		"MaxPerIdentity is -": {MaxPerIdentity: -1},
		"MaxPerAddress is -":  {MaxPerAddress: -1},
		"4096":                {Iterations: 4095},
		"2000000":             {Iterations: 2_000_001},
	} {
		if d, err := New(c); err == nil || d != nil || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), "validator: ") != 1 {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

func TestSetIdentities(t *testing.T) {
	ca := testca.New(t)
	chain := chainOf(ca, ca.Client(t, "alice@bank.example"))
	d := must(New(Config{Admit: []Peer{Named("alice")}}))
	s := must(StepsOf(d))
	if _, denial := s.CheckCertificate(t.Context(), chain); denial == nil {
		t.Fatal("admitted without the rule")
	}
	d.SetIdentities(must(NewMapper(MapRule{Name: "x", Match: Email, Pattern: `(.*)@.*`, As: "$1"})))
	if _, denial := s.CheckCertificate(t.Context(), chain); denial != nil {
		t.Fatal(denial)
	}
}
