package codec

import (
	"fmt"
	"reflect"
	"sync"
)

// shape is what a Go type looks like from the wire: enough to tell whether an item
// fits, and how much memory its value takes, without touching a value.
// Shapes are built once per type and never change.
type shape struct {
	kind    shapeKind
	typ     reflect.Type
	elem    *shape // of pointers, slices, arrays and maps
	key     *shape // of maps
	fields  []field
	toArray bool
	text    bool // own: has UnmarshalText
	binary  bool // own: has UnmarshalBinary
	traits  traits
}

type shapeKind uint8

const (
	shapeAny shapeKind = iota
	shapeBool
	shapeInt
	shapeUint
	shapeFloat
	shapeString
	shapeBytes     // []byte
	shapeByteArray // [N]byte
	shapeSlice
	shapeArray
	shapeMap
	shapeStruct
	shapePointer
	shapeTime
	shapeBigInt
	shapeOwn // marshals itself to text or bytes
	shapeRaw // marshals itself to CBOR
)

// traits are facts about a type and all that it contains.
type traits uint8

const (
	hasAny     traits = 1 << iota // there is an any somewhere inside
	hasOwnKeys                    // there is a map whose keys unmarshal themselves
	isEndless                     // values may nest without end
)

var shapes sync.Map // reflect.Type -> *shape

func shapeOf(t reflect.Type) (*shape, error) {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape), nil
	}
	b := builder{}
	s, err := b.build(t, t.String())
	if err != nil {
		return nil, err
	}
	for _, made := range b {
		made.traits = made.findTraits()
	}
	for typ, made := range b {
		shapes.LoadOrStore(typ, made)
	}
	return s, nil
}

// builder holds the shapes that were begun, so that a recursive type finds itself.
type builder map[reflect.Type]*shape

func (b builder) build(t reflect.Type, path string) (*shape, error) {
	if s, ok := b[t]; ok {
		return s, nil
	}
	if s, ok := shapes.Load(t); ok {
		return s.(*shape), nil
	}
	s := &shape{typ: t}
	b[t] = s
	if done, err := s.special(path); done || err != nil {
		return s, err
	}
	var err error
	switch t.Kind() {
	case reflect.Bool:
		s.kind = shapeBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		s.kind = shapeInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		s.kind = shapeUint
	case reflect.Float32, reflect.Float64:
		s.kind = shapeFloat
	case reflect.String:
		s.kind = shapeString
	case reflect.Interface:
		if t.NumMethod() > 0 {
			return nil, &typeError{path, fmt.Sprintf("%s is an interface with methods: the receiver cannot know which type to make, want a concrete type or any", t)}
		}
		s.kind = shapeAny
	case reflect.Pointer:
		s.kind = shapePointer
		if endlessPointer(t) {
			return nil, &typeError{path, fmt.Sprintf("%s is a pointer to pointers, want a value at the end", t)}
		}
		s.elem, err = b.build(t.Elem(), path)
	case reflect.Slice:
		s.kind = shapeSlice
		if s.elem, err = b.build(t.Elem(), path+"[]"); err == nil && t.Elem().Kind() == reflect.Uint8 {
			s.kind, err = shapeBytes, s.plainBytes(path)
		}
	case reflect.Array:
		s.kind = shapeArray
		if s.elem, err = b.build(t.Elem(), path+"[]"); err == nil && t.Elem().Kind() == reflect.Uint8 {
			s.kind, err = shapeByteArray, s.plainBytes(path)
		}
	case reflect.Map:
		s.kind = shapeMap
		err = b.buildMap(s, path)
	case reflect.Struct:
		s.kind = shapeStruct
		err = b.buildStruct(s, path)
	default:
		return nil, &typeError{path, fmt.Sprintf("%s cannot be carried: a %s has no meaning in another process", t, t.Kind())}
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// endlessPointer finds types like "type P *P", and others that nobody means.
func endlessPointer(t reflect.Type) bool {
	hops := 0
	for ; t.Kind() == reflect.Pointer && hops <= 4; hops++ {
		t = t.Elem()
	}
	return hops > 4
}

func (b builder) buildMap(s *shape, path string) (err error) {
	if s.key, err = b.build(s.typ.Key(), path+"[key]"); err != nil {
		return err
	}
	switch s.key.kind {
	case shapeString, shapeBool, shapeInt, shapeUint, shapeOwn:
	default:
		return &typeError{path, fmt.Sprintf("map key %s cannot be carried, want a string, bool or integer, or a type with MarshalText or MarshalBinary", s.key.typ)}
	}
	s.elem, err = b.build(s.typ.Elem(), path+"["+s.typ.Key().String()+"]")
	return err
}

// findTraits looks at everything that is reachable from s.
func (s *shape) findTraits() traits {
	var found traits
	const open, closed = 1, 2
	state := map[*shape]int{}
	var visit func(*shape)
	visit = func(s *shape) {
		if s == nil || state[s] == closed {
			return
		}
		if state[s] == open {
			found |= isEndless
			return
		}
		state[s] = open
		if s.kind == shapeAny {
			found |= hasAny | isEndless
		}
		if s.kind == shapeMap && s.key.kind == shapeOwn {
			found |= hasOwnKeys
		}
		visit(s.elem)
		for i := range s.fields {
			visit(s.fields[i].shape)
		}
		state[s] = closed
	}
	visit(s)
	return found
}

// pointee strips pointers; a nil shape, "nothing is known", stays nil.
func (s *shape) pointee() *shape {
	for s != nil && s.kind == shapePointer {
		s = s.elem
	}
	return s
}

// element returns the shape of an array's i-th element or of a map's values.
func (s *shape) element(i int) *shape {
	switch {
	case s == nil:
		return nil
	case s.kind == shapeStruct && s.toArray && i < len(s.fields):
		return s.fields[i].shape
	}
	return s.elem
}

// mapMemory estimates what a Go map with n entries takes.
func (s *shape) mapMemory(n int) int64 {
	return mapMemory(int64(s.key.typ.Size()+s.elem.typ.Size()), n)
}

// mapMemory estimates what a Go map with n entries of a size takes: entries lie in
// groups of eight, which are kept at most seven eighths full.
func mapMemory(entry int64, n int) int64 {
	const header, slots = 48, 8
	if n == 0 {
		return header
	}
	room := int64(slots)
	for room*7/8 < int64(n) && n > slots {
		room *= 2
	}
	return header + room*(entry+1)
}
