package explain

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pyrossl/pyrossl/broker/uri"
	"github.com/pyrossl/pyrossl/certs"
)

// badURI explains a text that is no URI.
func (d *diagnosis) badURI(s *Step, err error) {
	s.fail(strings.TrimPrefix(err.Error(), "uri: "), "a URI like PYROSSL://bank.example:7766/bank")
	if errors.Is(err, uri.ErrPlaintext) {
		s.Want = "PYROSSL:// or PYROLOCSSL://: there is no connection without TLS"
		s.fix(Client, "write PYROSSL:// in its place; the daemon must be a PYROSSL one")
		return
	}
	if bad, ok := errors.AsType[*uri.Error](err); ok {
		s.fix(Client, fmt.Sprintf("correct the %s", bad.Part))
		return
	}
	s.fix(Client, "correct the URI")
}

// ownCertificate reads the files of the client, and looks at what a server will look at.
func (d *diagnosis) ownCertificate(s *Step) {
	o := &d.options
	material, err := certs.Load(o.Cert, o.Key, o.CA)
	if err != nil {
		s.fail(withoutFix(err), "a certificate, its private key, and the CAs to trust, in PEM files")
		s.fix(Client, fixOf(err, "look at the file: mkcerts inspect FILE"))
		return
	}
	d.material, d.source = material, certs.Static(material)
	s.ok(certs.Describe(material.Leaf()))
	for _, c := range material.Chain[1:] {
		s.fact("sends along: " + certs.Describe(c))
	}
	for _, c := range material.Roots {
		s.fact("trusts: " + certs.Describe(c))
	}
	now := time.Now()
	if denial := certs.CheckLeaf(material.Leaf(), certs.ClientAuth, now); denial != nil {
		denial.Got = "our own " + denial.Got
		s.refuse(denial)
		d.fixOwn(s, now)
		return
	}
	for _, c := range material.Chain[1:] {
		if now.Before(c.NotBefore) || now.After(c.NotAfter) {
			s.State = Warn
			s.fact(fmt.Sprintf("the authority %s is outside its dates: servers will refuse what it has issued", c.Subject))
			s.fix(Client, "have the certificate issued again, by an authority that is valid")
		}
	}
	if d.incomplete() {
		s.State = Warn
		s.fact(fmt.Sprintf("%s is neither among the CAs that we trust nor does %q hold its certificate: a server can trust us only if it knows that authority by itself", issuerOf(top(material.Chain)), o.Cert))
		s.fix(Client, fmt.Sprintf("put the intermediate certificate %s into %s, after our own", issuerOf(top(material.Chain)), o.Cert))
	}
}

// fixOwn says what to do about a certificate of ours that no server would take.
func (d *diagnosis) fixOwn(s *Step, now time.Time) {
	leaf := d.material.Leaf()
	switch {
	case now.Before(leaf.NotBefore):
		s.fix(Client, "compare the clock of this machine with another one: it says "+moment(now))
		s.fix(Authority, "issue a certificate that is valid now")
		s.fact(fmt.Sprintf("it becomes valid in %s by this machine's clock; if it was just issued, this clock is behind the authority's by that much", roughly(leaf.NotBefore.Sub(now))))
	case now.After(leaf.NotAfter):
		s.fix(Client, "renew it: mkcerts renew, or ask the authority "+issuerOf(leaf))
		s.fact(fmt.Sprintf("it expired %s ago by this machine's clock, which says %s", roughly(now.Sub(leaf.NotAfter)), moment(now)))
	case leaf.IsCA:
		s.fix(Client, "use a certificate that was issued to a program: mkcerts issue NAME --client")
	default:
		s.fix(Client, "have it issued for clients (extended key usage clientAuth): mkcerts issue NAME --client")
	}
}

// incomplete reports whether our chain ends below what we trust ourselves. A server may
// trust other authorities; it is a guess that most often is right.
func (d *diagnosis) incomplete() bool {
	last := top(d.material.Chain)
	return !slices.ContainsFunc(d.material.Roots, func(r *x509.Certificate) bool {
		return r.Equal(last) || bytes.Equal(r.RawSubject, last.RawIssuer)
	})
}

// ownLists reads the lists that servers are checked against.
func (d *diagnosis) ownLists(s *Step) {
	o := &d.options
	if len(o.CRLs) == 0 && o.DenyList == "" {
		s.skip("no revocation list is configured on this side: a revoked server is not noticed")
		return
	}
	if d.material == nil {
		s.lacks(stepCertificate)
		return
	}
	source, err := certs.Files(certs.FilesConfig{Cert: o.Cert, Key: o.Key, CA: o.CA, CRLs: o.CRLs, DenyList: o.DenyList})
	if err != nil {
		if d.report.Step(stepCertificate).State == Fail {
			s.lacks(stepCertificate)
			return
		}
		s.fail(withoutFix(err), "revocation lists and a deny list that can be read, signed by an authority that we know")
		s.fix(Client, fixOf(err, "fetch the authority's newest list"))
		return
	}
	d.ended = append(d.ended, func() { source.Close() })
	d.material, d.source = source.Current(), source
	status := source.Status()
	s.ok(fmt.Sprintf("%d in use", len(status.Lists)))
	stale := false
	for _, l := range status.Lists {
		text := l.String()
		if !l.ThisUpdate.IsZero() {
			text += fmt.Sprintf("; %s old", roughly(time.Since(l.ThisUpdate)))
		}
		s.fact(text)
		stale = stale || l.Stale && !l.Superseded
	}
	if stale {
		s.warn("a list is stale: whoever is not on it is refused as if revoked")
		s.fix(Client, "put the authority's newest list in its place")
	}
	if status.OwnRevoked != "" {
		s.warn("by our own lists our own certificate is revoked: " + status.OwnRevoked)
		s.fix(Client, "use another certificate, with a new key")
	}
}

// withoutFix is an error's text without prefix and remedy.
func withoutFix(err error) string {
	e, ok := errors.AsType[*certs.Error](err)
	if !ok {
		return strings.TrimPrefix(err.Error(), "certs: ")
	}
	bare := *e
	bare.Fix = ""
	return strings.TrimPrefix(bare.Error(), "certs: ")
}

func fixOf(err error, otherwise string) string {
	if e, ok := errors.AsType[*certs.Error](err); ok && e.Fix != "" {
		return e.Fix
	}
	return otherwise
}

// top is the last certificate of a chain in order.
func top(chain []*x509.Certificate) *x509.Certificate { return chain[len(chain)-1] }

// issuerOf names who issued a certificate.
func issuerOf(c *x509.Certificate) string {
	if name := c.Issuer.String(); name != "" {
		return name
	}
	return "an authority without a name"
}

// moment shows a point in time as certificates are shown.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// roughly shows a duration coarsely.
func roughly(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	}
	return fmt.Sprintf("%d seconds", d/time.Second)
}
