package validator

import (
	"bytes"
	"context"
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
