package certs

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pyrossl/pyrossl/validator"
)

// Purpose is what a certificate is used for on a connection.
type Purpose uint8

const (
	ServerAuth Purpose = iota + 1 // proves a daemon to its clients
	ClientAuth                    // proves a client to daemons
)

// String gives the name that openssl and Go print.
func (p Purpose) String() string {
	switch p {
	case ServerAuth:
		return "serverAuth"
	case ClientAuth:
		return "clientAuth"
	}
	return fmt.Sprintf("purpose %d", uint8(p))
}

func (p Purpose) usage() x509.ExtKeyUsage {
	if p == ServerAuth {
		return x509.ExtKeyUsageServerAuth
	}
	return x509.ExtKeyUsageClientAuth
}

// CheckLeaf checks what crypto/x509 lets pass, or checks against a list that the
// peer may leave out: that the certificate names its purpose (none at all, or
// "any", is not enough), may make signatures, is within its dates, and is not an
// authority's. It gives nil when all is well.
func CheckLeaf(leaf *x509.Certificate, purpose Purpose, now time.Time) *validator.Denial {
	refuse := func(check validator.Check, want, format string, args ...any) *validator.Denial {
		return &validator.Denial{
			Code: validator.DeniedSecurity, Check: check,
			Got: fmt.Sprintf("certificate for %s: it %s", namesOf(leaf), fmt.Sprintf(format, args...)), Want: want,
		}
	}
	const signing = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	switch {
	case leaf == nil:
		return &validator.Denial{Code: validator.DeniedSecurity, Check: validator.CheckChain, Got: "no certificate", Want: "a certificate for " + purpose.String()}
	case purpose != ServerAuth && purpose != ClientAuth:
		return refuse(validator.CheckPurpose, "one for serverAuth or clientAuth", "was to be checked for %s", purpose)
	case leaf.BasicConstraintsValid && leaf.IsCA:
		return refuse(validator.CheckPurpose, "one issued to a program, not an authority's own", "is an authority's (CA:TRUE)")
	case leaf.KeyUsage&signing != 0:
		return refuse(validator.CheckPurpose, "one issued to a program, not an authority's own", "may sign certificates or revocation lists")
	case !slices.Contains(leaf.ExtKeyUsage, purpose.usage()):
		return refuse(validator.CheckPurpose, "one issued with extended key usage "+purpose.String(), "%s", purposes(leaf))
	case leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		// RFC 8446, section 4.4.2.2.
		return refuse(validator.CheckPurpose, "one issued with key usage digitalSignature", "may not make signatures (key usage %s)", leaf.KeyUsage)
	}
	if d := checkDates(leaf, now); d != nil {
		return d
	}
	if e := checkPublicKey(leaf.PublicKey); e != nil {
		return refuse(validator.CheckChain, "one with an ECDSA (P-256, P-384, P-521) or Ed25519 key, or RSA with at least 2048 bits", "has an unacceptable key (%s)", e.Reason)
	}
	return nil
}

// checkDates compares a certificate's dates with now. It says nothing of how long
// ago, so that the same refusal twice is the same text.
func checkDates(c *x509.Certificate, now time.Time) *validator.Denial {
	d := &validator.Denial{Code: validator.DeniedSecurity, Check: validator.CheckDates}
	switch {
	case now.Before(c.NotBefore):
		d.Got = fmt.Sprintf("certificate for %s: it is not valid before %s", namesOf(c), day(c.NotBefore))
		d.Want = "one valid now; if it was just issued, compare the clocks of both machines"
	case now.After(c.NotAfter):
		d.Got = fmt.Sprintf("certificate for %s: it expired on %s", namesOf(c), day(c.NotAfter))
		d.Want = "a renewed one"
	default:
		return nil
	}
	return d
}

// Covers reports whether a server's certificate proves the host, which is a DNS
// name or an IP address. The error lists the names it has, and the nearest. The
// common name never counts, and an IP address needs an IP name.
func Covers(leaf *x509.Certificate, host string) error {
	if leaf == nil {
		return reasonf("there is no certificate")
	}
	host, e := canonicalHost(host)
	if e != nil {
		return e
	}
	if covers(leaf, host) {
		return nil
	}
	got, want := mismatch(leaf, host)
	return reasonf("certificate does not cover the host %q: got %s, want %s", host, got, want)
}

// covers is Covers for a canonical host. A name that is "*" alone counts nowhere:
// crypto/x509 would let it stand for every host without a dot.
func covers(leaf *x509.Certificate, host string) bool {
	if leaf.VerifyHostname(host) != nil {
		return false
	}
	if _, err := netip.ParseAddr(host); err == nil || strings.Contains(host, ".") {
		return true
	}
	return slices.ContainsFunc(leaf.DNSNames, func(n string) bool { return strings.EqualFold(n, host) })
}

// canonicalHost gives a host as it is compared: lower case, without brackets and
// without a final dot. It refuses what crypto/x509 would compare in surprising
// ways: "*.example" as a host matches the same text in a certificate.
func canonicalHost(host string) (string, *Error) {
	refuse := func(why string) (string, *Error) {
		return "", reasonf("host %q %s", short(host), why)
	}
	if host == "" {
		return refuse("is empty, want a DNS name or an IP address")
	}
	bare := host
	if inner, ok := strings.CutPrefix(host, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); !ok {
			return refuse("has a bracket that is not closed")
		}
		bare = inner
	}
	if addr, err := netip.ParseAddr(bare); err == nil {
		if addr.Zone() != "" {
			return refuse("has a zone, which no certificate can name")
		}
		return addr.Unmap().String(), nil
	}
	name := strings.ToLower(strings.TrimSuffix(bare, "."))
	switch {
	case bare != host:
		return refuse("is in brackets but is not an IPv6 address")
	case strings.Contains(name, "*"):
		return refuse("is a pattern, want one name")
	case strings.Contains(name, ":"):
		return refuse("is neither a DNS name nor an IP address, want it without a port")
	case len(name) > 253:
		return refuse("is longer than 253 bytes")
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return refuse("is not a DNS name: each part between dots has 1 to 63 letters")
		}
		for _, r := range label {
			if r > 127 {
				return refuse("has letters beyond ASCII, want its xn-- form")
			}
			if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' {
				return refuse("is not a DNS name: want letters, digits, '-' and dots")
			}
		}
	}
	return name, nil
}

// mismatch says which names a certificate has instead of host, and what to change.
func mismatch(leaf *x509.Certificate, host string) (got, want string) {
	got = "certificate for " + namesOf(leaf)
	kind := "dns:"
	if _, err := netip.ParseAddr(host); err == nil {
		kind = "ip:"
	}
	want = kind + host + " among its names"
	cn := leaf.Subject.CommonName
	switch {
	case kind == "ip:" && slices.Contains(leaf.DNSNames, host):
		want += "; it has the address as a DNS name, where it does not count: issue it again with an IP name"
	case kind == "ip:" && len(leaf.DNSNames) > 0:
		want += fmt.Sprintf("; use a name it has (%s), or issue it again with this address", short(leaf.DNSNames[0]))
	case len(leaf.DNSNames) == 0 && strings.EqualFold(cn, host):
		want += "; a common name does not count: issue it again with a DNS name"
	default:
		if near := nearest(host, leaf.DNSNames); near != "" {
			want += fmt.Sprintf("; did you mean %q?", short(near))
		} else {
			want += "; issue it again with this name, or use a name it has"
		}
	}
	return got, want
}
