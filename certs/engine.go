package certs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"github.com/pyrossl/pyrossl/validator"
)

// The links of the engine below names and events: among the nodes of a cluster, and from
// brokers to them. They do not speak pyrossl, so there is no ALPN, and no verdict after
// the handshake: who may have a link is decided in it.

// EngineClientConfig gives the settings of a broker's connection to a node of an engine
// cluster, for one dial, as [ClientConfig] does for a daemon.
func EngineClientConfig(src Source, expect Expect) (*tls.Config, error) {
	m, err := current(src)
	if err != nil {
		return nil, err
	}
	if d := CheckLeaf(m.Leaf(), ClientAuth, time.Now()); d != nil {
		return nil, ofOurs(d)
	}
	config := mutual()
	config.RootCAs = m.pool
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &m.own, nil }
	return expecting(config, peerRules{material: m, purpose: ServerAuth}, expect)
}

// EngineNodeConfig gives the settings of a node: of a port where only peers that carry
// one of the principals get in, and, for links to other nodes, of the dialling side, which
// asks the same of the node that it reaches. That replaces the check of the host: nodes are
// known by who they are. Each handshake uses the source's material of that moment.
//
// It is needed because any client certificate of the same authority could join a cluster
// otherwise.
func EngineNodeConfig(src Source, principals []string) (*tls.Config, error) {
	want, err := parsePrincipals(principals)
	if err != nil {
		return nil, err
	}
	m, err := current(src)
	if err != nil {
		return nil, err
	}
	for _, purpose := range []Purpose{ServerAuth, ClientAuth} {
		if d := CheckLeaf(m.Leaf(), purpose, time.Now()); d != nil {
			return nil, ofOurs(d)
		}
	}
	check := func(purpose Purpose) func(tls.ConnectionState) error {
		return func(cs tls.ConnectionState) error { return checkEngineLink(src, purpose, want, cs) }
	}
	config := mutual()
	// crypto/tls cannot verify a chain without a host, nor against roots that change.
	// VerifyConnection does all of it: chain, purpose, dates, revocation, principal.
	config.InsecureSkipVerify = true
	config.VerifyConnection = check(ServerAuth)
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		m, err := current(src)
		if err != nil {
			return nil, err
		}
		return &m.own, nil
	}
	server := mutual()
	server.ClientAuth = tls.RequireAnyClientCert
	server.VerifyConnection = check(ClientAuth)
	server.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		m, err := current(src)
		if err != nil {
			return nil, err
		}
		return &m.own, nil
	}
	config.ClientAuth = tls.RequireAnyClientCert
	config.GetCertificate = server.GetCertificate
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return server, nil }
	return config, nil
}

func checkEngineLink(src Source, purpose Purpose, want []validator.Principal, cs tls.ConnectionState) error {
	m, err := current(src)
	if err != nil {
		return err
	}
	rules := peerRules{material: m, purpose: purpose, unverified: true}
	chain, err := rules.check(cs)
	if err != nil {
		return err
	}
	return checkPrincipals(chain, purpose, want)
}

// checkPrincipals looks for any of the wanted principals in a verified chain's leaf.
func checkPrincipals(chain []*x509.Certificate, purpose Purpose, want []validator.Principal) error {
	d := &validator.Denial{Code: validator.DeniedSecurity, Check: validator.CheckPin, Want: "one of the principals that may have this link: " + principalList(want)}
	have, err := validator.Principals(chain)
	if err != nil {
		d.Got, d.Err = fmt.Sprintf("%s certificate for %s, whose names cannot be used: %v", purpose.peer(), namesOf(chain[0]), err), err
		return d
	}
	for _, p := range have {
		for _, w := range want {
			if p.Kind == w.Kind && p.Value == w.Value {
				return nil
			}
		}
	}
	d.Got = purpose.peer() + " certificate for " + namesOf(chain[0])
	return d
}

func parsePrincipals(texts []string) ([]validator.Principal, error) {
	if len(texts) == 0 {
		return nil, reasonf("no principals are given, so that nobody could have a link: name those that may, as kind:value")
	}
	all := make([]validator.Principal, 0, len(texts))
	for _, text := range texts {
		p, err := pin(text)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

func principalList(all []validator.Principal) string {
	texts := make([]string, 0, len(all))
	for _, p := range all {
		texts = append(texts, p.String())
	}
	return strings.Join(texts, ", ")
}
