package ca

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

// Deny is the deny list that was written beside the revocation lists, for daemons that
// read it: it says the same without an end of its own, and refuses keys and principals
// too.
type Deny struct {
	File    string `json:"file"` // DenyFile in the CA's directory
	Number  uint64 `json:"number"`
	Entries int    `json:"entries"`
}

// denyLines are the entries of the deny list. expired has those that are not needed any
// more, because nobody accepts the certificate anyway.
func (s *site) denyLines(now time.Time) (lines, expired []string) {
	for _, c := range s.ledger.Certificates {
		entry := denySerial(c, s.keyOfIssuer(c.Issuer)) + " # " + c.comment()
		if now.After(c.NotAfter) {
			expired = append(expired, entry)
		} else {
			lines = append(lines, entry)
		}
	}
	for _, k := range s.ledger.Keys {
		lines = append(lines, fmt.Sprintf("key %s # %s", k.SPKI, k.Reason))
	}
	for _, p := range s.ledger.Principals {
		lines = append(lines, fmt.Sprintf("principal %s # %s", p.Principal, p.Reason))
	}
	return lines, expired
}

func denySerial(c Revocation, issuer string) string {
	serial, _ := parseSerial(c.Serial) // readLedger has looked
	if issuer == "" {
		return fmt.Sprintf("serial %x", serial) // its files are gone
	}
	return fmt.Sprintf("serial %x issuer %s", serial, issuer)
}

// keyOfIssuer is the fingerprint of the key that signed a certificate.
func (s *site) keyOfIssuer(id string) string {
	for _, a := range s.authorities {
		for _, c := range []*x509.Certificate{a.intermediate, a.root} {
			if issuerID(c) == id {
				return fingerprint(c.RawSubjectPublicKeyInfo)
			}
		}
	}
	return ""
}

// comment is what a daemon's log says beside the refusal. Names that came from a
// certificate and not from us could end the line.
func (c *Revocation) comment() string {
	if checkBase(c.Name) != nil {
		return string(c.Reason)
	}
	return string(c.Reason) + ", " + c.Name
}

// writeDeny writes the deny list anew. Entries that somebody has added by hand stay.
func (w *listWriter) writeDeny() error {
	l, path := w.site.ledger, filepath.Join(w.site.dir, DenyFile)
	before, err := readDeny(path)
	if err != nil {
		return err
	}
	lines, expired := w.site.denyLines(w.now)
	number := l.DenyNumber
	if before != nil {
		number = max(number, before.Number())
		lines = append(lines, foreign(before, append(append(expired, lines...), w.lifted...))...)
	}
	l.DenyNumber = number + 1
	// As with the revocation lists, no number is used twice.
	if err := l.save(w.site.dir); err != nil {
		return err
	}
	head := []string{
		"# Written by mkcerts. Lines that you add stay; give the list a larger number then.",
		fmt.Sprintf("number %d", l.DenyNumber),
		"issued " + w.now.UTC().Format(time.RFC3339),
	}
	text := strings.Join(append(append(head, maxAge(before)...), lines...), "\n") + "\n"
	list, err := certs.ParseDenyList([]byte(text))
	if err != nil {
		return &failure{File: path, Reason: "internal error: the deny list would not be understood: " + err.Error(), Err: err}
	}
	w.res.Deny = Deny{File: path, Number: list.Number(), Entries: list.Len()}
	return replace(path, []byte(text), 0o644)
}

// maxAge is the line of a list that says how long it is good for, if it does.
func maxAge(list *certs.DenyList) []string {
	if list != nil {
		for line := range strings.Lines(list.String()) {
			if strings.HasPrefix(line, "max-age ") {
				return []string{strings.TrimSuffix(line, "\n")}
			}
		}
	}
	return nil
}

// readDeny reads the deny list that is there; nil if there is none.
func readDeny(path string) (*certs.DenyList, error) {
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fileError(path, "cannot be read", err)
	}
	list, err := certs.ParseDenyList(data)
	if err != nil {
		return nil, withFix(named(path, err), "mend that line, or move the file away, and run: mkcerts crl")
	}
	return list, nil
}

// foreign gives the entries of a list that are not among ours.
func foreign(list *certs.DenyList, ours []string) (lines []string) {
	known := make(map[string]bool)
	for _, line := range ours {
		entry, _, _ := strings.Cut(line, " #")
		known[entry] = true
	}
	for line := range strings.Lines(list.String()) {
		line = strings.TrimSuffix(line, "\n")
		entry, _, _ := strings.Cut(line, " #")
		switch word, _, _ := strings.Cut(entry, " "); {
		case word == "number", word == "issued", word == "max-age", known[entry]:
		default:
			lines = append(lines, line)
		}
	}
	return lines
}

// deniable are the names of a certificate that a broker takes for an identity, and so a
// deny list too: all but addresses.
func deniable(sans []string) (all []string) {
	for _, san := range sans {
		if p, err := validator.ParsePrincipal(san); err == nil && p.String() == san {
			all = append(all, san)
		}
	}
	return all
}
