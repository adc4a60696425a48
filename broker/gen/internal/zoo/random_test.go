package zoo

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"
	"unsafe"
)

// random fills v with something, at every depth. Text is now and then no text.
func random(r *rand.Rand, v reflect.Value, depth int) {
	if !v.CanSet() { // an unexported embedded struct
		v = reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem()
	}
	switch p := v.Addr().Interface().(type) {
	case *time.Time:
		*p = randomTime(r)
		return
	case *big.Int:
		p.SetInt64(r.Int64()).Mul(p, big.NewInt(r.Int64()))
		return
	case *netip.Addr:
		*p = netip.AddrFrom4([4]byte{1, 2, 3, byte(r.Uint32())})
		return
	case *any:
		*p = randomAny(r, depth)
		return
	}
	none := r.IntN(5) == 0 || depth > 6
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(r.Int64() >> r.IntN(64) * int64(1-2*r.IntN(2)))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(r.Uint64() >> r.IntN(64))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(randomFloat(r, v.Kind() == reflect.Float32))
	case reflect.String:
		v.SetString(randomText(r))
	case reflect.Pointer:
		if !none {
			v.Set(reflect.New(v.Type().Elem()))
			random(r, v.Elem(), depth+1)
		}
	case reflect.Slice:
		if !none {
			v.Set(reflect.MakeSlice(v.Type(), r.IntN(4), 8))
		}
		for i := range v.Len() {
			random(r, v.Index(i), depth+1)
		}
	case reflect.Array:
		for i := range v.Len() {
			random(r, v.Index(i), depth+1)
		}
	case reflect.Map:
		if none {
			return
		}
		v.Set(reflect.MakeMap(v.Type()))
		for range r.IntN(4) {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			random(r, key, depth+1)
			random(r, value, depth+1)
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && r.IntN(6) > 0 || f.Anonymous {
				random(r, v.Field(i), depth+1)
			}
		}
	}
}

func randomTime(r *rand.Rand) time.Time {
	switch r.IntN(8) {
	case 0:
		return time.Time{}
	case 1:
		return time.Date(r.IntN(12000)-1000, 1, 1, 0, 0, 0, 0, time.FixedZone("", r.IntN(80000)-40000))
	}
	return time.Unix(r.Int64N(1<<33), r.Int64N(1e9)*int64(r.IntN(2)))
}

func randomFloat(r *rand.Rand, narrow bool) float64 {
	special := []float64{0, math.Copysign(0, -1), 1, -1.5, 0.1, math.NaN(), math.Inf(1), math.Inf(-1), 65504, 65536, 5.960464477539063e-8, 1e-30, math.MaxFloat32, 1 << 24, 1<<24 + 1}
	if !narrow {
		special = append(special, math.MaxFloat64, 1<<53, 1<<53+2, math.SmallestNonzeroFloat64)
	}
	if n := r.IntN(2 * len(special)); n < len(special) {
		return special[n]
	}
	if narrow {
		return float64(math.Float32frombits(r.Uint32()))
	}
	return math.Float64frombits(r.Uint64())
}

func randomText(r *rand.Rand) string {
	if r.IntN(60) == 0 {
		return "no\xfftext"
	}
	return strings.Repeat("aé\x00界"[:[]int{0, 1, 3, 4, 7}[r.IntN(5)]], r.IntN(9)) + string(rune('a'+r.IntN(26)))
}

func randomAny(r *rand.Rand, depth int) any {
	switch r.IntN(9) {
	case 0:
		return r.Int64()
	case 1:
		return r.Uint64()
	case 2:
		return randomText(r)
	case 3:
		return []byte(randomText(r))
	case 4:
		return randomFloat(r, false)
	case 5:
		v := make([]any, r.IntN(3))
		for i := range v {
			v[i] = randomAny(r, depth+1)
		}
		return v
	case 6:
		// Deep enough, now and then, to be refused.
		var v any = true
		for range r.IntN(20) {
			v = []any{v}
		}
		return v
	case 7:
		return map[string]any{"k": randomText(r), "key": r.IntN(100)}
	}
	return nil
}

// node is a data item that can be changed and stays well-formed: it has the bytes of
// its head and, if it is a string, its content; what it contains follows.
type node struct {
	major    byte
	atom     []byte
	children []*node
}

func parse(data []byte) (*node, []byte) {
	major, info := data[0]>>5, data[0]&31
	size := map[byte]int{24: 1, 25: 2, 26: 4, 27: 8}[info]
	arg := uint64(info)
	if size > 0 {
		arg = binary.BigEndian.Uint64(append(make([]byte, 8-size), data[1:1+size]...))
	}
	n := &node{major: major, atom: data[:1+size]}
	rest := data[1+size:]
	children := 0
	switch major {
	case 2, 3:
		n.atom, rest = data[:1+size+int(arg)], rest[arg:]
	case 4:
		children = int(arg)
	case 5:
		children = 2 * int(arg)
	case 6:
		children = 1
	}
	for range children {
		var c *node
		c, rest = parse(rest)
		n.children = append(n.children, c)
	}
	return n, rest
}

func head(dst []byte, major byte, n int) []byte {
	switch {
	case n < 24:
		return append(dst, major<<5|byte(n))
	case n < 256:
		return append(dst, major<<5|24, byte(n))
	}
	return binary.BigEndian.AppendUint16(append(dst, major<<5|25), uint16(n))
}

// write keeps maps in order, without keys that became equal.
func (n *node) write(dst []byte) []byte {
	switch n.major {
	case 4:
		dst = head(dst, 4, len(n.children))
	case 5:
		pairs := map[string][]byte{}
		var keys []string
		for i := 0; i+1 < len(n.children); i += 2 {
			key := string(n.children[i].write(nil))
			if _, ok := pairs[key]; !ok {
				keys = append(keys, key)
			}
			pairs[key] = n.children[i+1].write(nil)
		}
		slices.Sort(keys)
		dst = head(dst, 5, len(keys))
		for _, key := range keys {
			dst = append(append(dst, key...), pairs[key]...)
		}
		return dst
	default:
		dst = append(dst, n.atom...)
	}
	for _, c := range n.children {
		dst = c.write(dst)
	}
	return dst
}

var atoms = []string{
	"\xf6", "\xf5", "\xf4", "\x00", "\x17", "\x18\xff", "\x19\xff\xff", "\x1a\xff\xff\xff\xff", "\x1b\x7f\xff\xff\xff\xff\xff\xff\xff",
	"\x1b\xff\xff\xff\xff\xff\xff\xff\xff", "\x20", "\x38\x80", "\x3b\x7f\xff\xff\xff\xff\xff\xff\xff", "\x3b\xff\xff\xff\xff\xff\xff\xff\xff",
	"\x1a\x01\x00\x00\x00", "\x1a\x01\x00\x00\x01", "\x1b\x00\x20\x00\x00\x00\x00\x00\x00", "\x1b\x00\x20\x00\x00\x00\x00\x00\x01",
	"\xf9\x7e\x00", "\xf9\x7c\x00", "\xf9\x3c\x00", "\xfa\x7f\x7f\xff\xff", "\xfb\x7f\xef\xff\xff\xff\xff\xff\xff", "\xfb\x3f\xb9\x99\x99\x99\x99\x99\x9a",
	"\x60", "\x61a", "\x65owner", "\x62id", "\x40", "\x44abcd", "\x43abc", "\x80", "\xa0", "\x81\x80", "\xa1\x00\x00", "\xa1\x61a\xf6",
	"\xc0\x74" + "2013-03-21T20:04:00Z", "\xc0\x78\x192013-03-21T20:04:00+01:00", "\xc0\x61x", "\xc1\x1a\x51\x4b\x67\xb0", "\xc1\xfb\x41\xd4\x52\xd9\xec\x20\x00\x00",
	"\xc2\x49\x01\x00\x00\x00\x00\x00\x00\x00\x00", "\x98\x20" + strings.Repeat("\xa0", 32),
}

// mutate changes some nodes.
func mutate(r *rand.Rand, data []byte) []byte {
	root, _ := parse(data)
	for range 1 + r.IntN(3) {
		var all []*node
		var collect func(n *node)
		collect = func(n *node) {
			all = append(all, n)
			for _, c := range n.children {
				collect(c)
			}
		}
		collect(root)
		n := all[r.IntN(len(all))]
		switch r.IntN(5) {
		case 0, 1:
			atom, _ := parse([]byte(atoms[r.IntN(len(atoms))]))
			*n = *atom
		case 2: // take away an element, or a pair
			if step := int(n.major) - 3; step > 0 && step < 3 && len(n.children) > 0 {
				i := r.IntN(len(n.children)/step) * step
				n.children = append(slices.Clone(n.children[:i]), n.children[i+step:]...)
			}
		case 3: // add one
			other := all[r.IntN(len(all))]
			key, _ := parse([]byte(atoms[r.IntN(len(atoms))]))
			copied, _ := parse(other.write(nil))
			switch n.major {
			case 4:
				n.children = append(n.children, copied)
			case 5:
				n.children = append(n.children, key, copied)
			}
		case 4: // another one in its place
			copied, _ := parse(all[r.IntN(len(all))].write(nil))
			*n = *copied
		}
	}
	return root.write(nil)
}

// nan reports whether a message may hold a NaN, for which no comparison is true.
func nan(data []byte) bool { return bytes.Contains(data, []byte("\xf9\x7e\x00")) }
