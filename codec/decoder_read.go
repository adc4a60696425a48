package codec

import (
	"reflect"
	"time"
)

// Bool reads a bool.
func (d *Decoder) Bool() bool {
	if d.off < len(d.data) {
		if b := d.data[d.off]; b == byteTrue || b == byteFalse {
			d.move(d.off + 1)
			return b == byteTrue
		}
	}
	return refuse[bool](d)
}

// Int reads an int.
func (d *Decoder) Int() int { return readInt[int](d) }

// Int8 reads an int8.
func (d *Decoder) Int8() int8 { return readInt[int8](d) }

// Int16 reads an int16.
func (d *Decoder) Int16() int16 { return readInt[int16](d) }

// Int32 reads an int32.
func (d *Decoder) Int32() int32 { return readInt[int32](d) }

// Int64 reads an int64.
func (d *Decoder) Int64() int64 { return readInt[int64](d) }

// Uint reads a uint.
func (d *Decoder) Uint() uint { return readUint[uint](d) }

// Uint8 reads a uint8.
func (d *Decoder) Uint8() uint8 { return readUint[uint8](d) }

// Uint16 reads a uint16.
func (d *Decoder) Uint16() uint16 { return readUint[uint16](d) }

// Uint32 reads a uint32.
func (d *Decoder) Uint32() uint32 { return readUint[uint32](d) }

// Uint64 reads a uint64.
func (d *Decoder) Uint64() uint64 { return readUint[uint64](d) }

func readInt[T int | int8 | int16 | int32 | int64](d *Decoder) (v T) {
	if d.off < len(d.data) {
		if b := d.data[d.off]; b < 24 {
			d.move(d.off + 1)
			return T(b)
		}
		if major, arg, next, _ := readHead(d.data, d.off); setInt(&v, major, arg) {
			d.move(next)
			return v
		}
	}
	return refuse[T](d)
}

func readUint[T uint | uint8 | uint16 | uint32 | uint64](d *Decoder) (v T) {
	if d.off < len(d.data) {
		if major, arg, next, _ := readHead(d.data, d.off); setUint(&v, major, arg) {
			d.move(next)
			return v
		}
	}
	return refuse[T](d)
}

// Float32 reads a float32. An integer is taken too if no digit is lost.
func (d *Decoder) Float32() float32 {
	if f, ok := d.float(shapeFloat32); ok {
		return float32(f)
	}
	return refuse[float32](d)
}

// Float64 reads a float64. An integer is taken too if no digit is lost.
func (d *Decoder) Float64() float64 {
	if f, ok := d.float(shapeFloat64); ok {
		return f
	}
	return refuse[float64](d)
}

var (
	shapeFloat32 = must(shapeOf(reflect.TypeFor[float32]()))
	shapeFloat64 = must(shapeOf(reflect.TypeFor[float64]()))
)

// float reads what fits a float of shape s.
func (d *Decoder) float(s *shape) (v float64, ok bool) {
	if d.off >= len(d.data) {
		return 0, false
	}
	major, arg, next, _ := readHead(d.data, d.off)
	f := fitter{data: d.data}
	if _, fault := f.fitFloat(d.off, next, arg, s); fault != nil {
		return 0, false
	}
	switch major {
	case majorUint:
		v = float64(arg)
	case majorNegInt:
		v = -1 - float64(arg)
	default:
		v = readFloat(d.data, d.off)
	}
	d.move(next)
	return v, true
}

// Text reads a string.
func (d *Decoder) Text() string {
	if d.off < len(d.data) {
		if major, arg, next, _ := readHead(d.data, d.off); major == majorText {
			end := next + int(arg)
			d.memory += int64(arg)
			d.move(end)
			return string(d.data[next:end])
		}
	}
	return refuse[string](d)
}

// Bytes reads a []byte; null is nil. The result is a copy, unless Own was called.
func (d *Decoder) Bytes() []byte {
	if d.off < len(d.data) {
		if d.data[d.off] == byteNull {
			d.move(d.off + 1)
			return nil
		}
		if major, arg, next, _ := readHead(d.data, d.off); major == majorBytes {
			end := next + int(arg)
			d.memory += int64(arg)
			d.move(end)
			if d.owned && !d.inside {
				return d.data[next:end:end]
			}
			b := make([]byte, arg)
			copy(b, d.data[next:end])
			return b
		}
	}
	return refuse[[]byte](d)
}

// Fill reads a byte string of exactly the length of b into b, as an array of bytes is
// read. It is for use between Begin and End only.
func (d *Decoder) Fill(b []byte) {
	if d.off < len(d.data) && d.inside {
		if major, arg, next, _ := readHead(d.data, d.off); major == majorBytes && arg == uint64(len(b)) {
			d.off = next + copy(b, d.data[next:])
			return
		}
	}
	d.wrong()
}

// Time reads a time.Time; null is the zero time.
func (d *Decoder) Time() time.Time {
	if d.off < len(d.data) {
		if d.data[d.off] == byteNull {
			d.move(d.off + 1)
			return time.Time{}
		}
		// Tag 1, seconds, is rare and left to Value.
		if d.data[d.off] == majorTag<<5 {
			_, arg, next, _ := readHead(d.data, d.off+1)
			end := next + int(arg)
			var t time.Time
			if arg <= uint64(longestTime) && t.UnmarshalText(d.data[next:end]) == nil {
				d.move(end)
				return t
			}
		}
	}
	return refuse[time.Time](d)
}

// refuse is for an item that is no T. Value finds the reason, or takes the item after
// all, for it knows more.
func refuse[T any](d *Decoder) (v T) {
	p := new(T)
	d.Value(p)
	return *p
}

// wrong is for an item that is not what a part of a value must be.
func (d *Decoder) wrong() {
	switch {
	case d.inside:
		d.mismatch()
	case d.off < len(d.data):
		d.stop(failf(d.off, "a part of a value is wanted outside Begin and End"))
	default:
		d.exhausted()
	}
}
