package codec

import (
	"encoding"
	"fmt"
	"math/big"
	"reflect"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// CheckType reports whether values of type t can be encoded and decoded. If not, the
// error names the way to the type that is to blame, and the reason.
func CheckType(t reflect.Type) error {
	if t == nil {
		return &typeError{"nil", "is no type"}
	}
	_, err := shapeOf(t)
	return err
}

// typeError tells which type cannot be carried, and where it was found.
type typeError struct {
	path, reason string
}

func (e *typeError) Error() string { return "codec: " + e.path + ": " + e.reason }

var (
	typeTime            = reflect.TypeFor[time.Time]()
	typeBigInt          = reflect.TypeFor[big.Int]()
	typeMarshaler       = reflect.TypeFor[cbor.Marshaler]()
	typeUnmarshaler     = reflect.TypeFor[cbor.Unmarshaler]()
	typeBinaryMarshal   = reflect.TypeFor[encoding.BinaryMarshaler]()
	typeBinaryUnmarshal = reflect.TypeFor[encoding.BinaryUnmarshaler]()
	typeTextMarshal     = reflect.TypeFor[encoding.TextMarshaler]()
	typeTextUnmarshal   = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// special recognizes the types that have an encoding of their own.
func (s *shape) special(path string) (done bool, err error) {
	t := s.typ
	switch t {
	case typeTime:
		s.kind = shapeTime
		return true, nil
	case typeBigInt:
		s.kind = shapeBigInt
		return true, nil
	case reflect.TypeFor[cbor.Tag](), reflect.TypeFor[cbor.RawTag](), reflect.TypeFor[cbor.SimpleValue]():
		return false, &typeError{path, fmt.Sprintf("%s cannot be carried: tags and simple values are not passed through", t)}
	}
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface {
		return false, nil
	}
	p := reflect.PointerTo(t)
	pairs := [3]struct {
		out, in      reflect.Type
		nameO, nameI string
	}{
		{typeMarshaler, typeUnmarshaler, "MarshalCBOR", "UnmarshalCBOR"},
		{typeBinaryMarshal, typeBinaryUnmarshal, "MarshalBinary", "UnmarshalBinary"},
		{typeTextMarshal, typeTextUnmarshal, "MarshalText", "UnmarshalText"},
	}
	for i, pair := range pairs {
		out, in := p.Implements(pair.out), p.Implements(pair.in)
		if i == 2 && s.binary { // the second choice need not be complete
			s.text = in
			break
		}
		if out != in {
			has, lacks := pair.nameO, pair.nameI
			if in {
				has, lacks = lacks, has
			}
			return false, &typeError{path, fmt.Sprintf("%s has %s but not %s, want both", t, has, lacks)}
		}
		if !out {
			continue
		}
		if err := promoted(t, pair.out, path); err != nil {
			return false, err
		}
		if i == 0 {
			s.kind = shapeRaw
			return true, nil
		}
		s.kind = shapeOwn
		s.binary = s.binary || i == 1
		s.text = s.text || i == 2
	}
	return s.kind == shapeOwn, nil
}

// promoted refuses a struct that has a marshalling method as well as an embedded
// field with that method and other fields: if the method is the embedded one's, as it
// is when nobody wrote another, the other fields would silently stay behind.
func promoted(t, method reflect.Type, path string) error {
	if t.Kind() != reflect.Struct || t.NumField() < 2 {
		return nil
	}
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous && (f.Type.Implements(method) || reflect.PointerTo(f.Type).Implements(method)) {
			return &typeError{path, fmt.Sprintf("%s takes its encoding from the embedded %s and would lose its other fields, want a named field", t, f.Type)}
		}
	}
	return nil
}

// plainBytes refuses []T with a byte-like T that marshals itself: the bytes would
// be carried as they are, past T's own methods.
func (s *shape) plainBytes(path string) error {
	if s.elem.kind == shapeUint {
		return nil
	}
	return &typeError{path, fmt.Sprintf("%s would be carried as bytes, past the methods of %s", s.typ, s.elem.typ)}
}
