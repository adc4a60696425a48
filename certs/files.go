package certs

import (
	"crypto/x509"
	"io/fs"
	"os"
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

	// Report, if not nil, is called after each attempt to reload that replaced the
	// material or failed for a new reason. It is called from the source's own
	// goroutine: it must not call Reload or Close.
	Report func(Status)
}

// FileSource is a source that follows its files: whatever replaces them is in use
// within a second. While a new set does not fit together, because the key
// was replaced before the certificate or a file is only half written, the last good
// one stays in use, and Status says why.
type FileSource struct {
	config FilesConfig
	paths  paths
	state  atomic.Pointer[fileState] // written by run only

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
	changed  chan struct{} // closed when a state with other material has replaced this one
}

// Files loads the files and starts one goroutine that follows them until Close.
// It fails when the files cannot be used as they are now.
func Files(config FilesConfig) (*FileSource, error) {
	s := &FileSource{
		config: config,
		paths:  paths{config.Cert, config.Key, config.CA},
		reload: make(chan chan error),
		stop:   make(chan struct{}),
		done:   make(chan struct{}),
	}
	look := s.paths.look()
	c, e := s.paths.read()
	if e != nil {
		return nil, e
	}
	m, err := s.usable(c)
	if err != nil {
		return nil, err
	}
	s.take(m, time.Now())
	go s.run(look, c.digest())
	return s, nil
}

// Current gives the material that was last loaded well.
func (s *FileSource) Current() *Material { return s.state.Load().material }

// Status says when the files were last read and whether that worked.
func (s *FileSource) Status() Status { return s.state.Load().status }

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
func (s *FileSource) run(look look, used digest) {
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
			// A set that failed is tried again even when nothing changes: a certificate
			// from a machine whose clock is ahead becomes valid by waiting.
			now := s.paths.look()
			if now.same(look) && n%readEvery != 0 {
				continue
			}
			look = now
		}
		err := s.attempt(&used, answer != nil)
		if answer != nil {
			answer <- err
		}
	}
}

// attempt reads the files and takes them up if they are new and usable.
func (s *FileSource) attempt(used *digest, asked bool) error {
	before, now := s.state.Load(), time.Now()
	c, e := s.paths.read()
	var m *Material
	var err error
	if e != nil {
		err = e
	} else if d := c.digest(); d == *used && before.status.LastError == "" && !asked {
		return nil
	} else if d == *used {
		// The material in use is back, or was asked for again: nothing to replace.
		m = before.material
	} else if m, err = s.usable(c); err == nil {
		*used = d
	}
	switch {
	case err != nil:
		status := before.status
		status.LastAttempt, status.LastError = now, err.Error()
		s.state.Store(&fileState{before.material, status, before.changed})
		if status.LastError != before.status.LastError {
			s.report()
		}
	case m == before.material:
		status := before.status
		status.LastAttempt, status.LastError = now, ""
		s.state.Store(&fileState{before.material, status, before.changed})
		if before.status.LastError != "" {
			s.report()
		}
	default:
		s.take(m, now)
		close(before.changed)
		s.report()
	}
	return err
}

func (s *FileSource) report() {
	if s.config.Report != nil {
		s.config.Report(s.Status())
	}
}

// take makes m the current material.
func (s *FileSource) take(m *Material, now time.Time) {
	status := Status{Generation: 1, Loaded: now, LastAttempt: now}.describing(m.Leaf())
	if before := s.state.Load(); before != nil {
		status.Generation = before.status.Generation + 1
	}
	s.state.Store(&fileState{m, status, make(chan struct{})})
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

// look is what the directory says of the three files: cheap to ask for, and
// different whenever one was replaced in one of the usual ways. A rename, or the
// swapped link of a Kubernetes mount, gives another file; a write gives another time.
type look [3]fs.FileInfo

func (p paths) look() (l look) {
	for i, path := range []string{p.cert, p.key, p.ca} {
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
