package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

func TestExplain(t *testing.T) {
	tests := []struct {
		name       string
		err        error
		text, hint string
		code       int
	}{
		{
			"a call is denied, as DESIGN section 7 shows it",
			&broker.Error{Kind: broker.KindDenied, Object: "bank", Method: "Deposit", Peer: "bank.example:7766",
				Message: "no policy lets email:mallory@bank.example call bank.Deposit", Incident: "7QX2-M4PD"},
			"denied by bank.example: no policy lets email:mallory@bank.example call bank.Deposit  [incident 7QX2-M4PD]",
			"ask its operator, or see who you are to it: broker whoami PYROSSL://bank.example:7766", exitDenied,
		},
		{
			"a call is denied without a word",
			&broker.Error{Kind: broker.KindDenied, Object: "bank", Method: "Deposit", Peer: "[::1]:7766"},
			"denied by ::1: no policy lets this certificate call bank.Deposit",
			"broker whoami PYROSSL://[::1]:7766", exitDenied,
		},
		{
			"a connection is denied in words",
			&broker.ConnectionDeniedError{Address: "bank.example:7766", Code: validator.DeniedSecurity, Check: validator.CheckAdmission,
				Got: "email:mallory@bank.example", Want: "a known peer", Incident: "7QX2-M4PD"},
			"denied by bank.example: admission: email:mallory@bank.example; want a known peer  [incident 7QX2-M4PD]",
			"the daemon's operator: add the identity", exitDenied,
		},
		{
			"a connection is denied for now",
			&broker.ConnectionDeniedError{Address: "bank.example:7766", Code: validator.DeniedServerTooBusy, RetryAfter: 2 * time.Second},
			"denied by bank.example: " + validator.DeniedServerTooBusy.String(), "try again in 2s", exitDenied,
		},
		{
			"a connection is denied for want of a second factor",
			&broker.ConnectionDeniedError{Address: "bank.example:7766", Code: validator.DeniedSecurity, Check: validator.CheckIdentification, Got: "none"},
			"denied by bank.example: identification: none", "--passphrase-file FILE", exitDenied,
		},
		{
			"the daemon is not the one in the URI",
			&broker.ConnectionDeniedError{Address: "bank.example:7766", Code: validator.DeniedSecurity, Check: validator.CheckName, Got: "a certificate for dns:stock.example", Want: "bank.example", Err: errors.New("x509")},
			"refused to talk to bank.example: name: a certificate for dns:stock.example; want bank.example", "pin its identity with ?id= in the URI", exitDenied,
		},
		{
			"the method failed",
			&broker.Error{Kind: broker.KindApplication, Object: "bank", Method: "Withdraw", Peer: "localhost:7766", Message: "no such account", MayHaveRun: true},
			"bank.Withdraw at localhost:7766: no such account", "bank's own answer", exitFailed,
		},
		{
			"there is no such method",
			&broker.Error{Kind: broker.KindNoMethod, Object: "bank", Method: "Rob", Peer: "localhost:7766"},
			"bank.Rob at localhost:7766: no such method", `broker call PYROSSL://localhost:7766/Pyro.Daemon Methods '"bank"'`, exitFailed,
		},
		{
			"the connection was lost midway",
			&broker.Error{Kind: broker.KindLost, Object: "bank", Method: "Deposit", Peer: "localhost:7766", MayHaveRun: true},
			"bank.Deposit at localhost:7766: connection lost (the method may have run)", "find out whether the method has run", exitFailed,
		},
		{
			"the connection was lost before",
			&broker.Error{Kind: broker.KindLost, Object: "bank", Method: "Deposit", Peer: "localhost:7766"},
			"bank.Deposit at localhost:7766: connection lost (the method has not run)", "try again", exitFailed,
		},
		{
			"the time was up",
			&broker.Error{Kind: broker.KindDeadline, Object: "bank", Method: "Deposit", Peer: "localhost:7766", MayHaveRun: true},
			"bank.Deposit at localhost:7766: deadline exceeded", "--timeout", exitFailed,
		},
		{
			"a key that others can read",
			fmt.Errorf("wrapped: %w", &certs.Error{File: "srv.key", Reason: "mode 0644, want 0600", Fix: "chmod 600 srv.key"}),
			`wrapped: certs: "srv.key": mode 0644, want 0600`, "chmod 600 srv.key", exitFailed,
		},
		{
			"nothing listens",
			&broker.Error{Kind: broker.KindUnreachable, Object: "bank", Method: "Deposit", Peer: "localhost:7766", Message: "dial tcp: connection refused",
				Err: &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}},
			"bank.Deposit at localhost:7766: unreachable: dial tcp: connection refused", "broker serve --dev", exitFailed,
		},
		{"a host is unknown", fmt.Errorf("broker: cannot connect: %w", &net.DNSError{Err: "no such host", Name: "x"}), "cannot connect: lookup x: no such host", "check the host", exitFailed},
		{"no verdict in time", fmt.Errorf("broker: %w", context.DeadlineExceeded), "context deadline exceeded", "--timeout", exitFailed},
		{"wrong usage", wrongUsage("do this", "not %d", 1), "not 1", "do this", exitUsage},
		{"anything else", errors.New("broker: odd"), "odd", "broker help", exitFailed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			text, hint, code := explain(test.err)
			if text != test.text {
				t.Errorf("text is\n%s, want\n%s", text, test.text)
			}
			if !strings.Contains(hint, test.hint) {
				t.Errorf("hint is %q, want it to say %q", hint, test.hint)
			}
			if code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
		})
	}
}

// Whatever becomes of a call, there is a way out.
func TestEveryKindHasAHint(t *testing.T) {
	for kind := range 256 {
		e := &broker.Error{Kind: broker.Kind(kind), Object: "bank", Method: "Deposit", Peer: "localhost:7766"}
		if text, hint, code := explain(e); text == "" || hint == "" || code == exitDone || (code == exitDenied) != (e.Kind == broker.KindDenied) {
			t.Errorf("kind %v: text %q, hint %q, exit code %d", e.Kind, text, hint, code)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain – ü":           "plain – ü",
		"a\nbroker: error: b": `a\nbroker: error: b`,
		"\x1b[2J":             `\x1b[2J`,
		"a\u009bb\u202ec":     `a\u009bb\u202ec`,
		"bad \xff":            "bad \ufffd",
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) is %q, want %q", in, got, want)
		}
	}
}
