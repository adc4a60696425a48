package explain

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

// finding gives the outcome of one check of the server's certificates, or nil.
func (d *diagnosis) finding(check validator.Check) *certs.Finding {
	if d.findings == nil && d.material != nil {
		d.findings = make(map[validator.Check]*certs.Finding)
		for _, f := range d.answers[0].seen.Check(d.material, certs.Expect{Host: d.uri.Host, ID: d.uri.ID}) {
			d.findings[f.Check] = &f
		}
	}
	return d.findings[check]
}

// found fills in a step. It reports whether the check failed, so that there is more to say.
func (d *diagnosis) found(s *Step, check validator.Check, well string) (*certs.Finding, bool) {
	f := d.finding(check)
	switch {
	case d.material == nil:
		s.lacks(stepCertificate)
	case f == nil:
		s.lacks(stepChain)
	case f.Denial == nil:
		s.ok(well)
	default:
		s.refuse(f.Denial)
		return f, true
	}
	return f, false
}

// presented is what the server showed.
func (d *diagnosis) presented() []*x509.Certificate { return d.answers[0].seen.Chain }

// serverChain is the step in which the server's certificates are listed, too.
func (d *diagnosis) serverChain(s *Step) {
	chain := d.presented()
	if len(chain) == 0 {
		s.fail("the server showed no certificate", "a certificate for "+d.uri.Host)
		s.fix(Client, "check host and port")
		return
	}
	_, failed := d.found(s, validator.CheckChain, fmt.Sprintf("vouched for by an authority that we trust, %s", issuerOf(highest(chain))))
	for i, c := range chain {
		s.fact(fmt.Sprintf("certificate %d: %s", i+1, certs.Describe(c)))
	}
	if failed {
		d.fixChain(s, chain)
	}
}

// fixChain says who must do what about a chain that does not reach our authorities.
func (d *diagnosis) fixChain(s *Step, chain []*x509.Certificate) {
	leaf, last := chain[0], highest(chain)
	ca := d.options.CA
	switch {
	case bytes.Equal(leaf.RawIssuer, leaf.RawSubject):
		s.fix(Server, "serve with a certificate that an authority has issued: mkcerts issue")
	case d.trustsName(last.RawIssuer):
		s.fact(fmt.Sprintf("an authority of the same name with another key is in %s: it was made anew", ca))
		s.fix(Client, fmt.Sprintf("get the new certificate of %s from its operator, and add it to %s", issuerOf(last), ca))
		s.fix(Server, "serve with a certificate of the authority as it was, until all clients trust the new one")
	case len(chain) == 1:
		d.fixSingle(s, leaf)
	case unsigned(chain):
		s.fix(Server, "put the certificates that belong together into its file: its own, then the one that issued it, and so on")
	default:
		s.fix(Client, fmt.Sprintf("if you trust %s, add its certificate to %s; or name the right file with --ca", issuerOf(last), ca))
		s.fix(Server, "serve with a certificate by an authority that its clients trust")
	}
}

// fixSingle is for a server that showed its own certificate alone: its issuer is an
// intermediate that is missing, or a root that we do not trust.
func (d *diagnosis) fixSingle(s *Step, leaf *x509.Certificate) {
	who := issuerOf(leaf)
	for _, c := range d.material.Chain[1:] {
		if bytes.Equal(c.RawSubject, leaf.RawIssuer) && leaf.CheckSignatureFrom(c) == nil {
			s.fact(fmt.Sprintf("%s is the intermediate by which our own certificate was issued, too", who))
			s.fix(Server, fmt.Sprintf("put the intermediate certificate %s into its certificate file, after its own", who))
			return
		}
	}
	s.fix(Server, fmt.Sprintf("if %s is an intermediate, put its certificate into the server's certificate file, after its own", who))
	s.fix(Client, fmt.Sprintf("if %s is an authority that you trust, add its certificate to %s", who, d.options.CA))
}

func (d *diagnosis) trustsName(name []byte) bool {
	return slices.ContainsFunc(d.material.Roots, func(r *x509.Certificate) bool { return bytes.Equal(r.RawSubject, name) })
}

// highest follows a chain upwards by names.
func highest(chain []*x509.Certificate) *x509.Certificate {
	at := chain[0]
	for range chain {
		i := slices.IndexFunc(chain, func(c *x509.Certificate) bool {
			return !c.Equal(at) && bytes.Equal(c.RawSubject, at.RawIssuer)
		})
		if i < 0 {
			break
		}
		at = chain[i]
	}
	return at
}

// unsigned reports whether the second certificate is not that of the first one's issuer.
func unsigned(chain []*x509.Certificate) bool { return chain[0].CheckSignatureFrom(chain[1]) != nil }

// serverDates compares dates with our clock.
func (d *diagnosis) serverDates(s *Step) {
	now := time.Now()
	_, failed := d.found(s, validator.CheckDates, "valid until "+moment(firstEnd(d.presented()))+", by our clock")
	if !failed {
		return
	}
	s.fact("this machine's clock says " + moment(now))
	for _, c := range d.presented() {
		switch {
		case now.After(c.NotAfter):
			s.fact(fmt.Sprintf("it ended %s ago; if this clock is right, the server's operator has missed that", roughly(now.Sub(c.NotAfter))))
			s.fix(Server, "renew it: mkcerts renew, or a source that renews by itself")
			s.fix(Client, "compare the clock of this machine with another one: only if it is ahead by more than "+roughly(now.Sub(c.NotAfter))+" is the certificate good")
			return
		case now.Before(c.NotBefore):
			d.early(s, c, now)
			return
		}
	}
}

// early is for a certificate that is not valid yet: most often, clocks differ.
func (d *diagnosis) early(s *Step, c *x509.Certificate, now time.Time) {
	by := roughly(c.NotBefore.Sub(now))
	own := d.material.Leaf()
	if now.Before(own.NotBefore) {
		s.fact(fmt.Sprintf("our own certificate is not valid yet by this clock either: it is behind by at least %s", roughly(max(own.NotBefore.Sub(now), c.NotBefore.Sub(now)))))
		s.fix(Client, "set the clock of this machine")
		return
	}
	s.fact(fmt.Sprintf("it becomes valid in %s; if it was just issued, the clocks differ by at least that: this one is behind, or the authority's ahead", by))
	s.fix(Client, "compare the clock of this machine with another one")
	s.fix(Authority, "set its clock, and issue the certificate again")
}

func firstEnd(chain []*x509.Certificate) (first time.Time) {
	for i, c := range chain {
		if i == 0 || c.NotAfter.Before(first) {
			first = c.NotAfter
		}
	}
	return first
}

func (d *diagnosis) serverPurpose(s *Step) {
	if _, failed := d.found(s, validator.CheckPurpose, "issued for servers"); failed {
		s.fix(Authority, "issue it with extended key usage serverAuth, and not as an authority: mkcerts issue NAME --server")
		s.fix(Server, "serve with a certificate that was issued for servers")
	}
}

func (d *diagnosis) serverRevocation(s *Step) {
	if d.material != nil && d.material.Revocations() == nil {
		s.skip("no lists to look it up in")
		return
	}
	f, failed := d.found(s, validator.CheckRevocation, "not revoked, as far as our lists know")
	switch {
	case !failed:
	case certs.RevocationNotKnown(f.Denial):
		s.fix(Client, "put the authority's newest revocation list into the place of the one configured here")
		s.fix(Authority, "issue a new list: mkcerts crl")
	default:
		s.fix(Server, "serve with a new certificate and a new key; if the revocation was a mistake, ask the authority")
	}
}

// serverName compares the certificate with the host, or with the identity that the URI pins.
func (d *diagnosis) serverName(s *Step) {
	if d.uri.ID != "" {
		d.serverPin(s)
		return
	}
	f, failed := d.found(s, validator.CheckName, "the certificate is for "+d.uri.Host)
	if !failed {
		return
	}
	host, leaf := d.uri.Host, d.presented()[0]
	reissue := fmt.Sprintf("have the certificate issued again with %s among its names: mkcerts issue", host)
	if _, err := netip.ParseAddr(host); err == nil {
		reissue = fmt.Sprintf("have the certificate issued again with the IP name %s: mkcerts issue --ip %s", host, host)
	}
	switch {
	case f.Suggestion != "":
		s.fix(Client, fmt.Sprintf("use the name %s in the URI, if that is the server that you want", f.Suggestion))
		s.fix(Server, reissue)
	case len(leaf.DNSNames)+len(leaf.IPAddresses) == 0:
		s.fact("the certificate has no host name at all; a common name does not count")
		s.fix(Server, reissue)
	default:
		if w := wildcardOver(leaf.DNSNames, host); w != "" {
			s.fact(fmt.Sprintf("%s stands for exactly one label in front of the rest, and for no other part of a name", w))
		}
		s.fix(Server, reissue)
		s.fix(Client, "use a host name that the certificate has, or pin the server's identity with ?id= in the URI")
	}
}

// wildcardOver gives the pattern that someone may have thought to cover host.
func wildcardOver(names []string, host string) string {
	for _, n := range names {
		if rest, ok := strings.CutPrefix(n, "*."); ok && (strings.HasSuffix(host, "."+rest) || host == rest) {
			return n
		}
	}
	return ""
}

// serverPin compares the identity that the URI pins.
func (d *diagnosis) serverPin(s *Step) {
	s.Name = stepPin
	if _, failed := d.found(s, validator.CheckPin, "the server is "+d.uri.ID); failed {
		s.fix(Client, "if you know that the server has another identity now, write that after ?id= in the URI; if not, do not connect until you know who answers there")
		s.fix(Server, "serve with a certificate for "+d.uri.ID)
	}
}
