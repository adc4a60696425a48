package ocsp

import (
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"github.com/pyrossl/pyrossl/validator"
)

// checkRevocation names the check of revocations, as package certs does.
const checkRevocation = validator.CheckRevocation

func security(got, want string) *validator.Denial {
	return &validator.Denial{Code: validator.DeniedSecurity, Check: checkRevocation, Got: got, Want: want}
}

// denial is the one for a certificate that its authority has revoked.
func (r *revoked) denial(chain []*x509.Certificate, i int) *validator.Denial {
	text := fmt.Sprintf("certificate for %s: %s was revoked on %s", nameOf(chain[0]), whose(chain, i), day(r.at))
	if why := reasons[r.reason]; why != "" {
		text += " (" + why + ")"
	}
	want := "another certificate, from the authority that revoked this one"
	if i > 0 {
		want = "one by an authority that is not revoked"
	}
	return security(text+", says the OCSP responder of "+subject(chain[i+1]), want)
}

// reasons are RFC 5280's, section 5.3.1.
var reasons = map[int]string{
	1: "key compromise", 2: "CA compromise", 3: "affiliation changed", 4: "superseded", 5: "cessation of operation",
	6: "on hold", 9: "privilege withdrawn", 10: "attribute authority compromise",
}

// whose names chain[i] within a sentence about the leaf.
func whose(chain []*x509.Certificate, i int) string {
	if i == 0 {
		return "it"
	}
	return "its authority " + subject(chain[i])
}

// nameOf gives the first few names of a certificate.
func nameOf(c *x509.Certificate) string {
	var all []string
	for _, n := range c.DNSNames {
		all = append(all, "dns:"+n)
	}
	for _, n := range c.IPAddresses {
		all = append(all, "ip:"+n.String())
	}
	for _, n := range c.URIs {
		all = append(all, "uri:"+n.String())
	}
	for _, n := range c.EmailAddresses {
		all = append(all, "email:"+n)
	}
	if len(all) == 0 {
		return subject(c)
	}
	return short(strings.Join(all[:min(len(all), 3)], ", "))
}

func subject(c *x509.Certificate) string {
	if s := c.Subject.String(); s != "" {
		return short(s)
	}
	return "serial number " + short(c.SerialNumber.Text(16))
}

// short makes a text from outside fit to be shown.
func short(s string) string {
	if q := quote(s); q != `"`+s+`"` {
		return q
	}
	return s
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
