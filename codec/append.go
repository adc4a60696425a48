package codec

import (
	"encoding/binary"
	"math"
	"slices"
	"time"
	"unicode/utf8"
)

// The functions below write one item each, or the head of one, without reflection:
// they are what generated code is made of. What they append is what [Append] would
// for the same value; who writes an array or a map by its parts must write as many
// items as the head says, and the keys in bytewise order.

// AppendNil appends null.
func AppendNil(dst []byte) []byte { return append(dst, byteNull) }

// AppendBool appends false or true.
func AppendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, byteTrue)
	}
	return append(dst, byteFalse)
}

// AppendInt appends a signed integer.
func AppendInt(dst []byte, v int64) []byte {
	if uint64(v) < 24 {
		return append(dst, byte(v))
	}
	return appendInt(dst, v)
}

// AppendUint appends an unsigned integer.
func AppendUint(dst []byte, v uint64) []byte { return appendHead(dst, majorUint, v) }

// AppendFloat appends a float in the shortest form that keeps its value, as a
// float32 of the same value would be too; every NaN becomes f97e00.
func AppendFloat(dst []byte, v float64) []byte {
	narrow := float32(v)
	if float64(narrow) != v && v == v {
		return binary.BigEndian.AppendUint64(append(dst, byteFloat64), math.Float64bits(v))
	}
	bits := math.Float32bits(narrow)
	if float16Holds(bits) {
		return binary.BigEndian.AppendUint16(append(dst, byteFloat16), float16Bits(bits))
	}
	return binary.BigEndian.AppendUint32(append(dst, byteFloat32), bits)
}

// AppendString appends text. If it is not valid UTF-8, the error is an [*Error] and
// dst is returned as it was.
func AppendString(dst []byte, v string) ([]byte, error) {
	if !utf8.ValidString(v) {
		return dst, &Error{Reason: "cannot encode string: it is not valid UTF-8, want text or a []byte", encoding: true}
	}
	return append(appendHead(dst, majorText, uint64(len(v))), v...), nil
}

// AppendBytes appends a byte string; a nil slice is null.
func AppendBytes(dst, v []byte) []byte {
	if v == nil {
		return append(dst, byteNull)
	}
	return append(appendHead(dst, majorBytes, uint64(len(v))), v...)
}

// AppendTime appends a time as tag 0, RFC 3339 in UTC; the zero time is null. The
// error of a year outside 0 to 9999 is an [*Error], and dst is returned as it was.
func AppendTime(dst []byte, v time.Time) ([]byte, error) {
	if v.IsZero() {
		return append(dst, byteNull), nil
	}
	v = v.UTC()
	if year := v.Year(); year < 0 || year > 9999 {
		return Append(dst, v) // which says why not
	}
	var text [len(time.RFC3339Nano)]byte
	formatted := v.AppendFormat(text[:0], time.RFC3339Nano)
	return append(appendHead(append(dst, majorTag<<5), majorText, uint64(len(formatted))), formatted...), nil
}

// AppendArrayHead appends the head of an array of n items, which are to follow.
func AppendArrayHead(dst []byte, n int) []byte { return appendHead(dst, majorArray, uint64(n)) }

// AppendMapHead appends the head of a map of n pairs, which are to follow with their
// keys in bytewise order.
func AppendMapHead(dst []byte, n int) []byte { return appendHead(dst, majorMap, uint64(n)) }

// SortedKeys returns the keys of a map in the order in which they are written:
// shorter ones first, and those of one length bytewise (RFC 8949, section 4.2.1, for
// keys that are text).
func SortedKeys[M ~map[K]V, K ~string, V any](m M) []K {
	keys := make([]K, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(x, y K) int {
		switch {
		case len(x) != len(y):
			return len(x) - len(y)
		case x < y:
			return -1
		}
		return 1 // no key is there twice
	})
	return keys
}

// float16Bits converts a float32, given as bits, that float16Holds.
func float16Bits(bits uint32) uint16 {
	sign := uint16(bits >> 16 & 0x8000)
	exponent, fraction := int(bits>>23&0xff)-127, bits&0x7fffff
	switch {
	case exponent == 128 && fraction != 0:
		return 0x7e00
	case exponent == 128:
		return sign | 0x7c00
	case exponent == -127:
		return sign
	case exponent >= -14:
		return sign | uint16(exponent+15)<<10 | uint16(fraction>>13)
	default:
		return sign | uint16((fraction|1<<23)>>(13-14-exponent))
	}
}
