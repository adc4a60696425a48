package explain

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

// answer is what one address showed.
type answer struct {
	address string
	seen    *certs.UnverifiedServer
	err     error
	wide    *certs.UnverifiedServer // what it speaks instead, nil if it was not asked
}

// lookAtServer sees what speaks at each address.
func (d *diagnosis) lookAtServer(s *Step) {
	d.answers = make([]*answer, len(d.addresses))
	var wg sync.WaitGroup
	for i, address := range d.addresses {
		wg.Go(func() { d.answers[i] = d.lookAt(address) })
	}
	wg.Wait()
	// The first that does not do stands for all.
	slices.SortStableFunc(d.answers, func(a, b *answer) int { return b.trouble() - a.trouble() })
	a := d.answers[0]
	d.speaks(s, a)
	for _, other := range d.answers[1:] {
		if !other.like(a) {
			s.fact(fmt.Sprintf("%s answers otherwise; what follows is about %s", other.address, a.address))
		}
	}
}

// lookAt looks at one address, and, if it does not speak as we do, at what it does speak.
func (d *diagnosis) lookAt(address string) *answer {
	a := &answer{address: address}
	a.seen, a.err = d.handshake(address, false)
	if denial := d.refusal(a.err); denial != nil && (denial.Check == validator.CheckALPN || denial.Check == validator.CheckProtocol && !a.noTLS()) {
		a.wide, _ = d.handshake(address, true)
	}
	return a
}

func (d *diagnosis) handshake(address string, wide bool) (*certs.UnverifiedServer, error) {
	ctx, cancel := d.bounded()
	defer cancel()
	conn, err := d.options.Dial(ctx, "tcp", address)
	if err != nil {
		return new(certs.UnverifiedServer), err
	}
	return certs.InsecureLookAtServer(ctx, conn, d.uri.Host, wide)
}

// refusal explains an error of a handshake.
func (d *diagnosis) refusal(err error) *validator.Denial {
	return certs.Refusal(err, d.material, certs.Expect{Host: d.uri.Host, ID: d.uri.ID})
}

// noTLS reports whether what answered is not TLS at all.
func (a *answer) noTLS() bool { return len(a.seen.Answer) > 0 || closed(a.err) || timedOut(a.err) }

// trouble is larger the less an address does.
func (a *answer) trouble() int {
	switch {
	case a.err != nil:
		return 2
	case !a.seen.AsksForCertificate || a.seen.Protocol != certs.ALPN:
		return 1
	}
	return 0
}

// like reports whether two addresses answer as one server would.
func (a *answer) like(b *answer) bool {
	if a.trouble() != b.trouble() || len(a.seen.Chain) != len(b.seen.Chain) || string(a.seen.Answer) != string(b.seen.Answer) {
		return false
	}
	return len(a.seen.Chain) == 0 || a.seen.Chain[0].Equal(b.seen.Chain[0])
}

func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// speaks says what an address speaks.
func (d *diagnosis) speaks(s *Step, a *answer) {
	const want = "a PYROSSL daemon: TLS 1.3 that asks for a certificate"
	seen, denial := a.seen, d.refusal(a.err)
	switch {
	case a.err == nil && seen.AsksForCertificate:
		s.ok(fmt.Sprintf("%s, key exchange %v, asks for a certificate", tls.VersionName(seen.Version), seen.Group))
		if seen.Group != tls.X25519MLKEM768 {
			s.fact("the key exchange is not post-quantum: the server does not know X25519MLKEM768, or runs in FIPS mode")
		}
		if len(seen.Authorities) > 0 {
			s.fact("it says that it accepts certificates of: " + strings.Join(seen.Authorities, "; "))
		}
	case a.err == nil:
		s.fail(fmt.Sprintf("%s that asks for no certificate of ours", tls.VersionName(seen.Version)), want)
		s.fix(Client, "check host and port: what answers there is no daemon")
		s.fix(Network, "let TLS through as it is: a proxy or load balancer that ends TLS in front of a daemon looks like this")
		s.shown(seen)
	case len(seen.Answer) > 0:
		s.fail(banner(seen.Answer), want)
		s.fix(Client, "check host and port: another service listens there")
	case timedOut(a.err):
		s.fail(fmt.Sprintf("%s took the connection and said nothing for %v", a.address, d.options.Timeout), want)
		s.fix(Server, "see whether the daemon hangs, or something else has its port")
		s.fix(Network, "see whether a proxy between takes connections for a daemon that it cannot reach")
		s.fix(Client, "check host and port: a service that waits for a client to speak first, and not in TLS, looks like this")
	case closed(a.err):
		s.fail(a.address+" closed the connection without a word", want)
		s.fix(Server, "see whether a daemon listens there, and its log: one with too many handshakes under way closes new connections at once")
		s.fix(Network, "see whether a proxy between has no daemon behind it")
		s.fix(Client, "check host and port")
	case denial != nil && denial.Check == validator.CheckALPN:
		s.ok("TLS that refuses our application protocol") // the next step says more
	case denial != nil:
		d.otherTLS(s, a, denial)
	default:
		s.fail(fmt.Sprintf("no handshake with %s: %v", a.address, a.err), want)
		s.fix(Network, "try again, and see what ends the connection")
	}
}

// otherTLS is for TLS that is not ours.
func (d *diagnosis) otherTLS(s *Step, a *answer, denial *validator.Denial) {
	s.fail(denial.Got, denial.Want)
	s.Check, s.Code = denial.Check, denial.Code.String()
	if a.wide == nil || a.wide.Version == 0 {
		s.fix(Client, "check host and port: what answers there is no daemon")
		return
	}
	s.shown(a.wide)
	if a.wide.Version < tls.VersionTLS13 {
		s.fail("it speaks "+tls.VersionName(a.wide.Version)+" at best", "TLS 1.3")
		s.fix(Client, "check host and port: no daemon speaks less than TLS 1.3")
		s.fix(Network, "let TLS through as it is, if an appliance between ends it")
		s.fix(Server, "update what listens there")
		return
	}
	s.fact(fmt.Sprintf("with more to choose from it takes key exchange %v", a.wide.Group))
	s.fix(Server, "allow the key exchange X25519MLKEM768, X25519 or P-256")
}

// shown adds what a server that is no daemon showed.
func (s *Step) shown(seen *certs.UnverifiedServer) {
	if seen.Protocol != "" {
		s.fact(fmt.Sprintf("it agrees on the application protocol %q", seen.Protocol))
	}
	if len(seen.Chain) > 0 {
		s.fact("it shows: " + certs.Describe(seen.Chain[0]))
	}
}

// services begin what they say with this.
var services = []struct{ begins, name string }{
	{"HTTP/", "an HTTP server without TLS"},
	{"SSH-", "an SSH server"},
	{"220", "an FTP or mail server"},
	{"* OK", "an IMAP server"},
	{"+OK", "a POP3 server"},
	{"-ERR", "a Redis or POP3 server"},
	{"INFO {", "a NATS server"},
	{"RFB ", "a VNC server"},
	{"PYRO", "a Pyro server without TLS"},
}

// banner says who begins to speak like this.
func banner(head []byte) string {
	text := string(head)
	line, _, _ := strings.Cut(text, "\n")
	line = strings.TrimRight(line, "\r")
	if len(line) > 80 {
		line = line[:80] + "…"
	}
	for _, known := range services {
		if strings.HasPrefix(text, known.begins) {
			return fmt.Sprintf("%s: it answers %q", known.name, line)
		}
	}
	return fmt.Sprintf("an answer that is not TLS: %q", line)
}

// compareProtocol is the step for ALPN.
func (d *diagnosis) compareProtocol(s *Step) {
	a := d.answers[0]
	got := a.seen.Protocol
	if a.err == nil && got == certs.ALPN {
		s.ok(got)
		return
	}
	s.fail("no application protocol", certs.ALPN)
	if got != "" {
		s.Got = fmt.Sprintf("application protocol %q", got)
	}
	s.Check, s.Code = validator.CheckALPN, validator.DeniedSecurity.String()
	if a.err != nil {
		s.Got = "the server speaks another application protocol than " + certs.ALPN
		if a.wide != nil && a.wide.Protocol != "" && a.wide.Protocol != certs.ALPN {
			s.Got = fmt.Sprintf("the server speaks %q", a.wide.Protocol)
		}
		if a.wide != nil {
			s.shown(a.wide)
		}
	} else {
		s.shown(a.seen)
	}
	s.fix(Client, "check host and port: another service listens there")
	s.fix(Network, "if a daemon should be behind it: let TLS through as it is, since whatever ends TLS in between takes the certificates away")
}
