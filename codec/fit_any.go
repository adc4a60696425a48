package codec

import (
	"math"
	"reflect"
)

// fitAny allows the eight kinds of value that an any may become.
func (f *fitter) fitAny(off int) (int, *Error) {
	major, arg, next, _ := readHead(f.data, off)
	switch major {
	case majorUint:
		f.wide = f.wide || arg > math.MaxInt64
		f.memory += 8
	case majorNegInt:
		if arg > math.MaxInt64 {
			return off, failf(off, "integer %s overflows int64, the smallest that an any takes", intText(true, arg))
		}
		f.memory += 8
	case majorBytes:
		f.memory += 24 + int64(arg)
		next += int(arg)
	case majorText:
		f.memory += 16 + int64(arg)
		next += int(arg)
	case majorArray:
		f.memory += 24
		return f.fitArray(off, next, int(arg), anySlice)
	case majorMap:
		return f.fitAnyMap(next, int(arg))
	case majorTag:
		return off, failf(off, "tag %d in an any, want a declared type such as time.Time or big.Int", arg)
	case majorSimple:
		if f.data[off] >= byteFloat16 {
			f.memory += 8
		}
	}
	return next, nil
}

func (f *fitter) fitAnyMap(next, n int) (int, *Error) {
	f.memory += 8 + anyMap.mapMemory(n)
	var err *Error
	for range n {
		if f.data[next]>>5 != majorText {
			end, _ := skip(f.data, next)
			return next, failf(next, "map key %s in an any, want text", keyText(f.data[next:end]))
		}
		if next, err = f.fit(next, anyMap.key); err != nil {
			return next, err
		}
		if next, err = f.fitAny(next); err != nil {
			return next, err
		}
	}
	return next, nil
}

// What an any's arrays and maps are decoded into.
var (
	anySlice = must(shapeOf(reflect.TypeFor[[]any]()))
	anyMap   = must(shapeOf(reflect.TypeFor[map[string]any]()))
)
