//go:build unix

package session

import (
	"os"
	"syscall"
)

// canTryWrite says whether tryWrite works on this system.
const canTryWrite = true

// tryWrite writes what the socket takes at once and never waits. n < len(p)
// with a nil error means that the socket is full.
func (c *Conn) tryWrite(p []byte) (n int, err error) {
	if c.raw == nil {
		return 0, nil
	}
	var werr error
	err = c.raw.Write(func(fd uintptr) bool {
		for n < len(p) {
			var m int
			m, werr = syscall.Write(int(fd), p[n:])
			switch {
			case werr == syscall.EINTR:
				werr = nil
			case werr == syscall.EAGAIN:
				werr = nil
				return true
			case werr != nil:
				return true
			default:
				n += m
			}
		}
		return true
	})
	if err == nil && werr != nil {
		err = os.NewSyscallError("write", werr)
	}
	return n, err
}
