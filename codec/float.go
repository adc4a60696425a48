package codec

import (
	"encoding/binary"
	"math"
)

// float16Holds reports whether a float32, given as bits, has the same value as some
// half-precision float. It says yes to every NaN: there is one, and it is a half.
func float16Holds(bits uint32) bool {
	exponent, fraction := int(bits>>23&0xff)-127, bits&0x7fffff
	switch {
	case exponent == 128: // infinities and NaN
		return true
	case exponent == -127: // zero, or too small
		return fraction == 0
	case exponent > 15 || exponent < -24:
		return false
	case exponent >= -14: // normal: 10 of 23 fraction bits remain
		return fraction&(1<<13-1) == 0
	default: // subnormal: one bit fewer for each step below -14
		return fraction&(1<<(13-14-exponent)-1) == 0
	}
}

// readFloat returns the value of the complete float at off, of any width.
func readFloat(data []byte, off int) float64 {
	rest := data[off+1:]
	switch data[off] {
	case byteFloat16:
		return float16Value(binary.BigEndian.Uint16(rest))
	case byteFloat32:
		return float64(math.Float32frombits(binary.BigEndian.Uint32(rest)))
	default:
		return math.Float64frombits(binary.BigEndian.Uint64(rest))
	}
}

// float16Value is RFC 8949, appendix D.
func float16Value(h uint16) float64 {
	exponent, fraction := int(h>>10&0x1f), float64(h&0x3ff)
	var f float64
	switch {
	case exponent == 0:
		f = math.Ldexp(fraction, -24)
	case exponent < 31:
		f = math.Ldexp(fraction+1024, exponent-25)
	case fraction == 0:
		f = math.Inf(1)
	default:
		return math.NaN()
	}
	if h&0x8000 != 0 {
		return -f
	}
	return f
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }
