package session

import "github.com/pyrossl/pyrossl/broker/internal/wire"

// assembly puts a fragmented message together. Its buffer grows with what has
// come, at most 32-fold ahead, so that a declared length alone takes no memory.
type assembly struct {
	active  bool
	discard bool // the message is refused or no longer wanted: count, keep nothing
	total   int  // declared length
	got     int
	buf     []byte
}

const aheadFactor = 32

func newAssembly(total int, discard bool) assembly {
	return assembly{active: true, discard: discard, total: total}
}

// room returns where the next n bytes go, nil when they are to be discarded. It
// reports false when they exceed the declared length.
func (a *assembly) room(n int) ([]byte, bool) {
	if n > a.total-a.got {
		return nil, false
	}
	a.got += n
	if a.discard {
		return nil, true
	}
	if len(a.buf)+n > cap(a.buf) {
		grown := make([]byte, len(a.buf), min(a.total, aheadFactor*(len(a.buf)+max(n, wire.MaxPayload/aheadFactor))))
		copy(grown, a.buf)
		a.buf = grown
	}
	at := len(a.buf)
	a.buf = a.buf[:at+n]
	return a.buf[at:], true
}

// complete reports whether all has come.
func (a *assembly) complete() bool { return a.got == a.total }
