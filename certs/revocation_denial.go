package certs

import (
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"github.com/pyrossl/pyrossl/validator"
)

// notKnown stands in every denial that is due to a list, and not to the certificate.
const notKnown = "is revoked is not known: "

// RevocationNotKnown reports whether a certificate was refused because a list is stale,
// missing or of no use, and not because anybody has revoked it. The denial may have come
// from a peer.
func RevocationNotKnown(d *validator.Denial) bool {
	return d != nil && d.Check == checkRevocation && strings.Contains(d.Got, notKnown)
}

// checkRevocation names the check of revocations.
const checkRevocation = validator.CheckRevocation

// revocation makes a denial about a leaf. cause is for our log alone.
func revocation(leaf *x509.Certificate, cause *Error, want, format string, args ...any) *validator.Denial {
	d := security(checkRevocation, fmt.Sprintf("certificate for %s: ", namesOf(leaf))+fmt.Sprintf(format, args...), want)
	if cause != nil {
		d.Err = cause
	}
	return d
}

// whose names chain[i] within a sentence about the leaf.
func whose(chain []*x509.Certificate, i int) string {
	if i == 0 {
		return "it"
	}
	return "its authority " + subject(chain[i])
}

// revoked is the denial for a certificate that the list names.
func (l *CRL) revoked(chain []*x509.Certificate, i int, entry crlEntry) *validator.Denial {
	want := "another certificate, from the authority that revoked this one"
	if i > 0 {
		want = "one by an authority that is not revoked"
	}
	return revocation(chain[0], l.cause("serial number %s is on it", serialText(chain[i].SerialNumber)), want,
		"%s was revoked on %s, says %s", whose(chain, i), entry, l)
}

// stale is the denial for a certificate of which the list no longer knows enough.
func (l *CRL) stale(chain []*x509.Certificate, i int, now time.Time, maxAge time.Duration) *validator.Denial {
	const want = "a current list: whoever operates the side that refuses must put the authority's newest list in place"
	if l.early(now) {
		return revocation(chain[0], l.cause("it is from the future"), "clocks that agree: the list, or the side that refuses, has a wrong one",
			"whether %s "+notKnown+"%s was issued in the future, on %s", whose(chain, i), l, day(l.thisUpdate))
	}
	return revocation(chain[0], l.cause("it is stale since %s", day(l.until(maxAge))), want,
		"whether %s "+notKnown+"%s is stale, it was issued %s ago, on %s, and was good until %s",
		whose(chain, i), l, ageText(now.Sub(l.thisUpdate)), day(l.thisUpdate), day(l.until(maxAge)))
}

// noList is the denial for a certificate whose authority has no list that counts.
// elsewhere is one that covers other certificates, and unsigned why one of that name
// does not count; both may be nil.
func noList(chain []*x509.Certificate, i int, elsewhere *CRL, unsigned *Error) *validator.Denial {
	const want = "a revocation list by that authority: whoever operates the side that refuses must configure it"
	who := issuer(chain[i])
	switch {
	case elsewhere != nil:
		return revocation(chain[0], elsewhere.cause("it is complete for %s", &elsewhere.scope), "the authority's list for this certificate, at the side that refuses",
			"whether %s "+notKnown+"%s is complete for %s only", whose(chain, i), elsewhere, &elsewhere.scope)
	case unsigned != nil:
		return revocation(chain[0], unsigned, want,
			"whether %s "+notKnown+"the revocation list under the name of %s %s", whose(chain, i), who, unsigned.Reason)
	}
	return revocation(chain[0], nil, want, "whether %s "+notKnown+"there is no revocation list of its authority %s", whose(chain, i), who)
}

// cause says for our log from where the list came.
func (l *CRL) cause(format string, args ...any) *Error {
	e := reasonf("%s: %s", l, fmt.Sprintf(format, args...))
	e.File = l.file
	return e
}

// denial is the one for an entry of the deny list. Its reason stays with us.
func (d *DenyList) denial(leaf *x509.Certificate, e *denyEntry, what string) *validator.Denial {
	cause := reasonf("deny list number %d, line %d", d.number, e.line)
	if e.reason != "" {
		cause.Reason += ": " + short(e.reason)
	}
	cause.File = d.file
	return revocation(leaf, cause, "another certificate, or the operator of the side that refuses to change its deny list",
		"%s is on the deny list (number %d)", what, d.number)
}

// stale is the denial for everybody once the deny list is out of date.
func (d *DenyList) stale(leaf *x509.Certificate, now time.Time) *validator.Denial {
	cause := reasonf("deny list number %d is stale since %s", d.number, day(d.until()))
	cause.File = d.file
	return revocation(leaf, cause, "a current list: whoever operates the side that refuses must issue the deny list anew",
		"whether it "+notKnown+"the deny list (number %d) is stale, it was issued %s ago, on %s, and was good until %s",
		d.number, ageText(now.Sub(d.issued)), day(d.issued), day(d.until()))
}

// ageText shows a time that has passed, coarsely.
func ageText(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	}
	return fmt.Sprintf("%d seconds", max(d, 0)/time.Second)
}
