package explain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/uri"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

// asked notes whether the daemon wants a second factor.
type asked struct {
	*validator.Default
	yes atomic.Bool
}

func (a *asked) CreateAuthToken(ctx context.Context, ex *validator.Exchange, challenge []byte) ([]byte, error) {
	a.yes.Store(true)
	return a.Default.CreateAuthToken(ctx, ex, challenge)
}

// verdict connects as any client does, to the address that was looked at.
func (d *diagnosis) verdict(s *Step) {
	address := d.answers[0].address
	d.asked = &asked{Default: new(validator.Default)}
	client, err := broker.NewClient(broker.ClientConfig{
		Certs: d.source, Validator: d.asked, Identification: d.options.Identification,
		Timeout: d.options.Timeout, ConnectTimeout: d.options.Timeout,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return d.options.Dial(ctx, network, address)
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err == nil {
		d.client = client
		d.ended = append(d.ended, func() { client.Close() })
		var p *broker.Proxy
		if p, err = d.proxy(d.uri.Object); err == nil {
			d.welcome, err = p.Connect(d.ctx)
		}
	}
	if err != nil {
		d.noVerdict(s, err)
		return
	}
	w := &d.welcome
	s.ok("welcome, session " + w.Session)
	s.fact(fmt.Sprintf("the daemon will end the connection at %s, when the first certificate of our chain ends", moment(w.NotAfter)))
	s.fact(fmt.Sprintf("limits: %d calls in flight, %d KiB a message, %v idle", w.Limits.CallsInFlight, w.Limits.MessageBytes>>10, w.Limits.Idle))
}

// proxy makes one for an object of the daemon.
func (d *diagnosis) proxy(object string) (*broker.Proxy, error) {
	u := d.uri
	u.Scheme, u.Object = uri.PYROSSL, object
	return d.client.Proxy(d.ctx, u.String())
}

// noVerdict explains why there is no Welcome.
func (d *diagnosis) noVerdict(s *Step, err error) {
	denied, ok := errors.AsType[*broker.ConnectionDeniedError](err)
	if !ok {
		s.fail("no verdict: "+strings.TrimPrefix(err.Error(), "broker: "), "Welcome or Deny")
		s.fix(Server, "see the daemon's log: it may be at its limit of handshakes, stop, or hang")
		s.fix(Network, "see what ends or delays the connection")
		return
	}
	s.refuse(&validator.Denial{Code: denied.Code, Check: denied.Check, Got: denied.Got, Want: denied.Want})
	s.Incident = denied.Incident
	if s.Got = string(denied.Check); denied.Got != "" {
		s.Got += ": " + denied.Got
	}
	if s.Want == "" {
		s.Want = "yes as the answer to: " + denied.Check.Text()
	}
	var op *net.OpError
	switch {
	case denied.Err == nil:
		s.fact(fmt.Sprintf("the daemon said so: Deny, code %d (%s), check %q", denied.Code, denied.Code, denied.Check))
	case errors.As(denied.Err, &op) && op.Op == "remote error":
		s.fact("no words came with it, only a TLS alert: a daemon says nothing to strangers, and its log has the rest")
	default:
		s.fact("it was this side that did not go on")
	}
	if denied.RetryAfter > 0 {
		s.fact(fmt.Sprintf("it may be worth another attempt after %v", denied.RetryAfter))
	}
	d.fixVerdict(s, denied)
}

// fixVerdict says who must do what, by the check that failed.
func (d *diagnosis) fixVerdict(s *Step, e *broker.ConnectionDeniedError) {
	switch e.Check {
	case validator.CheckHost:
		s.fix(Server, "let this address connect: AllowHosts and DenyHosts of its validator")
		s.fix(Client, "connect from an address that the daemon takes connections from")
	case validator.CheckChain:
		d.fixOwnChain(s)
	case validator.CheckDates:
		d.fixOwnDates(s)
	case validator.CheckPurpose:
		s.fix(Authority, "issue the client's certificate with extended key usage clientAuth: mkcerts issue NAME --client")
	case validator.CheckRevocation:
		if certs.RevocationNotKnown(&validator.Denial{Check: e.Check, Got: e.Got}) {
			s.fix(Server, "put the authority's newest revocation list into the place of the one that the daemon has")
			s.fix(Authority, "issue a new list: mkcerts crl")
			return
		}
		s.fix(Client, "use a new certificate with a new key, from the authority "+issuerOf(d.material.Leaf()))
		s.fix(Server, "take the entry off its deny list, if it should not be there")
	case validator.CheckIdentity:
		d.fixIdentity(s)
	case validator.CheckAdmission:
		s.fix(Server, "admit this identity, or one of its roles: Admit of its validator")
		s.fix(Client, "use the certificate of an identity that the daemon admits")
	case validator.CheckIdentification:
		d.fixIdentification(s)
	case validator.CheckBusy:
		s.fix(Server, "raise MaxConnections, MaxPerIdentity or MaxPerAddress, or end connections: broker who lists them")
		s.fix(Client, "try again later, and close connections that are not needed")
	case validator.CheckTimeout:
		s.fix(Network, "see what is slow between the two sides")
		s.fix(Server, "see whether its validator waits for something")
	default:
		s.fix(Server, e.Check.Fix())
	}
}

// fixOwnChain is for a daemon that does not know who issued our certificate.
func (d *diagnosis) fixOwnChain(s *Step) {
	chain, accepted := d.material.Chain, d.answers[0].seen.Authorities
	who := issuerOf(top(chain))
	if len(accepted) > 0 {
		s.fact("the daemon accepts certificates of: " + strings.Join(accepted, "; "))
	}
	if d.incomplete() {
		for _, c := range d.presented()[1:] {
			if chain[0].CheckSignatureFrom(c) == nil {
				s.fact(fmt.Sprintf("%s is an intermediate: the daemon itself shows its certificate", who))
			}
		}
		s.fix(Client, fmt.Sprintf("put the intermediate certificate %s into %s, after our own", who, d.options.Cert))
		s.fix(Server, fmt.Sprintf("add the authority %s to the CAs that it trusts", who))
		return
	}
	s.fix(Client, "use a certificate by an authority that the daemon trusts")
	s.fix(Server, fmt.Sprintf("add the authority %s to the CAs that it trusts", who))
}

// fixOwnDates is for a daemon to which our certificate is outside its dates, though to us
// it is not: that bounds how much the clocks differ.
func (d *diagnosis) fixOwnDates(s *Step) {
	now, from, to := time.Now(), d.material.Leaf().NotBefore, d.material.Leaf().NotAfter
	for _, c := range d.material.Chain[1:] {
		if c.NotBefore.After(from) {
			from = c.NotBefore
		}
		if c.NotAfter.Before(to) {
			to = c.NotAfter
		}
	}
	if now.Before(from) || now.After(to) {
		s.fix(Client, "have the certificate, or the authority that issued it, renewed")
		return
	}
	s.fact(fmt.Sprintf("this clock says %s, at which the certificate is valid: the daemon's clock is ahead by more than %s, or behind by more than %s; or an authority that it trusts has ended",
		moment(now), roughly(to.Sub(now)), roughly(now.Sub(from))))
	s.fix(Server, "set its clock, and look at the dates of the CAs that it trusts")
	s.fix(Client, "compare the clock of this machine with another one")
}

// fixIdentity is for a certificate whose names give no identity, or several.
func (d *diagnosis) fixIdentity(s *Step) {
	names, err := validator.Principals(d.material.Chain)
	switch {
	case err != nil:
		s.fact("its names cannot be used: " + strings.TrimPrefix(err.Error(), "validator: "))
	case len(names) == 1:
		s.fact("its one name is " + names[0].String() + ": the daemon has mapping rules, and none gives it an identity")
		s.fix(Server, fmt.Sprintf("write a mapping rule for %s: --identities FILE", names[0]))
		s.fix(Client, "use a certificate with a name that the daemon's rules know")
		return
	case len(names) == 0:
		s.fact("it has no URI, DNS or e-mail name; a common name counts only where a rule asks for it")
	default:
		all := make([]string, len(names))
		for i, n := range names {
			all[i] = n.String()
		}
		s.fact("its names are " + strings.Join(all, ", ") + ": without a rule none of them is the one that counts")
	}
	s.fix(Authority, "issue the certificate with exactly one URI, DNS or e-mail name: mkcerts issue NAME --client")
	s.fix(Server, "write a mapping rule that says which name counts: --identities FILE")
}

func (d *diagnosis) fixIdentification(s *Step) {
	if d.options.Identification == nil {
		s.fix(Client, "give the passphrase, and the login if it has one: --passphrase-file FILE, --login NAME")
		return
	}
	s.fix(Client, "compare login and passphrase with what the daemon's operator gave out")
	s.fix(Server, "allow this identification: SetAllowedIdentifications of its validator")
}

// identity tells who we are to the daemon.
func (d *diagnosis) identity(s *Step) {
	w := &d.welcome
	text := "to the daemon we are " + w.Name
	if w.Principal != w.Name {
		text += ", by " + w.Principal
	}
	s.ok(text)
	if len(w.Roles) > 0 {
		s.fact("roles: " + strings.Join(w.Roles, ", "))
	}
}

// identification tells of the second factor.
func (d *diagnosis) identification(s *Step) {
	switch asked := d.asked.yes.Load(); {
	case asked && d.welcome.User != "":
		s.ok("the daemon asked for a second factor, and took the login " + d.welcome.User)
	case asked:
		s.ok("the daemon asked for a second factor, and took ours")
	case d.options.Identification != nil:
		s.warn("the daemon asks for no second factor; the one given was not sent")
		s.fix(Client, "leave it out, unless you expected this daemon to ask: then see that the URI is the right one")
	default:
		s.skip("the daemon asks for no second factor")
	}
}
