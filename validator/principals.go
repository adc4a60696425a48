package validator

import (
	"crypto/x509"
	"encoding/asn1"
	"slices"
)

// maxNames is how many names of the kinds that count a certificate may carry.
// Somebody has one or two; a bound keeps a certificate with thousands from costing
// time with each rule.
const maxNames = 256

var (
	oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidCommonName     = asn1.ObjectIdentifier{2, 5, 4, 3}
)

// Tags of GeneralName, RFC 5280 section 4.2.1.6.
var sanKinds = map[int]Kind{1: Email, 2: DNS, 6: URI}

// Principals gives the URI, DNS and e-mail names of a leaf, each once and in the
// order of the certificate. The chain is a verified one, leaf first and trust anchor
// last. One bad name (a wildcard, a control character, an unusual URI) refuses them
// all: a certificate that has one cannot be relied on for the rest.
//
// The common name is not among them, nor are IP addresses, which say where a peer is
// and not who.
func Principals(chain []*x509.Certificate) ([]Principal, error) {
	return principals(chain, []Kind{URI, DNS, Email})
}

// principals is Principals for some kinds of names; the others are not looked at.
func principals(chain []*x509.Certificate, kinds []Kind) ([]Principal, error) {
	if len(chain) == 0 || slices.Contains(chain, nil) {
		return nil, failf("leaf to trust anchor", "no certificate chain")
	}
	leaf := chain[0]
	if len(leaf.Raw) == 0 {
		return nil, failf("", "the certificate was not read from its encoded form")
	}
	issuer := IssuerOf(chain[len(chain)-1])
	var all []Principal
	add := func(kind Kind, value string) error {
		name, err := checkName(kind, value)
		if err != nil {
			return err
		}
		p := Principal{Kind: kind, Value: name, Issuer: issuer}
		if slices.Contains(all, p) {
			return nil
		}
		if len(all) == maxNames {
			return failf("", "the certificate has more than %d names", maxNames)
		}
		all = append(all, p)
		return nil
	}
	err := eachAltName(leaf, func(kind Kind, value string) error {
		if !slices.Contains(kinds, kind) {
			return nil
		}
		return add(kind, value)
	})
	if err != nil {
		return nil, err
	}
	if slices.Contains(kinds, CN) {
		switch cns := commonNames(leaf); len(cns) {
		case 0:
		case 1:
			if err := add(CN, cns[0]); err != nil {
				return nil, err
			}
		default:
			// crypto/x509 takes the last one, other software the first.
			return nil, failf("one", "the certificate has %d common names", len(cns))
		}
	}
	return all, nil
}

// eachAltName calls f for the names of the subject alternative name extension. It
// reads the extension itself: net/url has changed the URIs of x509.Certificate
// already, a scheme in capitals and an empty fragment are gone from them.
func eachAltName(leaf *x509.Certificate, f func(kind Kind, value string) error) error {
	seen := false
	for _, e := range leaf.Extensions {
		if !e.Id.Equal(oidSubjectAltName) {
			continue
		}
		if seen {
			return failf("one", "the certificate has two extensions with alternative names")
		}
		seen = true
		var names asn1.RawValue
		if rest, err := asn1.Unmarshal(e.Value, &names); err != nil || len(rest) > 0 || names.Tag != asn1.TagSequence || names.Class != asn1.ClassUniversal {
			return failf("", "the certificate's alternative names cannot be read")
		}
		for rest := names.Bytes; len(rest) > 0; {
			var name asn1.RawValue
			var err error
			if rest, err = asn1.Unmarshal(rest, &name); err != nil {
				return failf("", "the certificate's alternative names cannot be read")
			}
			kind := sanKinds[name.Tag]
			if name.Class != asn1.ClassContextSpecific || kind == "" {
				continue
			}
			if err := f(kind, string(name.Bytes)); err != nil {
				return err
			}
		}
	}
	return nil
}

// commonNames gives all common names of the subject, also those that are no text.
func commonNames(leaf *x509.Certificate) (all []string) {
	for _, a := range leaf.Subject.Names {
		if a.Type.Equal(oidCommonName) {
			text, _ := a.Value.(string) // "" is refused as empty
			all = append(all, text)
		}
	}
	return all
}
