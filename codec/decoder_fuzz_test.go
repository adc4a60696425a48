package codec

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// plain reads one item into each of the plain types, and some others in parts.
var plain = map[string]struct {
	read  func(d *Decoder) any
	into  func() any
	parts bool
}{
	"bool":    {func(d *Decoder) any { return d.Bool() }, func() any { return new(bool) }, false},
	"int":     {func(d *Decoder) any { return d.Int() }, func() any { return new(int) }, false},
	"int8":    {func(d *Decoder) any { return d.Int8() }, func() any { return new(int8) }, false},
	"int16":   {func(d *Decoder) any { return d.Int16() }, func() any { return new(int16) }, false},
	"int32":   {func(d *Decoder) any { return d.Int32() }, func() any { return new(int32) }, false},
	"int64":   {func(d *Decoder) any { return d.Int64() }, func() any { return new(int64) }, false},
	"uint":    {func(d *Decoder) any { return d.Uint() }, func() any { return new(uint) }, false},
	"uint8":   {func(d *Decoder) any { return d.Uint8() }, func() any { return new(uint8) }, false},
	"uint16":  {func(d *Decoder) any { return d.Uint16() }, func() any { return new(uint16) }, false},
	"uint32":  {func(d *Decoder) any { return d.Uint32() }, func() any { return new(uint32) }, false},
	"uint64":  {func(d *Decoder) any { return d.Uint64() }, func() any { return new(uint64) }, false},
	"float32": {func(d *Decoder) any { return d.Float32() }, func() any { return new(float32) }, false},
	"float64": {func(d *Decoder) any { return d.Float64() }, func() any { return new(float64) }, false},
	"string":  {func(d *Decoder) any { return d.Text() }, func() any { return new(string) }, false},
	"[]byte":  {func(d *Decoder) any { return d.Bytes() }, func() any { return new([]byte) }, false},
	"time":    {func(d *Decoder) any { return d.Time() }, func() any { return new(time.Time) }, false},
	"any": {func(d *Decoder) any {
		var v any
		d.Value(&v)
		return v
	}, func() any { return new(any) }, false},
	"eight":        {func(d *Decoder) any { return readEight(d) }, func() any { return new(eight) }, true},
	"[2]eight":     {func(d *Decoder) any { return readPair(d) }, func() any { return new([2]eight) }, true},
	"[]*[3]byte":   {func(d *Decoder) any { return readDigests(d) }, func() any { return new([]*[3]byte) }, true},
	"map[string]S": {func(d *Decoder) any { return readSparse(d) }, func() any { return new(map[string]*sparse) }, true},
}

// sparse is large for what its message must have.
type sparse struct {
	Block [64]int64
	Any   any `cbor:",omitempty"`
}

func readPair(d *Decoder) [2]eight {
	var v, again [2]eight
	d.Begin()
	if d.Tuple(2) {
		for i := range v {
			fillEight(d, &v[i])
		}
	}
	if d.End() {
		return v
	}
	d.Value(&again)
	return again
}

func readDigests(d *Decoder) []*[3]byte {
	d.Begin()
	v := MakeSlice[[]*[3]byte](d)
	for i := range v {
		if v[i] = New[[3]byte](d); v[i] != nil {
			d.Fill(v[i][:])
		}
	}
	if d.End() {
		return v
	}
	var again []*[3]byte
	d.Value(&again)
	return again
}

func readSparse(d *Decoder) map[string]*sparse {
	d.Begin()
	m, n := MakeMap[map[string]*sparse](d)
	for ; n > 0; n-- {
		key := d.Text()
		v := New[sparse](d)
		if v != nil {
			left := d.MapLen()
			if d.Key(&left, "\x63Any") {
				var inner any
				d.Value(&inner)
				v.Any = inner
			}
			if d.Key(&left, "\x65Block") && d.Tuple(64) {
				for i := range v.Block {
					v.Block[i] = d.Int64()
				}
			}
			d.Rest(left)
		}
		m[key] = v
	}
	if d.End() {
		return m
	}
	var again map[string]*sparse
	d.Value(&again)
	return again
}

// comparePlain reads data, which has been checked, into every type in both ways.
func comparePlain(t *testing.T, data []byte) {
	t.Helper()
	for name, p := range plain {
		want := p.into()
		errWant := Unmarshal(data, want)
		d, err := NewDecoder(data)
		if err != nil {
			t.Fatalf("%x: %v", data, err)
		}
		got := p.read(&d)
		value := reflect.ValueOf(want).Elem().Interface()
		if errWant != nil {
			if d.Err() == nil || d.Err().Error() != errWant.Error() {
				t.Fatalf("%x into %s: got %v, want %v", data, name, d.Err(), errWant)
			}
			value = reflect.Zero(reflect.TypeOf(want).Elem()).Interface()
		} else if d.Err() != nil {
			t.Fatalf("%x into %s: got %v, want %v", data, name, d.Err(), value)
		} else if f := (fitter{data: data}); p.parts {
			s, _ := shapeOf(reflect.TypeOf(want).Elem())
			if f.fit(0, s); f.memory != d.memory {
				t.Fatalf("%x into %s: %d bytes of memory were counted, want %d", data, name, d.memory, f.memory)
			}
		}
		if !reflect.DeepEqual(got, value) && !bytes.Contains(data, []byte{0xf9, 0x7e, 0}) {
			t.Fatalf("%x into %s: got %#v, want %#v", data, name, got, value)
		}
	}
}

// FuzzDecoder: what is read part by part is what is read by reflection, with the same
// errors and the same count of memory.
func FuzzDecoder(f *testing.F) {
	seed(f)
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		one, many := randomEight(r), map[string]*sparse{"a": {}, "b": nil, "c": {Any: []any{true}}}
		for _, v := range []any{one, [2]eight{one, randomEight(r)}, many, []*[3]byte{{1, 2, 3}, nil}} {
			b, err := Append(nil, v)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
			f.Add(b)
		}
	}
	f.Add(kilobyte("\x99\x03\xfd", "\xf6"))
	crowd := []byte{0xb8, 60}
	for i := range byte(60) {
		crowd = append(crowd, 0x61, '0'+i, 0xa0)
	}
	f.Add(crowd)
	f.Fuzz(func(t *testing.T, data []byte) {
		if Check(data) == nil {
			comparePlain(t, data)
		}
	})
}

func randomEight(r *rand.Rand) eight {
	v := sample
	v.ID, v.Limit, v.Open = r.Int64(), r.Uint32(), r.IntN(2) == 0
	v.Tags = make([]string, r.IntN(5))
	v.Balance = float64(r.Int64N(1<<54)) / 4
	return v
}

// FuzzDecoderProgram: whatever is asked of it, in whatever order, a Decoder does not
// panic, ends, and takes no more memory than its bytes allow.
func FuzzDecoderProgram(f *testing.F) {
	f.Add([]byte{0xa1, 0x62, 'i', 'd', 0x01, 0x80}, []byte{17, 21, 22, 5, 23, 18, 19})
	f.Add(kilobyte("\x99\x03\xfd", "\xa0"), []byte{17, 24, 24, 21, 25, 18})
	f.Add([]byte("\x01\x02\x03"), []byte{17, 5, 5, 18, 5, 17, 17, 18})
	f.Fuzz(func(t *testing.T, data, program []byte) {
		seq, err := NewSequence(data)
		if err != nil {
			return
		}
		d := seq.Decoder()
		n := 3
		taken := 0
		for _, op := range program[:min(len(program), 200)] {
			before, failed := d.off, d.Err() != nil
			switch op % 28 {
			case 0:
				d.Bool()
			case 1:
				d.Int8()
			case 2:
				d.Uint64()
			case 3:
				d.Float32()
			case 4:
				d.Text()
			case 5:
				d.Int64()
			case 6:
				taken += cap(d.Bytes())
			case 7:
				d.Time()
			case 8:
				d.Fill(make([]byte, 3))
			case 9:
				var v map[string]any
				d.Value(&v)
			case 10:
				d.Value(nil)
			case 11:
				d.Value((*int)(nil))
			case 12:
				d.Value(new(chan int))
			case 13:
				d.Expect(int(op)%3, -1)
			case 14:
				d.Own()
			case 17:
				d.Begin()
			case 18:
				d.End()
			case 19:
				d.Tuple(int(op) % 4)
			case 21:
				n = d.MapLen()
			case 22:
				d.Key(&n, "\x62id")
			case 23:
				d.Rest(n)
			case 24:
				taken += 512 * len(MakeSlice[[]wide](&d))
			case 25:
				if New[wide](&d) != nil {
					taken += 512
				}
			case 26:
				MakeMap[map[string]wide](&d)
			case 27:
				d.Failed()
			}
			if failed && d.Err() == nil || d.Err() != nil && d.Len() != 0 {
				t.Fatalf("%x, %v: %v, %d left", data, program, d.Err(), d.Len())
			}
			if d.off < before && !(op%28 == 18 && !d.inside) {
				t.Fatalf("%x, %v: it went back from %d to %d", data, program, before, d.off)
			}
		}
		if most := (len(program) + 1) * int(mostMemory(len(data))); taken > most {
			t.Fatalf("%x, %v: %d bytes were taken, want at most %d", data, program, taken, most)
		}
	})
}
