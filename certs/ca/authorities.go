package ca

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// A directory begins with one authority: a root, and an intermediate that signs
// leaves. To renew the intermediate, or to roll to another root, adds one in a
// directory of its own, ca-2, ca-3 and so on: no key is ever overwritten. Which of
// them does what is said by one small file, which is replaced at once. Without that
// file there is the first authority only.

// authoritiesFile is that file.
const authoritiesFile = "authorities.json"

// firstAuthority is the number of the authority whose files are in the directory
// itself.
const firstAuthority = 1

// roles is what authoritiesFile holds.
type roles struct {
	Version int      `json:"version"`
	All     []int    `json:"authorities"` // by number, ascending
	Issuing int      `json:"issuing"`     // which signs leaves
	Roll    *rolling `json:"roll,omitempty"`
}

// rolling is a roll that has begun.
type rolling struct {
	From int      `json:"from"` // which issued when it began
	To   int      `json:"to"`
	Step RollStep `json:"step"`
}

// authorityCerts are the certificates of one authority.
type authorityCerts struct {
	number             int
	dir                string // where its files are
	root, intermediate *x509.Certificate
}

func (a *authorityCerts) path(name string) string { return filepath.Join(a.dir, name) }

// issuerID is how certificates name the key that signed them.
func issuerID(authority *x509.Certificate) string { return hex.EncodeToString(authority.SubjectKeyId) }

// site is a CA's directory as it was read: who signs, who is trusted, what was
// issued and what was revoked. It is read anew for each operation, and changed under
// the lock only.
type site struct {
	dir         string
	roles       roles
	authorities []*authorityCerts // by number, ascending
	ledger      *ledger
}

// openSite reads a directory. Reading takes no lock: each file is replaced at once,
// and the index only grows.
func openSite(dir string) (*site, error) {
	if !Exists(dir) {
		return nil, &failure{File: filepath.Join(dir, rootCert), Reason: "there is no CA in this directory", Fix: "mkcerts init", Err: ErrNoCA}
	}
	s := &site{dir: dir}
	var err error
	if s.roles, err = readRoles(dir); err != nil {
		return nil, err
	}
	for _, n := range s.roles.All {
		a, err := readAuthority(dir, n)
		if err != nil {
			if s.needed(n) {
				return nil, err
			}
			continue // whoever has no use for an old CA any more may remove its files
		}
		s.authorities = append(s.authorities, a)
	}
	if s.ledger, err = readLedger(dir); err != nil {
		return nil, err
	}
	return s, nil
}

// enterSite is openSite under the lock, for those who write; where write is false, only
// as openSite. leave is to be called at the end.
func enterSite(dir string, write bool) (s *site, leave func(), err error) {
	leave = func() {}
	if write && Exists(dir) { // nothing is made in a directory without a CA
		if leave, err = lock(dir); err != nil {
			return nil, nil, err
		}
	}
	if s, err = openSite(dir); err != nil {
		leave()
		return nil, nil, err
	}
	return s, leave, nil
}

// needed reports whether nothing works without an authority.
func (s *site) needed(n int) bool {
	return n == s.roles.Issuing || s.roles.Roll != nil && (n == s.roles.Roll.From || n == s.roles.Roll.To)
}

func readRoles(dir string) (roles, error) {
	r := roles{Version: 1, All: []int{firstAuthority}, Issuing: firstAuthority}
	path := filepath.Join(dir, authoritiesFile)
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return r, nil
	case err != nil:
		return r, fileError(path, "cannot be read", err)
	}
	r = roles{}
	if err := strictJSON(data, &r); err != nil {
		return r, &failure{File: path, Reason: "cannot be understood: " + err.Error(), Fix: "put back the last copy of it", Err: err}
	}
	if e := r.check(); e != "" {
		return r, &failure{File: path, Reason: e, Fix: "put back the last copy of it"}
	}
	return r, nil
}

// check says what is wrong.
func (r *roles) check() string {
	known := func(n int) bool { return slices.Contains(r.All, n) }
	switch {
	case r.Version != 1:
		return fmt.Sprintf("is of version %d, and this program knows version 1 only", r.Version)
	case len(r.All) == 0 || r.All[0] < firstAuthority || !slices.IsSorted(r.All):
		return fmt.Sprintf("lists the authorities %v, want their numbers in order", r.All)
	case !known(r.Issuing):
		return fmt.Sprintf("says that authority %d signs, which it does not list", r.Issuing)
	case r.Roll != nil && (!known(r.Roll.From) || !known(r.Roll.To)):
		return fmt.Sprintf("rolls from authority %d to %d, and does not list both", r.Roll.From, r.Roll.To)
	case r.Roll != nil && !slices.Contains([]RollStep{RollAdded, RollReissuing, RollRemoving}, r.Roll.Step):
		return fmt.Sprintf("is at step %q of a roll, want %s, %s or %s", r.Roll.Step, RollAdded, RollReissuing, RollRemoving)
	}
	return ""
}

// strictJSON refuses what it does not know: a field that is passed over might be the
// one that matters.
func strictJSON(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return errors.New("there is more behind it")
	}
	return nil
}

// saveJSON replaces a file of the directory.
func saveJSON(dir, name string, v any) error {
	path := filepath.Join(dir, name)
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fileError(path, "cannot be written", err)
	}
	return replace(path, append(data, '\n'), 0o644)
}

func (s *site) saveRoles() error { return saveJSON(s.dir, authoritiesFile, &s.roles) }

// authorityDir is where the files of an authority are.
func authorityDir(dir string, number int) string {
	if number == firstAuthority {
		return dir
	}
	return filepath.Join(dir, "ca-"+strconv.Itoa(number))
}

func readAuthority(dir string, number int) (*authorityCerts, error) {
	a := &authorityCerts{number: number, dir: authorityDir(dir, number)}
	var err error
	if a.root, err = readCert(a.path(rootCert)); err != nil {
		return nil, err
	}
	if a.intermediate, err = readCert(a.path(interCert)); err != nil {
		return nil, err
	}
	if err := a.intermediate.CheckSignatureFrom(a.root); err != nil {
		return nil, &failure{File: a.path(interCert), Reason: fmt.Sprintf("%s does not vouch for it: %v", rootCert, err), Fix: "make another CA in a directory of its own", Err: err}
	}
	return a, nil
}

// authority gives one by its number, nil if its files are gone.
func (s *site) authority(number int) *authorityCerts {
	for _, a := range s.authorities {
		if a.number == number {
			return a
		}
	}
	return nil
}

// issuing is the authority that signs leaves. openSite has seen to it that it is there.
func (s *site) issuing() *authorityCerts { return s.authority(s.roles.Issuing) }

// issuerOf gives the authority that signed a leaf, by the issuer in the index; nil if
// its files are gone.
func (s *site) issuerOf(issuer string) *authorityCerts {
	for _, a := range s.authorities {
		if issuerID(a.intermediate) == issuer {
			return a
		}
	}
	return nil
}

// roots are all roots that were ever this CA's, each once.
func (s *site) roots() (all []*x509.Certificate) {
	for _, a := range s.authorities {
		if !slices.ContainsFunc(all, a.root.Equal) {
			all = append(all, a.root)
		}
	}
	return all
}

// trusted are the roots that peers must trust now: two while a CA is rolled, until the
// old one is removed.
func (s *site) trusted() []*x509.Certificate {
	roll := s.roles.Roll
	switch {
	case roll == nil:
		return []*x509.Certificate{s.issuing().root}
	case roll.Step == RollRemoving:
		return []*x509.Certificate{s.authority(roll.To).root}
	}
	return []*x509.Certificate{s.authority(roll.From).root, s.authority(roll.To).root}
}

// isTrusted reports whether peers accept what an authority has signed.
func (s *site) isTrusted(a *authorityCerts) bool {
	return a != nil && slices.ContainsFunc(s.trusted(), a.root.Equal)
}

// rootKeyOf finds the key of a root, which is with the authority that was made with it.
func (s *site) rootKeyOf(root *x509.Certificate) string {
	first := ""
	for _, a := range s.authorities {
		if path := a.path(rootKey); a.root.Equal(root) {
			if exists(path) {
				return path
			}
			if first == "" {
				first = path
			}
		}
	}
	return first
}
