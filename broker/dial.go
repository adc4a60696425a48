package broker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/session"
	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/broker/uri"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

// Connection describes an accepted connection, as the daemon told it.
type Connection struct {
	Session   string    `json:"session"`
	Address   string    `json:"address"`
	Principal string    `json:"principal"` // the name in our certificate that counted
	Name      string    `json:"name"`      // what the daemon's mapping rules made of it
	Roles     []string  `json:"roles,omitempty"`
	User      string    `json:"user,omitempty"` // proved by the second factor
	NotAfter  time.Time `json:"not_after"`      // when the daemon will end the connection
	Limits    Limits    `json:"-"`
	Server    []string  `json:"server"`       // the names in the daemon's certificate
	KeyShare  string    `json:"key_exchange"` // TLS key exchange group
}

// dialed is a connection after Welcome.
type dialed struct {
	callee
	uri       uri.URI
	info      Connection
	leaf      *x509.Certificate   // our own
	presented []*x509.Certificate // the daemon's
	verified  []*x509.Certificate

	// Guarded by the link's mu.
	validUntil time.Time // when to look at the daemon's certificate again; zero for when something changes
	renewAt    time.Time // when to replace the connection; zero while our certificate is the same
}

// sticky reports whether something was exported over the connection, by either side,
// that would end with it.
func (d *dialed) sticky() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.own) > 0 || d.given
}

// dial connects: TCP, TLS, verdict. It sends nothing of ours before the verdict
// except what an identification needs. Every refusal is a
// *ConnectionDeniedError, in whatever form it came.
func (c *Client) dial(ctx context.Context, u uri.URI, ident any, onDrain func()) (*dialed, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.ConnectTimeout)
	defer cancel()
	address := u.Address()
	expect := certs.Expect{Host: u.Host, ID: u.ID}
	material := c.config.Certs.Current()
	denied := func(err error) error { return refused(address, err, material, expect) }

	config, err := certs.ClientConfig(c.config.Certs, expect, c.tlsOptions...)
	if err != nil {
		return nil, denied(err)
	}
	raw, err := c.config.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, unreachable(address, err)
	}
	// The context bounds everything up to the verdict.
	stop := context.AfterFunc(ctx, func() { raw.SetDeadline(time.Unix(1, 0)) })
	d, err := c.handshake(ctx, raw, config, material, u, ident, onDrain)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		raw.Close()
		if cerr := ctx.Err(); cerr != nil {
			return nil, unreachable(address, fmt.Errorf("no verdict within %v: %w", c.config.ConnectTimeout, cerr))
		}
		return nil, denied(err)
	}
	return d, nil
}

func (c *Client) handshake(ctx context.Context, raw net.Conn, config *tls.Config, ours *certs.Material, u uri.URI, ident any, onDrain func()) (*dialed, error) {
	conn := session.NewConn(raw)
	t := tls.Client(conn, config)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	body, err := c.verdict(ctx, t, raw, u, ident)
	if err != nil {
		return nil, err
	}
	cs := t.ConnectionState()
	d := &dialed{
		uri: u, leaf: ours.Leaf(), presented: cs.PeerCertificates,
		info: Connection{
			Session: body.Session, Address: u.Address(), Principal: body.Principal, Name: body.Name, Roles: body.Roles,
			User: body.User, NotAfter: time.Unix(body.NotAfter, 0).UTC(), Limits: limitsOf(body.Limits),
			Server: serverNames(cs.PeerCertificates[0]), KeyShare: cs.CurveID.String(),
		},
	}
	d.callee = callee{
		host: &clientHost{c, d}, errors: c.side.errors, log: c.log, intercept: c.callbacks,
		peer: daemonPeer(cs, u, raw, body.Session),
	}
	d.peer.callee = &d.callee
	if len(cs.VerifiedChains) > 0 {
		d.verified = cs.VerifiedChains[0]
		d.validUntil = certs.ValidUntil(d.verified, ours)
	}
	d.session = session.New(session.Config{
		TLS: t, Conn: conn, Side: wire.ClientSide, Local: c.limits, Remote: body.Limits, OnDrain: onDrain,
		Handler: d.serve, Monitor: &c.monitor, Base: context.WithValue(context.Background(), callerKey{}, d.peer),
	})
	return d, nil
}

func serverNames(leaf *x509.Certificate) []string {
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	for _, u := range leaf.URIs {
		names = append(names, u.String())
	}
	return names
}

// verdict reads until Welcome or Deny, and identifies itself when asked.
func (c *Client) verdict(ctx context.Context, t *tls.Conn, raw net.Conn, u uri.URI, ident any) (*wire.WelcomeBody, error) {
	binding, err := channelBinding(t)
	if err != nil {
		return nil, err
	}
	addr, _ := netip.ParseAddrPort(raw.RemoteAddr().String())
	ex := &validator.Exchange{Addr: addr.Addr(), URI: u.String(), Ident: ident, ChannelBinding: binding}
	for round := 0; ; round++ {
		typ, payload, err := readAnyHandshakeFrame(t, wire.Welcome, wire.Deny, wire.Challenge)
		if err != nil {
			return nil, err
		}
		switch typ {
		case wire.Deny:
			var body wire.DenyBody
			if err := wire.ParseControl(typ, payload, &body); err != nil {
				return nil, err
			}
			return nil, &denyFrame{body}
		case wire.Welcome:
			var body wire.WelcomeBody
			if err := wire.ParseControl(typ, payload, &body); err != nil {
				return nil, err
			}
			return &body, c.checkWelcome(ctx, ex, &body, round > 0)
		}
		if round == maxRounds {
			return nil, protocolDenial("too many challenges", []wire.Type{wire.Welcome, wire.Deny})
		}
		token, err := c.steps.CreateAuthToken(ctx, ex, payload)
		if err != nil {
			return nil, identificationDenial(err)
		}
		frame := wire.AppendHeader(nil, wire.Header{Length: len(token), Type: wire.Ident})
		if _, err := t.Write(append(frame, token...)); err != nil {
			return nil, err
		}
	}
}

// checkWelcome verifies the daemon's end of the identification, so that only a
// daemon that knew the secret too can have accepted it.
func (c *Client) checkWelcome(ctx context.Context, ex *validator.Exchange, body *wire.WelcomeBody, identified bool) error {
	if body.Version != wire.Version {
		return protocolDenial(fmt.Sprintf("protocol version %d", body.Version), []wire.Type{wire.Welcome})
	}
	if err := body.Limits.Check(); err != nil {
		return err
	}
	if !identified {
		return nil
	}
	ex.Final = true
	if _, err := c.steps.CreateAuthToken(ctx, ex, body.Proof); err != nil {
		return identificationDenial(err)
	}
	return nil
}

func identificationDenial(err error) error {
	var denial *validator.Denial
	if errors.As(err, &denial) {
		return err
	}
	return &validator.Denial{Code: validator.DeniedSecurity, Check: validator.CheckIdentification, Got: err.Error(), Want: "an identification that both sides know", Err: err}
}

// denyFrame is a refusal in the daemon's words.
type denyFrame struct{ body wire.DenyBody }

func (d *denyFrame) Error() string { return d.body.Check }

// refused makes one typed error of whatever ended an attempt to connect.
func refused(address string, err error, ours *certs.Material, expect certs.Expect) error {
	var frame *denyFrame
	var denial *validator.Denial
	switch {
	case errors.As(err, &frame):
		b := frame.body
		return &ConnectionDeniedError{
			Address: address, Code: validator.Code(b.Code), Check: validator.Check(b.Check),
			Got: b.Got, Want: b.Want, Incident: b.Incident, RetryAfter: b.RetryAfter(),
		}
	case errors.As(err, &denial):
	case closedEarly(err):
		return unreachable(address, fmt.Errorf("the connection was closed before a verdict: there may be no PYROSSL daemon, or one at its limit of handshakes (%w)", err))
	default:
		if denial = certs.Refusal(err, ours, expect); denial == nil {
			return unreachable(address, err)
		}
	}
	return &ConnectionDeniedError{
		Address: address, Code: denial.Code, Check: denial.Check,
		Got: denial.Got, Want: denial.Want, RetryAfter: denial.RetryAfter, Err: err,
	}
}

// closedEarly reports whether the other side hung up without a reason.
func closedEarly(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// unreachable is why there is no connection, although nobody refused one.
func unreachable(address string, err error) *Error {
	return &Error{Kind: KindUnreachable, Peer: address, Message: err.Error(), Err: err}
}
