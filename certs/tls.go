package certs

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pyrossl/pyrossl/validator"
)

// ALPN is the protocol that both sides must agree on.
const ALPN = "pyrossl/1"

// base is what both sides of the PYROSSL path have in common.
func base() *tls.Config {
	config := mutual()
	config.NextProtos = []string{ALPN}
	return config
}

// mutual is what all connections have in common.
func mutual() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		MaxVersion: tls.VersionTLS13,
		// The post-quantum hybrid, its classical half for peers without it, and
		// P-256, which is what is left when Go runs in FIPS 140 mode without ML-KEM.
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256},
		// A resumed session brings back the certificate of the first one, and no proof
		// of its key. Connections live long, and a full handshake costs a millisecond
		// or two. See ResumeSessions and ResumeWith.
		SessionTicketsDisabled: true,
	}
}

// ServerConfig gives the settings of the accepting side. Every handshake uses the
// source's material of that moment. It fails with a *validator.Denial when our own
// certificate could not serve now.
//
// A client that was revoked is refused in the handshake, as far as crypto/tls can say
// so: with the alert bad_certificate (it has no way to send certificate_revoked). See
// [RecheckAfterHandshake] for a server that tells it more.
func ServerConfig(src Source, opts ...ServerOption) (*tls.Config, error) {
	s := &serverConfigs{src: src}
	for _, o := range opts {
		o(&s.options)
	}
	m, err := current(src)
	if err != nil {
		return nil, err
	}
	if d := CheckLeaf(m.Leaf(), ServerAuth, time.Now()); d != nil {
		return nil, ofOurs(d)
	}
	child, err := s.get()
	if err != nil {
		return nil, err
	}
	// The parent must be as strict as its children, tickets included: crypto/tls
	// takes the ticket keys from it where a child has none, and fails handshakes if
	// only it has none.
	parent := child.Clone()
	parent.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.get() }
	return parent, nil
}

// A ServerOption changes what [ServerConfig] gives.
type ServerOption func(*serverOptions)

type serverOptions struct {
	recheckAfterHandshake bool
	resume                bool
	protocols             []string // instead of ALPN
}

// RecheckAfterHandshake leaves revocation to the caller: a client whose chain,
// purpose and dates are good gets through the handshake even if it was revoked, so
// that it can be told why it is refused. The caller must call [Recheck] (or
// [VerifyPeer]) on what the client presented before it does anything else, and close
// the connection if there is a denial. Whoever does not lets revoked clients in.
func RecheckAfterHandshake() ServerOption {
	return func(o *serverOptions) { o.recheckAfterHandshake = true }
}

// serverConfigs keeps the settings for the material of the moment: building the
// pool for each handshake would cost more than looking it up.
type serverConfigs struct {
	src     Source
	options serverOptions
	cached  atomic.Pointer[serverConfig]
}

type serverConfig struct {
	material *Material
	config   *tls.Config
	tickets  ticketKey
}

func (s *serverConfigs) get() (*tls.Config, error) {
	m, err := current(s.src)
	if err != nil {
		return nil, err
	}
	last := s.cached.Load()
	if last != nil && last.material == m && !(s.options.resume && last.tickets.old(time.Now())) {
		return last.config, nil
	}
	config := base()
	config.Certificates = []tls.Certificate{m.own}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	config.ClientCAs = m.pool
	if s.options.protocols != nil {
		config.NextProtos = slices.Clone(s.options.protocols)
	}
	rules := peerRules{material: m, purpose: ClientAuth, resume: s.options.resume, protocols: config.NextProtos}
	if s.options.recheckAfterHandshake {
		rules.material = m.with(nil, m.chains)
	}
	config.VerifyConnection = func(cs tls.ConnectionState) error {
		_, err := rules.check(cs)
		return err
	}
	next := &serverConfig{material: m, config: config}
	if s.options.resume {
		next.tickets = newTicketKey(time.Now())
		next.tickets.use(config, last, m)
	}
	s.cached.Store(next)
	return config, nil
}

// Expect is which server a client wants to reach.
type Expect struct {
	Host string // DNS name or IP address that the certificate must prove, and SNI
	// ID, when set, is the principal that the certificate must carry, as
	// "uri:spiffe://bank.example/teller" or a bare URI. It replaces the check of
	// Host, for servers whose names cannot match.
	ID string
}

// ClientConfig gives the settings of the calling side for one connection, with the
// source's material of this moment: ask for new ones for every dial. It fails with
// a *validator.Denial when our own certificate could not be accepted by any server,
// so that the reason is known here and need not come back as an alert.
//
// A server that was revoked is refused in the handshake.
func ClientConfig(src Source, expect Expect, opts ...ClientOption) (*tls.Config, error) {
	var o clientOptions
	for _, opt := range opts {
		opt(&o)
	}
	m, err := current(src)
	if err != nil {
		return nil, err
	}
	if d := CheckLeaf(m.Leaf(), ClientAuth, time.Now()); d != nil {
		return nil, ofOurs(d)
	}
	config := base()
	config.RootCAs = m.pool
	// Always our certificate: chosen by the server's list of authorities, as
	// crypto/tls does by itself, it would be left out in silence where they
	// differ, and returning none at all crashes.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &m.own, nil }
	o.resume(config, m, expect)
	return expecting(config, peerRules{material: m, purpose: ServerAuth, protocols: config.NextProtos, resume: o.sessions != nil}, expect)
}

// expecting completes the settings for one server.
func expecting(config *tls.Config, rules peerRules, expect Expect) (*tls.Config, error) {
	if expect.ID != "" {
		return pinned(config, rules, expect)
	}
	host, e := canonicalHost(expect.Host)
	if e != nil {
		return nil, e
	}
	config.ServerName = host
	config.VerifyConnection = func(cs tls.ConnectionState) error {
		if len(cs.VerifiedChains) == 0 || len(cs.PeerCertificates) == 0 {
			return unverified()
		}
		if leaf := cs.PeerCertificates[0]; !covers(leaf, host) {
			return wrongName(leaf, host)
		}
		_, err := rules.check(cs)
		return err
	}
	return config, nil
}

// A ClientOption changes what [ClientConfig] gives.
type ClientOption func(*clientOptions)

type clientOptions struct{ sessions *Sessions }

// pinned completes the settings for a server that is known by principal.
func pinned(config *tls.Config, rules peerRules, expect Expect) (*tls.Config, error) {
	want, err := pin(expect.ID)
	if err != nil {
		return nil, err
	}
	if expect.Host != "" {
		host, e := canonicalHost(expect.Host)
		if e != nil {
			return nil, e
		}
		config.ServerName = host
	}
	// crypto/tls cannot verify a chain without a host name. This turns its own
	// verification off, and VerifyConnection does all of it except for the host:
	// chain, purpose and dates against the same roots, then the principal.
	config.InsecureSkipVerify = true
	rules.unverified = true
	config.VerifyConnection = func(cs tls.ConnectionState) error {
		chain, err := rules.check(cs)
		if err != nil {
			return err
		}
		return checkPin(chain, want)
	}
	return config, nil
}

// peerRules is what holds for every peer, on both sides.
type peerRules struct {
	material *Material
	purpose  Purpose
	// unverified says that crypto/tls has not verified the chain.
	unverified bool
	// resume lets the peer resume a session. It is then verified as if it had just
	// presented what it presented in that session.
	resume bool
	// protocols are those of which both sides must have agreed on one.
	protocols []string
}

// check is called on every connection, also on one that resumes a session. It gives
// the chain that counts.
func (r *peerRules) check(cs tls.ConnectionState) ([]*x509.Certificate, error) {
	if len(cs.PeerCertificates) == 0 || !r.unverified && len(cs.VerifiedChains) == 0 {
		return nil, unverified()
	}
	now := time.Now()
	if !r.unverified && !cs.DidResume {
		r.material.accepted(cs.PeerCertificates, cs.VerifiedChains, r.purpose, now)
	}
	chain, err := VerifyPeer(cs.PeerCertificates, r.material, r.purpose, now)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(r.protocols, cs.NegotiatedProtocol) && (len(r.protocols) > 0 || cs.NegotiatedProtocol != "") {
		got := fmt.Sprintf("application protocol %q", short(cs.NegotiatedProtocol))
		if cs.NegotiatedProtocol == "" {
			got = "no application protocol"
		}
		got = r.purpose.peer() + " with " + got
		return nil, &validator.Denial{Code: validator.DeniedSecurity, Check: validator.CheckALPN, Got: got, Want: cmp.Or(strings.Join(r.protocols, " or "), "none")}
	}
	if cs.DidResume && !r.resume {
		return nil, &validator.Denial{Code: validator.DeniedSecurity, Check: validator.CheckProtocol, Got: "a resumed TLS session", Want: "a full handshake"}
	}
	return chain, nil
}

// pin reads Expect.ID.
func pin(id string) (validator.Principal, error) {
	text := id
	if kind, _, ok := strings.Cut(id, ":"); ok && kind != string(validator.URI) && strings.HasPrefix(id, kind+"://") {
		text = string(validator.URI) + ":" + id
	}
	p, err := validator.ParsePrincipal(text)
	if err != nil {
		e := reasonf("expected server identity %q is not a principal: %v", short(id), err)
		e.Err = err
		return p, e
	}
	return p, nil
}

// checkPin looks for the wanted principal in a verified chain's leaf.
func checkPin(chain []*x509.Certificate, want validator.Principal) error {
	refusal := &validator.Denial{Code: validator.DeniedSecurity, Check: validator.CheckPin, Want: "server identity " + want.String()}
	have, err := validator.Principals(chain)
	if err != nil {
		refusal.Got, refusal.Err = fmt.Sprintf("server certificate for %s, whose names cannot be used: %v", namesOf(chain[0]), err), err
		return refusal
	}
	for _, p := range have {
		if p.Kind == want.Kind && p.Value == want.Value {
			return nil
		}
	}
	refusal.Got = "server certificate for " + namesOf(chain[0])
	return refusal
}

func unverified() *validator.Denial {
	return &validator.Denial{Code: validator.DeniedSecurity, Check: validator.CheckChain, Got: "no verified certificate", Want: "a certificate by a trusted authority"}
}

// current asks a source, which may be someone else's code.
func current(src Source) (*Material, error) {
	if src == nil {
		return nil, reasonf("there is no certificate source")
	}
	m := src.Current()
	if !m.made() {
		return nil, reasonf("the certificate source gave a material that NewMaterial or Load did not make")
	}
	return m, nil
}

// ofOurs marks a refusal of our own certificate.
func ofOurs(d *validator.Denial) *validator.Denial {
	d.Got = "our own " + d.Got
	return d
}

// ofPeer marks a refusal of the other side's certificate.
func ofPeer(d *validator.Denial, purpose Purpose) *validator.Denial {
	d.Got = purpose.peer() + " " + d.Got
	return d
}

// peer is who shows a certificate for the purpose.
func (p Purpose) peer() string {
	if p == ServerAuth {
		return "server"
	}
	return "client"
}
