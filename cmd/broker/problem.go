package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

// Exit codes, as `broker help` lists them.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	exitDenied = 3
)

// problem is an error that knows its way out.
type problem struct {
	err  error
	hint string
	code int
}

func (p *problem) Error() string { return p.err.Error() }
func (p *problem) Unwrap() error { return p.err }

// failed is a problem of exit code 1.
func failed(hint, format string, args ...any) error {
	return &problem{err: fmt.Errorf(format, args...), hint: hint, code: exitFailed}
}

// wrongUsage is a problem of exit code 2.
func wrongUsage(hint, format string, args ...any) error {
	return &problem{err: fmt.Errorf(format, args...), hint: hint, code: exitUsage}
}

// explain gives an error its text, the way out of it and the exit code.
func explain(err error) (text, hint string, code int) {
	var (
		p      *problem
		denied *broker.ConnectionDeniedError
		call   *broker.Error
		cert   *certs.Error
	)
	switch {
	case errors.As(err, &p):
		return strip(p.Error()), p.hint, p.code
	case errors.As(err, &denied):
		return explainConnection(denied)
	case errors.As(err, &call):
		return explainCall(call)
	case errors.As(err, &cert):
		return explainCertificate(err, cert)
	}
	return strip(err.Error()), explainNetwork(err), exitFailed
}

// explainConnection is for connections that came to no call. Either the daemon
// refused us, in words or by a TLS alert, or this side refused the daemon.
func explainConnection(e *broker.ConnectionDeniedError) (text, hint string, code int) {
	host, _, err := net.SplitHostPort(e.Address)
	if err != nil {
		host = e.Address
	}
	code = exitDenied
	switch {
	case byDaemon(e):
		text = fmt.Sprintf("denied by %s: %s", host, reason(e))
	case e.Code == validator.DeniedUnspecified:
		text, code = fmt.Sprintf("no connection with %s: %s", host, reason(e)), exitFailed
	default:
		text = fmt.Sprintf("refused to talk to %s: %s", host, reason(e))
	}
	if e.Incident != "" {
		text += fmt.Sprintf("  [incident %s]", e.Incident)
	}
	switch {
	case e.RetryAfter > 0:
		hint = fmt.Sprintf("try again in %v", e.RetryAfter)
	case e.Check == validator.CheckIdentification:
		hint = "pass a passphrase with --passphrase-file FILE, and --login NAME if it has a name"
	default:
		hint = fmt.Sprintf("%s: %s", e.Check.Who(), e.Check.Fix())
	}
	return text, hint, code
}

// byDaemon reports whether it was the daemon that refused, in words or by a TLS
// alert, and not this side.
func byDaemon(e *broker.ConnectionDeniedError) bool {
	var op *net.OpError
	return e.Err == nil || errors.As(e.Err, &op) && op.Op == "remote error"
}

// reason says what was seen and what was wanted.
func reason(e *broker.ConnectionDeniedError) string {
	var parts []string
	if e.Check != "" {
		parts = append(parts, string(e.Check))
	}
	if e.Got != "" {
		parts = append(parts, e.Got)
	}
	text := strings.Join(parts, ": ")
	if text == "" {
		text = e.Code.String()
	}
	if e.Want != "" {
		text += "; want " + e.Want
	}
	return text
}

// explainCall is for calls that came back without a result.
func explainCall(e *broker.Error) (text, hint string, code int) {
	if e.Kind == broker.KindDenied {
		return explainDenied(e)
	}
	code = exitFailed
	text = strip(e.Error())
	target := e.Object
	self := fmt.Sprintf("broker call PYROSSL://%s/%s", e.Peer, broker.SelfName)
	switch e.Kind {
	case broker.KindNoObject:
		hint = fmt.Sprintf("list what there is: %s Registered", self)
	case broker.KindNoMethod, broker.KindArguments:
		hint = fmt.Sprintf("list the methods and what they take: %s Methods '\"%s\"'", self, target)
	case broker.KindApplication:
		hint = fmt.Sprintf("this is %s's own answer: the method ran and returned this error", target)
	case broker.KindInternal:
		hint = "this is a fault of the service: its log has the rest under this incident"
	case broker.KindDeadline:
		hint = "allow more time with --timeout, or ask the daemon how it fares: broker status PYROSSL://" + e.Peer
		if e.MayHaveRun {
			hint += "; the method may have run"
		} else {
			hint = "allow more time with --timeout, or check host and port"
		}
	case broker.KindCanceled:
		hint = "the call was given up"
		if e.MayHaveRun {
			hint += "; the method may have run"
		}
	case broker.KindDraining:
		hint = "the method has not run: try again when the daemon is back"
	case broker.KindTooLarge:
		hint = "send or ask for less at a time"
	case broker.KindLost:
		hint = "the method has not run: try again"
		if e.MayHaveRun {
			hint = "find out whether the method has run before you call it again"
		}
	case broker.KindUnreachable:
		hint = explainNetwork(e)
	case broker.KindResult:
		hint = "the method has run; only its result cannot be shown"
	default:
		hint = "ask the daemon's operator"
	}
	return text, hint, code
}

// explainDenied is the refusal of a call, DESIGN section 7.
func explainDenied(e *broker.Error) (text, hint string, code int) {
	host, _, err := net.SplitHostPort(e.Peer)
	if err != nil {
		host = e.Peer
	}
	why := e.Message
	if why == "" {
		why = fmt.Sprintf("no policy lets this certificate call %s.%s", e.Object, e.Method)
	}
	text = fmt.Sprintf("denied by %s: %s", host, why)
	if e.Incident != "" {
		text += fmt.Sprintf("  [incident %s]", e.Incident)
	}
	return text, "ask its operator, or see who you are to it: broker whoami PYROSSL://" + e.Peer, exitDenied
}

// explainCertificate moves the remedy from the text to the hint.
func explainCertificate(err error, e *certs.Error) (text, hint string, code int) {
	text = strip(err.Error())
	if e.Fix == "" {
		return text, "look at the file: mkcerts inspect FILE", exitFailed
	}
	return strings.TrimSuffix(text, fmt.Sprintf(" (%s)", e.Fix)), e.Fix, exitFailed
}

// explainNetwork finds a hint for what is no refusal.
func explainNetwork(err error) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return "check the host in the URI"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: check host and port, or start a daemon: broker serve --dev"
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program has that port: use --listen HOST:PORT with another one"
	case errors.Is(err, syscall.EACCES):
		return "this user may not do that: ports below 1024 need a privilege"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "no way leads to that host: check the network"
	case errors.Is(err, context.DeadlineExceeded):
		return "allow more time with --timeout, or check host and port"
	case errors.Is(err, context.Canceled):
		return "it was interrupted"
	}
	return "see: broker help"
}

// strip takes away the prefixes of packages: ours is printed once, before "error:".
func strip(text string) string {
	for _, prefix := range []string{"broker: ", "certs: ", "uri: ", "validator: ", "rulefile: ", "pyroenv: ", "ca: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return strings.ReplaceAll(text, ": broker: ", ": ")
}
