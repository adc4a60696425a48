package session

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// The lifecycle tests run programs: bytes that choose operations and their
// operands. Any bytes are a program, so that a fuzzer can change and shorten them.
//
//	model_program_test.go  programs and what they carry
//	model_end_test.go      a real session whose callers and methods are told what to do
//	model_pair_test.go     programs run between two real sessions
//	model_rules_test.go    what may be seen then
//	model_peer_test.go     programs run against one real session by a peer that makes its own frames
//	model_spec_test.go     what docs/protocol.md says of the frames to and from it
//	model_test.go          fuzz targets, seeds and the random run
//	model_known_test.go    what they have found

// program is bytes that choose. When they have run out, every choice is the first.
type program struct {
	b     []byte
	trace []string
}

func (p *program) more() bool { return len(p.b) > 0 }

func (p *program) byte() byte {
	if len(p.b) == 0 {
		return 0
	}
	c := p.b[0]
	p.b = p.b[1:]
	return c
}

// pick chooses one of n.
func (p *program) pick(n int) int { return int(p.byte()) % n }

// pickOf chooses a value.
func pickOf[T any](p *program, of ...T) T { return of[p.pick(len(of))] }

func (p *program) note(format string, args ...any) {
	p.trace = append(p.trace, fmt.Sprintf(format, args...))
}

func (p *program) String() string { return "  " + strings.Join(p.trace, "\n  ") }

// filled returns n bytes that name their seed and their length, as far as they have
// room for that.
func filled(seed uint32, n int) []byte {
	b := make([]byte, n)
	if n < 8 {
		for i := range b {
			b[i] = byte(seed)
		}
		return b
	}
	binary.BigEndian.PutUint32(b, seed)
	binary.BigEndian.PutUint32(b[4:], uint32(n))
	for i := 8; i < min(n, 64); i++ {
		b[i] = byte(seed) ^ byte(i)
	}
	for i := 64; i < n; i *= 2 {
		copy(b[i:], b[:i])
	}
	return b
}

// What a seed is of. The low bits are the call's tag and, of an item, its index.
const (
	seedCall   = 1 << 28
	seedResult = 2 << 28
	seedToward = 3 << 28 // an item of the caller's stream
	seedBack   = 4 << 28 // an item of the stream to the caller
)

func itemSeed(of uint32, tag, index int) uint32 { return of | uint32(tag)<<12 | uint32(index&0xfff) }
