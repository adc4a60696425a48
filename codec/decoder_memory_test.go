package codec

import (
	"errors"
	"reflect"
	"testing"
)

// TestDecoderMemory: what hostile messages make the process allocate, though their
// parts are read one after the other.
func TestDecoderMemory(t *testing.T) {
	const few = 2 << 10
	tests := []struct {
		name string
		data []byte
		read func(d *Decoder)
		most uint64
	}{
		{"large structs, absent", kilobyte("\x99\x03\xfd", "\xa0"), func(d *Decoder) { MakeSlice[[]wide](d) }, few},
		{"pointers to large structs", kilobyte("\x99\x03\xfd", "\xa0"), func(d *Decoder) {
			for range MakeSlice[[]*wide](d) {
				New[wide](d)
				d.MapLen()
			}
		}, uint64(mostMemory(1 << 10))},
		{"a huge array", []byte{0x41, 0}, func(d *Decoder) { New[[1 << 30]byte](d) }, few},
		{"maps with large entries", kilobyte("\x98\xff", "\xa1\x61a\xa0"), func(d *Decoder) {
			for range MakeSlice[[]map[string]wide](d) {
				MakeMap[map[string]wide](d)
				d.Text()
				d.MapLen()
			}
		}, uint64(mostMemory(1 << 10))},
		{"maps of any", kilobyte("\x98\xff", "\xa1\x61a\x00"), func(d *Decoder) {
			for range MakeSlice[[]any](d) {
				var v any
				d.Value(&v)
			}
		}, uint64(mostMemory(1 << 10))},
	}
	for _, test := range tests {
		d, err := NewDecoder(test.data)
		if err != nil {
			t.Fatal(err)
		}
		ok := true
		got := allocated(func() {
			d := d
			d.Begin()
			test.read(&d)
			ok = d.End()
		})
		t.Logf("%s: %d bytes", test.name, got)
		if ok || got > test.most+test.most/4 {
			t.Errorf("%s: took %d bytes, want at most %d; it fits: %v", test.name, got, test.most, ok)
		}
	}
}

// TestDecoderAllocations: nothing is taken but what the value keeps.
func TestDecoderAllocations(t *testing.T) {
	text, err := appendEight(nil, &sample)
	if err != nil {
		t.Fatal(err)
	}
	reflective, err := Append(nil, &sample)
	if err != nil || string(text) != string(reflective) {
		t.Fatalf("got %x, want %x, %v", text, reflective, err)
	}
	plain, err := NewSequence([]byte("\x19\x30\x39\xf5\xfb\x3f\xb9\x99\x99\x99\x99\x99\x9a\x60\xc0\x742013-03-21T20:04:00Z"))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 0, 1<<10)
	var v eight
	tests := []struct {
		name string
		want float64
		run  func() error
	}{
		{"append", 0, func() error { _, err := appendEight(buf, &sample); return err }},
		{"read", 4, func() error { // hash, tags, owner, branch; the tag is one letter
			d, err := NewDecoder(text)
			if err != nil {
				return err
			}
			v = readEight(&d)
			return d.Err()
		}},
		{"plain types", 0, func() error {
			d := plain.Decoder()
			d.Expect(5, 5)
			if d.Int() != 12345 || !d.Bool() || d.Float64() != 0.1 || d.Text() != "" || d.Time().IsZero() {
				return errors.New("another value")
			}
			return d.Err()
		}},
	}
	for _, test := range tests {
		if err := test.run(); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if got := testing.AllocsPerRun(100, func() { err = test.run() }); got != test.want {
			t.Errorf("%s: %v allocations, want %v", test.name, got, test.want)
		}
	}
	if !reflect.DeepEqual(v, sample) {
		t.Errorf("got %+v, want %+v", v, sample)
	}
}

func BenchmarkAppendParts(b *testing.B) {
	var buf []byte
	var err error
	b.ReportAllocs()
	for b.Loop() {
		if buf, err = appendEight(buf[:0], &sample); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkDecoder(b *testing.B) {
	data, err := Append(nil, &sample)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	var v eight
	for b.Loop() {
		d, err := NewDecoder(data)
		if err != nil {
			b.Fatal(err)
		}
		v = readEight(&d)
		if d.Err() != nil {
			b.Fatal(d.Err())
		}
	}
	_ = v
}
