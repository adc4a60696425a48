package session

import (
	"sync"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
)

// Buffers are borrowed while bytes flow and given back when they have gone, so
// that an idle connection owns none. Three sizes: for a call or reply, for a TLS
// record, and for a whole frame as ciphertext.
const (
	smallBuffer  = 4 << 10
	mediumBuffer = 20 << 10
	largeBuffer  = wire.MaxFrame + 2<<10
	keepBuffer   = 4 * largeBuffer // larger ones are left to the collector
)

var (
	smallPool  = sync.Pool{New: func() any { b := make([]byte, 0, smallBuffer); return &b }}
	mediumPool = sync.Pool{New: func() any { b := make([]byte, 0, mediumBuffer); return &b }}
	largePool  = sync.Pool{New: func() any { b := make([]byte, 0, largeBuffer); return &b }}
	headPool   = sync.Pool{New: func() any { return new([]byte) }} // spare slice headers
)

// poolFor returns the pool whose buffers hold n bytes, as far as any do.
func poolFor(n int) *sync.Pool {
	switch {
	case n <= smallBuffer:
		return &smallPool
	case n <= mediumBuffer:
		return &mediumPool
	}
	return &largePool
}

// getBuffer returns an empty buffer that holds n bytes, or a frame if n is more.
func getBuffer(n int) []byte {
	p := poolFor(n).Get().(*[]byte)
	b := (*p)[:0]
	*p = nil
	headPool.Put(p)
	return b
}

// putBuffer gives a buffer back. The caller must not use it again.
func putBuffer(b []byte) {
	pool := &smallPool
	switch c := cap(b); {
	case c < smallBuffer || c > keepBuffer:
		return
	case c >= largeBuffer:
		pool = &largePool
	case c >= mediumBuffer:
		pool = &mediumPool
	}
	p := headPool.Get().(*[]byte)
	*p = b[:0]
	pool.Put(p)
}

// GetBuffer borrows a buffer to encode a message in.
func GetBuffer() []byte { return getBuffer(0) }

// PutBuffer gives a borrowed buffer back.
func PutBuffer(b []byte) { putBuffer(b) }
