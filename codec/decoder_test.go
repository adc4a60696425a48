package codec

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

// The functions for eight are as broker gen writes them.

func appendEight(dst []byte, v *eight) ([]byte, error) {
	var err error
	dst = AppendMapHead(dst, 8)
	dst = append(dst, "\x62id"...)
	dst = AppendInt(dst, v.ID)
	dst = append(dst, "\x64hash"...)
	dst = AppendBytes(dst, v.Hash)
	dst = append(dst, "\x64open"...)
	dst = AppendBool(dst, v.Open)
	dst = append(dst, "\x64tags"...)
	if v.Tags == nil {
		dst = AppendNil(dst)
	} else {
		dst = AppendArrayHead(dst, len(v.Tags))
		for i := range v.Tags {
			if dst, err = AppendString(dst, v.Tags[i]); err != nil {
				return dst, err
			}
		}
	}
	dst = append(dst, "\x65limit"...)
	dst = AppendUint(dst, uint64(v.Limit))
	dst = append(dst, "\x65owner"...)
	if dst, err = AppendString(dst, v.Owner); err != nil {
		return dst, err
	}
	dst = append(dst, "\x66branch"...)
	if dst, err = AppendString(dst, v.Branch); err != nil {
		return dst, err
	}
	dst = append(dst, "\x67balance"...)
	dst = AppendFloat(dst, v.Balance)
	return dst, nil
}

func fillEight(d *Decoder, v *eight) {
	n := d.MapLen()
	if d.Key(&n, "\x62id") {
		v.ID = d.Int64()
	}
	if d.Key(&n, "\x64hash") {
		v.Hash = d.Bytes()
	}
	if d.Key(&n, "\x64open") {
		v.Open = d.Bool()
	}
	if d.Key(&n, "\x64tags") {
		v.Tags = MakeSlice[[]string](d)
		for i := range v.Tags {
			v.Tags[i] = d.Text()
		}
	}
	if d.Key(&n, "\x65limit") {
		v.Limit = d.Uint32()
	}
	if d.Key(&n, "\x65owner") {
		v.Owner = d.Text()
	}
	if d.Key(&n, "\x66branch") {
		v.Branch = d.Text()
	}
	if d.Key(&n, "\x67balance") {
		v.Balance = d.Float64()
	}
	d.Rest(n)
}

func readEight(d *Decoder) eight {
	var v eight
	d.Begin()
	fillEight(d, &v)
	if d.End() {
		return v
	}
	var again eight
	d.Value(&again)
	return again
}

func decoderOf(t *testing.T, data string) *Decoder {
	t.Helper()
	seq, err := NewSequence([]byte(data))
	if err != nil {
		t.Fatal(err)
	}
	d := seq.Decoder()
	return &d
}

// TestDecoderErrors: the first error stays, and says where and what.
func TestDecoderErrors(t *testing.T) {
	tests := []struct {
		name string
		data string
		read func(d *Decoder)
		want string
		item int
		as   reflect.Type
	}{
		{"too few", "\x01", func(d *Decoder) { d.Int(); d.Text() }, "codec: the sequence has no more items at offset 1", 1, nil},
		{"none", "", func(d *Decoder) { d.Bool() }, "codec: the sequence has no more items at offset 0", 0, nil},
		{"another type", "\x01\x61a", func(d *Decoder) { d.Int(); d.Int8() }, "codec: a text string where int8 was declared at offset 1 in [1]", 1, reflect.TypeFor[int8]()},
		{"overflow", "\x19\x01\x00", func(d *Decoder) { d.Uint8() }, "codec: integer 256 overflows uint8 at offset 0 in [0]", 0, reflect.TypeFor[uint8]()},
		{"null text", "\xf6", func(d *Decoder) { d.Text() }, "codec: null where string was declared at offset 0 in [0]", 0, reflect.TypeFor[string]()},
		{"an unknown field", "\x07\xa2\x62id\x01\x62no\x02", func(d *Decoder) { d.Int(); readEight(d) }, `codec: unknown field "no" in codec.eight, want one of id, hash, open, tags, limit, owner, branch, balance at offset 6 in [1]["no"]`, 1, reflect.TypeFor[eight]()},
		{"inside a field", "\xa1\x64tags\x82\x61a\x01", func(d *Decoder) { readEight(d) }, "codec: an integer where string was declared at offset 9 in [0].tags[1]", 0, reflect.TypeFor[eight]()},
		{"after an error", "\x01\x01\x01", func(d *Decoder) { d.Text(); d.Int(); readEight(d); d.Expect(9, 9) }, "codec: an integer where string was declared at offset 0 in [0]", 0, reflect.TypeFor[string]()},
		{"no pointer", "\x01", func(d *Decoder) { d.Value(7) }, "codec: cannot decode into int, want a pointer that is not nil at offset 0 in [0]", 0, reflect.TypeFor[int]()},
		{"a part outside", "\x80", func(d *Decoder) { MakeSlice[[]int](d) }, "codec: a part of a value is wanted outside Begin and End at offset 0", 0, nil},
		{"a part at the end", "", func(d *Decoder) { d.MapLen() }, "codec: the sequence has no more items at offset 0", 0, nil},
		{"too many", "\x01\x02", func(d *Decoder) { d.Expect(1, 1); d.Int() }, "codec: 2 items are left, want 1 at offset 0", 0, nil},
		{"too few for all", "\x01", func(d *Decoder) { d.Expect(2, -1) }, "codec: 1 items are left, want at least 2 at offset 0", 0, nil},
		{"not in between", "\x01", func(d *Decoder) { d.Expect(2, 3) }, "codec: 1 items are left, want 2 to 3 at offset 0", 0, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := decoderOf(t, test.data)
			test.read(d)
			if d.Err() == nil || d.Err().Error() != test.want {
				t.Errorf("got %v\nwant %v", d.Err(), test.want)
			}
			if strings.Contains(test.want, "no more items") != errors.Is(d.Err(), io.EOF) || strings.Contains(test.want, "left, want") != errors.Is(d.Err(), ErrCount) {
				t.Errorf("%v wraps the wrong error", d.Err())
			}
			if item, as := d.Failed(); item != test.item || as != test.as {
				t.Errorf("item %d failed as %v, want %d as %v", item, as, test.item, test.as)
			}
			if n := d.Len(); n != 0 {
				t.Errorf("%d items are left after an error, want 0", n)
			}
		})
	}
}

func TestDecoderOfNothing(t *testing.T) {
	var d Decoder
	d.Expect(0, 0)
	if err := d.Err(); err != nil || d.Len() != 0 {
		t.Fatalf("got %v, %d left", err, d.Len())
	}
	if d.Int64(); !errors.Is(d.Err(), io.EOF) {
		t.Errorf("got %v, want io.EOF", d.Err())
	}
	if _, err := NewDecoder(nil); err == nil || err.Error() != Check(nil).Error() {
		t.Errorf("got %v, want %v", err, Check(nil))
	}
	d, err := NewDecoder([]byte{1, 2})
	if err == nil || err.Error() != Check([]byte{1, 2}).Error() {
		t.Errorf("got %v, want %v", err, Check([]byte{1, 2}))
	}
	if d.Int() != 0 || d.Err() != err || d.Len() != 0 {
		t.Errorf("got %v of the decoder, want %v", d.Err(), err)
	}
}

// TestDecoderFromTheMiddle: a Decoder begins where the Sequence is, and does not move it.
func TestDecoderFromTheMiddle(t *testing.T) {
	seq, err := NewSequence([]byte{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := seq.Next(&n); err != nil {
		t.Fatal(err)
	}
	d := seq.Decoder()
	if d.Len() != 2 || d.Int() != 2 || d.Int() != 3 || d.Err() != nil || seq.Len() != 2 {
		t.Errorf("got %v, %d left of the sequence", d.Err(), seq.Len())
	}
}

// TestDecoderBoundIsTheItems: what a value may take depends on its own bytes, and not on
// those that follow.
func TestDecoderBoundIsTheItems(t *testing.T) {
	data := []byte{0xb8, 60}
	for i := range byte(60) {
		data = append(data, 0x61, '0'+i, 0xa0)
	}
	data = append(data, kilobyte("\x59\x03\xfd", "x")...)
	seq, err := NewSequence(data)
	if err != nil {
		t.Fatal(err)
	}
	d := seq.Decoder()
	readSparse(&d)
	var v map[string]*sparse
	want := seq.Next(&v)
	if want == nil || d.Err() == nil || d.Err().Error() != want.Error() {
		t.Errorf("got %v, want %v", d.Err(), want)
	}
}

// TestDecoderGoesOn: an item that does not fit part by part, and is read by Value after
// all, leaves nothing behind for the next one.
func TestDecoderGoesOn(t *testing.T) {
	d := decoderOf(t, "\x81\xc1\x00\x81\xc0\x742013-03-21T20:04:00Z\x07")
	part := func() (v []time.Time, fits bool) {
		d.Begin()
		v = MakeSlice[[]time.Time](d)
		for i := range v {
			v[i] = d.Time()
		}
		return v, d.End()
	}
	if v, fits := part(); fits { // tag 1 is left to Value, which takes it inside, too
		if !v[0].Equal(time.Unix(0, 0)) {
			t.Errorf("got %v", v)
		}
	} else {
		t.Error("seconds do not fit")
	}
	d = decoderOf(t, "\x81\x01\x81\xc0\x742013-03-21T20:04:00Z\x07")
	if _, fits := part(); fits {
		t.Error("an integer is no time")
	}
	var ints []int
	if d.Value(&ints); d.Err() != nil || len(ints) != 1 {
		t.Fatalf("got %v, %v", ints, d.Err())
	}
	if v, fits := part(); !fits || len(v) != 1 || v[0].Year() != 2013 {
		t.Errorf("the item after it: got %v, fits: %v", v, fits)
	}
	if d.Int() != 7 || d.Err() != nil {
		t.Error(d.Err())
	}
}

func TestDecoderOwn(t *testing.T) {
	data := []byte("\x43abc\xa1\x64hash\x43def")
	seq, err := NewSequence(data)
	if err != nil {
		t.Fatal(err)
	}
	d := seq.Decoder()
	d.Own()
	whole, part := d.Bytes(), readEight(&d).Hash
	if d.Err() != nil || cap(whole) != 3 {
		t.Fatalf("got %v, capacity %d", d.Err(), cap(whole))
	}
	clear(data)
	if string(whole) != "\x00\x00\x00" || string(part) != "def" {
		t.Errorf("got %q and %q: the first is to be part of the message and the second is not", whole, part)
	}
}
