package broker

import (
	"crypto/rand"
	"encoding/base32"
)

// crockford has no letters that are taken for digits or for each other.
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// newIncident returns an id that joins the two sides of a refusal, "7QX2-M4PD".
func newIncident() string {
	var b [5]byte
	rand.Read(b[:])
	s := crockford.EncodeToString(b[:])
	return s[:4] + "-" + s[4:]
}

// newSessionID returns the id of a connection: 80 random bits.
func newSessionID() string {
	var b [10]byte
	rand.Read(b[:])
	return crockford.EncodeToString(b[:])
}
