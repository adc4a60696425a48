package ca

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"

	"github.com/pyrossl/pyrossl/certs"
)

// trustFile is a file of roots that programs trust. Whoever else's roots it holds, and
// the text between them, are left as they are.
type trustFile struct {
	path string
	data []byte
	all  []*x509.Certificate
}

// readTrust reads a file; nil if there is none.
func readTrust(path string) (*trustFile, error) {
	if !exists(path) {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fileError(path, "cannot be read", err)
	}
	all, err := certs.ParseCertificates(data)
	if err != nil {
		return nil, named(path, err)
	}
	return &trustFile{path, data, all}, nil
}

// holds reports whether any of the roots is in the file.
func (f *trustFile) holds(roots []*x509.Certificate) bool {
	return slices.ContainsFunc(roots, func(r *x509.Certificate) bool { return slices.ContainsFunc(f.all, r.Equal) })
}

// with gives the file's content with the wanted roots and without the unwanted ones;
// nil if it is so already.
func (f *trustFile) with(wanted, unwanted []*x509.Certificate) []byte {
	data, changed := f.data, false
	for _, r := range unwanted {
		if slices.ContainsFunc(f.all, r.Equal) {
			data, changed = withoutCert(data, r), true
		}
	}
	for _, r := range wanted {
		if slices.ContainsFunc(f.all, r.Equal) {
			continue
		}
		if len(data) > 0 && data[len(data)-1] != '\n' {
			data = append(bytes.Clone(data), '\n')
		}
		data, changed = append(bytes.Clone(data), encode(r)...), true
	}
	if !changed {
		return nil
	}
	return data
}

// withoutCert cuts the blocks of one certificate out of a PEM file that
// certs.ParseCertificates has read.
func withoutCert(data []byte, c *x509.Certificate) (rest []byte) {
	begin := []byte("-----BEGIN ")
	for len(data) > 0 {
		block, after := pem.Decode(data)
		if block == nil {
			break
		}
		if from := data[:len(data)-len(after)]; bytes.Equal(block.Bytes, c.Raw) {
			rest = append(rest, from[:max(bytes.LastIndex(from, begin), 0)]...)
		} else {
			rest = append(rest, from...)
		}
		data = after
	}
	return append(rest, data...)
}

// unwanted are the roots of this CA that peers must not trust any more.
func (s *site) unwanted() (all []*x509.Certificate) {
	for _, r := range s.roots() {
		if !slices.ContainsFunc(s.trusted(), r.Equal) {
			all = append(all, r)
		}
	}
	return all
}

// trustBeside is the trust file that goes with a certificate.
func trustBeside(cert string) string { return filepath.Join(filepath.Dir(cert), TrustFile) }

// trustIsRight reports whether a trust file holds what it must.
func (s *site) trustIsRight(path string) (bool, error) {
	f, err := readTrust(path)
	if err != nil || f == nil {
		return false, err
	}
	if !f.holds(s.roots()) {
		return false, &failure{File: path, Reason: "it does not hold this CA's root", Fix: "write elsewhere with --out DIR, or add " + filepath.Join(s.dir, TrustFile) + " to it by hand", Err: ErrDiffers}
	}
	return f.with(s.trusted(), s.unwanted()) == nil, nil
}

// fixTrust sees to it that a trust file is there and right. A file of somebody else's
// is left alone, with an error.
func (s *site) fixTrust(path string) error {
	right, err := s.trustIsRight(path)
	if err != nil || right {
		return err
	}
	f, err := readTrust(path)
	if err != nil {
		return err
	}
	if f == nil {
		return writeNew(path, encode(s.trusted()...), 0o644)
	}
	return replace(path, f.with(s.trusted(), s.unwanted()), 0o644)
}

// trustFiles are the trust files that we know of: the directory's own, and those beside
// the certificates that it has issued, as far as they hold one of its roots.
func (s *site) trustFiles(all []line) (files []*trustFile, err error) {
	paths := []string{filepath.Join(s.dir, TrustFile)}
	for _, l := range all {
		if l.State == StateRevoked || l.State == StateExpired || l.File == "" {
			continue
		}
		path := trustBeside(l.File)
		if !slices.ContainsFunc(paths, func(p string) bool { return fullPath(p) == fullPath(path) }) {
			paths = append(paths, path)
		}
	}
	for _, path := range paths {
		f, err := readTrust(path)
		if err != nil {
			return nil, err
		}
		if f != nil && f.holds(s.roots()) {
			files = append(files, f)
		}
	}
	return files, nil
}

// fixAllTrust makes the trust files that we know of right. The directory's own is
// written if it is not there.
func (s *site) fixAllTrust() error {
	all, err := s.index()
	if err != nil {
		return err
	}
	files, err := s.trustFiles(all)
	if err != nil {
		return err
	}
	for _, f := range files {
		if data := f.with(s.trusted(), s.unwanted()); data != nil {
			if err := replace(f.path, data, 0o644); err != nil {
				return err
			}
		}
	}
	return s.fixTrust(filepath.Join(s.dir, TrustFile))
}
