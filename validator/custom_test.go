package validator

import (
	"context"
	"crypto/hmac"
	"errors"
	"strings"
	"testing"
)

// table is a validator with names and passwords of its own, sent as they are: the
// connection is encrypted and both sides are known.
type table struct {
	*Default
	passwords map[string]string
}

type credentials struct{ Name, Password string }

func (v *table) MungeIdent(ident any) (any, error) {
	if c, ok := ident.(credentials); ok && c.Name != "" {
		return c, nil
	}
	return nil, errors.New("want credentials")
}

func (v *table) CreateAuthChallenge(context.Context, *Exchange) ([]byte, error) {
	return []byte("name and password?"), nil
}

func (v *table) CreateAuthToken(_ context.Context, ex *Exchange, challenge []byte) ([]byte, error) {
	c, ok := ex.Ident.(credentials)
	if !ok {
		return nil, errors.New("no credentials are set")
	}
	if ex.Final {
		return nil, nil
	}
	return []byte(c.Name + "\x00" + c.Password), nil
}

func (v *table) AcceptIdentification(_ context.Context, ex *Exchange, token []byte) ([]byte, bool, error) {
	name, password, _ := strings.Cut(string(token), "\x00")
	if want, ok := v.passwords[name]; !ok || !hmac.Equal([]byte(want), []byte(password)) {
		return nil, false, &Denial{Code: DeniedSecurity, Got: "wrong name or password"}
	}
	ex.User = name
	return nil, true, nil
}

func TestCustomIdentification(t *testing.T) {
	v := must(StepsOf(&table{Default: new(Default), passwords: map[string]string{"alice": "sesame"}}))
	if user, d, err := conversation(t, v, v, credentials{"alice", "sesame"}, binding(1), binding(1)); user != "alice" || d != nil || err != nil {
		t.Errorf("user %q, %v, %v", user, d, err)
	}
	if _, d, _ := conversation(t, v, v, credentials{"alice", "guess"}, binding(1), binding(1)); d == nil || d.Got != "wrong name or password" || d.Check != CheckIdentification {
		t.Errorf("got %v", d)
	}
	if _, _, err := conversation(t, v, v, "x", binding(1), binding(1)); err == nil || err.Error() != "want credentials" {
		t.Errorf("got %v, want the validator's own error", err)
	}
	if _, _, err := conversation(t, v, v, nil, binding(1), binding(1)); err == nil || err.Error() != "no credentials are set" {
		t.Errorf("got %v, want the validator's own error", err)
	}
	// One who expects something else says what.
	if _, _, err := conversation(t, v, must(StepsOf(new(Default))), Passphrase("x"), binding(1), binding(1)); err == nil || !strings.Contains(err.Error(), "name and password?") {
		t.Errorf("got %v", err)
	}
}

// A validator may wrap the Default's identification, and refuse more.
func TestWrappedIdentification(t *testing.T) {
	d := fast(t, Login{"alice", Passphrase("one")}, Login{"bob", Passphrase("two")})
	o := &odd{Default: d}
	o.accept = func(ex *Exchange, token []byte) ([]byte, bool, error) {
		reply, done, err := d.AcceptIdentification(context.Background(), ex, token)
		if done && ex.User == "bob" {
			return nil, false, &Denial{Code: DeniedSecurity, Got: "bob is on holiday"}
		}
		return reply, done, err
	}
	server, client := must(StepsOf(o)), must(StepsOf(new(Default)))
	if user, denied, err := conversation(t, server, client, Login{"alice", Passphrase("one")}, binding(1), binding(1)); user != "alice" || denied != nil || err != nil {
		t.Errorf("user %q, %v, %v", user, denied, err)
	}
	if _, denied, _ := conversation(t, server, client, Login{"bob", Passphrase("two")}, binding(1), binding(1)); denied == nil || denied.Got != "bob is on holiday" {
		t.Errorf("got %v", denied)
	}
}
