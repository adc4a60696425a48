package certs

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
)

// Load reads a certificate chain, its key and the authorities to trust from PEM
// files, once. See [Files] for a source that follows changes.
//
// On Unix it refuses a key file that its group or others may read or write. A
// Kubernetes secret is mounted with mode 0644 unless its volume says defaultMode: 0400.
func Load(cert, key, ca string) (*Material, error) {
	m, e := load(paths{cert, key, ca})
	if e != nil {
		return nil, e
	}
	return m, nil
}

// paths are the files of one material.
type paths struct{ cert, key, ca string }

// contents are the bytes of the three files, read together.
type contents struct{ cert, key, ca []byte }

// digest tells one state of the files from another without keeping the key.
type digest [3][sha256.Size]byte

func load(p paths) (*Material, *Error) {
	c, e := p.read()
	if e != nil {
		return nil, e
	}
	return c.material(p)
}

func (p paths) read() (c contents, e *Error) {
	if c.cert, e = readFile(p.cert, "certificate", false, maxFile); e != nil {
		return c, e
	}
	if c.key, e = readFile(p.key, "private key", true, maxFile); e != nil {
		return c, e
	}
	c.ca, e = readFile(p.ca, "CA certificate", false, maxFile)
	return c, e
}

func (c contents) digest() digest {
	return digest{sha256.Sum256(c.cert), sha256.Sum256(c.key), sha256.Sum256(c.ca)}
}

func (c contents) material(p paths) (*Material, *Error) {
	chain, e := parseCertificates(c.cert)
	if e != nil {
		return nil, e.inFile(p.cert)
	}
	key, e := parseKey(c.key)
	if e != nil {
		return nil, e.inFile(p.key)
	}
	roots, e := parseCertificates(c.ca)
	if e != nil {
		return nil, e.inFile(p.ca)
	}
	if e := checkPair(chain, key); e != nil {
		e = e.inFile(p.cert)
		e.Reason += fmt.Sprintf("; key file is %q", p.key)
		return nil, e
	}
	if e := checkChain(chain); e != nil {
		return nil, e.inFile(p.cert)
	}
	if e := checkRoots(roots); e != nil {
		return nil, e.inFile(p.ca)
	}
	return newMaterial(chain, key, roots), nil
}

// readFile reads a regular file, at most one byte more than limit of it, following symbolic links, as Kubernetes
// mounts its secrets. A private one is refused when its mode lets others in; the
// mode is that of the file which was opened, not of one put in its place since.
func readFile(path, what string, private bool, limit int) ([]byte, *Error) {
	fail := func(format string, args ...any) ([]byte, *Error) {
		return nil, reasonf(format, args...).inFile(path)
	}
	if path == "" {
		return nil, reasonf("no %s file was named", what)
	}
	// Asked first, because opening a named pipe would wait for its writer.
	info, err := os.Stat(path)
	if err == nil && info.Mode().IsRegular() {
		var f *os.File
		if f, err = os.Open(path); err == nil {
			defer f.Close()
			info, err = f.Stat()
			if err == nil && info.Mode().IsRegular() {
				if mode := info.Mode().Perm(); private && loose(mode) {
					return nil, reasonf("key file has mode %04o, want 0600: other users could read or change it", mode).fix("chmod 600 FILE").inFile(path)
				}
				var data []byte
				if data, err = io.ReadAll(io.LimitReader(f, int64(limit)+1)); err == nil {
					return data, nil
				}
			}
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e := reasonf("%s file does not exist", what).inFile(path)
		e.Err = err
		return nil, e
	case errors.Is(err, fs.ErrPermission):
		e := reasonf("%s file may not be read by this user", what).fix("chown %d FILE", os.Geteuid()).inFile(path)
		e.Err = err
		return nil, e
	case err != nil:
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err // the path is already in the text
		}
		e := reasonf("cannot read the %s file: %v", what, err).inFile(path)
		e.Err = err
		return nil, e
	case info.IsDir():
		return fail("is a directory, want a %s file", what)
	}
	return fail("is not a regular file (%s), want a %s file", info.Mode().Type(), what)
}

// loose reports whether a mode lets anyone but the owner in. Windows keeps its
// access lists elsewhere, and Go's modes there say nothing about them.
func loose(mode fs.FileMode) bool { return runtime.GOOS != "windows" && mode&0o077 != 0 }
