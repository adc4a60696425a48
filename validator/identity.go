package validator

import (
	"slices"
	"time"
)

// An Identity is who the other side of a connection is. It comes from a verified
// certificate chain and from nothing else. Whoever gets one must not change its
// slices.
type Identity struct {
	// Principal is the name in the certificate that decided.
	Principal Principal
	// Name is what mapping rules call this peer; without rules it is
	// Principal.String().
	Name string
	// Roles are given by mapping rules, sorted.
	Roles []string
	// Principals are all names of the certificate that could have counted.
	Principals []Principal
	// Serial is the certificate's serial number in hexadecimal. It is unique only
	// together with the authority that issued the certificate.
	Serial string
	// NotAfter is when the first certificate of the chain expires, and the identity
	// with it.
	NotAfter time.Time
	// SPKI is the SHA-256 of the certificate's public key, in hexadecimal.
	SPKI string
}

// HasRole reports whether a mapping rule gave the role to this identity.
func (id *Identity) HasRole(role string) bool { return slices.Contains(id.Roles, role) }

// String gives the name.
func (id *Identity) String() string { return id.Name }
