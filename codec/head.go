package codec

import "encoding/binary"

// Major types, RFC 8949 section 3.1.
const (
	majorUint   = 0
	majorNegInt = 1
	majorBytes  = 2
	majorText   = 3
	majorArray  = 4
	majorMap    = 5
	majorTag    = 6
	majorSimple = 7
)

// Initial bytes that mean one thing.
const (
	byteFalse     = 0xf4
	byteTrue      = 0xf5
	byteNull      = 0xf6
	byteUndefined = 0xf7
	byteFloat16   = 0xf9
	byteFloat32   = 0xfa
	byteFloat64   = 0xfb
	byteBreak     = 0xff
)

const infoIndefinite = 31

// readHead reads the head of an item: its major type, its argument and where the
// head ends. It does not judge; ok is false when the bytes end too early or the
// additional information is a reserved value. An indefinite length reads as 0.
func readHead(data []byte, off int) (major byte, arg uint64, next int, ok bool) {
	if off >= len(data) {
		return 0, 0, off, false
	}
	b := data[off]
	major, info := b>>5, b&0x1f
	rest := data[off+1:]
	switch {
	case info < 24:
		return major, uint64(info), off + 1, true
	case info == 24 && len(rest) >= 1:
		return major, uint64(rest[0]), off + 2, true
	case info == 25 && len(rest) >= 2:
		return major, uint64(binary.BigEndian.Uint16(rest)), off + 3, true
	case info == 26 && len(rest) >= 4:
		return major, uint64(binary.BigEndian.Uint32(rest)), off + 5, true
	case info == 27 && len(rest) >= 8:
		return major, binary.BigEndian.Uint64(rest), off + 9, true
	case info == infoIndefinite:
		return major, 0, off + 1, true
	}
	return major, 0, off, false
}

// skip returns where the item at off ends; ok is false if it does not end within data
// or has an indefinite length. It neither recurses nor takes memory.
func skip(data []byte, off int) (next int, ok bool) {
	for pending := 1; pending > 0; pending-- {
		major, arg, n, ok := readHead(data, off)
		if !ok || data[off]&0x1f == infoIndefinite {
			return off, false
		}
		left := uint64(len(data) - n)
		switch major {
		case majorBytes, majorText:
			if arg > left {
				return off, false
			}
			n += int(arg)
		case majorArray:
			if arg > left {
				return off, false
			}
			pending += int(arg)
		case majorMap:
			if arg > left/2 {
				return off, false
			}
			pending += 2 * int(arg)
		case majorTag:
			pending++
		}
		off = n
	}
	return off, true
}

func appendHead(dst []byte, major byte, arg uint64) []byte {
	m := major << 5
	switch {
	case arg < 24:
		return append(dst, m|byte(arg))
	case arg <= 0xff:
		return append(dst, m|24, byte(arg))
	case arg <= 0xffff:
		return binary.BigEndian.AppendUint16(append(dst, m|25), uint16(arg))
	case arg <= 0xffffffff:
		return binary.BigEndian.AppendUint32(append(dst, m|26), uint32(arg))
	default:
		return binary.BigEndian.AppendUint64(append(dst, m|27), arg)
	}
}
