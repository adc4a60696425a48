package codec

import (
	"bytes"
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// checker walks a message once. Its methods return where the item they looked at
// ends, or an Error without a path; they take no memory unless they fail.
// The recursion is at most MaxDepth deep.
type checker struct {
	data  []byte
	items int
}

// single checks that the data is one item and nothing else.
func (c *checker) single() *Error {
	next, err := c.item(0, 0)
	if err != nil {
		return err
	}
	if next != len(c.data) {
		return failf(next, "%d more bytes follow the data item, want none", len(c.data)-next)
	}
	return nil
}

func (c *checker) item(off, depth int) (int, *Error) {
	if off >= len(c.data) {
		return off, failf(off, "the message ends where a data item should begin")
	}
	if c.items++; c.items > MaxItems {
		return off, failf(off, "more than %d data items", MaxItems)
	}
	b := c.data[off]
	if b < 0x38 && b&0x1f < 24 { // an integer in one byte
		return off + 1, nil
	}
	if b>>5 == majorSimple {
		return c.simple(off)
	}
	arg, next, err := c.argument(off)
	if err != nil {
		return off, err
	}
	left := uint64(len(c.data) - next)
	switch b >> 5 {
	case majorBytes:
		if arg > left {
			return off, failf(off, "a byte string of %d bytes is declared, only %d follow", arg, left)
		}
		return next + int(arg), nil
	case majorText:
		if arg > left {
			return off, failf(off, "a text string of %d bytes is declared, only %d follow", arg, left)
		}
		end := next + int(arg)
		if text := c.data[next:end]; !utf8.Valid(text) {
			return off, failf(next+invalidUTF8(text), "text is not valid UTF-8")
		}
		return end, nil
	case majorArray:
		if arg > left {
			return off, failf(off, "an array of %d items is declared, only %d bytes follow", arg, left)
		}
		return c.array(off, next, int(arg), depth+1)
	case majorMap:
		if arg > left/2 {
			return off, failf(off, "a map of %d pairs is declared, only %d bytes follow", arg, left)
		}
		return c.mapping(off, next, int(arg), depth+1)
	case majorTag:
		return c.tagged(off, next, arg, depth)
	}
	return next, nil // an integer of more than one byte
}

func (c *checker) enter(off, depth, items int) *Error {
	if depth > MaxDepth {
		return failf(off, "arrays and maps nest deeper than %d", MaxDepth)
	}
	if items > MaxItems-c.items {
		return failf(off, "more than %d data items are declared", MaxItems)
	}
	return nil
}

func (c *checker) array(off, next, n, depth int) (int, *Error) {
	if err := c.enter(off, depth, n); err != nil {
		return off, err
	}
	var err *Error
	for range n {
		if next, err = c.item(next, depth); err != nil {
			return next, err
		}
	}
	return next, nil
}

// mapping demands strictly ascending keys, in the bytewise order of their encodings
// (RFC 8949, section 4.2.1), which also finds keys that appear twice.
func (c *checker) mapping(off, next, n, depth int) (int, *Error) {
	if err := c.enter(off, depth, 2*n); err != nil {
		return off, err
	}
	var last []byte
	var err *Error
	for i := range n {
		start := next
		if next, err = c.item(start, depth); err != nil {
			return next, err
		}
		key := c.data[start:next]
		if i > 0 {
			switch order := bytes.Compare(last, key); {
			case order == 0:
				return off, failf(start, "map key %s appears twice", keyText(key))
			case order > 0:
				return off, failf(start, "map key %s is out of order, want it before %s", keyText(key), keyText(last))
			}
		}
		last = key
		if next, err = c.item(next, depth); err != nil {
			return next, err
		}
	}
	return next, nil
}

// tagged checks the tags that have a meaning here: 0 and 1 for times, 2 and 3 for
// integers beyond 64 bits (RFC 8949, sections 3.4.1 to 3.4.3). What they may hold is
// never a container or a tag, which also bounds the recursion.
func (c *checker) tagged(off, next int, tag uint64, depth int) (int, *Error) {
	if tag > 3 {
		return off, failf(off, "tag %d is not registered, want 0 to 3 or none", tag)
	}
	if next >= len(c.data) {
		return next, failf(next, "the message ends where a data item should begin")
	}
	b := c.data[next]
	major, want := b>>5, "a byte string"
	fits := major == majorBytes
	switch tag {
	case 0:
		fits, want = major == majorText, "a text string"
	case 1:
		fits, want = major <= majorNegInt || b >= byteFloat16 && b <= byteFloat64, "an integer or a finite float"
	}
	if !fits {
		return next, failf(next, "tag %d is followed by %s, want %s", tag, kindText(c.data, next), want)
	}
	end, err := c.item(next, depth)
	if err != nil {
		return end, err
	}
	if tag == 1 && major == majorSimple && !finite(readFloat(c.data, next)) {
		return next, failf(next, "tag 1 is followed by %v, want an integer or a finite float", readFloat(c.data, next))
	}
	if tag >= 2 {
		_, n, content, _ := readHead(c.data, next)
		if n <= 8 {
			return off, failf(off, "tag %d holds an integer of %d bytes, want a plain integer up to 8", tag, n)
		}
		if c.data[content] == 0 {
			return off, failf(content, "tag %d holds an integer with leading zeros, want none", tag)
		}
	}
	return end, nil
}

// simple checks major type 7: false, true, null and floats in their shortest form.
func (c *checker) simple(off int) (int, *Error) {
	b, rest := c.data[off], c.data[off+1:]
	switch b {
	case byteFalse, byteTrue, byteNull:
		return off + 1, nil
	case byteUndefined:
		return off, failf(off, "undefined is not carried, want null")
	case byteFloat16:
		if len(rest) < 2 {
			return off, c.cutFloat(off, 2)
		}
		if h := binary.BigEndian.Uint16(rest); h&0x7c00 == 0x7c00 && h&0x3ff != 0 && h != 0x7e00 {
			return off, failf(off, "NaN has a payload or a sign, want f97e00")
		}
		return off + 3, nil
	case byteFloat32:
		if len(rest) < 4 {
			return off, c.cutFloat(off, 4)
		}
		if float16Holds(binary.BigEndian.Uint32(rest)) {
			return off, failf(off, "a float in 4 bytes would fit 2, want the shortest form")
		}
		return off + 5, nil
	case byteFloat64:
		if len(rest) < 8 {
			return off, c.cutFloat(off, 8)
		}
		if f := math.Float64frombits(binary.BigEndian.Uint64(rest)); f != f || float64(float32(f)) == f {
			return off, failf(off, "a float in 8 bytes would fit 4 or 2, want the shortest form")
		}
		return off + 9, nil
	case byteBreak:
		return off, failf(off, "a break code, but indefinite lengths are not carried")
	}
	if b < 0xf8 {
		return off, failf(off, "simple(%d) is not carried, want false, true or null", b&0x1f)
	}
	if b == 0xf8 {
		if len(rest) == 0 {
			return off, failf(off, "the message ends within a simple value")
		}
		return off, failf(off, "simple(%d) is not carried, want false, true or null", rest[0])
	}
	return off, failf(off, "initial byte 0x%02x is reserved", b)
}

func (c *checker) cutFloat(off, size int) *Error {
	return failf(off, "a float of %d bytes, only %d follow", size, len(c.data)-off-1)
}

// argument reads the argument of a head and demands its shortest form.
func (c *checker) argument(off int) (arg uint64, next int, err *Error) {
	b := c.data[off]
	info := b & 0x1f
	if info < 24 {
		return uint64(info), off + 1, nil
	}
	if info == infoIndefinite && b>>5 >= majorBytes && b>>5 <= majorMap {
		return 0, off, failf(off, "%s has an indefinite length, want a definite one", majorName[b>>5])
	}
	if info > 27 {
		return 0, off, failf(off, "initial byte 0x%02x is reserved", b)
	}
	_, arg, next, ok := readHead(c.data, off)
	if !ok {
		return 0, off, failf(off, "the message ends within the head of %s", majorName[b>>5])
	}
	// An argument of 1, 2, 4 or 8 bytes must exceed what the next shorter form holds.
	if shorter := [4]uint64{23, math.MaxUint8, math.MaxUint16, math.MaxUint32}; arg <= shorter[info-24] {
		return 0, off, failf(off, "the head of %s takes %d bytes for %d, want the shortest form", majorName[b>>5], next-off, arg)
	}
	return arg, next, nil
}

func invalidUTF8(text []byte) int {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(text)
}
