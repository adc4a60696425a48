package ca

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Entry is one certificate in the index of a CA's directory.
type Entry struct {
	Name      string    `json:"name"`
	Serial    string    `json:"serial"` // hexadecimal
	SANs      []string  `json:"sans"`   // kind:value
	Purposes  []Purpose `json:"purposes"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	SPKI      string    `json:"spki_sha256"` // of its public key, hexadecimal
	File      string    `json:"file"`        // its certificate
	// Issuer is the key id of the intermediate that signed it, hexadecimal.
	Issuer string `json:"issuer_key_id,omitempty"`

	// List and Look fill in the rest.

	CA        string    `json:"ca,omitempty"` // name of the CA; "" if its files are gone
	State     State     `json:"state,omitempty"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
	Reason    Reason    `json:"reason,omitempty"` // of the revocation
	// Unlisted is whether no revocation list says yet that it was revoked.
	Unlisted bool `json:"unlisted,omitempty"`
}

// State is what has become of a certificate.
type State string

// The states, of which the first that holds counts.
const (
	StateRevoked State = "revoked" // it was, or its key was
	StateExpired State = "expired"
	StateCut     State = "cut off" // its intermediate was revoked, or its root removed
	StateRenewed State = "renewed" // another one is in its place; peers still accept it
	StateLive    State = "live"
)

func entryOf(name, file string, c *x509.Certificate) Entry {
	return Entry{
		Name: name, Serial: serialOf(c), SANs: sansOf(c), Purposes: purposesOf(c),
		NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), SPKI: fingerprint(c.RawSubjectPublicKeyInfo), File: file,
		Issuer: hex.EncodeToString(c.AuthorityKeyId),
	}
}

// line is an entry as the index has it.
type line struct {
	Entry
	// AskedSeconds is how long the certificate was to be valid, when the CA's end has
	// made that shorter; else 0.
	AskedSeconds int64 `json:"asked_seconds,omitempty"`
}

func serialOf(c *x509.Certificate) string { return fmt.Sprintf("%x", c.SerialNumber) }

func fingerprint(spki []byte) string {
	sum := sha256.Sum256(spki)
	return hex.EncodeToString(sum[:])
}

// purposesOf gives the purposes of a certificate that this package knows.
func purposesOf(c *x509.Certificate) (all []Purpose) {
	for _, p := range purposes {
		for _, u := range c.ExtKeyUsage {
			if u == p.usage {
				all = append(all, p.purpose)
			}
		}
	}
	return all
}

// record adds to the index, which keeps every certificate that was ever issued. asked is
// how long it was to be valid, if the CA's end has made that shorter.
func record(dir string, e Entry, asked time.Duration) error {
	path := filepath.Join(dir, indexFile)
	e.CA, e.State, e.RevokedAt, e.Reason, e.Unlisted = "", "", time.Time{}, "", false
	e.File = storedFile(dir, e.File)
	text, err := json.Marshal(line{e, int64(asked / time.Second)})
	if err != nil {
		return fileError(path, "cannot be written", err)
	}
	isNew := !exists(path)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fileError(path, "cannot be opened", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > 0 {
		// A line that a crash cut short must not swallow this one.
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' {
			text = append([]byte{'\n'}, text...)
		}
	}
	if _, err := f.Write(append(text, '\n')); err != nil {
		return fileError(path, "cannot be written", err)
	}
	if err := f.Sync(); err != nil {
		return fileError(path, "cannot be written", err)
	}
	if isNew {
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	reached("record", path)
	return nil
}

// storedFile is how the index names a file, so that it is found from another working
// directory: what is in the CA's directory from there, anything else in full.
func storedFile(dir, file string) string {
	if file == "" {
		return ""
	}
	base, err := filepath.Abs(dir)
	if err != nil {
		return file
	}
	full, err := filepath.Abs(file)
	if err != nil {
		return file
	}
	if rel, err := filepath.Rel(base, full); err == nil && filepath.IsLocal(rel) {
		return filepath.ToSlash(rel)
	}
	return full
}

// foundFile is the file that the index names. Earlier versions wrote the path as it
// was typed.
func foundFile(dir, stored string) string {
	path := filepath.FromSlash(stored)
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	inside := filepath.Join(dir, path)
	for _, candidate := range []string{inside, path, filepath.Join(dir, filepath.Base(path))} {
		if exists(candidate) {
			return candidate
		}
		if filepath.Dir(path) == "." {
			break
		}
	}
	return inside
}

// readIndex gives every certificate that was ever issued, oldest first, with the paths
// of its files. A line that a crash cut short is passed over; the certificate itself
// had not been written then.
func (s *site) readIndex() ([]line, error) {
	path := filepath.Join(s.dir, indexFile)
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fileError(path, "cannot be read", err)
	}
	first := ""
	if a := s.authority(firstAuthority); a != nil {
		first = issuerID(a.intermediate)
	}
	var all []line
	in := bufio.NewScanner(bytes.NewReader(data))
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var l line
		if json.Unmarshal(in.Bytes(), &l) != nil || l.Serial == "" {
			continue
		}
		if l.Issuer == "" {
			l.Issuer = first // it was written when there was no other
		}
		l.File = foundFile(s.dir, l.File)
		all = append(all, l)
	}
	if err := in.Err(); err != nil {
		return nil, fileError(path, "cannot be read", err)
	}
	return all, nil
}

// List gives what a directory's CA has issued, oldest first, and what has become of
// each. To tell which certificates were renewed it looks at their files.
func List(dir string) ([]Entry, error) {
	s, err := openSite(dir)
	if err != nil {
		return nil, err
	}
	all, err := s.index()
	if err != nil {
		return nil, err
	}
	return entriesOf(all), nil
}

func entriesOf(all []line) (entries []Entry) {
	for _, l := range all {
		entries = append(entries, l.Entry)
	}
	return entries
}

// index is readIndex with the states.
func (s *site) index() ([]line, error) {
	all, err := s.readIndex()
	if err != nil {
		return nil, err
	}
	p, now := placesOf(all), time.Now()
	for i := range all {
		s.judge(&all[i].Entry, p.holds(all[i].Entry), now)
	}
	return all, nil
}

// judge fills in what has become of a certificate. inPlace is whether no other one is in
// its place.
func (s *site) judge(e *Entry, inPlace bool, now time.Time) {
	issuer := s.issuerOf(e.Issuer)
	if issuer != nil {
		e.CA = caName(issuer.root)
	}
	if r := s.ledger.of(*e); r != nil {
		e.RevokedAt, e.Reason = r.At, r.Reason
		e.Unlisted = now.Before(e.NotAfter) && (!exists(filepath.Join(s.dir, CRLFile)) || s.ledger.Lists[e.Issuer].Issued.Before(r.At))
	}
	switch {
	case !e.RevokedAt.IsZero():
		e.State = StateRevoked
	case now.After(e.NotAfter):
		e.State = StateExpired
	case !s.isTrusted(issuer), s.ledger.revokedAuthority(issuer) != nil:
		e.State = StateCut
	case !inPlace:
		e.State = StateRenewed
	default:
		e.State = StateLive
	}
}

// judgeAuthority is judge for a root, or for an intermediate.
func (s *site) judgeAuthority(e *Entry, a *authorityCerts, isRoot bool) {
	e.CA = caName(a.root)
	if r := s.ledger.revokedAuthority(a); r != nil && !isRoot {
		e.RevokedAt, e.Reason = r.At, r.Reason
	}
	switch {
	case !e.RevokedAt.IsZero():
		e.State = StateRevoked
	case time.Now().After(e.NotAfter):
		e.State = StateExpired
	case !s.isTrusted(a):
		e.State = StateCut
	case !isRoot && a.root.Equal(s.issuing().root) && a != s.issuing():
		e.State = StateRenewed
	default:
		e.State = StateLive
	}
}

// caName is what a CA's certificates have in common in their names.
func caName(root *x509.Certificate) string {
	return strings.TrimSuffix(root.Subject.CommonName, " root")
}

// Look says what has become of a certificate that the CA in a directory has issued, or
// that is one of its own: nil if it is of another one.
func Look(dir string, c *x509.Certificate) (*Entry, error) {
	s, err := openSite(dir)
	if err != nil {
		return nil, err
	}
	all, err := s.index()
	if err != nil {
		return nil, err
	}
	e := entryOfCertificate(c)
	if i := slices.IndexFunc(all, func(l line) bool { return l.is(e) }); i >= 0 {
		return &all[i].Entry, nil
	}
	if i := slices.IndexFunc(s.authorities, func(a *authorityCerts) bool { return c.Equal(a.intermediate) || c.Equal(a.root) }); i >= 0 {
		s.judgeAuthority(&e, s.authorities[i], c.Equal(s.authorities[i].root))
		return &e, nil
	}
	if of := s.issuerOf(e.Issuer); of == nil || !signedBy(c, of.intermediate) {
		return nil, nil
	}
	s.judge(&e, true, time.Now())
	return &e, nil
}

// places says which certificate each file holds, by its full path.
type places struct {
	held map[string]string // serial number in the file; "" if there is none
	last map[string]string // serial number of the last entry
}

func placesOf(all []line) places {
	p := places{held: make(map[string]string), last: make(map[string]string)}
	for _, l := range all {
		at := fullPath(l.File)
		if _, known := p.held[at]; !known {
			p.held[at] = ""
			if chain, err := readChain(at); err == nil {
				p.held[at] = serialOf(chain[0])
			}
		}
		p.last[at] = l.Serial
	}
	return p
}

func fullPath(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}

// inPlace reports whether the file of an entry holds its certificate.
func (p places) inPlace(e Entry) bool { return p.held[fullPath(e.File)] == e.Serial }

// holds reports whether an entry is the one for its file. A file may be elsewhere by
// now: then it is the last one.
func (p places) holds(e Entry) bool {
	at := fullPath(e.File)
	return p.inPlace(e) || p.held[at] == "" && p.last[at] == e.Serial
}
