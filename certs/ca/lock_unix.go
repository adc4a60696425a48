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

// giveTo makes a file that of the owner and group of another one. A group is not
// insisted on where it gives no rights.
func giveTo(path string, old fs.FileInfo) error {
	want, ok := old.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	is, ok := info.Sys().(*syscall.Stat_t)
	if !ok || is.Uid == want.Uid && is.Gid == want.Gid {
		return nil
	}
	err = os.Chown(path, int(want.Uid), int(want.Gid))
	if err != nil && is.Uid == want.Uid && old.Mode().Perm()&0o070 == 0 {
		return nil
	}
	return err
}
