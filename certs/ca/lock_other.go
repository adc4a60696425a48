//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package ca

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// lockPatience is how long a second run waits for the first.
const lockPatience = 10 * time.Second

// lock keeps a second run out of the directory until the first is done.
func lock(dir string) (unlock func(), err error) {
	path := filepath.Join(dir, lockFile)
	for end := time.Now().Add(lockPatience); ; time.Sleep(20 * time.Millisecond) {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			f.Close()
			return func() { os.Remove(path) }, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, fileError(path, "cannot be made", err)
		}
		if time.Now().After(end) {
			return nil, &failure{File: path, Reason: "another run holds the directory", Fix: "remove the file if no other run is left"}
		}
	}
}

// looseMode has no meaning where modes do not say who can read.
func looseMode(fs.FileMode) bool { return false }

func syncDir(string) error { return nil }

// giveTo has no meaning where files do not have one owner and a mode.
func giveTo(string, fs.FileInfo) error { return nil }
