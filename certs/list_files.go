package certs

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"os"
	"slices"
	"time"
)

// listFiles follows the files of revocation lists and of the deny list.
type listFiles struct {
	config  RevocationConfig // without the lists
	files   []*listFile
	taken   []takenCRL // the newest list of each series that was ever taken
	current *Revocations
}

// listFile is one of them.
type listFile struct {
	path string
	deny bool
	seen *listContent // what was last read
	used *listContent // what is in use: seen, or the last good one
	err  *Error       // why seen is not in use
}

// listContent is what a file holds.
type listContent struct {
	digest [sha256.Size]byte
	crls   []*CRL
	deny   *DenyList
	err    *Error // it cannot be parsed
}

// takenCRL is what is kept of a list, so that no older one is taken after it.
type takenCRL struct {
	issuer, scope string
	keyID         []byte
	number        *big.Int
	digest        [sha256.Size]byte
	proof         *proof
}

func newListFiles(c FilesConfig) *listFiles {
	s := &listFiles{config: RevocationConfig{MaxAge: c.RevocationMaxAge, Require: c.RequireLists, InsecureAllowStaleLists: c.InsecureAllowStaleLists}}
	for _, path := range c.CRLs {
		s.files = append(s.files, &listFile{path: path})
	}
	if c.DenyList != "" {
		s.files = append(s.files, &listFile{path: c.DenyList, deny: true})
	}
	return s
}

// refresh reads the files and takes up what is new and good. The authorities are
// those that we know without peers. The error is about all files that failed;
// current is then of those that did not, and of the last good ones.
func (s *listFiles) refresh(authorities []*x509.Certificate, now time.Time) error {
	for _, t := range s.taken {
		if c := t.proof.known(); c != nil {
			authorities = append(authorities, c)
		}
	}
	var failed error
	for _, f := range s.files {
		if f.err = s.refreshOne(f, authorities, now); f.err == nil {
			continue
		}
		f.err = f.err.inFile(f.path)
		if failed == nil {
			failed = f.err
		} else {
			failed = fmt.Errorf("%w; %w", failed, f.err)
		}
	}
	return failed
}

func (s *listFiles) refreshOne(f *listFile, authorities []*x509.Certificate, now time.Time) *Error {
	if e := f.look(); e != nil {
		return e
	}
	switch {
	case f.seen.err != nil:
		return f.seen.err
	case f.seen == f.used:
		return nil
	}
	for _, l := range f.seen.crls {
		if e := s.judge(f, l, authorities, now); e != nil {
			return e
		}
	}
	if e := s.judgeDeny(f, now); e != nil {
		return e
	}
	r, e := s.with(f)
	if e != nil {
		return e
	}
	f.used, s.current = f.seen, r
	for _, l := range f.seen.crls {
		s.take(l)
	}
	return nil
}

// with makes revocations of what is in use, but for f what was seen.
func (s *listFiles) with(f *listFile) (*Revocations, *Error) {
	config := s.config
	for _, other := range s.files {
		content := other.used
		if other == f {
			content = f.seen
		}
		if content == nil {
			continue // at the start, a file that is still to be read
		}
		config.CRLs = append(config.CRLs, content.crls...)
		if content.deny != nil {
			config.Deny = content.deny
		}
	}
	return newRevocations(config)
}

// failed gives the errors by file.
func (s *listFiles) failed() map[string]string {
	var all map[string]string
	for _, f := range s.files {
		if f.err != nil {
			if all == nil {
				all = make(map[string]string)
			}
			all[f.path] = f.err.Error()
		}
	}
	return all
}

// look reads the file unless it has the same content as before.
func (f *listFile) look() *Error {
	if f.seen != nil && f.unchanged() {
		return nil
	}
	what := "revocation list"
	if f.deny {
		what = "deny list"
	}
	data, e := readFile(f.path, what, false, maxList)
	if e != nil {
		return e
	}
	digest := sha256.Sum256(data)
	if f.used != nil && f.used.digest == digest {
		f.seen = f.used // the last good one is back
		return nil
	}
	f.seen = &listContent{digest: digest}
	if f.deny {
		f.seen.deny, f.seen.err = parseDenyList(data)
	} else {
		f.seen.crls, f.seen.err = parseCRLs(data)
	}
	for _, l := range f.seen.crls {
		l.file = f.path
	}
	if f.seen.deny != nil {
		f.seen.deny.file = f.path
	}
	return nil
}

// unchanged compares the content without keeping it: a long list would be garbage of
// megabytes each time.
func (f *listFile) unchanged() bool {
	info, err := os.Stat(f.path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxList {
		return false
	}
	file, err := os.Open(f.path)
	if err != nil {
		return false
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(file, maxList+1)); err != nil {
		return false
	}
	return bytes.Equal(h.Sum(nil), f.seen.digest[:])
}

// judge says whether a list of a file may be taken up now.
func (s *listFiles) judge(f *listFile, l *CRL, authorities []*x509.Certificate, now time.Time) *Error {
	if e := l.ages(s.config.MaxAge); e != nil {
		return e
	}
	if l.early(now) {
		return reasonf("%s was issued in the future, on %s", l, day(l.thisUpdate)).fix("compare the clocks of this machine and of the authority")
	}
	if _, e := l.provenBy(authorities); e != nil {
		return e
	}
	for i := range s.taken {
		t := &s.taken[i]
		// A list that its authority turned out not to have signed bars no other.
		if !t.same(l) || t.digest == l.digest || t.proof.doubted() {
			continue
		}
		switch order := t.number.Cmp(l.number); {
		case order > 0 && f.used != nil: // at the start, of two files one may lag behind
			return reasonf("%s is older than number %s, which was taken before", l, t.number).fix("put the newest list back; if the authority began to count anew, restart the program")
		case order == 0:
			return reasonf("%s has the number of another list, with other content, that was taken before", l).fix("find out which one the authority has issued; each needs a number of its own")
		}
	}
	return nil
}

// same reports whether the list and the one taken are of one series. Where keys are
// not known, an authority that once left its key identifier out is still the same.
func (t *takenCRL) same(l *CRL) bool {
	if t.issuer != l.issuer || t.scope != l.scopeID {
		return false
	}
	if a, b := t.proof.signer.Load(), l.proof.signer.Load(); a != nil && b != nil {
		return a.key == b.key
	}
	return len(t.keyID) == 0 || len(l.keyID) == 0 || bytes.Equal(t.keyID, l.keyID)
}

// take remembers the list in place of older ones.
func (s *listFiles) take(l *CRL) {
	for i := range s.taken {
		if t := &s.taken[i]; t.same(l) && t.number.Cmp(l.number) > 0 && !t.proof.doubted() {
			return
		}
	}
	s.taken = slices.DeleteFunc(s.taken, func(t takenCRL) bool { return t.same(l) })
	s.taken = append(s.taken, takenCRL{l.issuer, l.scopeID, l.keyID, l.number, l.digest, l.proof})
}

// judgeDeny says whether a deny list may be taken up now.
func (s *listFiles) judgeDeny(f *listFile, now time.Time) *Error {
	d := f.seen.deny
	if d == nil {
		return nil
	}
	if now.Add(maxSkew).Before(d.issued) {
		return reasonf("deny list number %d was issued in the future, on %s", d.number, day(d.issued)).fix("compare the clock of this machine with that of who wrote the list")
	}
	if f.used == nil {
		return nil
	}
	switch last := f.used.deny; {
	case d.number < last.number:
		return reasonf("deny list number %d is older than number %d, which was taken before", d.number, last.number).fix("put the newest list back, or give this one a larger number")
	case d.number == last.number && d.digest != last.digest:
		return reasonf("deny list number %d was changed without a new number", d.number).fix("change its first line to: number %d", d.number+1)
	}
	return nil
}

// stale counts the lists in force that are out of date.
func (r *Revocations) stale(now time.Time) (n int) {
	if r == nil {
		return 0
	}
	for _, s := range r.status(nil, now) {
		if s.Stale && !s.Superseded {
			n++
		}
	}
	return n
}
