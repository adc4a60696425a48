package codec

import (
	"errors"
	"io"
	"math/big"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

type (
	loop      struct{ Next *loop }
	endless   *endless
	halfText  struct{ A int }
	textBytes byte
	lost      struct {
		url.URL
		N int
	}
	// Two embedded types with the same methods promote neither.
	overridden struct {
		time.Time
		url.URL
		big.Int
		N int
	}
	hiddenShelf struct{ *meta }
	liar        struct{ A int }
	jsonOnly    struct{ A int }
)

func (halfText) MarshalText() ([]byte, error)    { return nil, nil }
func (textBytes) MarshalText() ([]byte, error)   { return nil, nil }
func (*textBytes) UnmarshalText([]byte) error    { return nil }
func (liar) MarshalCBOR() ([]byte, error)        { return []byte{0x18, 0x01}, nil }
func (*liar) UnmarshalCBOR([]byte) error         { return nil }
func (jsonOnly) MarshalJSON() ([]byte, error)    { return nil, errors.New("must not be called") }
func (failing) MarshalText() ([]byte, error)     { return nil, errFailing }
func (*failing) UnmarshalText(text []byte) error { return errFailing }

type failing struct{}

var errFailing = errors.New("out of paper")

func TestCheckType(t *testing.T) {
	refused := []struct {
		value  any
		reason string
	}{
		{make(chan int), "chan int: chan int cannot be carried: a chan has no meaning in another process"},
		{func() {}, "func(): func() cannot be carried"},
		{complex(1, 1), "complex128 cannot be carried"},
		{uintptr(1), "uintptr cannot be carried"},
		{struct{ A []map[string]func() }{}, ".A[][string]: func() cannot be carried"},
		{struct{ R io.Reader }{}, ".R: io.Reader is an interface with methods"},
		{struct{ Err error }{}, ".Err: error is an interface with methods"},
		{map[float64]int{}, "map key float64 cannot be carried"},
		{map[any]int{}, "map key interface {} cannot be carried, want a string, bool or integer"},
		{map[[2]int]int{}, "map key [2]int cannot be carried"},
		{map[time.Time]int{}, "map key time.Time cannot be carried"},
		{map[point]int{}, "map key codec.point cannot be carried"},
		{struct{ mu, n int }{}, "has no exported field: it would arrive empty"},
		{halfText{}, "codec.halfText has MarshalText but not UnmarshalText, want both"},
		{[]textBytes{}, "[]codec.textBytes would be carried as bytes, past the methods of codec.textBytes"},
		{lost{}, "codec.lost takes its encoding from the embedded url.URL and would lose its other fields"},
		{overridden{}, "embedded time.Time has an encoding of its own that inlining would lose, want a name in its tag"},
		{hiddenShelf{}, "an embedded pointer to an unexported struct cannot be set"},
		{struct {
			A int `cbor:"one,keyasint"`
		}{}, `.A: keyasint with the name "one", want an integer`},
		{struct {
			_ struct{} `cbor:",toindefarray"`
			A int
		}{}, "toindefarray asks for an indefinite length"},
		{endless(nil), "is a pointer to pointers"},
	}
	for _, r := range refused {
		typ := reflect.TypeOf(r.value)
		err := CheckType(typ)
		if err == nil || !strings.Contains(err.Error(), r.reason) || !strings.HasPrefix(err.Error(), "codec: ") {
			t.Errorf("%s: got %v, want %q", typ, err, r.reason)
			continue
		}
		if _, err := Marshal(r.value); err == nil || !strings.Contains(err.Error(), r.reason) {
			t.Errorf("Marshal %s: got %v", typ, err)
		}
		if err := Unmarshal([]byte{0xf6}, reflect.New(typ).Interface()); err == nil || !strings.Contains(err.Error(), r.reason) {
			t.Errorf("Unmarshal %s: got %v", typ, err)
		}
	}
	if err := CheckType(nil); err == nil {
		t.Error("the nil type was accepted")
	}
	for _, ok := range []any{loop{}, &loop{}, []any{}, jsonOnly{}, time.Second, struct{ _ int }{}} {
		if err := CheckType(reflect.TypeOf(ok)); err != nil {
			t.Error(err)
		}
	}
}

func TestEncodeErrors(t *testing.T) {
	ring := &loop{}
	ring.Next = ring
	list := []any{1}
	list[0] = list
	table := map[string]any{}
	table["self"] = &table
	var box any
	box = &box
	deep := any(1)
	for range MaxDepth {
		deep = []any{deep}
	}
	if b, err := Marshal(deep); err != nil || len(b) != MaxDepth+1 {
		t.Errorf("depth %d: got %x, %v", MaxDepth, b, err)
	}
	tests := []struct {
		name   string
		value  any
		reason string
	}{
		{"ring", ring, "cannot encode *codec.loop: it nests deeper than 16, or contains itself"},
		{"list in itself", list, "it nests deeper than 16, or contains itself"},
		{"map in itself", table, "it nests deeper than 16, or contains itself"},
		{"pointer to itself", box, "it nests deeper than 16, or contains itself"},
		{"depth 17", []any{deep}, "it nests deeper than 16"},
		{"chan in an any", []any{1, make(chan int)}, "cannot encode []interface {}: chan int: chan int cannot be carried"},
		{"text", "a\xff", "cannot encode string: it is not valid UTF-8, want text or a []byte"},
		{"text in a list", []string{"a", "\xff"}, "cannot encode []string: text is not valid UTF-8 in [1]"},
		{"text in a struct", account{Owner: "\xff"}, "cannot encode codec.account: text is not valid UTF-8 in .owner"},
		{"text as a key", map[string]int{"\xff": 1}, "text is not valid UTF-8"},
		{"items", make([]int, MaxItems), "more than 65536 data items are declared"},
		{"its own encoding", []liar{{}}, "the head of an integer takes 2 bytes for 1, want the shortest form in [0]"},
		{"its own error", []failing{{}}, "out of paper"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Marshal(test.value)
			var e *Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), test.reason) || strings.Contains(err.Error(), "offset") {
				t.Fatalf("got %v, want %q", err, test.reason)
			}
			out, err2 := Append([]byte("keep"), test.value)
			if string(out) != "keep" || err2 == nil || err2.Error() != err.Error() {
				t.Errorf("Append: got %q, %v", out, err2)
			}
		})
	}
	if _, err := Marshal(failing{}); !errors.Is(err, errFailing) {
		t.Errorf("got %v, want it to wrap the type's own error", err)
	}
	if err := Unmarshal([]byte{0x60}, &failing{}); !errors.Is(err, errFailing) {
		t.Errorf("got %v, want it to wrap the type's own error", err)
	}
}

func TestDiagnostic(t *testing.T) {
	tests := []struct{ hex, text, reason string }{
		{"01 61 61 80", `1, "a", []`, ""},
		{"", "", "the message ends where a data item should begin"},
		{"1817 1900ff", "23_0, 255_1", "shortest form at offset 0"},
		{"9801 00 b90001 00 00", "[_0 0], {_1 0: 0}", "shortest form"},
		{"01 fb3ff0000000000000", "1, 1.0_3", "shortest form at offset 1 in [1]"},
		{"a2 02 01 01 02", "{2: 1, 1: 2}", "out of order"},
		{"82 01 62 61", "[1, ", "only 1 follow at offset 2 in [1]"},
		{"83 01 a1 61 61", `[1, {"a": `, `begin at offset 5 in [1]["a"]`},
		{"61 ff", "", "UTF-8"},
		{"9f 01", "[_ 1", "indefinite"},
		{"5f 61 61 ff", "(_ ", "indefinite"},
		{"c2 41 00", "2(h'00')", "tag 2"},
		{"d9d9f7 81 f7", "55799([undefined])", "tag 55799"},
		{"f800", "", "simple(0)"},
		{"9b ffffffffffffffff", "[", "declared"},
	}
	for _, test := range tests {
		text, err := Diagnostic(unhex(t, test.hex))
		if text != test.text || (err == nil) != (test.reason == "") || err != nil && !strings.Contains(err.Error(), test.reason) {
			t.Errorf("%s: got %q, %v, want %q, %q", test.hex, text, err, test.text, test.reason)
		}
	}
	if text, err := Diagnostic(append(make([]byte, 1), strings.Repeat("\x81", 1<<20)...)); err == nil || len(text) > 100 {
		t.Errorf("nested a million times: %d bytes, %v", len(text), err)
	}
}
