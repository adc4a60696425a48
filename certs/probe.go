package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/pyrossl/pyrossl/validator"
)

// UnverifiedServer is what a server showed to somebody who checked nothing. It is for
// diagnoses: no connection is left of it.
type UnverifiedServer struct {
	Version  uint16      // such as tls.VersionTLS13; 0 when it did not come to TLS
	Group    tls.CurveID // of the key exchange
	Protocol string      // that was agreed on by ALPN, empty for none
	// Chain is what it presented, its own certificate first. That it has the key of the
	// first one is proved if there was no error; nothing else is.
	Chain []*x509.Certificate
	// AsksForCertificate is whether it wants one of the client, and Authorities are the
	// names of those that it says it accepts certificates from; it need not say any.
	AsksForCertificate bool
	Authorities        []string
	// Answer is how it began to answer, at most 256 bytes, if that is not TLS.
	Answer []byte
}

// errSeenEnough ends a handshake in which nothing of ours was sent yet.
var errSeenEnough = errors.New("certs: seen enough")

// InsecureLookAtServer begins a TLS handshake over conn, sees what the server shows, and
// closes conn. It verifies nothing, sends no certificate and no application data, and
// gives no connection: a server that it looked at is as unknown as before. Where the
// server asks for a certificate, as daemons do, conn is closed before an answer, which
// to the server is a client that went away.
//
// It offers what [ClientConfig] does. With wide it also offers older versions, other
// groups and other protocols, to find out what a server speaks that does not speak ours.
// ctx bounds the handshake. With an error, which [Refusal] explains, the result has what
// was seen until then.
func InsecureLookAtServer(ctx context.Context, conn net.Conn, host string, wide bool) (*UnverifiedServer, error) {
	defer conn.Close()
	name, e := canonicalHost(host)
	if e != nil {
		return new(UnverifiedServer), e
	}
	seen := new(UnverifiedServer)
	config := base()
	config.ServerName = name
	config.InsecureSkipVerify = true // nothing is sent to whom nobody verified
	config.VerifyConnection = func(cs tls.ConnectionState) error {
		seen.Version, seen.Group, seen.Protocol, seen.Chain = cs.Version, cs.CurveID, cs.NegotiatedProtocol, cs.PeerCertificates
		return nil
	}
	config.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		seen.AsksForCertificate, seen.Authorities = true, distinguished(r.AcceptableCAs)
		return nil, errSeenEnough
	}
	if wide {
		config.MinVersion, config.CurvePreferences = tls.VersionTLS10, nil
		config.NextProtos = append([]string{ALPN}, otherProtocols...)
	}
	heard := &beginning{Conn: conn}
	err := tls.Client(heard, config).HandshakeContext(ctx)
	if errors.Is(err, errSeenEnough) {
		err = nil
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		seen.Answer = heard.head
	}
	return seen, err
}

// otherProtocols are who may be met at a wrong port.
var otherProtocols = []string{"h2", "http/1.1", "postgresql", "mqtt", "nats", "xmpp-client"}

// maxAnswer bounds UnverifiedServer.Answer.
const maxAnswer = 256

// beginning keeps how an answer begins. A handshake reads in one goroutine.
type beginning struct {
	net.Conn
	head []byte
}

func (b *beginning) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	b.head = append(b.head, p[:min(n, maxAnswer-len(b.head))]...)
	return n, err
}

// distinguished gives names of authorities as text, at most 20.
func distinguished(raw [][]byte) (all []string) {
	for i, der := range raw {
		if i == 20 {
			return append(all, fmt.Sprintf("and %d more", len(raw)-i))
		}
		var sequence pkix.RDNSequence
		if rest, err := asn1.Unmarshal(der, &sequence); err != nil || len(rest) > 0 {
			continue
		}
		var name pkix.Name
		name.FillFromRDNSequence(&sequence)
		all = append(all, short(name.String()))
	}
	return all
}

// A Finding is the outcome of one check of what a server showed.
type Finding struct {
	Check  validator.Check
	Denial *validator.Denial // why it failed, nil when it passed
	// Suggestion is a name of the certificate that may be the one meant, when the host
	// is none of them; empty when nothing comes close.
	Suggestion string
}

// Check makes the checks of [ClientConfig] on what the server showed, each by itself, so
// that a certificate that is expired and for another host is found to be both: chain,
// dates, purpose, revocation, and then name or, if expect has an ID, pin. A check that
// cannot be made because another failed is left out.
func (s *UnverifiedServer) Check(m *Material, expect Expect) []Finding {
	if !m.made() || len(s.Chain) == 0 {
		return []Finding{{Check: validator.CheckChain, Denial: unverified()}}
	}
	now, v := time.Now(), view{ours: m, expect: expect, peer: ServerAuth}
	found, err := m.timeless(s.Chain, now)
	all := []Finding{{Check: validator.CheckChain, Denial: v.explain(err)}}
	add := func(check validator.Check, d *validator.Denial) {
		all = append(all, Finding{Check: check, Denial: d})
	}
	whole := s.Chain
	if err == nil {
		whole = found[0]
	}
	add(validator.CheckDates, v.dates(whole, now))
	purpose := CheckLeaf(s.Chain[0], ServerAuth, now)
	if purpose != nil && purpose.Check != validator.CheckPurpose {
		purpose = nil // which is said elsewhere
	}
	if purpose != nil {
		ofPeer(purpose, ServerAuth)
	}
	add(validator.CheckPurpose, purpose)
	if err == nil {
		_, err := m.unrevoked(found, ServerAuth, now)
		add(validator.CheckRevocation, v.explain(err))
	}
	all = m.arbitrated(all, s.Chain, v, now)
	return append(all, s.named(whole, expect))
}

// timeless verifies a chain as if all certificates were valid now, for any purpose.
func (m *Material) timeless(presented []*x509.Certificate, now time.Time) ([][]*x509.Certificate, error) {
	dated := make(map[*x509.Certificate]*x509.Certificate)
	undated := func(c *x509.Certificate) *x509.Certificate {
		of := *c // its signature is over its encoding, which stays
		of.NotBefore, of.NotAfter = now.Add(-time.Hour), now.Add(time.Hour)
		dated[&of] = c
		return &of
	}
	opts := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	for _, c := range m.Roots {
		opts.Roots.AddCert(undated(c))
	}
	for _, c := range presented[1:] {
		opts.Intermediates.AddCert(undated(c))
	}
	found, err := undated(presented[0]).Verify(opts)
	if err != nil {
		return nil, &tls.CertificateVerificationError{UnverifiedCertificates: presented, Err: err}
	}
	for _, chain := range found {
		for i, c := range chain {
			chain[i] = dated[c]
		}
	}
	return found, nil
}

// dates explains the first certificate that is outside its dates.
func (v view) dates(chain []*x509.Certificate, now time.Time) *validator.Denial {
	for _, c := range chain {
		if now.Before(c.NotBefore) || now.After(c.NotAfter) {
			return v.invalid(x509.CertificateInvalidError{Cert: c, Reason: x509.Expired})
		}
	}
	return nil
}

// arbitrated makes sure that what is found to be good is what a connection would accept:
// what only the checks together refuse stands under its check, too.
func (m *Material) arbitrated(all []Finding, presented []*x509.Certificate, v view, now time.Time) []Finding {
	if slices.ContainsFunc(all, func(f Finding) bool { return f.Denial != nil }) {
		return all
	}
	_, err := VerifyPeer(presented, m, ServerAuth, now)
	d := v.explain(err)
	if d == nil {
		return all
	}
	for i := range all {
		if all[i].Check == d.Check {
			all[i].Denial = d
			return all
		}
	}
	return append(all, Finding{Check: d.Check, Denial: d})
}

// named checks the host, or the pin that replaces it.
func (s *UnverifiedServer) named(chain []*x509.Certificate, expect Expect) Finding {
	explain := func(err error) *validator.Denial {
		d, ok := errors.AsType[*validator.Denial](err)
		if err != nil && !ok {
			d = security(validator.CheckName, err.Error(), "a host or an identity to compare with")
		}
		return d
	}
	if expect.ID != "" {
		want, err := pin(expect.ID)
		if err == nil {
			err = checkPin(chain, want)
		}
		return Finding{Check: validator.CheckPin, Denial: explain(err)}
	}
	host, e := canonicalHost(expect.Host)
	if e != nil {
		return Finding{Check: validator.CheckName, Denial: explain(e)}
	}
	f, leaf := Finding{Check: validator.CheckName}, s.Chain[0]
	if covers(leaf, host) {
		return f
	}
	f.Denial = wrongName(leaf, host)
	if _, err := netip.ParseAddr(host); err != nil {
		f.Suggestion = nearest(host, leaf.DNSNames)
	} else if i := slices.IndexFunc(leaf.DNSNames, func(n string) bool { _, err := netip.ParseAddr(n); return err != nil }); i >= 0 {
		f.Suggestion = leaf.DNSNames[i]
	}
	if _, e := canonicalHost(f.Suggestion); e != nil {
		f.Suggestion = "" // nothing that can be asked for, such as a pattern
	}
	return f
}

// Describe says on one line whose certificate it is, who issued it, what for, and its
// dates, fit to be shown.
func Describe(c *x509.Certificate) string {
	if c.BasicConstraintsValid && c.IsCA {
		return fmt.Sprintf("authority %s, issued by %s, valid %s to %s", subject(c), issuer(c), day(c.NotBefore), day(c.NotAfter))
	}
	return describe(c)
}
