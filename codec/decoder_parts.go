package codec

import "reflect"

// What follows is for use between Begin and End only. Memory is taken once the bytes
// that fill it are known to be there, and within the bound of the package comment.

// MapLen reads the head of a map and returns how many pairs follow. It is for structs
// and for maps that are not made by MakeMap.
func (d *Decoder) MapLen() int {
	if d.off < len(d.data) && d.inside {
		if major, arg, next, _ := readHead(d.data, d.off); major == majorMap {
			d.off = next
			return int(arg)
		}
	}
	d.wrong()
	return 0
}

// Key moves past the next of *left keys and returns true if it is key, which is
// encoded; then its value must be read. Fields that are looked for in the order of
// their keys are found in one walk over the map, for a checked map has that order.
func (d *Decoder) Key(left *int, key string) bool {
	// No check of the length of the key is needed: an encoded item is the beginning of
	// no other.
	if end := d.off + len(key); *left > 0 && end <= len(d.data) && string(d.data[d.off:end]) == key {
		d.off = end
		*left--
		return true
	}
	return false
}

// Rest refuses the keys that nobody has looked for: fields that the struct does not have.
func (d *Decoder) Rest(left int) {
	if left > 0 {
		d.wrong()
	}
}

// Tuple reads the head of an array that must have n items, and reports whether it has.
func (d *Decoder) Tuple(n int) bool {
	if d.off < len(d.data) && d.inside {
		if major, arg, next, _ := readHead(d.data, d.off); major == majorArray && arg == uint64(n) {
			d.off = next
			return true
		}
	}
	d.wrong()
	return false
}

// New reads a null as nil, and returns memory for what any other item is to be read
// into next. After an error it returns nil.
func New[T any](d *Decoder) *T {
	switch {
	case d.off >= len(d.data) || !d.inside:
		d.wrong()
	case d.data[d.off] == byteNull:
		d.off++
	case d.charge(int64(reflect.TypeFor[T]().Size())):
		return new(T)
	default:
		d.mismatch()
	}
	return nil
}

// MakeSlice reads the head of an array and returns a slice for its items, which must
// be read next; a null is nil.
func MakeSlice[S ~[]E, E any](d *Decoder) S {
	if d.off >= len(d.data) || !d.inside {
		d.wrong()
		return nil
	}
	if d.data[d.off] == byteNull {
		d.off++
		return nil
	}
	major, arg, next, _ := readHead(d.data, d.off)
	if major != majorArray || !d.charge(int64(arg)*int64(reflect.TypeFor[E]().Size())) {
		d.mismatch()
		return nil
	}
	d.off = next
	return make(S, arg)
}

// MakeRest returns an empty slice with room for the items that are left, for the last
// arguments of a variadic function. It fails, as [Room] does, when they would take too
// much.
func MakeRest[E any](d *Decoder) []E {
	if d.err != nil {
		return nil
	}
	if err := room(d.left, reflect.TypeFor[E](), len(d.data)-d.off); err != nil {
		d.stop(err)
		return nil
	}
	return make([]E, 0, d.left)
}

// Room checks that n values of a type, which are read one by one from a message of so
// many bytes, do not take more memory than one value of a list of them might. The error
// is an [*Error].
func Room(n int, t reflect.Type, bytes int) error {
	if err := room(n, t, bytes); err != nil {
		return err
	}
	return nil
}

func room(n int, t reflect.Type, bytes int) *Error {
	if need, most := int64(n)*int64(t.Size()), mostMemory(bytes); need > most {
		return failf(0, "%d values of %s need %d bytes of memory, want at most %d for a message of %d bytes", n, t, need, most, bytes)
	}
	return nil
}

// MakeMap reads the head of a map and returns a map for its n pairs, which must be
// read next; a null is nil.
func MakeMap[M ~map[K]V, K comparable, V any](d *Decoder) (m M, n int) {
	if d.off >= len(d.data) || !d.inside {
		d.wrong()
		return nil, 0
	}
	if d.data[d.off] == byteNull {
		d.off++
		return nil, 0
	}
	major, arg, next, _ := readHead(d.data, d.off)
	entry := reflect.TypeFor[K]().Size() + reflect.TypeFor[V]().Size()
	if major != majorMap || !d.charge(mapMemory(int64(entry), int(arg))) {
		d.mismatch()
		return nil, 0
	}
	d.off = next
	return make(M, arg), int(arg)
}
