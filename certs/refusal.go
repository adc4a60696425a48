package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/pyrossl/pyrossl/validator"
)

// Refusal explains to a client why a connection did not come about. err is what
// the handshake or the first read after it returned: in TLS 1.3 a client has
// finished its handshake before the server has seen its certificate, so that the
// server's alert arrives with the first read. ours is the material that the client
// used, and expect the server that it wanted.
//
// The denial says which check failed, on which side, and who must change what. It
// is nil when err is not a refusal: a timeout, a cancelled context, an address where
// nothing listens.
func Refusal(err error, ours *Material, expect Expect) *validator.Denial {
	return view{ours: ours, expect: expect, peer: ServerAuth}.explain(err)
}

// ServerRefusal explains to a daemon, for its log, why the handshake with a client
// failed. ours is the material that the daemon showed. It is nil when err is not a
// refusal.
func ServerRefusal(err error, ours *Material) *validator.Denial {
	return view{ours: ours, peer: ClientAuth}.explain(err)
}

// view is from where a failure is seen.
type view struct {
	ours   *Material // may be nil
	expect Expect
	peer   Purpose // what the other side's certificate is for
}

// own is what our own certificate is for.
func (v view) own() Purpose {
	if v.peer == ServerAuth {
		return ClientAuth
	}
	return ServerAuth
}

func (v view) explain(err error) *validator.Denial {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	if d, ok := errors.AsType[*validator.Denial](err); ok {
		return d
	}
	d := v.explainTLS(err)
	if d != nil {
		d.Err = err
	}
	return d
}

func (v view) explainTLS(err error) *validator.Denial {
	if code, ok := remoteAlert(err); ok {
		return v.fromAlert(code)
	}
	if d := v.fromVerification(err); d != nil {
		return d
	}
	if e, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return v.notTLS(e)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		if v.peer == ClientAuth {
			return refusal(validator.DeniedUnspecified, validator.CheckProtocol, "the client went away during the handshake", "a Pyrossl client; a port scanner or a TCP health check looks like this too")
		}
		return refusal(validator.DeniedUnspecified, validator.CheckProtocol, "the connection was closed without a word",
			"a Pyrossl daemon"+v.at()+"; it may be full, or refuse this host: its log says which")
	}
	return v.fromText(err)
}

func refusal(code validator.Code, check validator.Check, got, want string) *validator.Denial {
	return &validator.Denial{Code: code, Check: check, Got: got, Want: want}
}

func security(check validator.Check, got, want string) *validator.Denial {
	return refusal(validator.DeniedSecurity, check, got, want)
}

// at says where the server was looked for.
func (v view) at() string {
	if v.expect.Host == "" {
		return " at this address"
	}
	return fmt.Sprintf(" at %q", short(v.expect.Host))
}

// program is what should be at the other end.
func (v view) program() string {
	if v.peer == ClientAuth {
		return "a Pyrossl client, which speaks TLS 1.3 only"
	}
	return "a Pyrossl daemon, which speaks TLS 1.3 only"
}

// notTLS recognizes a few of those who speak in plain text.
func (v view) notTLS(e tls.RecordHeaderError) *validator.Denial {
	head := string(e.RecordHeader[:])
	switch {
	case strings.Contains(e.Msg, "SSLv2"): // seen at the beginning only
		return refusal(validator.DeniedUnspecified, validator.CheckProtocol, "a "+v.peer.peer()+" that does not speak TLS but SSL 2, or nothing of the kind", v.program())
	case e.Conn == nil:
		return refusal(validator.DeniedUnspecified, validator.CheckProtocol, "a damaged TLS record: "+e.Msg, "TLS 1.3; something between us and the "+v.peer.peer()+" may have changed it")
	case v.peer == ClientAuth:
		return refusal(validator.DeniedUnspecified, validator.CheckProtocol, fmt.Sprintf("a client that does not speak TLS, beginning with %q", head), v.program())
	}
	got := fmt.Sprintf("an answer that is not TLS, beginning with %q", head)
	switch {
	case strings.HasPrefix(head, "HTTP/"):
		got = "an HTTP server without TLS"
	case strings.HasPrefix(head, "SSH-"):
		got = "an SSH server"
	}
	return refusal(validator.DeniedUnspecified, validator.CheckProtocol, got, v.program()+"; check host and port")
}

// fromText is for what crypto/tls says in words only. Its texts may change, and then
// the denial is less exact but still there.
func (v view) fromText(err error) *validator.Denial {
	who := "the " + v.peer.peer()
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "local error" {
		return refusal(validator.DeniedUnspecified, validator.CheckProtocol, who+" broke the TLS protocol: "+plain(e.Err), v.program())
	}
	if !strings.HasPrefix(err.Error(), "tls: ") {
		return nil
	}
	text := plain(err)
	has := func(words string) bool { return strings.Contains(text, words) }
	switch {
	case has("unsupported protocol version"), has("unsupported versions"), has("downgrade attempt"):
		return security(validator.CheckProtocol, who+" does not speak TLS 1.3 ("+text+")", "TLS 1.3")
	case has("ALPN"), has("unsupported application protocols"):
		return security(validator.CheckALPN, who+" speaks another application protocol ("+text+")", ALPN)
	case has("didn't provide a certificate"):
		return security(validator.CheckChain, who+" showed no certificate", "a client certificate by an authority that we trust"+v.trusted())
	case has("no key exchanges supported"):
		return security(validator.CheckProtocol, who+" has no TLS settings in common with ours ("+text+")", ourSettings)
	}
	return refusal(validator.DeniedUnspecified, validator.CheckProtocol, who+" broke the TLS protocol: "+text, v.program())
}

// plain is an error's text without the name of its package, fit to be shown.
func plain(err error) string {
	text := err.Error()
	for _, prefix := range []string{"tls: ", "x509: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return short(text)
}
