package ca

import (
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// ledgerFile says what was revoked, and which number the last lists had. It is
// replaced at once, and entries are never taken out: what was revoked stays revoked. Only
// names can be admitted again.
const ledgerFile = "revoked.json"

type ledger struct {
	Version      int                   `json:"version"`
	Certificates []Revocation          `json:"certificates"`
	Keys         []revokedKey          `json:"keys"`
	Principals   []revokedPrincipal    `json:"principals"`
	Lists        map[string]listRecord `json:"lists"`       // by the key id of who signs
	DenyNumber   uint64                `json:"deny_number"` // of the last deny list
	// ListSeconds is how long lists are good for, as it was last asked for.
	ListSeconds int64 `json:"list_seconds,omitempty"`
	// Roots are the roots that publish lists, by key id.
	Roots []string `json:"roots,omitempty"`
}

// Revocation is one certificate that was revoked.
type Revocation struct {
	Name     string    `json:"name"`          // as in the index; the subject of an authority's
	Serial   string    `json:"serial"`        // hexadecimal
	Issuer   string    `json:"issuer_key_id"` // of the authority that signed it, hexadecimal
	SANs     []string  `json:"sans"`          // kind:value: the principals that it proves
	SPKI     string    `json:"spki_sha256"`   // of its public key, hexadecimal
	NotAfter time.Time `json:"not_after"`
	At       time.Time `json:"revoked_at"`
	Reason   Reason    `json:"reason"`
}

// revokedKey is a key that no certificate is issued for any more.
type revokedKey struct {
	SPKI   string    `json:"spki_sha256"`
	At     time.Time `json:"revoked_at"`
	Reason Reason    `json:"reason"`
}

// revokedPrincipal is a name that nobody is to prove any more, whoever signs for it.
type revokedPrincipal struct {
	Principal string    `json:"principal"` // kind:value
	At        time.Time `json:"revoked_at"`
	Reason    Reason    `json:"reason"`
}

// listRecord is what is kept of the last list of an authority. The number is written
// before the list is signed, so that no number is ever used twice.
type listRecord struct {
	Number uint64    `json:"number"`
	Issued time.Time `json:"issued"` // by our clock, when the list was last in its file; zero if never
}

func readLedger(dir string) (*ledger, error) {
	l := &ledger{Version: 1, Lists: make(map[string]listRecord)}
	path := filepath.Join(dir, ledgerFile)
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return l, nil
	case err != nil:
		return nil, fileError(path, "cannot be read", err)
	}
	damaged := func(err error) error {
		return &failure{File: path, Reason: "cannot be understood, so that nobody knows what was revoked: " + err.Error(), Fix: "put back the last copy of it", Err: err}
	}
	if err := strictJSON(data, l); err != nil {
		return nil, damaged(err)
	}
	if l.Version != 1 {
		return nil, damaged(fmt.Errorf("it is of version %d, and this program knows version 1 only", l.Version))
	}
	for _, c := range l.Certificates {
		if _, ok := parseSerial(c.Serial); !ok {
			return nil, damaged(fmt.Errorf("serial number %q", c.Serial))
		}
	}
	if l.Lists == nil {
		l.Lists = make(map[string]listRecord)
	}
	return l, nil
}

func (l *ledger) save(dir string) error { return saveJSON(dir, ledgerFile, l) }

// certificate finds the revocation of a certificate.
func (l *ledger) certificate(issuer, serial string) *Revocation {
	i := slices.IndexFunc(l.Certificates, func(c Revocation) bool { return c.Serial == serial && c.Issuer == issuer })
	if i < 0 {
		return nil
	}
	return &l.Certificates[i]
}

// key finds the revocation of a key.
func (l *ledger) key(spki string) *revokedKey {
	i := slices.IndexFunc(l.Keys, func(k revokedKey) bool { return k.SPKI == spki })
	if i < 0 {
		return nil
	}
	return &l.Keys[i]
}

// principal finds the first of a certificate's names that was revoked.
func (l *ledger) principal(sans []string) *revokedPrincipal {
	if l == nil { // of a CA without files
		return nil
	}
	i := slices.IndexFunc(l.Principals, func(p revokedPrincipal) bool { return slices.Contains(sans, p.Principal) })
	if i < 0 {
		return nil
	}
	return &l.Principals[i]
}

// of says why a certificate may not be used: it was revoked itself, or its key, or a
// name of it. It is nil when nothing is so.
func (l *ledger) of(e Entry) *Revocation {
	if r := l.certificate(e.Issuer, e.Serial); r != nil {
		return r
	}
	if k := l.key(e.SPKI); k != nil {
		r := revocationOf(e, k.At, k.Reason)
		return &r
	}
	if p := l.principal(e.SANs); p != nil {
		r := revocationOf(e, p.At, p.Reason)
		return &r
	}
	return nil
}

// revokedAuthority finds the revocation of an intermediate.
func (l *ledger) revokedAuthority(a *authorityCerts) *Revocation {
	return l.certificate(issuerID(a.root), serialOf(a.intermediate))
}

func revocationOf(e Entry, at time.Time, why Reason) Revocation {
	return Revocation{
		Name: e.Name, Serial: e.Serial, Issuer: e.Issuer, SANs: e.SANs, SPKI: e.SPKI, NotAfter: e.NotAfter, At: at, Reason: why,
	}
}

// take adds what an index holds of revoked keys and names: it must be on the lists,
// whether or not it was known when they were revoked.
func (l *ledger) take(index []Entry) {
	for _, e := range index {
		if r := l.of(e); r != nil && l.certificate(e.Issuer, e.Serial) == nil {
			l.Certificates = append(l.Certificates, *r)
		}
	}
}

// entryOfCertificate describes a certificate that may not be in the index.
func entryOfCertificate(c *x509.Certificate) Entry {
	name := c.Subject.CommonName
	if name == "" {
		name = "a certificate without a name"
	}
	return entryOf(name, "", c)
}

// parseSerial reads hexadecimal digits, with or without colons between pairs.
func parseSerial(s string) (*big.Int, bool) {
	digits := make([]byte, 0, len(s))
	for i := range len(s) {
		if s[i] == ':' && i%3 == 2 && i+1 < len(s) {
			continue
		}
		digits = append(digits, s[i])
	}
	if len(digits) == 0 || len(digits) > maxSerial {
		return nil, false
	}
	padded := digits
	if len(digits)%2 == 1 {
		padded = append([]byte{'0'}, digits...)
	}
	raw := make([]byte, len(padded)/2)
	if _, err := hex.Decode(raw, padded); err != nil {
		return nil, false
	}
	return new(big.Int).SetBytes(raw), true
}

// maxSerial is in hexadecimal digits: RFC 5280, section 4.1.2.2, has 20 bytes.
const maxSerial = 40
