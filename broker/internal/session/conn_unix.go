//go:build unix

package session

import (
	"os"
	"syscall"
)

// canTryWrite says whether tryWrite works on this system.
const canTryWrite = true

// attempt is one try to write. It is part of the Conn, and its function made
// once, so that a try allocates nothing; only the flusher uses it.
type attempt struct {
	p   []byte
	n   int
	err error
	do  func(fd uintptr) (done bool)
}

func (a *attempt) write(fd uintptr) bool {
	for a.n < len(a.p) {
		m, err := syscall.Write(int(fd), a.p[a.n:])
		switch err {
		case nil:
			a.n += m
		case syscall.EINTR:
		case syscall.EAGAIN:
			return true
		default:
			a.err = err
			return true
		}
	}
	return true
}

// tryWrite writes what the socket takes at once and never waits. n < len(p)
// with a nil error means that the socket is full.
func (c *Conn) tryWrite(p []byte) (n int, err error) {
	if c.raw == nil {
		return 0, nil
	}
	a := &c.attempt
	if a.do == nil {
		a.do = a.write
	}
	a.p, a.n, a.err = p, 0, nil
	err = c.raw.Write(a.do)
	a.p = nil
	if err == nil && a.err != nil {
		err = os.NewSyscallError("write", a.err)
	}
	return a.n, err
}
