package codec

import (
	"fmt"
	"reflect"
)

// encodable refuses values that the library cannot write or would follow for ever.
func encodable(v any) error {
	s, err := shapeOf(reflect.TypeOf(v))
	if err != nil {
		return encodeError(v, err)
	}
	if s.traits&isEndless == 0 {
		return nil
	}
	if err := guard(reflect.ValueOf(v), s, 0, 0); err != nil {
		return encodeError(v, err)
	}
	return nil
}

// checkOwn checks what we wrote, for a peer would refuse it: text that is not UTF-8,
// too many items, keys that became equal, what a type's own MarshalCBOR returned.
func checkOwn(b []byte, v any) error {
	c := checker{data: b}
	err := c.single()
	if err == nil {
		return nil
	}
	err.Path = pathTo(b, err.Offset, shapeIfKnown(v), false)
	reason := err.Reason
	if err.Path != "" {
		reason += " in " + err.Path
	}
	return &Error{Reason: fmt.Sprintf("cannot encode %T: %s", v, reason), encoding: true}
}

func shapeIfKnown(v any) *shape {
	s, _ := shapeOf(reflect.TypeOf(v))
	return s
}

// guard walks a value whose type allows nesting without end, such as a list that
// contains itself. It also refuses what an any holds and cannot be carried.
// depth counts arrays and maps, hops all steps.
func guard(v reflect.Value, s *shape, depth, hops int) error {
	const mostHops = 8 * MaxDepth
	if depth > MaxDepth || hops > mostHops {
		return fmt.Errorf("it nests deeper than %d, or contains itself", MaxDepth)
	}
	if s.traits&isEndless == 0 {
		return nil
	}
	hops++
	switch s.kind {
	case shapeAny:
		if v.IsNil() {
			return nil
		}
		inner, err := shapeOf(v.Elem().Type())
		if err != nil {
			return err
		}
		return guard(v.Elem(), inner, depth, hops)
	case shapePointer:
		if v.IsNil() {
			return nil
		}
		return guard(v.Elem(), s.elem, depth, hops)
	case shapeSlice, shapeArray:
		for i := range v.Len() {
			if err := guard(v.Index(i), s.elem, depth+1, hops); err != nil {
				return err
			}
		}
	case shapeMap:
		for entries := v.MapRange(); entries.Next(); {
			if err := guard(entries.Value(), s.elem, depth+1, hops); err != nil {
				return err
			}
		}
	case shapeStruct:
		for i := range s.fields {
			f := &s.fields[i]
			inner, err := v.FieldByIndexErr(f.index)
			if err != nil {
				continue // an embedded pointer is nil
			}
			if err := guard(inner, f.shape, depth+1, hops); err != nil {
				return err
			}
		}
	}
	return nil
}
