package codec

import (
	"reflect"
	"strconv"
	"unicode/utf8"
)

// explain turns what the library returned for an item that fits into an Error at the
// item whose own method refused it, if that can be found.
func explain(data []byte, off int, s *shape, cause error) *Error {
	e := locateOwn(data, off, s)
	if e == nil {
		e = &Error{Offset: off, Reason: trimPrefix(cause), Err: cause}
	}
	if !utf8.ValidString(e.Reason) {
		e.Reason = strconv.QuoteToGraphic(e.Reason)
	}
	return e
}

// locateOwn decodes each item that unmarshals itself on its own, until one fails.
func locateOwn(data []byte, off int, s *shape) *Error {
	if data[off] == byteNull && s.kind != shapeRaw {
		return nil
	}
	_, arg, next, _ := readHead(data, off)
	switch s.kind {
	case shapePointer:
		return locateOwn(data, off, s.elem)
	case shapeOwn, shapeRaw:
		end, _ := skip(data, off)
		if err := decMode.Unmarshal(data[off:end], reflect.New(s.typ).Interface()); err != nil {
			return &Error{Offset: off, Reason: kindText(data, off) + " was refused by " + s.typ.String() + ": " + trimPrefix(err), Err: err}
		}
	case shapeSlice, shapeArray:
		for range arg {
			if e := locateOwn(data, next, s.elem); e != nil {
				return e
			}
			next, _ = skip(data, next)
		}
	case shapeMap, shapeStruct:
		for i := range int(arg) {
			value := next
			inner := s.element(i)
			if !s.toArray {
				value, _ = skip(data, next)
				if f := s.field(data[next:value]); f != nil {
					inner = f.shape
				} else if e := locateOwn(data, next, s.key); e != nil {
					return e
				}
			}
			if e := locateOwn(data, value, inner); e != nil {
				return e
			}
			next, _ = skip(data, value)
		}
	}
	return nil
}
