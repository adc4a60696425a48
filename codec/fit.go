package codec

import (
	"bytes"
	"math"
	"reflect"
	"time"
)

// Decoding an item of n bytes takes at most baseMemory + n*memoryPerByte. A list of
// small numbers in an any takes 16 bytes for each byte of the message, and one of short
// lists 28. Maps with one short entry take 90, a Go map of 8 slots each: a few of them
// are within baseMemory, and who wants many declares a struct.
const (
	baseMemory    = 4 << 10
	memoryPerByte = 32
)

// fitter compares a checked message with the type that it is to be decoded into and
// adds up the memory that this will take. Like checker it takes none itself, but for
// times, and returns where the item ends or an Error without a path.
type fitter struct {
	data   []byte
	memory int64
	wide   bool // an integer above the int64 range goes into an any
}

func (f *fitter) wrong(off int, s *shape) *Error {
	return failf(off, "%s where %s was declared", kindText(f.data, off), s.typ)
}

func (f *fitter) fit(off int, s *shape) (int, *Error) {
	b := f.data[off]
	if b == byteNull {
		switch s.kind {
		case shapeAny, shapePointer, shapeSlice, shapeBytes, shapeMap, shapeTime, shapeRaw:
			return off + 1, nil
		}
		return off, f.wrong(off, s)
	}
	major, arg, next, _ := readHead(f.data, off)
	switch s.kind {
	case shapeAny:
		return f.fitAny(off)
	case shapePointer:
		f.memory += int64(s.elem.typ.Size())
		return f.fit(off, s.elem)
	case shapeBool:
		if b == byteTrue || b == byteFalse {
			return next, nil
		}
	case shapeInt, shapeUint:
		if major <= majorNegInt {
			return f.fitInt(off, next, arg, s)
		}
	case shapeFloat:
		return f.fitFloat(off, next, arg, s)
	case shapeString:
		if major == majorText {
			f.memory += int64(arg)
			return next + int(arg), nil
		}
	case shapeBytes:
		if major == majorBytes {
			f.memory += int64(arg)
			return next + int(arg), nil
		}
	case shapeByteArray:
		if major == majorBytes {
			if arg != uint64(s.typ.Len()) {
				return off, failf(off, "a byte string of %d bytes, want %d for %s", arg, s.typ.Len(), s.typ)
			}
			return next + int(arg), nil
		}
	case shapeSlice, shapeArray:
		if major == majorArray {
			return f.fitArray(off, next, int(arg), s)
		}
	case shapeMap:
		if major == majorMap {
			return f.fitMap(next, int(arg), s)
		}
	case shapeStruct:
		if major == majorArray && s.toArray {
			return f.fitTuple(off, next, int(arg), s)
		}
		if major == majorMap && !s.toArray {
			return f.fitStruct(next, int(arg), s)
		}
	case shapeTime:
		if major == majorTag && arg <= 1 {
			return f.fitTime(next, arg)
		}
	case shapeBigInt:
		if major <= majorNegInt {
			f.memory += 64
			return next, nil
		}
		if major == majorTag && (arg == 2 || arg == 3) {
			end, _ := skip(f.data, next)
			f.memory += 64 + 4*int64(end-next)
			return end, nil
		}
	case shapeOwn:
		if major == majorBytes && s.binary || major == majorText && s.text {
			f.memory += int64(arg)
			return next + int(arg), nil
		}
	case shapeRaw:
		end, _ := skip(f.data, off)
		f.memory += int64(end - off)
		return end, nil
	}
	return off, f.wrong(off, s)
}

func (f *fitter) fitInt(off, next int, arg uint64, s *shape) (int, *Error) {
	negative := f.data[off]>>5 == majorNegInt
	bits := s.typ.Bits()
	fits := false
	if s.kind == shapeUint {
		fits = !negative && (bits == 64 || arg>>bits == 0)
	} else {
		fits = arg>>(bits-1) == 0 // a negative integer is -1-arg
	}
	if !fits {
		return off, failf(off, "integer %s overflows %s", intText(negative, arg), s.typ)
	}
	return next, nil
}

// fitFloat takes floats, and integers that a float holds exactly.
func (f *fitter) fitFloat(off, next int, arg uint64, s *shape) (int, *Error) {
	b := f.data[off]
	switch {
	case b>>5 <= majorNegInt:
		n := arg
		if b>>5 == majorNegInt {
			n++ // the magnitude; -1-(2^64-1) wraps to 0 and is refused below
		}
		digits := 53
		if s.typ.Bits() == 32 {
			digits = 24
		}
		if n > 1<<digits || n == 0 && arg != 0 {
			return off, failf(off, "integer %s has more digits than %s keeps, want at most %d bits", intText(b>>5 == majorNegInt, arg), s.typ, digits)
		}
		return next, nil
	case b >= byteFloat16 && b <= byteFloat64:
		if v := readFloat(f.data, off); s.typ.Bits() == 32 && finite(v) && math.Abs(v) > math.MaxFloat32 {
			return off, failf(off, "float %v overflows %s", v, s.typ)
		}
		return next, nil
	}
	return off, f.wrong(off, s)
}

func (f *fitter) fitArray(off, next, n int, s *shape) (int, *Error) {
	if s.kind == shapeArray {
		if n != s.typ.Len() {
			return off, failf(off, "an array of %d items, want %d for %s", n, s.typ.Len(), s.typ)
		}
	} else {
		f.memory += int64(n) * int64(s.elem.typ.Size())
	}
	var err *Error
	for range n {
		if next, err = f.fit(next, s.elem); err != nil {
			return next, err
		}
	}
	return next, nil
}

func (f *fitter) fitMap(next, n int, s *shape) (int, *Error) {
	f.memory += s.mapMemory(n)
	var err *Error
	for range n {
		if next, err = f.fit(next, s.key); err != nil {
			return next, err
		}
		if next, err = f.fit(next, s.elem); err != nil {
			return next, err
		}
	}
	return next, nil
}

// fitStruct walks the keys of the message and the fields of the type together: both
// are in bytewise order.
func (f *fitter) fitStruct(next, n int, s *shape) (int, *Error) {
	fields := s.fields
	for range n {
		start := next
		end, _ := skip(f.data, start)
		key := f.data[start:end]
		order := -1
		for len(fields) > 0 {
			if order = bytes.Compare(fields[0].key, key); order >= 0 {
				break
			}
			fields = fields[1:]
		}
		if order != 0 || len(fields) == 0 {
			return start, failf(start, "unknown field %s in %s, want %s", keyText(key), s.typ, s.names())
		}
		var err *Error
		if next, err = f.fit(end, fields[0].shape); err != nil {
			return next, err
		}
		if len(fields[0].index) > 1 {
			f.memory += embeddedMemory(s.typ, fields[0].index)
		}
		fields = fields[1:]
	}
	return next, nil
}

// embeddedMemory is what the pointers on the way to a field of an embedded struct may take.
func embeddedMemory(t reflect.Type, index []int) (n int64) {
	for _, i := range index[:len(index)-1] {
		t = t.Field(i).Type
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
			n += int64(t.Size())
		}
	}
	return n
}

func (f *fitter) fitTuple(off, next, n int, s *shape) (int, *Error) {
	if n != len(s.fields) {
		return off, failf(off, "an array of %d items, want the %d fields of %s", n, len(s.fields), s.typ)
	}
	var err *Error
	for i := range s.fields {
		if next, err = f.fit(next, s.fields[i].shape); err != nil {
			return next, err
		}
		if len(s.fields[i].index) > 1 {
			f.memory += embeddedMemory(s.typ, s.fields[i].index)
		}
	}
	return next, nil
}

// longestTime bounds the text of a time: no date in RFC 3339 with nanoseconds is
// longer, and more digits would be lost.
const longestTime = len("2006-01-02T15:04:05.999999999+07:00")

// fitTime looks at the content of tag 0 or 1.
func (f *fitter) fitTime(off int, tag uint64) (int, *Error) {
	_, arg, next, _ := readHead(f.data, off)
	if tag == 0 {
		end := next + int(arg)
		text := f.data[next:end]
		if len(text) > longestTime || new(time.Time).UnmarshalText(text) != nil {
			return off, failf(off, "time %q, want RFC 3339 with at most nanoseconds", text[:min(len(text), 2*longestTime)])
		}
		return end, nil
	}
	// Seconds: the years 0 to 9999, as in RFC 3339, so that what was read can be written.
	const first, last = -62167219200, 253402300799
	var seconds float64
	switch f.data[off] >> 5 {
	case majorUint:
		seconds = float64(arg)
	case majorNegInt:
		seconds = -1 - float64(arg)
	default:
		seconds = readFloat(f.data, off)
	}
	if seconds < first || seconds >= last+1 {
		return off, failf(off, "time %v seconds from 1970, want the years 0 to 9999", seconds)
	}
	return next, nil
}
