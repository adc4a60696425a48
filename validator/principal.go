package validator

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"strings"
)

// Kind is what kind of name a Principal is.
type Kind string

// The kinds of names that count. The common name counts only where a mapping rule
// asks for it.
const (
	URI   Kind = "uri"
	DNS   Kind = "dns"
	Email Kind = "email"
	CN    Kind = "cn"
)

// A Principal is one typed name that a certificate proves, and who vouches for it.
// Names of different kinds are different even when they look the same: the e-mail
// name "admin" is not the DNS name "admin".
//
// Principals are compared with ==, which includes the issuer. [Principal.Matches]
// leaves the issuer open where one is not given.
type Principal struct {
	Kind  Kind
	Value string
	// Issuer identifies the key of the trust anchor at the end of the verified
	// chain, as [IssuerOf] gives it. It is empty in principals that were written
	// down, by ParsePrincipal, and then says nothing about who vouches.
	Issuer string
}

// String gives "kind:value", without the issuer.
func (p Principal) String() string {
	if p.Kind == "" && p.Value == "" {
		return ""
	}
	return string(p.Kind) + ":" + p.Value
}

// Matches reports whether other is the principal that p describes: the same kind
// and value, and the same issuer if p has one. Texts are compared byte by byte;
// they have one spelling only.
func (p Principal) Matches(other Principal) bool {
	return p.Kind == other.Kind && p.Value == other.Value && (p.Issuer == "" || p.Issuer == other.Issuer)
}

// ParsePrincipal reads "kind:value", as String prints it. The value must be in its
// one spelling: host names in lower case, for example. The result has no issuer.
func ParsePrincipal(s string) (Principal, error) {
	kind, value, ok := strings.Cut(s, ":")
	if !ok || checkers[Kind(kind)] == nil {
		return Principal{}, failf(`"uri:", "dns:", "email:" or "cn:" and a name, as in "email:alice@bank.example"`, "%s is no principal", quote(s))
	}
	canonical, err := checkName(Kind(kind), value)
	if err != nil {
		return Principal{}, err
	}
	if canonical != value {
		return Principal{}, failf(quote(kind+":"+canonical), "principal %s is not in its one spelling", quote(s))
	}
	return Principal{Kind: Kind(kind), Value: value}, nil
}

// issuerPrefix begins the text of every issuer.
const issuerPrefix = "sha256:"

// IssuerOf identifies a trust anchor: "sha256:" and, in hexadecimal, the first 16
// bytes of the SHA-256 of its public key (SubjectPublicKeyInfo). It stays the same
// when an authority's certificate is renewed with the same key, and no other
// authority can have it, whatever it calls itself.
func IssuerOf(anchor *x509.Certificate) string {
	sum := sha256.Sum256(anchor.RawSubjectPublicKeyInfo)
	return issuerPrefix + hex.EncodeToString(sum[:16])
}

// checkIssuer checks an issuer that somebody wrote down.
func checkIssuer(s string) error {
	digits, ok := strings.CutPrefix(s, issuerPrefix)
	if !ok || len(digits) != 32 || !only(digits, number+"abcdef") {
		return failf(`"sha256:" and 32 hexadecimal digits in lower case`, "issuer %s", quote(s))
	}
	return nil
}
