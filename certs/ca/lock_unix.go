//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package ca

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// lock keeps a second run out of the directory until the first is done.
func lock(dir string) (unlock func(), err error) {
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fileError(path, "cannot be opened", err)
	}
	for {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fileError(path, "cannot be locked", err)
	}
	return func() { f.Close() }, nil
}

// looseMode reports whether others can read a file.
func looseMode(m fs.FileMode) bool { return m.Perm()&0o077 != 0 }

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fileError(dir, "cannot be opened", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fileError(dir, "cannot be written to the disk", err)
	}
	return nil
}
