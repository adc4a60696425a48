package validator

import "strings"

// A Peer describes peers who are let in. Make one with AnyIdentity, Named, Role,
// PrincipalIs or IssuedBy; the zero Peer is nobody and refused by New.
type Peer struct {
	admits func(*Identity) bool
	text   string
	err    error
}

// String describes the peers, for logs.
func (p Peer) String() string {
	if p.admits == nil {
		return "nobody"
	}
	return p.text
}

// AnyIdentity is everyone whom a trusted authority vouches for and whose certificate
// maps to an identity. It is enough where rules decide about each call.
func AnyIdentity() Peer {
	return Peer{admits: func(*Identity) bool { return true }, text: "any identity"}
}

// Named is the peer with this name: what mapping rules give or, without any, the
// principal, like "email:alice@bank.example".
func Named(name string) Peer {
	p := Peer{admits: func(id *Identity) bool { return id.Name == name }, text: "name " + plain(name)}
	if err := checkIdentityText(name); err != nil {
		p.err = failf("", "the name %s %s", quote(name), inner(err))
	}
	return p
}

// Role is everyone who has the role.
func Role(role string) Peer {
	return Peer{admits: func(id *Identity) bool { return id.HasRole(role) }, text: "role " + plain(role), err: checkRole(role)}
}

// PrincipalIs is whoever's deciding name is p. With an issuer in p only that trust
// anchor counts.
func PrincipalIs(p Principal) Peer {
	peer := Peer{admits: func(id *Identity) bool { return p.Matches(id.Principal) }, text: shown(p)}
	if _, err := ParsePrincipal(p.String()); err != nil {
		peer.err = err
	} else if p.Issuer != "" {
		peer.text += " by " + plain(p.Issuer)
		peer.err = checkIssuer(p.Issuer)
	}
	return peer
}

// IssuedBy narrows other to those whom one trust anchor vouches for, by IssuerOf.
func IssuedBy(issuer string, other Peer) Peer {
	peer := Peer{text: other.text + " by " + plain(issuer), err: other.err}
	if other.admits != nil {
		peer.admits = func(id *Identity) bool { return id.Principal.Issuer == issuer && other.admits(id) }
	}
	if err := checkIssuer(issuer); err != nil && peer.err == nil {
		peer.err = err
	}
	return peer
}

// checkIdentityText checks how a rule refers to one peer: by a name or a principal.
// The error is the second half of a sentence.
func checkIdentityText(s string) error {
	kind, _, colon := strings.Cut(s, ":")
	if colon && checkers[Kind(kind)] != nil {
		if _, err := ParsePrincipal(s); err != nil {
			return failf("", "is no principal: %s", inner(err))
		}
		return nil
	}
	return checkLabel(s)
}
