package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pyrossl/pyrossl/validator"
)

// fromVerification explains why we refused the other side's certificate.
func (v view) fromVerification(err error) *validator.Denial {
	var presented []*x509.Certificate
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		presented, err = e.UnverifiedCertificates, e.Err
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return wrongName(e.Certificate, e.Host)
	}
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		if len(presented) == 0 && e.Cert != nil {
			presented = []*x509.Certificate{e.Cert}
		}
		return v.unknownAuthority(presented)
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return v.invalid(e)
	}
	if len(presented) > 0 { // signatures with SHA-1, unknown critical extensions, constraints
		return security(validator.CheckChain, fmt.Sprintf("%s for %s does not verify: %s", v.certificate(), namesOf(presented[0]), plain(err)),
			"one issued anew for the "+v.peer.peer())
	}
	return nil
}

// certificate names the other side's.
func (v view) certificate() string { return v.peer.peer() + " certificate" }

func wrongName(leaf *x509.Certificate, host string) *validator.Denial {
	got, want := mismatch(leaf, host)
	return security(validator.CheckName, "server "+got, want)
}

// unknownAuthority tells apart the ways in which a chain does not reach a root.
func (v view) unknownAuthority(presented []*x509.Certificate) *validator.Denial {
	if len(presented) == 0 {
		return unverified()
	}
	leaf, top := presented[0], topmost(presented)
	who := fmt.Sprintf("%s for %s", v.certificate(), namesOf(leaf))
	switch {
	case selfSigned(leaf):
		return security(validator.CheckChain, who+", which is self-signed", "one issued by an authority in our CA file"+v.trusted())
	case v.trusts(top.RawIssuer):
		return security(validator.CheckChain, fmt.Sprintf("%s, issued by %s: we trust that name, but its key is another one", who, issuer(top)),
			"our CA file renewed (the authority was made anew), or a new "+v.certificate())
	}
	want := "our CA file to hold that authority, or a " + v.certificate() + " by one of ours" + v.trusted()
	if len(presented) == 1 {
		want += fmt.Sprintf("; the %s sent no intermediate certificate: if its own was issued by one, its certificate file must hold it too", v.peer.peer())
	}
	return security(validator.CheckChain, fmt.Sprintf("%s, issued by %s, which we do not trust", who, issuer(top)), want)
}

// invalid explains crypto/x509's own findings about a chain.
func (v view) invalid(e x509.CertificateInvalidError) *validator.Denial {
	d := security(validator.CheckChain, "", "one issued anew for the "+v.peer.peer())
	who := v.certificate()
	if e.Cert != nil {
		who += " for " + namesOf(e.Cert)
		if e.Cert.IsCA {
			who = fmt.Sprintf("authority %s in the %s's chain", subject(e.Cert), v.peer.peer())
		}
	}
	switch e.Reason {
	case x509.Expired:
		d.Check = validator.CheckDates
		switch {
		case e.Cert == nil:
			d.Got = who + ": it is outside its dates"
		case time.Now().Before(e.Cert.NotBefore):
			d.Got = fmt.Sprintf("%s: it is not valid before %s", who, day(e.Cert.NotBefore))
			d.Want = "one valid now; if it was just issued, compare the clocks of both machines"
		default:
			d.Got = fmt.Sprintf("%s: it expired on %s", who, day(e.Cert.NotAfter))
			d.Want = fmt.Sprintf("a renewed one, from the %s's operator", v.peer.peer())
		}
	case x509.IncompatibleUsage, x509.CANotAuthorizedForExtKeyUsage:
		d.Check = validator.CheckPurpose
		d.Got, d.Want = who+": it is for another purpose", "one issued with extended key usage "+v.peer.String()
		if e.Cert != nil {
			d.Got = fmt.Sprintf("%s: it %s", who, purposes(e.Cert))
		}
	case x509.NotAuthorizedToSign:
		d.Got = who + " signed another certificate but is not an authority's"
	case x509.CANotAuthorizedForThisName:
		d.Got, d.Want = who+": its authority may not give out that name", "a name within the authority's name constraints, or another authority"
		if e.Detail != "" {
			d.Got += " (" + short(e.Detail) + ")"
		}
	case x509.TooManyIntermediates:
		d.Got, d.Want = who+" has more intermediates below it than it allows", "a shorter chain from the "+v.peer.peer()
	default:
		d.Got = fmt.Sprintf("%s does not verify: %s", who, plain(e))
	}
	return d
}

// topmost follows a chain upwards as far as the presented certificates go. Signatures
// are looked at only where two certificates could be next.
func topmost(presented []*x509.Certificate) *x509.Certificate {
	top := presented[0]
	for range presented {
		var up *x509.Certificate
		for _, p := range presented {
			if p.Equal(top) || !bytes.Equal(p.RawSubject, top.RawIssuer) {
				continue
			}
			if up == nil || issued(p, top) && !issued(up, top) {
				up = p
			}
		}
		if up == nil {
			break
		}
		top = up
	}
	return top
}

func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// trusts reports whether we trust an authority of that name.
func (v view) trusts(name []byte) bool {
	if v.ours == nil {
		return false
	}
	for _, r := range v.ours.Roots {
		if bytes.Equal(r.RawSubject, name) {
			return true
		}
	}
	return false
}

// trusted lists the authorities that we trust.
func (v view) trusted() string {
	if !v.ours.made() {
		return ""
	}
	var all []string
	for i, c := range v.ours.Roots {
		if i == 3 {
			all = append(all, fmt.Sprintf("and %d more", len(v.ours.Roots)-i))
			break
		}
		all = append(all, subject(c))
	}
	return " (" + strings.Join(all, "; ") + ")"
}
