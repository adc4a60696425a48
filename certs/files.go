package certs

import (
	"crypto/x509"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pyrossl/pyrossl/validator"
)

const (
	// pollEvery is how often the files are looked at.
	pollEvery = 250 * time.Millisecond
	// readEvery is after how many looks they are read even if they look unchanged:
	// a program may write a file in place and set its time back. Together the two
	// keep the promise of one second.
	readEvery = 3
)

// FilesConfig says which files a [FileSource] follows.
type FilesConfig struct {
	Cert string // PEM file with our certificate, then its intermediates
	Key  string // PEM file with its private key, mode 0600
	CA   string // PEM file with the authorities that we trust

	// Purpose is what the certificate must be good for, now. A replacement that is
	// not is refused, and the last good one kept. Zero asks for current dates only.
	Purpose Purpose

	// CRLs are files with revocation lists, as [ParseCRLs] reads them. Once there is
	// one, every peer's certificate must be covered by a list of its authority: see
	// RequireLists.
	CRLs []string
	// DenyList is a file with our own list of who is refused, as [ParseDenyList] reads
	// it.
	DenyList string
	// RevocationMaxAge, RequireLists and InsecureAllowStaleLists are MaxAge, Require
	// and InsecureAllowStaleLists of [RevocationConfig].
	RevocationMaxAge        time.Duration
	RequireLists            ListRequirement
	InsecureAllowStaleLists bool

	// Report, if not nil, is called after each attempt to reload that replaced the
	// material or failed for a new reason, and when a list has become stale. It is
	// called from the source's own goroutine: it must not call Reload or Close.
	Report func(Status)
}

// FileSource is a source that follows its files: whatever replaces them is in use
// within a second. While a new set does not fit together, because the key
// was replaced before the certificate or a file is only half written, the last good
// one stays in use, and Status says why. Each revocation list and the deny list is
// followed by itself: a bad one keeps neither a new certificate nor another list from
// being taken up. A list that is older than one taken before is refused, for as long
// as the source lives.
type FileSource struct {
	config FilesConfig
	paths  paths
	state  atomic.Pointer[fileState] // written by run only

	// For run, and for Files before it starts.
	base   *Material  // what cert, key and CA files gave last
	used   digest     // of these files
	lists  *listFiles // and what the others gave
	chains *chains    // shared by all materials
	stale  int        // how many lists were stale at the last report

	reload chan chan error
	stop   chan struct{}
	close  sync.Once
	done   chan struct{} // closed when run has returned
}

var _ Source = (*FileSource)(nil)

// fileState is replaced whole.
type fileState struct {
	material *Material
	status   Status
	failed   map[string]string // errors of lists by file
	changed  chan struct{}     // closed when a state with other material has replaced this one
}

// Files loads the files and starts one goroutine that follows them until Close.
// It fails when the files cannot be used as they are now. A revocation list that is
// stale already is no failure: peers of that authority are refused, and told so, until
// a newer one is in its place.
func Files(config FilesConfig) (*FileSource, error) {
	config.CRLs = slices.Clone(config.CRLs)
	s := &FileSource{
		config: config,
		paths:  paths{config.Cert, config.Key, config.CA},
		reload: make(chan chan error),
		stop:   make(chan struct{}),
		done:   make(chan struct{}),
	}
	look := s.look()
	c, e := s.paths.read()
	if e != nil {
		return nil, e
	}
	m, err := s.usable(c)
	if err != nil {
		return nil, err
	}
	s.base, s.used, s.chains, s.lists = m, c.digest(), m.chains, newListFiles(config)
	now := time.Now()
	if err := s.lists.refresh(m.authorities(), now); err != nil {
		return nil, err
	}
	s.take(m.with(s.lists.current, s.chains), "", now)
	s.stale = s.lists.current.stale(now)
	go s.run(look)
	return s, nil
}

// Current gives the material that was last loaded well.
func (s *FileSource) Current() *Material { return s.state.Load().material }

// Status says when the files were last read and whether that worked, and how the lists
// are now.
func (s *FileSource) Status() Status {
	st := s.state.Load()
	return st.status.checking(st.material, st.failed, time.Now())
}

// Changed gives a channel that is closed when Current changes. Ask for it before
// Current, so that no change is missed.
func (s *FileSource) Changed() <-chan struct{} { return s.state.Load().changed }

// Reload reads the files now, as a program does on SIGHUP. The error is also in
// Status; the last good material stays in use.
func (s *FileSource) Reload() error {
	answer := make(chan error, 1)
	select {
	case s.reload <- answer:
		return <-answer
	case <-s.done:
		return reasonf("the source is closed, its files are no longer followed")
	}
}

// Close ends the following of files and waits for it. Current goes on to give the
// last material.
func (s *FileSource) Close() error {
	s.close.Do(func() { close(s.stop) })
	<-s.done
	return nil
}

// run follows the files until Close. It is the only writer of s.state.
func (s *FileSource) run(look look) {
	defer close(s.done)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for n := 1; ; n++ {
		var answer chan error
		select {
		case <-s.stop:
			return
		case answer = <-s.reload:
		case <-tick.C:
			if s.state.Load().material.revocations.stale(time.Now()) != s.stale {
				s.report()
			}
			// A set that failed is tried again even when nothing changes: a certificate
			// from a machine whose clock is ahead becomes valid by waiting.
			now := s.look()
			if now.same(look) && n%readEvery != 0 {
				continue
			}
			look = now
		}
		err := s.attempt(answer != nil)
		if answer != nil {
			answer <- err
		}
	}
}

// attempt reads the files and takes up what is new and usable.
func (s *FileSource) attempt(asked bool) error {
	before, now := s.state.Load(), time.Now()
	base, err := s.reread()
	if e := s.lists.refresh(base.authorities(), now); e != nil {
		if err != nil {
			e = fmt.Errorf("%w; %w", err, e)
		}
		err = e
	}
	changed := base != s.base || s.lists.current != before.material.revocations
	if !changed && err == nil && before.status.LastError == "" && !asked {
		return nil
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	if changed {
		s.base = base
		s.take(base.with(s.lists.current, s.chains), text, now)
		close(before.changed)
	} else {
		status := before.status
		status.LastAttempt, status.LastError = now, text
		s.state.Store(&fileState{before.material, status, s.lists.failed(), before.changed})
	}
	if changed || text != before.status.LastError {
		s.report()
	}
	return err
}

// reread reads certificate, key and authorities. Without an error it gives the
// material in use if they are the same, else a new one.
func (s *FileSource) reread() (*Material, error) {
	c, e := s.paths.read()
	if e != nil {
		return s.base, e
	}
	d := c.digest()
	if d == s.used {
		return s.base, nil
	}
	m, err := s.usable(c)
	if err != nil {
		return s.base, err
	}
	s.used = d
	return m, nil
}

func (s *FileSource) report() {
	s.stale = s.state.Load().material.revocations.stale(time.Now())
	if s.config.Report != nil {
		s.config.Report(s.Status())
	}
}

// take makes m the current material. failed is what went wrong with other files.
func (s *FileSource) take(m *Material, failed string, now time.Time) {
	status := Status{Generation: 1, Loaded: now, LastAttempt: now, LastError: failed}.describing(m.Leaf())
	if before := s.state.Load(); before != nil {
		status.Generation = before.status.Generation + 1
	}
	s.state.Store(&fileState{m, status, s.lists.failed(), make(chan struct{})})
}

// usable parses the files and checks that the certificate can be used now.
func (s *FileSource) usable(c contents) (*Material, error) {
	m, e := c.material(s.paths)
	if e != nil {
		return nil, e
	}
	if d := s.checkNow(m.Leaf()); d != nil {
		e := reasonf("certificate cannot be used: got %s, want %s", d.Got, d.Want).inFile(s.paths.cert)
		e.Err = d
		return nil, e
	}
	return m, nil
}

func (s *FileSource) checkNow(leaf *x509.Certificate) *validator.Denial {
	if s.config.Purpose == 0 {
		return checkDates(leaf, time.Now())
	}
	return CheckLeaf(leaf, s.config.Purpose, time.Now())
}

// look is what the directories say of the files: cheap to ask for, and different
// whenever one was replaced in one of the usual ways. A rename, or the swapped link of
// a Kubernetes mount, gives another file; a write gives another time.
type look []fs.FileInfo

func (s *FileSource) look() look {
	files := append([]string{s.paths.cert, s.paths.key, s.paths.ca}, s.config.CRLs...)
	if s.config.DenyList != "" {
		files = append(files, s.config.DenyList)
	}
	l := make(look, len(files))
	for i, path := range files {
		if info, err := os.Stat(path); err == nil {
			l[i] = info
		}
	}
	return l
}

func (l look) same(m look) bool {
	for i, a := range l {
		switch b := m[i]; {
		case a == nil || b == nil:
			if a != b {
				return false
			}
		case !os.SameFile(a, b) || a.Size() != b.Size() || !a.ModTime().Equal(b.ModTime()) || a.Mode() != b.Mode():
			return false
		}
	}
	return true
}
