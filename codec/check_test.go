package codec

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// refusals are single items that Check and everything else refuses.
var refusals = []struct {
	name, hex string
	offset    int
	path      string
	reason    string
}{
	{"empty", "", 0, "", "the message ends where a data item should begin"},
	{"trailing", "01 02", 1, "", "1 more bytes follow the data item, want none"},
	{"cut head", "19 01", 0, "", "the message ends within the head of an integer"},
	{"cut array", "82 01", 0, "", "an array of 2 items is declared, only 1 bytes follow"},
	{"cut in last element", "82 01 19", 2, "[1]", "the message ends within the head of an integer"},
	{"cut map", "a1 61 61", 3, `["a"]`, "the message ends where a data item should begin"},
	{"bytes beyond", "45 01", 0, "", "a byte string of 5 bytes is declared, only 1 follow"},
	{"text beyond", "81 7a ffffffff 61", 1, "[0]", "a text string of 4294967295 bytes is declared, only 1 follow"},
	{"array of 2^64-1", "9b ffffffffffffffff 00", 0, "", "an array of 18446744073709551615 items is declared, only 1 bytes follow"},
	{"map of 2^63", "bb 8000000000000000 00", 0, "", "a map of 9223372036854775808 pairs is declared, only 1 bytes follow"},
	{"long integer", "18 17", 0, "", "the head of an integer takes 2 bytes for 23, want the shortest form"},
	{"long negative", "39 00ff", 0, "", "the head of a negative integer takes 3 bytes for 255, want the shortest form"},
	{"long length", "58 01 00", 0, "", "the head of a byte string takes 2 bytes for 1, want the shortest form"},
	{"long tag", "d8 00 60", 0, "", "the head of a tag takes 2 bytes for 0, want the shortest form"},
	{"4 byte length", "9a 0000ffff", 0, "", "the head of an array takes 5 bytes for 65535, want the shortest form"},
	{"8 byte integer", "1b 00000000ffffffff", 0, "", "takes 9 bytes for 4294967295, want the shortest form"},
	{"reserved 28", "1c", 0, "", "initial byte 0x1c is reserved"},
	{"reserved simple", "fd", 0, "", "initial byte 0xfd is reserved"},
	{"indefinite integer", "1f", 0, "", "initial byte 0x1f is reserved"},
	{"indefinite tag", "df 00", 0, "", "initial byte 0xdf is reserved"},
	{"indefinite array", "81 9f ff", 1, "[0]", "an array has an indefinite length, want a definite one"},
	{"break", "81 ff", 1, "[0]", "a break code, but indefinite lengths are not carried"},
	{"undefined", "a1 61 61 f7", 3, `["a"]`, "undefined is not carried, want null"},
	{"simple", "e0", 0, "", "simple(0) is not carried, want false, true or null"},
	{"two byte simple", "f8 14", 0, "", "simple(20) is not carried"},
	{"cut simple", "f8", 0, "", "the message ends within a simple value"},
	{"cut float", "fb 00", 0, "", "a float of 8 bytes, only 1 follow"},
	{"NaN with payload", "f9 7e01", 0, "", "NaN has a payload or a sign, want f97e00"},
	{"negative NaN", "f9 fe00", 0, "", "NaN has a payload or a sign, want f97e00"},
	{"signalling NaN", "fa 7f800001", 0, "", "a float in 4 bytes would fit 2, want the shortest form"},
	{"float32 subnormal half", "fa 33800000", 0, "", "a float in 4 bytes would fit 2, want the shortest form"},
	{"float64 as float32", "fb 40f86a0000000000", 0, "", "a float in 8 bytes would fit 4 or 2, want the shortest form"},
	{"double key", "a2 61 61 01 61 61 02", 4, `["a"]`, `map key "a" appears twice`},
	{"unsorted keys", "81 a2 61 62 01 61 61 02", 5, `[0]["a"]`, `map key "a" is out of order, want it before "b"`},
	{"length first is not bytewise", "a2 20 01 18 64 02", 3, `[100]`, `map key 100 is out of order, want it before -1`},
	{"bad UTF-8", "82 01 62 61 ff", 4, "[1]", "text is not valid UTF-8"},
	{"surrogate", "63 ed a0 80", 1, "", "text is not valid UTF-8"},
	{"bad UTF-8 key", "a1 61 ff 01", 2, `["\xff"]`, "text is not valid UTF-8"},
	{"tag 4", "c4 82 01 02", 0, "", "tag 4 is not registered, want 0 to 3 or none"},
	{"self-described", "d9 d9f7 01", 0, "", "tag 55799 is not registered"},
	{"tag 0 of bytes", "c0 40", 1, "", "tag 0 is followed by a byte string, want a text string"},
	{"tag 1 of NaN", "c1 f97e00", 1, "", "tag 1 is followed by NaN, want an integer or a finite float"},
	{"tag 1 of a tag", "c1 c1 01", 1, "", "tag 1 is followed by tag 1, want an integer or a finite float"},
	{"tag 0 of nothing", "c0", 1, "", "the message ends where a data item should begin"},
	{"tag 2 of text", "c2 60", 1, "", "tag 2 is followed by a text string, want a byte string"},
	{"small bignum", "c2 48 ffffffffffffffff", 0, "", "tag 2 holds an integer of 8 bytes, want a plain integer up to 8"},
	{"bignum with zero", "c3 49 00ffffffffffffffff", 2, "", "tag 3 holds an integer with leading zeros, want none"},
	{"nested path", "81 a1 68 6163636f756e7473 a1 65 616c696365 84 01 02 03 f7", 22, `[0]["accounts"]["alice"][3]`, "undefined is not carried"},
}

func TestRefusals(t *testing.T) {
	for _, r := range refusals {
		t.Run(r.name, func(t *testing.T) {
			data := unhex(t, r.hex)
			var x any
			_, diagErr := Diagnostic(data)
			for name, err := range map[string]error{
				"Check": Check(data), "Unmarshal": Unmarshal(data, &x), "Unmarshal into int": Unmarshal(data, new(int)), "Diagnostic": diagErr,
			} {
				if r.name == "trailing" && name == "Diagnostic" {
					continue // a sequence
				}
				var e *Error
				if !errors.As(err, &e) {
					t.Fatalf("%s: got %v, want an *Error", name, err)
				}
				if e.Offset != r.offset || e.Path != r.path || !strings.Contains(e.Reason, r.reason) {
					t.Errorf("%s: got %d %q %q, want %d %q %q", name, e.Offset, e.Path, e.Reason, r.offset, r.path, r.reason)
				}
			}
			if x != nil {
				t.Errorf("Unmarshal left %v behind", x)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	nest := func(n int) []byte { return append(bytes.Repeat([]byte{0x81}, n), 0x00) }
	array := func(items int) []byte {
		return append(appendHead(nil, majorArray, uint64(items)), make([]byte, items)...)
	}
	tests := []struct {
		name   string
		data   []byte
		reason string // empty: accepted
	}{
		{"depth 16", nest(16), ""},
		{"depth 17", nest(17), "arrays and maps nest deeper than 16"},
		{"depth 1 million", nest(1e6), "arrays and maps nest deeper than 16"},
		{"tags of tags", append(bytes.Repeat([]byte{0xc1}, 1e6), 0), "tag 1 is followed by tag 1"},
		{"65536 items", array(MaxItems - 1), ""},
		{"65537 items", array(MaxItems), "more than 65536 data items are declared"},
		{"65537 items in two arrays", append(append([]byte{0x82}, array(40000)...), array(30000)...), "more than 65536 data items are declared"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := Check(test.data)
			if _, errSeq := NewSequence(test.data); (err == nil) != (errSeq == nil) {
				t.Errorf("Check: %v, NewSequence: %v", err, errSeq)
			}
			if test.reason == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.reason) {
				t.Fatalf("got %v, want %q", err, test.reason)
			}
			if len(err.Error()) > 300 {
				t.Errorf("error has %d bytes", len(err.Error()))
			}
		})
	}

	t.Run("over the whole sequence", func(t *testing.T) {
		if _, err := NewSequence(make([]byte, MaxItems)); err != nil {
			t.Fatal(err)
		}
		_, err := NewSequence(make([]byte, MaxItems+1))
		if err == nil || !strings.Contains(err.Error(), "more than 65536 data items at offset 65536 in [65536]") {
			t.Fatalf("got %v", err)
		}
	})
}

// TestFloat16 holds our arithmetic against the library's for every half.
func TestFloat16(t *testing.T) {
	for h := range 1 << 16 {
		var want float64
		if err := cbor.Unmarshal([]byte{byteFloat16, byte(h >> 8), byte(h)}, &want); err != nil {
			t.Fatal(err)
		}
		got := float16Value(uint16(h))
		if math.Float64bits(got) != math.Float64bits(want) && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Fatalf("%04x: got %v, want %v", h, got, want)
		}
		if bits := math.Float32bits(float32(want)); !float16Holds(bits) {
			t.Fatalf("%04x as float32 %08x: does not fit a half", h, bits)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 1 << 17 {
		bits := random.Uint32()
		if random.IntN(2) == 0 {
			bits &^= 1<<13 - 1 // more that fit
		}
		f := math.Float32frombits(bits)
		b, err := encMode.Marshal(f)
		if err != nil || float16Holds(bits) != (len(b) == 3) {
			t.Fatalf("%08x (%v): got %v, encoded as %x, %v", bits, f, float16Holds(bits), b, err)
		}
	}
}

func TestSequence(t *testing.T) {
	var data []byte
	for _, v := range []any{"alice", 100, -1, []byte{1, 2}, true, nil, 1.5, []any{"x"}} {
		var err error
		if data, err = Append(data, v); err != nil {
			t.Fatal(err)
		}
	}
	seq, err := NewSequence(data)
	if err != nil || seq.Len() != 8 {
		t.Fatalf("got %d items, %v, want 8", seq.Len(), err)
	}
	var (
		name  string
		n     uint16
		m     int8
		b     []byte
		ok    bool
		p     *int
		f     float64
		saved = seq // a value: reading one copy does not move the other
	)
	// What does not fit leaves the item in place.
	err = seq.Next(&n)
	var e *Error
	if !errors.As(err, &e) || e.Offset != 0 || e.Path != "[0]" || e.Reason != "a text string where uint16 was declared" || seq.Len() != 8 {
		t.Fatalf("got %v with %d left", err, seq.Len())
	}
	for _, v := range []any{&name, &n, &m, &b, &ok, &p, &f} {
		if err := seq.Next(v); err != nil {
			t.Fatal(err)
		}
	}
	if name != "alice" || n != 100 || m != -1 || !bytes.Equal(b, []byte{1, 2}) || !ok || p != nil || f != 1.5 {
		t.Errorf("got %v %v %v %v %v %v %v", name, n, m, b, ok, p, f)
	}
	if err := seq.Next(&[]int{}); err == nil || err.Error() != "codec: a text string where int was declared at offset 18 in [7][0]" {
		t.Errorf("got %v", err)
	}
	raw, err := seq.Raw()
	if err != nil || !bytes.Equal(raw, unhex(t, "81 61 78")) || cap(raw) != len(raw) || &raw[0] != &data[len(data)-3] {
		t.Errorf("Raw: got %x (cap %d), %v", raw, cap(raw), err)
	}
	if _, err := seq.Raw(); !errors.Is(err, io.EOF) || seq.Len() != 0 {
		t.Errorf("after the end: got %v, %d left", err, seq.Len())
	}
	if err := seq.Next(&name); !errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "no more items") {
		t.Errorf("after the end: got %v", err)
	}
	b[0] = 99
	if saved.Len() != 8 || data[11] == 99 {
		t.Error("decoded bytes share memory with the message")
	}
	if empty, err := NewSequence(nil); err != nil || empty.Len() != 0 {
		t.Errorf("empty: got %d, %v", empty.Len(), err)
	}
	if _, err := NewSequence(unhex(t, "01 8101 81f7")); err == nil || !strings.Contains(err.Error(), "at offset 4 in [2][0]") {
		t.Errorf("got %v", err)
	}
}
