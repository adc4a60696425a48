package main

import (
	"encoding/json"
	"math"
	"math/big"
	"net/netip"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/codec"
)

func TestResultPrintsWhatTheCodecCarries(t *testing.T) {
	type numbered struct {
		Ten int `cbor:"10,keyasint"`
		Two int `cbor:"2,keyasint"`
	}
	huge, _ := new(big.Int).SetString("-18446744073709551617", 10)
	tests := []struct {
		value any
		want  string
	}{
		{nil, `null`},
		{true, `true`},
		{int64(9007199254740993), `9007199254740993`},
		{uint64(math.MaxUint64), `18446744073709551615`},
		{1.5, `1.5`},
		{math.NaN(), `"NaN"`},
		{math.Inf(-1), `"-Inf"`},
		{`a <b> & "c"`, `"a <b> & \"c\""`},
		{[]byte{1, 2, 3}, `"AQID"`},
		{[]int{}, `[]`},
		{[]any{1, "a", []any{nil}}, `[1,"a",[null]]`},
		{map[string]any{"b": 1, "a": 2, "aa": []byte{0}}, `{"a":2,"aa":"AA==","b":1}`},
		{numbered{10, 2}, `{"2":2,"10":10}`},
		{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), `"2026-01-02T03:04:05Z"`},
		{map[string]any{"at": time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)}, `{"at":"2026-01-02T03:04:05.000000006Z"}`},
		{huge, `-18446744073709551617`},
		{netip.MustParseAddr("127.0.0.1"), `"fwAAAQ=="`},
	}
	for _, test := range tests {
		data, err := codec.Marshal(test.value)
		if err != nil {
			t.Fatal(err)
		}
		var r result
		if err := codec.Unmarshal(data, &r); err != nil {
			t.Errorf("%#v: %v", test.value, err)
			continue
		}
		if string(r) != test.want {
			t.Errorf("%#v: got %s, want %s", test.value, r, test.want)
		}
	}
}

func TestResultRefusesMixedKeys(t *testing.T) {
	var r result
	if err := codec.Unmarshal([]byte{0xa2, 0x01, 0x01, 0x61, 'a', 0x01}, &r); err == nil {
		t.Errorf("got %s, want an error", r)
	}
}

func FuzzResult(f *testing.F) {
	for _, v := range []any{nil, 1, "a", []any{1, 2.5}, map[string]any{"a": []byte{1}}, time.Unix(1, 0), big.NewInt(3)} {
		data, err := codec.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var r result
		if codec.Unmarshal(data, &r) != nil {
			return
		}
		if !json.Valid(r) {
			t.Fatalf("%x was printed as %s", data, r)
		}
	})
}
