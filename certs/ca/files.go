package ca

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// writeNew creates a file that must not exist. It is complete or not there, and on
// the disk when writeNew returns.
func writeNew(path string, data []byte, mode fs.FileMode) error {
	tmp, err := writeTemp(path, data, mode)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	// Unlike a rename, a link never takes another file's place.
	err = link(tmp, path)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		err = copyNew(path, data, mode)
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return &failure{File: path, Reason: "it exists already", Err: ErrExists}
	case err != nil:
		return fileError(path, "cannot be created", err)
	}
	return done("create", path)
}

var (
	link = os.Link // tests replace it
	// reached is told of each step that is on the disk, so that tests can end the
	// process there.
	reached = func(step, path string) {}
)

// done ends a step: what it has put into a directory survives a power cut.
func done(step, path string) error {
	if err := syncDir(filepath.Dir(path)); err != nil {
		return err
	}
	reached(step, path)
	return nil
}

// copyNew is for file systems without links, like those of USB sticks and of some
// containers' volumes. A crash may leave a part of a file there.
func copyNew(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		os.Remove(path)
	}
	return err
}

// replace writes a file in another's place, at once. Mode and owner of the one that is
// there are kept; mode is for a new one, and for a secret that others could read.
func replace(path string, data []byte, mode fs.FileMode) error {
	tmp, err := stage(path, data, mode)
	if err != nil {
		return err
	}
	return move(tmp, path)
}

// replacePair replaces a key and its certificate, the key first: a program that
// follows the files never sees a certificate without its key, and keeps what it has
// while the two do not fit. Both are written before either is moved, so that this
// takes as short as it can.
func replacePair(key string, keyPEM []byte, cert string, certPEM []byte) error {
	tmpKey, err := stage(key, keyPEM, 0o600)
	if err != nil {
		return err
	}
	tmpCert, err := stage(cert, certPEM, 0o644)
	if err != nil {
		os.Remove(tmpKey)
		return err
	}
	if err := move(tmpKey, key); err != nil {
		os.Remove(tmpCert)
		return err
	}
	return move(tmpCert, cert)
}

// move puts a staged file in its place.
func move(tmp, path string) error {
	if err := os.Rename(tmp, path); err != nil {
		os.Remove(tmp)
		return fileError(path, "cannot be replaced", err)
	}
	return done("replace", path)
}

// stage writes a file beside the one that it is to replace, with its mode and owner:
// a service that could read its key can read the next one.
func stage(path string, data []byte, mode fs.FileMode) (string, error) {
	old, err := os.Stat(path)
	if err != nil {
		return writeTemp(path, data, mode)
	}
	if secret := !looseMode(mode); !secret || !looseMode(old.Mode()) {
		mode = old.Mode().Perm()
	}
	tmp, err := writeTemp(path, data, mode)
	if err != nil {
		return "", err
	}
	if err := giveTo(tmp, old); err != nil {
		os.Remove(tmp)
		return "", &failure{File: path, Reason: "it belongs to another user, to whom a new one cannot be given: " + cause(err), Fix: "run this as that user, or as one who may give files away", Err: err}
	}
	return tmp, nil
}

func writeTemp(path string, data []byte, mode fs.FileMode) (string, error) {
	sweep(path)
	f, err := os.CreateTemp(filepath.Dir(path), tempPrefix(path)+"*") // O_EXCL, 0600
	if err != nil {
		return "", fileError(path, "cannot be written", err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		os.Remove(f.Name())
		return "", fileError(path, "cannot be written", err)
	}
	return f.Name(), nil
}

func tempPrefix(path string) string { return "." + filepath.Base(path) + "-" }

// litterAge is when a temporary file is no longer anybody's. Its writer needs
// milliseconds.
const litterAge = time.Hour

// sweep removes what runs that were cut short have left beside a file: it may hold a
// key that nobody knows of. What cannot be removed is no reason not to go on.
func sweep(path string) {
	all, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return
	}
	for _, e := range all {
		digits, ok := strings.CutPrefix(e.Name(), tempPrefix(path))
		if !ok || digits == "" || strings.Trim(digits, "0123456789") != "" || !e.Type().IsRegular() {
			continue
		}
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > litterAge {
			os.Remove(filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// makeDir makes a directory that others cannot look into.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fileError(dir, "cannot be made", err)
	}
	return nil
}
