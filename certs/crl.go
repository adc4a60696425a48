package certs

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
)

// maxList bounds the file of a revocation list: more than 300,000 entries.
const maxList = 16 << 20

// maxCRLs bounds how many there are: they are compared with each other.
const maxCRLs = 1024

func tooManyLists(n int) *Error {
	return reasonf("there are %d revocation lists, want at most %d", n, maxCRLs)
}

// maxSkew is how far ahead of ours the clock of who issued a list may be.
const maxSkew = 5 * time.Minute

// A CRL is one revocation list of one authority (RFC 5280, section 5), complete and
// direct. It is made by [ParseCRLs] and does not change. Its signature is checked
// when a certificate of the authority is at hand, at the latest when a peer's chain
// is checked against it; a list that an authority has not signed counts for nothing.
type CRL struct {
	file       string // where it came from, may be empty
	issuer     string // RawIssuer, DER
	issuerName string // for people
	keyID      []byte // authority key identifier, may be empty
	number     *big.Int
	thisUpdate time.Time
	nextUpdate time.Time // zero: the list does not say
	scope      crlScope
	scopeID    string              // equal for lists that replace each other
	entries    map[string]crlEntry // by serialKey
	digest     [sha256.Size]byte
	proof      *proof
}

// crlEntry is why a certificate is on a list.
type crlEntry struct {
	at     int64 // seconds since 1970
	reason int8  // RFC 5280, section 5.3.1
}

// ParseCRLs reads revocation lists: one in DER form, or any number as PEM blocks
// (X509 CRL). It refuses what could not be relied on: a list without a number, a
// delta list, an indirect one or one for some reasons only, critical extensions that
// it does not know, signatures with MD5 or SHA-1. It does not check signatures and
// dates: they depend on the authority and on the moment.
func ParseCRLs(data []byte) ([]*CRL, error) {
	all, e := parseCRLs(data)
	if e != nil {
		return nil, e
	}
	return all, nil
}

func parseCRLs(data []byte) ([]*CRL, *Error) {
	if len(data) <= maxList && isSequence(data) {
		l, e := newCRL(data)
		if e != nil {
			return nil, e
		}
		return []*CRL{l}, nil
	}
	blocks, e := scanPEM(data, wantCRL)
	if e != nil {
		return nil, e
	}
	var all []*CRL
	for _, b := range blocks {
		if b.label != "X509 CRL" {
			return nil, wrongLabel(b, wantCRL)
		}
		if len(b.headers) > 0 {
			return nil, reasonf("line %d: a revocation list has no header lines", b.line)
		}
		der, e := b.decode()
		if e != nil {
			return nil, e
		}
		l, e := newCRL(der)
		if e != nil {
			e.Reason = fmt.Sprintf("line %d: %s", b.line, e.Reason)
			return nil, e
		}
		all = append(all, l)
	}
	if len(all) > maxCRLs {
		return nil, tooManyLists(len(all))
	}
	return all, nil
}

// isSequence reports whether data is one ASN.1 sequence, as a list in DER form is.
func isSequence(data []byte) bool {
	var seq asn1.RawValue
	rest, err := asn1.Unmarshal(data, &seq)
	return err == nil && len(rest) == 0 && seq.Tag == asn1.TagSequence && seq.Class == asn1.ClassUniversal
}

// Extensions of lists and of their entries: RFC 5280, sections 5.2 and 5.3.
var (
	oidCRLNumber         = asn1.ObjectIdentifier{2, 5, 29, 20}
	oidReasonCode        = asn1.ObjectIdentifier{2, 5, 29, 21}
	oidHoldInstruction   = asn1.ObjectIdentifier{2, 5, 29, 23}
	oidInvalidityDate    = asn1.ObjectIdentifier{2, 5, 29, 24}
	oidDeltaCRL          = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidDistributionPoint = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidCertificateIssuer = asn1.ObjectIdentifier{2, 5, 29, 29}
	oidAuthorityKeyID    = asn1.ObjectIdentifier{2, 5, 29, 35}
)

// newCRL reads one ASN.1 item.
func newCRL(der []byte) (*CRL, *Error) {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		if _, err := x509.ParseCertificate(der); err == nil {
			return nil, reasonf("holds a certificate, want a revocation list")
		}
		e := reasonf("revocation list does not parse: %s", plain(err))
		if strings.Contains(err.Error(), "unsupported crl version") {
			e = reasonf("revocation list is not of version 2: others have no number, by which an older one would be recognized").
				fix("have the authority issue version 2; for openssl ca, set crlnumber and crl_extensions in its configuration")
		}
		e.Err = err
		return nil, e
	}
	name := list.Issuer.String()
	l := &CRL{
		issuer: string(list.RawIssuer), issuerName: short(name), keyID: list.AuthorityKeyId, number: list.Number,
		thisUpdate: list.ThisUpdate.UTC(), nextUpdate: list.NextUpdate.UTC(), digest: sha256.Sum256(list.Raw),
	}
	if list.NextUpdate.IsZero() {
		l.nextUpdate = time.Time{}
	}
	switch {
	case name == "":
		return nil, reasonf("revocation list does not name who issued it")
	case list.Number == nil:
		return nil, reasonf("revocation list of %s has no number (RFC 5280, section 5.2.3), by which an older one would be recognized", l.issuerName).
			fix("have the authority number its lists; for openssl ca, set crlnumber in its configuration")
	case list.Number.Sign() < 0 || list.Number.BitLen() > 8*20:
		return nil, reasonf("revocation list of %s has the number %s, want 0 or more and at most 20 bytes", l.issuerName, short(list.Number.String()))
	case !l.nextUpdate.IsZero() && l.nextUpdate.Before(l.thisUpdate):
		return nil, reasonf("%s ends before it begins, on %s", l, day(l.nextUpdate))
	case weak(list.SignatureAlgorithm):
		return nil, reasonf("%s is signed with %s, want SHA-256 or better with ECDSA, Ed25519 or RSA", l, list.SignatureAlgorithm).
			fix("have the authority sign its lists with a current algorithm; for openssl ca, default_md = sha256")
	}
	if e := l.takeExtensions(list); e != nil {
		return nil, e
	}
	l.scopeID = l.scope.id()
	if e := l.takeEntries(list.RevokedCertificateEntries); e != nil {
		return nil, e
	}
	l.proof = &proof{unsigned: &x509.RevocationList{RawTBSRevocationList: list.RawTBSRevocationList, Signature: list.Signature, SignatureAlgorithm: list.SignatureAlgorithm}}
	return l, nil
}

func weak(a x509.SignatureAlgorithm) bool {
	switch a {
	case x509.UnknownSignatureAlgorithm, x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.DSAWithSHA256, x509.ECDSAWithSHA1:
		return true
	}
	return false
}

// takeExtensions reads what the list is complete for.
func (l *CRL) takeExtensions(list *x509.RevocationList) *Error {
	for i, x := range list.Extensions {
		if slices.ContainsFunc(list.Extensions[:i], func(y pkix.Extension) bool { return y.Id.Equal(x.Id) }) {
			return reasonf("%s has the extension %v twice", l, x.Id)
		}
		switch {
		case x.Id.Equal(oidCRLNumber), x.Id.Equal(oidAuthorityKeyID):
		case x.Id.Equal(oidDeltaCRL):
			return reasonf("%s is a delta list: it holds only what has changed since another list", l).fix("give the complete list")
		case x.Id.Equal(oidDistributionPoint):
			scope, e := parseScope(x.Value)
			if e != nil {
				e.Reason = fmt.Sprintf("%s %s", l, e.Reason)
				return e
			}
			l.scope = scope
		case x.Critical:
			return reasonf("%s has the critical extension %v, which is not known here, so that it may not be used (RFC 5280, section 5.2)", l, x.Id)
		}
	}
	return nil
}

// takeEntries makes the map. All serial numbers share one string, so that a long
// list is not a hundred thousand small allocations that live as long as it does.
func (l *CRL) takeEntries(list []x509.RevocationListEntry) *Error {
	var serials []byte
	ends := make([]int, len(list))
	for i := range list {
		r := &list[i]
		for _, x := range r.Extensions {
			switch {
			case x.Id.Equal(oidCertificateIssuer):
				return reasonf("%s is an indirect list: the entry for serial number %s names another authority", l, serialText(r.SerialNumber)).
					fix("give each authority's own list")
			case x.Id.Equal(oidReasonCode), x.Id.Equal(oidHoldInstruction), x.Id.Equal(oidInvalidityDate):
			case x.Critical:
				return reasonf("%s has, at serial number %s, the critical extension %v, which is not known here, so that it may not be used (RFC 5280, section 5.3)", l, serialText(r.SerialNumber), x.Id)
			}
		}
		serials = appendSerial(serials, r.SerialNumber)
		ends[i] = len(serials)
	}
	text, from := string(serials), 0
	l.entries = make(map[string]crlEntry, len(list))
	for i := range list {
		reason := int8(0)
		if r := list[i].ReasonCode; r > 0 && r < len(reasons) {
			reason = int8(r)
		}
		key := text[from:ends[i]]
		if _, ok := l.entries[key]; !ok {
			l.entries[key] = crlEntry{list[i].RevocationTime.Unix(), reason}
		}
		from = ends[i]
	}
	return nil
}

// appendSerial appends what identifies a serial number. Those of certificates are
// positive (RFC 5280, section 4.1.2.2); should one not be, it is still another one.
func appendSerial(b []byte, n *big.Int) []byte {
	if n.Sign() < 0 {
		b = append(b, 0, '-')
	}
	at, size := len(b), (n.BitLen()+7)/8
	b = append(b, make([]byte, size)...)
	n.FillBytes(b[at:])
	return b
}

// find looks a certificate up.
func (l *CRL) find(serial []byte) (crlEntry, bool) {
	e, ok := l.entries[string(serial)]
	return e, ok
}

// until gives the last moment at which the list is fresh. It is zero when nothing
// says so, which NewRevocations does not let happen.
func (l *CRL) until(maxAge time.Duration) time.Time {
	until := l.nextUpdate
	if maxAge > 0 {
		if aged := l.thisUpdate.Add(maxAge); until.IsZero() || aged.Before(until) {
			until = aged
		}
	}
	return until
}

// early reports whether the list comes from the future.
func (l *CRL) early(now time.Time) bool { return now.Add(maxSkew).Before(l.thisUpdate) }

// String names the list for people.
func (l *CRL) String() string {
	return fmt.Sprintf("revocation list number %s of %s", l.number, l.issuerName)
}

// serialText shows a serial number.
func serialText(n *big.Int) string { return short(n.Text(16)) }

// reasons are RFC 5280's, section 5.3.1, by their numbers.
var reasons = []string{
	0: "", 1: "key compromise", 2: "CA compromise", 3: "affiliation changed", 4: "superseded", 5: "cessation of operation",
	6: "on hold", 7: "", 8: "removed from the list", 9: "privilege withdrawn", 10: "attribute authority compromise",
}

func (e crlEntry) String() string {
	text := day(time.Unix(e.at, 0))
	if why := reasons[e.reason]; why != "" {
		text += " (" + why + ")"
	}
	return text
}
