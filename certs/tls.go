package certs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pyrossl/pyrossl/validator"
)

// ALPN is the protocol that both sides must agree on.
const ALPN = "pyrossl/1"

// base is what both sides have in common.
func base() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		MaxVersion: tls.VersionTLS13,
		NextProtos: []string{ALPN},
		// The post-quantum hybrid, its classical half for peers without it, and
		// P-256, which is what is left when Go runs in FIPS 140 mode without ML-KEM.
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256},
		// A resumed session would bring back the certificate of the first one.
		// Connections live long, and a full handshake costs less than a
		// millisecond.
		SessionTicketsDisabled: true,
	}
}

// ServerConfig gives the settings of the accepting side. Every handshake uses the
// source's material of that moment. It fails with a *validator.Denial when our own
// certificate could not serve now.
func ServerConfig(src Source) (*tls.Config, error) {
	s := &serverConfigs{src: src}
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
	// takes the ticket keys from it, and fails handshakes if only it has none.
	parent := child.Clone()
	parent.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.get() }
	return parent, nil
}

// serverConfigs keeps the settings for the material of the moment: building the
// pool for each handshake would cost more than looking it up.
type serverConfigs struct {
	src    Source
	cached atomic.Pointer[serverConfig]
}

type serverConfig struct {
	material *Material
	config   *tls.Config
}

func (s *serverConfigs) get() (*tls.Config, error) {
	m, err := current(s.src)
	if err != nil {
		return nil, err
	}
	if c := s.cached.Load(); c != nil && c.material == m {
		return c.config, nil
	}
	config := base()
	config.Certificates = []tls.Certificate{m.own}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	config.ClientCAs = m.pool
	config.VerifyConnection = func(cs tls.ConnectionState) error {
		if len(cs.VerifiedChains) == 0 || len(cs.PeerCertificates) == 0 {
			return unverified()
		}
		return checkPeer(cs, ClientAuth)
	}
	s.cached.Store(&serverConfig{m, config})
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
func ClientConfig(src Source, expect Expect) (*tls.Config, error) {
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
	if expect.ID != "" {
		return pinned(config, m, expect)
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
		return checkPeer(cs, ServerAuth)
	}
	return config, nil
}

// pinned completes the settings for a server that is known by principal.
func pinned(config *tls.Config, m *Material, expect Expect) (*tls.Config, error) {
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
	config.VerifyConnection = func(cs tls.ConnectionState) error {
		chain, err := VerifyPeer(cs.PeerCertificates, m, ServerAuth, time.Now())
		if err != nil {
			return err
		}
		if err := checkPeer(cs, ServerAuth); err != nil {
			return err
		}
		return checkPin(chain, want)
	}
	return config, nil
}

// VerifyPeer verifies the certificates that a peer presented, its own first,
// against the authorities of m, as the handshake does: chain, purpose and dates.
// It gives the verified chain, leaf first and trust anchor last. It serves to check
// live connections again after a reload, and to have the chain of a server that
// was reached by Expect.ID, which crypto/tls does not keep.
func VerifyPeer(presented []*x509.Certificate, m *Material, purpose Purpose, now time.Time) ([]*x509.Certificate, error) {
	if !m.made() {
		return nil, reasonf("material was not made by NewMaterial or Load")
	}
	if len(presented) == 0 {
		return nil, unverified()
	}
	opts := x509.VerifyOptions{
		Roots: m.pool, Intermediates: x509.NewCertPool(), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{purpose.usage()},
	}
	for _, c := range presented[1:] {
		opts.Intermediates.AddCert(c)
	}
	chains, err := presented[0].Verify(opts)
	if err != nil {
		return nil, &tls.CertificateVerificationError{UnverifiedCertificates: presented, Err: err}
	}
	if d := CheckLeaf(presented[0], purpose, now); d != nil {
		return nil, ofPeer(d, purpose)
	}
	return chains[0], nil
}

// checkPeer is what holds for every peer whose chain has been verified.
func checkPeer(cs tls.ConnectionState, purpose Purpose) error {
	if d := CheckLeaf(cs.PeerCertificates[0], purpose, time.Now()); d != nil {
		return ofPeer(d, purpose)
	}
	if cs.NegotiatedProtocol != ALPN {
		got := fmt.Sprintf("application protocol %q", short(cs.NegotiatedProtocol))
		if cs.NegotiatedProtocol == "" {
			got = "no application protocol"
		}
		got = purpose.peer() + " with " + got
		return &validator.Denial{Code: validator.DeniedSecurity, Check: validator.CheckALPN, Got: got, Want: ALPN}
	}
	if cs.DidResume {
		return &validator.Denial{Code: validator.DeniedSecurity, Check: validator.CheckProtocol, Got: "a resumed TLS session", Want: "a full handshake"}
	}
	return nil
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
