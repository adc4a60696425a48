package codec

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestMisfits(t *testing.T) {
	type wrapper struct {
		Accounts map[string][]account `cbor:"accounts"`
		Any      any                  `cbor:"any"`
	}
	tests := []struct {
		hex    string
		into   any
		offset int
		path   string
		reason string
	}{
		{"01", new(string), 0, "", "an integer where string was declared"},
		{"60", new(int), 0, "", "a text string where int was declared"},
		{"60", new([]byte), 0, "", "a text string where []uint8 was declared"},
		{"40", new(string), 0, "", "a byte string where string was declared"},
		{"83010203", new([]byte), 0, "", "an array where []uint8 was declared"},
		{"f6", new(int), 0, "", "null where int was declared"},
		{"f6", new(string), 0, "", "null where string was declared"},
		{"81f6", new([]account), 1, "[0]", "null where codec.account was declared"},
		{"f4", new(uint8), 0, "", "a bool where uint8 was declared"},
		{"190180", new(int8), 0, "", "integer 384 overflows int8"},
		{"190100", new(uint8), 0, "", "integer 256 overflows uint8"},
		{"20", new(uint), 0, "", "integer -1 overflows uint"},
		{"1b8000000000000000", new(int64), 0, "", "integer 9223372036854775808 overflows int64"},
		{"3bffffffffffffffff", new(amount), 0, "", "integer -18446744073709551616 overflows codec.amount"},
		{"3bffffffffffffffff", new(any), 0, "", "integer -18446744073709551616 overflows int64"},
		{"f93c00", new(int), 0, "", "a float where int was declared"},
		{"1b0020000000000001", new(float64), 0, "", "integer 9007199254740993 has more digits than float64 keeps, want at most 53 bits"},
		{"3bffffffffffffffff", new(temperature), 0, "", "integer -18446744073709551616 has more digits"},
		{"1a01000001", new(float32), 0, "", "integer 16777217 has more digits than float32 keeps"},
		{"fb7e37e43c8800759c", new(float32), 0, "", "float 1e+300 overflows float32"},
		{"43010203", new([2]byte), 0, "", "a byte string of 3 bytes, want 2 for [2]uint8"},
		{"8101", new([2]int), 0, "", "an array of 1 items, want 2 for [2]int"},
		{"83010203", new([2]int), 0, "", "an array of 3 items, want 2 for [2]int"},
		{"820102", new(point), 0, "", "an array of 2 items, want the 3 fields of codec.point"},
		{"a0", new(point), 0, "", "a map where codec.point was declared"},
		{"80", new(account), 0, "", "an array where codec.account was declared"},
		{"a1 634f6e65 01", new(account), 1, `["One"]`, `unknown field "One" in codec.account, want one of tags, owner, limits, parent, balance`},
		{"a1 654f776e6572 6161", new(account), 1, `["Owner"]`, `unknown field "Owner"`},
		{"a1 01 01", new(account), 1, "[1]", `unknown field 1`},
		{"a1 68 6163636f756e7473 a1 65 616c696365 82 a0 a1 65 6f776e6572 05", new(wrapper), 26, `.accounts["alice"][1].owner`, "an integer where string was declared"},
		{"a1 63 616e79 81 c1 00", new(wrapper), 6, `.any[0]`, "tag 1 in an any, want a declared type such as time.Time or big.Int"},
		{"a1 63 616e79 a1 01 02", new(wrapper), 6, `.any[1]`, "map key 1 in an any, want text"},
		{"c074323031332d30332d32315432303a30343a30305a", new(string), 0, "", "tag 0 where string was declared"},
		{"c249010000000000000000", new(uint64), 0, "", "tag 2 where uint64 was declared"},
		{"c249010000000000000000", new([]byte), 0, "", "tag 2 where []uint8 was declared"},
		{"74323031332d30332d32315432303a30343a30305a", new(time.Time), 0, "", "a text string where time.Time was declared"},
		{"1a514b67b0", new(time.Time), 0, "", "an integer where time.Time was declared"},
		{"c063323031", new(time.Time), 1, "", `time "201", want RFC 3339 with at most nanoseconds`},
		{"c11b7fffffffffffffff", new(time.Time), 1, "", "seconds from 1970, want the years 0 to 9999"},
		{"c13b7fffffffffffffff", new(time.Time), 1, "", "seconds from 1970, want the years 0 to 9999"},
		{"8243010203 420102", new([]color), 5, "[1]", "a byte string was refused by codec.color: a color has three bytes"},
		{"a1 6161 8101", new(map[string]map[string]celsius), 3, `["a"]`, "an array where map[string]codec.celsius was declared"},
		{"a1 6161 820102", new(map[string]celsius), 3, `["a"]`, "an array was refused by codec.celsius: want a list of one small integer"},
		{"a1 41 00 01", new(map[netip.Addr]int), 1, "[h'00']", "a byte string was refused by netip.Addr"},
		{"01", new(celsius), 0, "", "an integer was refused by codec.celsius"},
		{"63616263", new(netip.Addr), 0, "", `a text string was refused by netip.Addr`},
		{"a2 44 7f000001 01 69 3132372e302e302e31 02", new(map[netip.Addr]int), 0, "", "found duplicate map key"},
		{"01", new(chan int), 0, "", "chan int cannot be carried"},
		{"01", 5, 0, "", "cannot decode into int, want a pointer that is not nil"},
		{"01", nil, 0, "", "cannot decode into <nil>, want a pointer"},
		{"01", (*int)(nil), 0, "", "cannot decode into *int, want a pointer that is not nil"},
		{"40", (*[]byte)(nil), 0, "", "cannot decode into *[]uint8, want a pointer that is not nil"},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s %T", test.hex, test.into), func(t *testing.T) {
			data := unhex(t, test.hex)
			err := Unmarshal(data, test.into)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if e.Offset != test.offset || e.Path != test.path || !strings.Contains(e.Reason, test.reason) {
				t.Errorf("got %d %q %q, want %d %q %q", e.Offset, e.Path, e.Reason, test.offset, test.path, test.reason)
			}
			seq, err := NewSequence(data)
			if err != nil {
				t.Fatal(err)
			}
			if err := seq.Next(test.into); !errors.As(err, &e) || e.Path != "[0]"+test.path || e.Offset != test.offset {
				t.Errorf("sequence: got %v", err)
			}
		})
	}
}
