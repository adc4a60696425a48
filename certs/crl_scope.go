package certs

import (
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"strings"
)

// crlScope is which certificates of its authority a list is complete for: all of
// them, unless its issuing distribution point says otherwise (RFC 5280, section
// 5.2.5). A serial number that is on a list is revoked in any case; one that is not
// counts as good only within the scope.
type crlScope struct {
	users, authorities bool // only these
	// uris, if there are any, are where the list is published. It is complete for
	// certificates that name one of them: an authority may split its list into parts.
	uris []string
}

// covers reports whether a certificate that is not on the list is good by it.
func (s *crlScope) covers(c *x509.Certificate) bool {
	isCA := c.BasicConstraintsValid && c.IsCA
	switch {
	case s.users && isCA, s.authorities && !isCA:
		return false
	case len(s.uris) == 0:
		return true
	}
	return slices.ContainsFunc(s.uris, func(u string) bool { return slices.Contains(c.CRLDistributionPoints, u) })
}

// String completes "is complete for".
func (s *crlScope) String() string {
	var parts []string
	if s.users {
		parts = append(parts, "certificates that are not authorities'")
	}
	if s.authorities {
		parts = append(parts, "authorities' certificates")
	}
	if len(s.uris) > 0 {
		shown := make([]string, 0, 3)
		for _, u := range s.uris[:min(len(s.uris), 3)] {
			shown = append(shown, short(u))
		}
		parts = append(parts, "certificates with the distribution point "+strings.Join(shown, " or "))
	}
	if parts == nil {
		return "all certificates"
	}
	return strings.Join(parts, " that are ")
}

// id tells one scope from another.
func (s *crlScope) id() string {
	kind := "a"
	switch {
	case s.users:
		kind = "u"
	case s.authorities:
		kind = "c"
	}
	return kind + strings.Join(s.uris, "\x00")
}

// parseScope reads an IssuingDistributionPoint. The error completes "the list".
func parseScope(der []byte) (s crlScope, e *Error) {
	damaged := func() (crlScope, *Error) {
		return s, reasonf("has an issuing distribution point that cannot be read")
	}
	var seq asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &seq); err != nil || len(rest) > 0 || seq.Tag != asn1.TagSequence || seq.Class != asn1.ClassUniversal {
		return damaged()
	}
	last := -1
	for rest := seq.Bytes; len(rest) > 0; {
		var field asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &field); err != nil || field.Class != asn1.ClassContextSpecific || field.Tag <= last {
			return damaged()
		}
		last = field.Tag
		yes := len(field.Bytes) == 1 && field.Bytes[0] == 0xff // DER leaves out what is false
		switch {
		case field.Tag == 0:
			if s.uris, e = pointURIs(field.Bytes); e != nil {
				return s, e
			}
		case field.Tag == 1 && yes:
			s.users = true
		case field.Tag == 2 && yes:
			s.authorities = true
		case field.Tag == 3:
			return s, reasonf("is for some reasons only").fix("give the list that is for all reasons")
		case field.Tag == 4 && yes:
			return s, reasonf("is an indirect list: it may revoke certificates of other authorities").fix("give each authority's own list")
		case field.Tag == 5 && yes:
			return s, reasonf("is for attribute certificates only, which nobody shows here")
		default:
			return damaged()
		}
	}
	if s.users && s.authorities {
		return damaged()
	}
	return s, nil
}

// pointURIs reads a DistributionPointName, which must be given as URIs.
func pointURIs(der []byte) (uris []string, e *Error) {
	damaged := func() ([]string, *Error) {
		return nil, reasonf("has a distribution point that is not given by URI")
	}
	var name asn1.RawValue // fullName [0] GeneralNames, or nameRelativeToCRLIssuer [1]
	if rest, err := asn1.Unmarshal(der, &name); err != nil || len(rest) > 0 || name.Class != asn1.ClassContextSpecific || name.Tag != 0 {
		return damaged()
	}
	for rest := name.Bytes; len(rest) > 0; {
		var general asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &general); err != nil || general.Class != asn1.ClassContextSpecific {
			return damaged()
		}
		if general.Tag == 6 { // uniformResourceIdentifier; others name nothing that we could compare
			uris = append(uris, string(general.Bytes))
		}
	}
	if uris == nil {
		return damaged()
	}
	return uris, nil
}
