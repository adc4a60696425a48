package wire

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/pyrossl/pyrossl/codec"
)

// Limits of the call envelope. PROTOCOL §5.1.
const (
	MaxObject   = 255     // bytes of an object id
	MaxMethod   = 255     // bytes of a method name
	MaxMetadata = 4 << 10 // bytes of encoded metadata
)

// CallHead is the envelope of a call: `[object, method, metadata, timeout]`,
// followed in the message by the arguments as a CBOR sequence. PROTOCOL §5.1.
//
// It is written and read by hand because it stands in front of every call, and
// the library's two passes and copies would double what a small call costs.
type CallHead struct {
	Object   []byte // aliases the message
	Method   []byte // aliases the message
	Metadata map[string]string
	// TimeoutMillis is the time that the caller will wait, 0 for no limit.
	TimeoutMillis uint64
}

// AppendCallHead appends the envelope; the arguments follow.
func AppendCallHead(dst []byte, object, method string, metadata map[string]string, timeoutMillis uint64) ([]byte, error) {
	if len(object) == 0 || len(object) > MaxObject {
		return dst, fmt.Errorf("wire: object id of %d bytes, want 1 to %d", len(object), MaxObject)
	}
	if len(method) == 0 || len(method) > MaxMethod {
		return dst, fmt.Errorf("wire: method name of %d bytes, want 1 to %d", len(method), MaxMethod)
	}
	n := len(dst)
	dst = append(dst, 0x84) // array of four
	dst = appendText(dst, object)
	dst = appendText(dst, method)
	if len(metadata) == 0 {
		dst = append(dst, 0xf6) // null
	} else {
		at := len(dst)
		var err error
		if dst, err = codec.Append(dst, metadata); err != nil {
			return dst[:n], err
		}
		if len(dst)-at > MaxMetadata {
			return dst[:n], fmt.Errorf("wire: metadata of %d bytes, at most %d are allowed", len(dst)-at, MaxMetadata)
		}
	}
	return appendUint(dst, 0x00, timeoutMillis), nil
}

var errHead = errors.New("wire: a call starts with [object text, method text, metadata map or null, timeout uint]")

// ParseCallHead reads the envelope and returns the arguments behind it. What
// it returns aliases msg.
func ParseCallHead(msg []byte) (h CallHead, args []byte, err error) {
	if len(msg) == 0 || msg[0] != 0x84 {
		return h, nil, errHead
	}
	rest := msg[1:]
	if h.Object, rest, err = text(rest, "object id", MaxObject); err != nil {
		return h, nil, err
	}
	if h.Method, rest, err = text(rest, "method name", MaxMethod); err != nil {
		return h, nil, err
	}
	if h.Metadata, rest, err = metadata(rest); err != nil {
		return h, nil, err
	}
	major, n, rest, err := head(rest)
	if err != nil || major != 0 {
		return h, nil, errHead
	}
	h.TimeoutMillis = n
	return h, rest, nil
}

func metadata(b []byte) (map[string]string, []byte, error) {
	if len(b) > 0 && b[0] == 0xf6 {
		return nil, b[1:], nil
	}
	// The metadata is one item of a sequence; the arguments behind it are
	// checked later, by who knows their types.
	n, err := itemLength(b, MaxMetadata)
	if err != nil {
		return nil, nil, err
	}
	var m map[string]string
	if err := codec.Unmarshal(b[:n], &m); err != nil {
		return nil, nil, fmt.Errorf("wire: metadata: %w", err)
	}
	return m, b[n:], nil
}

// itemLength returns the length of a map of text to text at the start of b.
func itemLength(b []byte, limit int) (int, error) {
	major, pairs, rest, err := head(b)
	if err != nil || major != 0xa0 {
		return 0, errHead
	}
	if pairs > uint64(limit) {
		return 0, fmt.Errorf("wire: metadata with %d entries in at most %d bytes", pairs, limit)
	}
	for range 2 * pairs {
		if _, rest, err = text(rest, "metadata", limit); err != nil {
			return 0, err
		}
	}
	if n := len(b) - len(rest); n <= limit {
		return n, nil
	}
	return 0, fmt.Errorf("wire: metadata of more than %d bytes", limit)
}

func text(b []byte, what string, limit int) (s, rest []byte, err error) {
	major, n, rest, err := head(b)
	switch {
	case err != nil || major != 0x60:
		return nil, nil, errHead
	case n == 0 && what != "metadata" || n > uint64(limit):
		return nil, nil, fmt.Errorf("wire: %s of %d bytes, want 1 to %d", what, n, limit)
	case n > uint64(len(rest)):
		return nil, nil, fmt.Errorf("wire: %s of %d bytes, but only %d are left", what, n, len(rest))
	}
	s, rest = rest[:n], rest[n:]
	if !utf8.Valid(s) {
		return nil, nil, fmt.Errorf("wire: %s %q is not valid UTF-8", what, s)
	}
	return s, rest, nil
}

// AppendBytesHead appends the CBOR head of a byte string of n bytes, for a
// payload that follows from where it lies.
func AppendBytesHead(dst []byte, n int) []byte { return appendUint(dst, 0x40, uint64(n)) }

// BytesItem returns the content of item when it is exactly one byte string.
func BytesItem(item []byte) (content []byte, ok bool) {
	major, n, rest, err := head(item)
	if err != nil || major != 0x40 || n != uint64(len(rest)) {
		return nil, false
	}
	return rest, true
}

// AppendArrayHead appends the CBOR head of an array of n items.
func AppendArrayHead(dst []byte, n int) []byte { return appendUint(dst, 0x80, uint64(n)) }

// ArrayItem returns the items of an array, a CBOR sequence that is not checked, and
// how many there should be.
func ArrayItem(item []byte) (n int, content []byte, ok bool) {
	major, count, rest, err := head(item)
	if err != nil || major != 0x80 || count > uint64(len(rest)) {
		return 0, nil, false
	}
	return int(count), rest, true
}

func appendText(dst []byte, s string) []byte {
	return append(appendUint(dst, 0x60, uint64(len(s))), s...)
}

// appendUint appends a CBOR head in its shortest form. RFC 8949, section 3.
func appendUint(dst []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(dst, major|byte(n))
	case n <= 0xff:
		return append(dst, major|24, byte(n))
	case n <= 0xffff:
		return append(dst, major|25, byte(n>>8), byte(n))
	case n <= 0xffffffff:
		return append(dst, major|26, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(dst, major|27, byte(n>>56), byte(n>>48), byte(n>>40), byte(n>>32), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// head reads a definite, shortest CBOR head.
func head(b []byte) (major byte, n uint64, rest []byte, err error) {
	if len(b) == 0 {
		return 0, 0, nil, errHead
	}
	major, info := b[0]&0xe0, b[0]&0x1f
	if info < 24 {
		return major, uint64(info), b[1:], nil
	}
	size := 1 << (info - 24)
	if info > 27 || len(b) < 1+size {
		return 0, 0, nil, errHead
	}
	for _, c := range b[1 : 1+size] {
		n = n<<8 | uint64(c)
	}
	if n < shortest[info-24] {
		return 0, 0, nil, errHead
	}
	return major, n, b[1+size:], nil
}

// shortest is the least value that needs 1, 2, 4 or 8 bytes.
var shortest = [4]uint64{24, 1 << 8, 1 << 16, 1 << 32}
