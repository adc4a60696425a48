package codec

import (
	"math/big"
	"reflect"
)

// narrow replaces the big integers that the library puts into an any for what exceeds
// int64 by uint64. The fit has shown that each is one and that nothing else is a big
// integer there. It runs only for messages with such an integer.
func narrow(v reflect.Value, s *shape) {
	if s.traits&hasAny == 0 {
		return
	}
	switch s.kind {
	case shapeAny:
		if !v.IsNil() {
			v.Set(reflect.ValueOf(narrowAny(v.Interface())))
		}
	case shapePointer:
		if !v.IsNil() {
			narrow(v.Elem(), s.elem)
		}
	case shapeSlice, shapeArray:
		for i := range v.Len() {
			narrow(v.Index(i), s.elem)
		}
	case shapeMap:
		for entries := v.MapRange(); entries.Next(); {
			value := reflect.New(s.elem.typ).Elem()
			value.Set(entries.Value())
			narrow(value, s.elem)
			v.SetMapIndex(entries.Key(), value)
		}
	case shapeStruct:
		for i := range s.fields {
			if inner, err := v.FieldByIndexErr(s.fields[i].index); err == nil {
				narrow(inner, s.fields[i].shape)
			}
		}
	}
}

func narrowAny(v any) any {
	switch v := v.(type) {
	case *big.Int:
		return v.Uint64()
	case []any:
		for i := range v {
			v[i] = narrowAny(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = narrowAny(v[key])
		}
	}
	return v
}
