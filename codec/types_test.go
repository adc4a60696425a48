package codec

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
)

type (
	status string
	amount int64

	account struct {
		Owner   string            `cbor:"owner"`
		Balance amount            `cbor:"balance"`
		Tags    []string          `cbor:"tags,omitempty"`
		Limits  map[string]uint32 `json:"limits,omitempty"`
		Parent  *account          `cbor:"parent,omitempty"`
		hidden  int               //lint:ignore U1000 unexported fields must be passed over
	}

	meta struct {
		ID      uint64
		Created time.Time
		Note    string `cbor:"note,omitzero"`
	}
	inner struct{ Deep, Note string }
	shelf struct {
		meta
		*Shared
		inner
		Name string
		Skip string `cbor:"-"`
	}
	Shared struct{ Group string }

	point struct {
		_    struct{} `cbor:",toarray"`
		X, Y int
		Name string
	}

	compact struct {
		Kind  int    `cbor:"1,keyasint"`
		Key   []byte `cbor:"-1,keyasint"`
		Large bool   `cbor:"1000,keyasint"`
		Text  string `cbor:"1"`
	}

	color struct{ r, g, b byte }

	temperature float64
	celsius     struct{ degrees int }
)

func (c color) MarshalBinary() ([]byte, error) { return []byte{c.r, c.g, c.b}, nil }
func (c *color) UnmarshalBinary(b []byte) error {
	if len(b) != 3 {
		return errors.New("a color has three bytes")
	}
	c.r, c.g, c.b = b[0], b[1], b[2]
	return nil
}

// celsius writes its own CBOR: a list of one integer.
func (c celsius) MarshalCBOR() ([]byte, error) { return []byte{0x81, byte(c.degrees)}, nil }
func (c *celsius) UnmarshalCBOR(b []byte) error {
	if len(b) != 2 {
		return errors.New("want a list of one small integer")
	}
	c.degrees = int(b[1])
	return nil
}

func ptr[T any](v T) *T { return &v }

var bigNumber, _ = new(big.Int).SetString("-123456789012345678901234567890", 10)

// values are carried and come back equal.
var values = []struct {
	value      any
	diagnostic string // empty: not looked at
}{
	{true, "true"}, {int8(-128), "-128"}, {uint8(255), "255"}, {int16(-300), "-300"}, {uint16(65535), "65535"},
	{int32(math.MinInt32), "-2147483648"}, {uint32(math.MaxUint32), "4294967295"},
	{int64(math.MinInt64), "-9223372036854775808"}, {uint64(math.MaxUint64), "18446744073709551615"},
	{int(-1), "-1"}, {uint(24), "24"}, {float32(0.1), "0.10000000149011612"}, {0.1, "0.1"}, {1e300, "1.0e+300"},
	{math.Inf(-1), "-Infinity"}, {"", `""`}, {"a\u202e\n\"\x00", `"a\u202e\n\"\u0000"`}, {[]byte{}, "h''"},
	{[]byte{1, 255}, "h'01ff'"}, {[3]byte{1, 2, 3}, "h'010203'"}, {[2]int{4, -5}, "[4, -5]"}, {[]int{}, "[]"},
	{[]string{"a"}, `["a"]`}, {[][]byte{{1}, nil}, "[h'01', null]"}, {[]byte(nil), "null"}, {[]int(nil), "null"},
	{map[string]int(nil), "null"}, {map[string]int{"b": 1, "a": 2, "aa": 3}, `{"a": 2, "b": 1, "aa": 3}`},
	{map[int]string{-1: "n", 100: "h", 2: "t"}, `{2: "t", 100: "h", -1: "n"}`}, {map[bool]int{true: 1, false: 0}, "{false: 0, true: 1}"},
	{map[status]amount{"open": 7}, `{"open": 7}`}, {status("open"), `"open"`}, {amount(-7), "-7"}, {temperature(36.5), "36.5"},
	{ptr(5), "5"}, {(*int)(nil), "null"}, {ptr(ptr("x")), `"x"`}, {[]*int{nil, ptr(1)}, "[null, 1]"},
	{account{Owner: "alice", Balance: 100}, `{"owner": "alice", "balance": 100}`},
	{account{Owner: "bob", Tags: []string{"x"}, Limits: map[string]uint32{"day": 9}, Parent: &account{Owner: "alice"}},
		`{"tags": ["x"], "owner": "bob", "limits": {"day": 9}, "parent": {"owner": "alice", "balance": 0}, "balance": 0}`},
	{shelf{meta: meta{ID: 1, Created: time.Date(2024, 2, 29, 1, 2, 3, 4, time.UTC)}, Shared: &Shared{"g"}, inner: inner{Deep: "d"}, Name: "n"},
		`{"ID": 1, "Deep": "d", "Name": "n", "Note": "", "Group": "g", "Created": 0("2024-02-29T01:02:03.000000004Z")}`},
	{shelf{Name: "n"}, `{"ID": 0, "Deep": "", "Name": "n", "Note": "", "Created": null}`},
	{point{X: 1, Y: -1, Name: "p"}, `[1, -1, "p"]`},
	{compact{Kind: 5, Key: []byte{1}, Large: true, Text: "t"}, `{1: 5, 1000: true, -1: h'01', "1": "t"}`},
	{time.Date(1999, 12, 31, 23, 59, 59, 999999999, time.UTC), `0("1999-12-31T23:59:59.999999999Z")`},
	{time.Time{}, "null"}, {time.Second, "1000000000"},
	{*big.NewInt(-5), "-5"}, {bigNumber, "-123456789012345678901234567890"},
	{netip.MustParseAddr("192.0.2.1"), "h'c0000201'"}, {netip.MustParseAddr("fe80::1%eth0"), ""}, {netip.Addr{}, "h''"},
	{netip.MustParsePrefix("10.0.0.0/8"), ""}, {netip.MustParseAddrPort("[::1]:80"), ""},
	{net.ParseIP("2001:db8::1"), `"2001:db8::1"`}, {color{1, 2, 3}, "h'010203'"}, {&color{1, 2, 3}, "h'010203'"},
	{map[netip.Addr]int{netip.MustParseAddr("::1"): 1}, "{h'00000000000000000000000000000001': 1}"},
	{[]color{{}, {9, 9, 9}}, "[h'000000', h'090909']"}, {celsius{21}, "[21]"}, {map[string]celsius{"a": {3}}, `{"a": [3]}`},
	{cbor.RawMessage{0x81, 0x01}, "[1]"}, {struct{}{}, "{}"}, {[0]int{}, "[]"}, {[]struct{}{{}, {}}, "[{}, {}]"},
	{[]any{nil, true, int64(-1), uint64(math.MaxUint64), 0.5, "s", []byte{1}, []any{}, map[string]any{"k": map[string]any{}}},
		`[null, true, -1, 18446744073709551615, 0.5, "s", h'01', [], {"k": {}}]`},
	{map[string]any{"wide": uint64(1 << 63), "list": []any{uint64(1<<63 + 1)}}, ""},
	{struct {
		A any
		M map[string]any
		P *any
		L [1][]any
		N int
	}{uint64(1 << 63), map[string]any{"x": uint64(1 << 63), "y": int64(2)}, ptr(any(uint64(1 << 63))), [1][]any{{uint64(1 << 63), "z"}}, 3}, ""},
}

func TestRoundTrip(t *testing.T) {
	for _, v := range values {
		t.Run(fmt.Sprintf("%T", v.value), func(t *testing.T) {
			if err := CheckType(reflect.TypeOf(v.value)); err != nil {
				t.Fatal(err)
			}
			var data []byte
			for name, encode := range encoders {
				b, err := encode(v.value)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if data != nil && !bytes.Equal(b, data) {
					t.Fatalf("%s: got %x, want %x", name, b, data)
				}
				data = b
			}
			if text, err := Diagnostic(data); err != nil || v.diagnostic != "" && text != v.diagnostic {
				t.Errorf("got %s, %v, want %s", text, err, v.diagnostic)
			}
			got := reflect.New(reflect.TypeOf(v.value))
			decodeInto(t, data, got.Interface())
			if !equal(got.Elem().Interface(), v.value) {
				t.Errorf("Unmarshal: got %#v, want %#v", got.Elem(), v.value)
			}
			seq, err := NewSequence(slices.Concat([]byte{0x01}, data, []byte{0x02}))
			if err != nil {
				t.Fatal(err)
			}
			got.Elem().SetZero()
			var first, last int
			if err := errors.Join(seq.Next(&first), seq.Next(got.Interface()), seq.Next(&last)); err != nil || first != 1 || last != 2 {
				t.Fatalf("sequence: %v, %d, %d", err, first, last)
			}
			if !equal(got.Elem().Interface(), v.value) {
				t.Errorf("Next: got %#v, want %#v", got.Elem(), v.value)
			}
			// The path of every error is found; none of a cut message panics.
			for n := range data {
				if err := Unmarshal(data[:n], got.Interface()); err == nil {
					t.Fatalf("the first %d of %d bytes were accepted", n, len(data))
				}
			}
		})
	}
}

func equal(x, y any) bool {
	if n, ok := x.(big.Int); ok {
		m := y.(big.Int)
		return n.Cmp(&m) == 0
	}
	return reflect.DeepEqual(x, y)
}

func TestTime(t *testing.T) {
	zone := time.FixedZone("", 3600+19*60+32)
	at := time.Date(1930, 1, 2, 3, 4, 5, 6, zone)
	data, err := Marshal(at)
	if err != nil {
		t.Fatal(err)
	}
	var got time.Time
	decodeInto(t, data, &got)
	if !got.Equal(at) || got.Location() != time.UTC {
		t.Errorf("got %v, want %v", got, at)
	}
	for _, good := range []string{"c11a514b67b0", "c1fb41d452d9ec200000", "c1f9c400", "c13a00ffffff"} {
		decodeInto(t, unhex(t, good), &got)
		if _, err := Marshal(got); err != nil {
			t.Errorf("%s was read as %v but not written: %v", good, got, err)
		}
	}
	if _, err := Marshal(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)); err == nil {
		t.Error("year 10000 was written")
	}
}

// TestNoMerge: nothing of an old value shows through, and nothing half read is left.
func TestNoMerge(t *testing.T) {
	list := []account{{Owner: "old", Balance: 5}, {Owner: "older"}}
	keep := list
	decodeInto(t, unhex(t, "81 a0"), &list)
	if len(list) != 1 || list[0].Owner != "" || keep[0].Owner != "old" {
		t.Errorf("got %+v, old %+v", list, keep)
	}
	m := map[string]int{"old": 1}
	decodeInto(t, unhex(t, "a1 61 61 02"), &m)
	if len(m) != 1 || m["a"] != 2 {
		t.Errorf("got %v", m)
	}
	old := account{Owner: "old"}
	var x any = &old
	decodeInto(t, unhex(t, "a0"), &x)
	if old.Owner != "old" || !reflect.DeepEqual(x, map[string]any{}) {
		t.Errorf("got %v, old %v", x, old)
	}
	colors := []color{{7, 7, 7}}
	if err := Unmarshal(unhex(t, "82 43010203 4101"), &colors); err == nil || colors != nil {
		t.Errorf("got %v, %v, want an error and nil", colors, err)
	}
}
