package ca

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
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
	return syncDir(filepath.Dir(path))
}

var link = os.Link // tests replace it

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

// replace writes a file in another's place, at once.
func replace(path string, data []byte, mode fs.FileMode) error {
	tmp, err := writeTemp(path, data, mode)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		os.Remove(tmp)
		return fileError(path, "cannot be replaced", err)
	}
	return syncDir(filepath.Dir(path))
}

func writeTemp(path string, data []byte, mode fs.FileMode) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // O_EXCL, 0600
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
