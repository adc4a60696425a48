package certs

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"strings"
	"time"

	"github.com/pyrossl/pyrossl/validator"
)

// match looks for an entry that one of a verified chain's certificates meets. what
// completes "certificate for X", and is for the peer.
func (d *DenyList) match(chain []*x509.Certificate) (e *denyEntry, what string) {
	if len(d.entries) == 0 {
		return nil, ""
	}
	var buffer [maxDenySerial]byte
	for i, c := range chain {
		if len(d.keys) > 0 {
			if e := d.keys[sha256.Sum256(c.RawSubjectPublicKeyInfo)]; e != nil {
				if i == 0 {
					return e, "its key"
				}
				return e, fmt.Sprintf("the key of its authority %s", subject(c))
			}
		}
		if len(d.serials) > 0 && i < len(chain)-1 { // the anchor's number is its own choice
			for _, e := range d.serials[string(appendSerial(buffer[:0], c.SerialNumber))] {
				if e.byIssuer && e.key != sha256.Sum256(chain[i+1].RawSubjectPublicKeyInfo) {
					continue
				}
				if i == 0 {
					return e, "its serial number"
				}
				return e, fmt.Sprintf("the serial number of its authority %s", subject(c))
			}
		}
	}
	if len(d.principals) == 0 {
		return nil, ""
	}
	if e = d.matchName(chain[0]); e != nil {
		return e, "its name " + short(e.principal.String())
	}
	return nil, ""
}

var (
	oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidCommonName     = asn1.ObjectIdentifier{2, 5, 4, 3}
)

// nameKinds are the names that are principals, by their tags (RFC 5280, section
// 4.2.1.6).
var nameKinds = map[int]validator.Kind{1: validator.Email, 2: validator.DNS, 6: validator.URI}

// matchName compares each name by itself. validator.Principals would give none as
// soon as one is unusual, which must not save the others; and the names of
// x509.Certificate have been through net/url.
func (d *DenyList) matchName(leaf *x509.Certificate) *denyEntry {
	for _, a := range leaf.Subject.Names {
		if text, ok := a.Value.(string); ok && a.Type.Equal(oidCommonName) {
			if e := d.principals[validator.Principal{Kind: validator.CN, Value: text}]; e != nil {
				return e
			}
		}
	}
	for _, x := range leaf.Extensions {
		if !x.Id.Equal(oidSubjectAltName) {
			continue
		}
		var names asn1.RawValue
		if _, err := asn1.Unmarshal(x.Value, &names); err != nil {
			continue // crypto/x509 has refused the certificate
		}
		for rest := names.Bytes; len(rest) > 0; {
			var name asn1.RawValue
			var err error
			if rest, err = asn1.Unmarshal(rest, &name); err != nil {
				break
			}
			kind := nameKinds[name.Tag]
			if name.Class != asn1.ClassContextSpecific || kind == "" {
				continue
			}
			if e := d.principals[validator.Principal{Kind: kind, Value: oneSpelling(kind, string(name.Bytes))}]; e != nil {
				return e
			}
		}
	}
	return nil
}

// oneSpelling is how package validator spells a name: hosts in lower case.
func oneSpelling(kind validator.Kind, name string) string {
	switch kind {
	case validator.DNS:
		return strings.TrimSuffix(strings.ToLower(name), ".")
	case validator.Email:
		if local, domain, ok := strings.Cut(name, "@"); ok {
			return local + "@" + strings.ToLower(domain)
		}
	}
	return name
}

// until gives the last moment at which the list is fresh, zero if it does not age.
func (d *DenyList) until() time.Time {
	if d.maxAge == 0 {
		return time.Time{}
	}
	return d.issued.Add(d.maxAge)
}
