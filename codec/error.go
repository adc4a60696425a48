package codec

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Error says why bytes were not decoded, or why a value was not encoded.
type Error struct {
	Offset int    // the byte where it went wrong, from the start of the message; 0 when encoding
	Path   string // the way there, like [0].accounts["alice"][3]; empty for the outermost item
	Reason string // what is wrong and what was wanted
	Err    error  // what a type's own method returned, if that was the cause, or io.EOF

	encoding bool // it has no offset
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("codec: ")
	b.WriteString(e.Reason)
	if !e.encoding {
		fmt.Fprintf(&b, " at offset %d", e.Offset)
	}
	if e.Path != "" {
		b.WriteString(" in ")
		b.WriteString(e.Path)
	}
	return b.String()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

func failf(off int, format string, args ...any) *Error {
	return &Error{Offset: off, Reason: fmt.Sprintf(format, args...)}
}

func encodeError(v any, err error) *Error {
	return &Error{Reason: fmt.Sprintf("cannot encode %T: %s", v, trimPrefix(err)), Err: err, encoding: true}
}

// trimPrefix returns an error's text without the package prefix that it may bring.
func trimPrefix(err error) string {
	return strings.TrimPrefix(strings.TrimPrefix(err.Error(), "codec: "), "cbor: ")
}

// located adds the path to an error, by walking to its offset a second time.
// v is what was decoded into, or nil; sequence says that data holds many items.
func located(e *Error, data []byte, v any, sequence bool) error {
	var s *shape
	if t := reflect.TypeOf(v); t != nil && t.Kind() == reflect.Pointer {
		s, _ = shapeOf(t.Elem())
	}
	e.Path = pathTo(data, e.Offset, s, sequence)
	return e
}

// pathTo names the way from the outermost item to the one that holds the byte at
// target. Data may be broken from target on. With a shape, fields of Go structs
// read .name; all other keys read ["name"].
func pathTo(data []byte, target int, s *shape, sequence bool) string {
	var path strings.Builder
	off := 0
	if sequence {
		i := 0
		for ; off < target; i++ {
			next, ok := skip(data, off)
			if !ok || target < next {
				break
			}
			off = next
		}
		fmt.Fprintf(&path, "[%d]", i)
	}
	for off < target {
		s = s.pointee()
		major, arg, next, ok := readHead(data, off)
		if !ok || target < next {
			break
		}
		switch major {
		case majorArray:
			off, s = pathElement(&path, data, next, target, int(min(arg, MaxItems)), s)
		case majorMap:
			off, s = pathEntry(&path, data, next, target, int(min(arg, MaxItems)), s)
		default:
			return path.String()
		}
	}
	return path.String()
}

func pathElement(path *strings.Builder, data []byte, off, target, n int, s *shape) (int, *shape) {
	for i := range n {
		next, ok := skip(data, off)
		if !ok || target < next {
			path.WriteString("[" + strconv.Itoa(i) + "]")
			return off, s.element(i)
		}
		off = next
	}
	return target, nil
}

func pathEntry(path *strings.Builder, data []byte, off, target, n int, s *shape) (int, *shape) {
	for range n {
		value, ok := skip(data, off)
		if !ok {
			path.WriteString("[?]") // the key itself is broken
			return target, nil
		}
		next, ok := skip(data, value)
		if !ok || target < next {
			key := data[off:value]
			if f := s.field(key); f != nil {
				path.WriteString("." + f.name)
				s = f.shape
			} else {
				path.WriteString("[" + keyText(key) + "]")
				s = s.element(0)
			}
			if target < value {
				return target, nil
			}
			return value, s
		}
		off = next
	}
	return target, nil
}

// keyText prints a map key for people, shortened.
func keyText(key []byte) string {
	const most = 48
	major, _, head, ok := readHead(key, 0)
	if ok && major == majorText {
		text := key[head:]
		if len(text) > most {
			return strconv.Quote(string(text[:most])) + "..."
		}
		return strconv.Quote(string(text))
	}
	text, _ := Diagnostic(key[:min(len(key), most)])
	if len(key) > most {
		text += "..."
	}
	return text
}

var majorName = [8]string{
	"an integer", "a negative integer", "a byte string", "a text string",
	"an array", "a map", "a tag", "a simple value",
}

// kindText names the kind of the item at off.
func kindText(data []byte, off int) string {
	switch b := data[off]; {
	case b == byteNull:
		return "null"
	case b == byteFalse || b == byteTrue:
		return "a bool"
	case b >= byteFloat16 && b <= byteFloat64:
		return "a float"
	case b>>5 == majorTag:
		_, tag, _, _ := readHead(data, off)
		return "tag " + strconv.FormatUint(tag, 10)
	default:
		return majorName[b>>5]
	}
}
