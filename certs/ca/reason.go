package ca

import (
	"slices"
	"strings"
)

// Reason is why a certificate is revoked, by the name that RFC 5280, section 5.3.1,
// gives it. The zero value is Unspecified.
type Reason string

// The reasons. There is none for a certificate that is only held: revoking is for good.
const (
	Unspecified          Reason = "unspecified"
	KeyCompromise        Reason = "keyCompromise"        // somebody else may have the key
	CACompromise         Reason = "cACompromise"         // the same of an authority's
	AffiliationChanged   Reason = "affiliationChanged"   // its holder belongs elsewhere
	Superseded           Reason = "superseded"           // another one is in its place
	CessationOfOperation Reason = "cessationOfOperation" // what it was for is no more
	PrivilegeWithdrawn   Reason = "privilegeWithdrawn"   // its holder may not do this any more
)

// reasonCodes are the numbers in a list.
var reasonCodes = []struct {
	reason Reason
	code   int
}{
	{Unspecified, 0}, {KeyCompromise, 1}, {CACompromise, 2}, {AffiliationChanged, 3}, {Superseded, 4},
	{CessationOfOperation, 5}, {PrivilegeWithdrawn, 9},
}

// Reasons gives all reasons, for messages and completion.
func Reasons() (all []Reason) {
	for _, r := range reasonCodes {
		all = append(all, r.reason)
	}
	return all
}

// ParseReason reads a reason, in upper or lower case; "" is Unspecified.
func ParseReason(s string) (Reason, error) {
	if s == "" {
		return Unspecified, nil
	}
	var names []string
	for _, r := range reasonCodes {
		if strings.EqualFold(string(r.reason), s) {
			return r.reason, nil
		}
		names = append(names, string(r.reason))
	}
	return "", asRequest(reasonf("unknown reason %q, want %s or %s", s, strings.Join(names[:len(names)-1], ", "), names[len(names)-1]))
}

// code is the number of a reason that ParseReason has read.
func (r Reason) code() int {
	i := slices.IndexFunc(reasonCodes, func(c struct {
		reason Reason
		code   int
	}) bool {
		return c.reason == r
	})
	if i < 0 {
		return 0
	}
	return reasonCodes[i].code
}

// reasonOf is the reason with a number. Those that this package does not give, as
// others may have put them into a list, are Unspecified.
func reasonOf(code int) Reason {
	for _, r := range reasonCodes {
		if r.code == code {
			return r.reason
		}
	}
	return Unspecified
}
