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
