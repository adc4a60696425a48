// Package hugetransfer moves more than a message can hold, and shows that neither side
// needs memory for it. Directory server exports a depot, directory client sends to it
// and fetches from it, and makes small calls meanwhile.
package hugetransfer

import (
	"iter"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// ChunkBytes is the size of an item of the stream.
const ChunkBytes = 64 << 10

// Receipt says what has arrived at the depot.
type Receipt struct {
	Bytes int64  `json:"bytes"`
	Sum   uint32 `json:"sum"` // CRC-32 of all of it
}

// Content streams n bytes that are not all the same, in chunks that share a buffer.
func Content(n int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		buf := make([]byte, ChunkBytes)
		for i := range buf {
			buf[i] = byte(i * i >> 8)
		}
		for count := byte(0); n > 0; count++ {
			buf[0] = count
			chunk := buf[:min(n, ChunkBytes)]
			if !yield(chunk, nil) {
				return
			}
			n -= int64(len(chunk))
		}
	}
}

// Peak knows the most memory that this process has had.
type Peak struct{ most atomic.Uint64 }

// Watch looks at the memory every few milliseconds until the process ends.
func Watch() *Peak {
	p := new(Peak)
	go func() {
		for ; ; time.Sleep(5 * time.Millisecond) {
			p.most.Store(max(p.most.Load(), memory()))
		}
	}()
	return p
}

// Most is in bytes.
func (p *Peak) Most() uint64 { return max(p.most.Load(), memory()) }

// memory is what the Go runtime has of the system's memory, in bytes.
func memory() uint64 {
	m := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(m)
	return m[0].Value.Uint64() - m[1].Value.Uint64()
}
