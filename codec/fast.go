package codec

import "math"

// appendFast writes the plain types without the library and without reflection.
// ok is false if v is of another type.
func appendFast(dst []byte, v any) (out []byte, ok bool, err error) {
	switch v := v.(type) {
	case nil:
		return append(dst, byteNull), true, nil
	case bool:
		return AppendBool(dst, v), true, nil
	case int:
		return appendInt(dst, int64(v)), true, nil
	case int8:
		return appendInt(dst, int64(v)), true, nil
	case int16:
		return appendInt(dst, int64(v)), true, nil
	case int32:
		return appendInt(dst, int64(v)), true, nil
	case int64:
		return appendInt(dst, v), true, nil
	case uint:
		return appendHead(dst, majorUint, uint64(v)), true, nil
	case uint8:
		return appendHead(dst, majorUint, uint64(v)), true, nil
	case uint16:
		return appendHead(dst, majorUint, uint64(v)), true, nil
	case uint32:
		return appendHead(dst, majorUint, uint64(v)), true, nil
	case uint64:
		return appendHead(dst, majorUint, v), true, nil
	case string:
		out, err := AppendString(dst, v)
		return out, true, err
	case []byte:
		return AppendBytes(dst, v), true, nil
	}
	return dst, false, nil
}

func appendInt(dst []byte, n int64) []byte {
	if n < 0 {
		return appendHead(dst, majorNegInt, uint64(^n))
	}
	return appendHead(dst, majorUint, uint64(n))
}

// decodeFast reads a checked item into the plain types. ok is false if v is of another
// type or the item does not fit it: the long way then finds the reason.
func decodeFast(data []byte, off int, v any) (next int, ok bool) {
	major, arg, next, _ := readHead(data, off)
	switch v := v.(type) {
	case *string:
		if ok = v != nil && major == majorText; ok {
			end := next + int(arg)
			*v, next = string(data[next:end]), end
		}
	case *[]byte:
		if v == nil {
			return off, false
		}
		if ok = data[off] == byteNull; ok {
			*v = nil
		} else if ok = major == majorBytes; ok {
			b := make([]byte, arg)
			next += copy(b, data[next:])
			*v = b
		}
	case *bool:
		if ok = v != nil && (data[off] == byteTrue || data[off] == byteFalse); ok {
			*v = data[off] == byteTrue
		}
	case *float64:
		if ok = v != nil && data[off] >= byteFloat16 && data[off] <= byteFloat64; ok {
			*v = readFloat(data, off)
		}
	case *int:
		ok = setInt(v, major, arg)
	case *int8:
		ok = setInt(v, major, arg)
	case *int16:
		ok = setInt(v, major, arg)
	case *int32:
		ok = setInt(v, major, arg)
	case *int64:
		ok = setInt(v, major, arg)
	case *uint:
		ok = setUint(v, major, arg)
	case *uint8:
		ok = setUint(v, major, arg)
	case *uint16:
		ok = setUint(v, major, arg)
	case *uint32:
		ok = setUint(v, major, arg)
	case *uint64:
		ok = setUint(v, major, arg)
	}
	return next, ok
}

func setInt[T int | int8 | int16 | int32 | int64](v *T, major byte, arg uint64) bool {
	if v == nil || major > majorNegInt || arg > math.MaxInt64 || T(arg) < 0 || uint64(T(arg)) != arg {
		return false
	}
	*v = T(arg)
	if major == majorNegInt {
		*v = ^*v
	}
	return true
}

func setUint[T uint | uint8 | uint16 | uint32 | uint64](v *T, major byte, arg uint64) bool {
	if v == nil || major != majorUint || uint64(T(arg)) != arg {
		return false
	}
	*v = T(arg)
	return true
}
