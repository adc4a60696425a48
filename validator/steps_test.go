package validator

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

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

func TestPanicsAreContained(t *testing.T) {
	ca := testca.New(t)
	chain := chainOf(ca, ca.Client(t, "alice@bank.example"))
	for what, fail := range map[string]func(){
		"panic":     func() { panic("boom") },
		"nil":       func() { var p *Identity; _ = p.Name },
		"Goexit":    runtime.Goexit,
		"panic nil": func() { panic(nil) },
	} {
		var log bytes.Buffer
		base := must(New(Config{Admit: []Peer{AnyIdentity()}, Logger: slog.New(slog.NewTextHandler(&log, nil))}))
		s := must(StepsOf(&odd{Default: base,
			host:   func(context.Context) error { fail(); return nil },
			cert:   func(context.Context, Identity) error { fail(); return nil },
			begin:  func(*Exchange) ([]byte, error) { fail(); return []byte("x"), nil },
			accept: func(*Exchange, []byte) ([]byte, bool, error) { fail(); return nil, true, nil },
			token:  func(*Exchange, []byte) ([]byte, error) { fail(); return []byte("x"), nil },
			munge:  func(any) (any, error) { fail(); return nil, nil },
		}))
		ex := &Exchange{}
		d1 := s.AcceptHost(t.Context(), netip.Addr{})
		_, d2 := s.CheckCertificate(t.Context(), chain)
		_, d3 := s.Challenge(t.Context(), ex)
		_, done, d4 := s.AcceptIdentification(t.Context(), ex, nil)
		for i, d := range []*Denial{d1, d2, d3, d4} {
			if d == nil || d.Code != DeniedSecurity || d.Err == nil || strings.Contains(d.Error(), "boom") {
				t.Errorf("%s in step %d: got %v", what, i, d)
			}
		}
		_, err1 := s.CreateAuthToken(t.Context(), ex, nil)
		_, err2 := s.MungeIdent("x")
		if done || err1 == nil || err2 == nil {
			t.Errorf("%s on the client's side: %v, %v", what, err1, err2)
		}
		if what != "Goexit" && (strings.Count(log.String(), "validator panicked") != 6 || !strings.Contains(log.String(), "steps_test.go")) {
			t.Errorf("%s: the log lacks panics or stacks:\n%s", what, log.String())
		}
		if n := base.running.Load(); n != 0 {
			t.Errorf("%s: %d calls still count", what, n)
		}
	}
}

func TestValidatorThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		var calls atomic.Int64
		o := &odd{Default: new(Default)}
		o.accept = func(ex *Exchange, _ []byte) ([]byte, bool, error) {
			calls.Add(1)
			<-free
			ex.User = "late"
			return []byte("late"), true, nil
		}
		s := must(StepsOf(o))
		ex := &Exchange{}
		for i := range maxRunning + 10 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			start := time.Now()
			reply, done, d := s.AcceptIdentification(ctx, ex, []byte("x"))
			cancel()
			if reply != nil || done || d == nil {
				t.Fatal("a step that hangs accepts")
			}
			switch took := time.Since(start); {
			case i < maxRunning && (took != time.Second || d.Check != CheckTimeout || !errors.Is(d, context.DeadlineExceeded)):
				t.Fatalf("call %d is denied as %v after %v", i, d, took)
			case i >= maxRunning && (took != 0 || d.Code != DeniedServerTooBusy):
				t.Fatalf("call %d is denied as %v after %v", i, d, took)
			}
		}
		if calls.Load() != maxRunning {
			t.Errorf("%d calls hang, want %d", calls.Load(), maxRunning)
		}
		close(free)
		synctest.Wait()
		if o.running.Load() != 0 || ex.User != "" {
			t.Errorf("%d calls still count, user %q", o.running.Load(), ex.User)
		}
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, d := s.AcceptIdentification(cancelled, ex, nil); d == nil || calls.Load() != maxRunning {
			t.Error("a step ran although its time was over")
		}
	})
}

func TestDenialsOfValidators(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Denial
	}{
		{&Denial{Code: DeniedHostBlocked, Check: CheckBusy, Got: "a", Want: "b", RetryAfter: time.Second}, Denial{Code: DeniedHostBlocked, Check: CheckBusy, Got: "a", Want: "b", RetryAfter: time.Second}},
		{&Denial{Code: 77, RetryAfter: -1}, Denial{Code: DeniedUnspecified, Check: CheckHost}},
		{fmt.Errorf("wrapped: %w", &Denial{Code: DeniedSecurity, Got: "x"}), Denial{Code: DeniedSecurity, Check: CheckHost, Got: "x"}},
		{&Denial{Got: "red \x1b[31m"}, Denial{Check: CheckHost, Got: `"red \x1b[31m"`}},
		{(*Denial)(nil), Denial{Code: DeniedUnspecified, Check: CheckHost, Got: refusedText}},
		{errors.New("x"), Denial{Code: DeniedUnspecified, Check: CheckHost, Got: refusedText}},
	} {
		o := &odd{Default: new(Default), host: func(context.Context) error { return c.err }}
		d := must(StepsOf(o)).AcceptHost(t.Context(), netip.Addr{})
		if d == nil || d.Code != c.want.Code || d.Check != c.want.Check || d.Got != c.want.Got || d.Want != c.want.Want || d.RetryAfter != c.want.RetryAfter {
			t.Errorf("%T %v becomes %+v, want %+v", c.err, c.err, d, c.want)
		}
	}
	long := &odd{Default: new(Default), host: func(context.Context) error { return &Denial{Got: strings.Repeat("x", 1<<20)} }}
	if d := must(StepsOf(long)).AcceptHost(t.Context(), netip.Addr{}); len(d.Got) > maxDenialText+3 {
		t.Errorf("%d bytes are told to the peer", len(d.Got))
	}
}

func TestTokensAreBounded(t *testing.T) {
	big := make([]byte, MaxToken+1)
	o := &odd{Default: new(Default),
		begin:  func(*Exchange) ([]byte, error) { return big, nil },
		accept: func(*Exchange, []byte) ([]byte, bool, error) { return big, true, nil },
		token:  func(*Exchange, []byte) ([]byte, error) { return big, nil },
	}
	s := must(StepsOf(o))
	ex := &Exchange{}
	if _, d := s.Challenge(t.Context(), ex); d == nil {
		t.Error("a large challenge passes")
	}
	for _, token := range [][]byte{nil, big} {
		if _, done, d := s.AcceptIdentification(t.Context(), ex, token); d == nil || done {
			t.Error("a large token or reply passes")
		}
		if _, err := s.CreateAuthToken(t.Context(), ex, token); err == nil {
			t.Error("a large challenge or token passes")
		}
	}
}
