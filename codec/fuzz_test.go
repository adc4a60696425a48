package codec

import (
	"bytes"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
)

func seed(f *testing.F) {
	for _, v := range appendixA(f) {
		f.Add(unhex(f, v.hex))
	}
	for _, r := range refusals {
		f.Add(unhex(f, r.hex))
	}
	for _, v := range values {
		if b, err := Marshal(v.value); err == nil {
			f.Add(b)
		}
	}
	f.Add(bytes.Repeat([]byte{0x81}, 40))
	f.Add(bytes.Repeat([]byte{0xc1}, 40))
}

// plainDecode is the library's own reading into its generic types, as a second
// opinion; like our own mode it writes times as they came.
var plainDecode = must(cbor.DecOptions{TimeTagToAny: cbor.TimeTagToTime, BigIntDec: cbor.BigIntDecodePointer}.DecMode())

// FuzzCheck: what is accepted is what our encoder writes for what the library reads.
func FuzzCheck(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		err := Check(data)
		checkError(t, err, data)
		if err != nil {
			return
		}
		var x any
		if err := plainDecode.Unmarshal(data, &x); err != nil {
			// A time that is not one, or a key that is no Go key, is for the second pass to refuse.
			if !strings.Contains(err.Error(), "time") && !strings.Contains(err.Error(), "map key type") {
				t.Fatalf("%x: accepted, but the library says %v", data, err)
			}
			return
		}
		if hasTimes(data) {
			return // written in one form, read in several
		}
		again, err := encMode.Marshal(x)
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%x: read as %#v, written as %x, %v", data, x, again, err)
		}
	})
}

func hasTimes(data []byte) bool {
	for off := 0; off < len(data); {
		major, arg, next, _ := readHead(data, off)
		if major == majorTag && arg <= 1 {
			return true
		}
		if major == majorBytes || major == majorText {
			next += int(arg)
		}
		off = next
	}
	return false
}

// checkError: every error is ours, has its offset within the data and stays short.
func checkError(t *testing.T, err error, data []byte) {
	t.Helper()
	if err == nil {
		return
	}
	var e *Error
	if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(data) || e.Reason == "" || len(err.Error()) > 2000 {
		t.Fatalf("%x: %d bytes of error: %v", data, len(err.Error()), err)
	}
}

// FuzzDecodeAny: decoding and encoding is the identity, and an any holds eight types.
func FuzzDecodeAny(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var x any
		err := Unmarshal(data, &x)
		checkError(t, err, data)
		if err != nil {
			if x != nil {
				t.Fatalf("%x: refused, but left %#v", data, x)
			}
			return
		}
		if Check(data) != nil {
			t.Fatalf("%x: decoded, but Check says %v", data, Check(data))
		}
		eightTypes(t, x)
		again, err := Marshal(x)
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%x: decoded as %#v, encoded as %x, %v", data, x, again, err)
		}
	})
}

func eightTypes(t *testing.T, x any) {
	switch x := x.(type) {
	case nil, bool, int64, float64, string, []byte:
	case uint64:
		if int64(x) >= 0 {
			t.Fatalf("uint64 %d fits an int64", x)
		}
	case []any:
		for _, e := range x {
			eightTypes(t, e)
		}
	case map[string]any:
		for _, e := range x {
			eightTypes(t, e)
		}
	default:
		t.Fatalf("an any holds %T", x)
	}
}

// FuzzDecodeTyped: what fits a type is decoded, and encodes to something that decodes
// to the same.
func FuzzDecodeTyped(f *testing.F) {
	seed(f)
	type everything struct {
		Account *account
		Shelf   shelf
		Points  []point
		Compact map[int8]compact
		Time    time.Time
		Big     *big.Int
		Any     any
		Color   color
		Bytes   [4]byte
		F       float32
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, v := range []any{new(everything), new(account), new(shelf), new(compact), new(point), new(time.Time),
			new(big.Int), new([]color), new(map[string][]float32), new([2]uint16), new([]map[int]any)} {
			err := Unmarshal(data, v)
			checkError(t, err, data)
			if err != nil {
				continue
			}
			again, err := Marshal(v)
			if err != nil {
				t.Fatalf("%x: decoded as %#v, not encoded: %v", data, v, err)
			}
			if err := Unmarshal(again, v); err != nil {
				t.Fatalf("%x: encoded again as %x, not decoded: %v", data, again, err)
			}
			third, err := Marshal(v)
			if err != nil || !bytes.Equal(again, third) {
				t.Fatalf("%x: encoded as %x, then as %x, %v", data, again, third, err)
			}
		}
	})
}

// FuzzSequence: the items of a sequence are those that Check accepts, put together.
func FuzzSequence(f *testing.F) {
	seed(f)
	f.Add([]byte("\x01\x61a\x80\xf6"))
	f.Fuzz(func(t *testing.T, data []byte) {
		seq, err := NewSequence(data)
		checkError(t, err, data)
		if err != nil {
			return
		}
		var together []byte
		for left := seq.Len(); left > 0; left-- {
			var x, y any
			values := seq
			raw, err := seq.Raw()
			if err != nil || Check(raw) != nil || seq.Len() != left-1 {
				t.Fatalf("%x: item %x, %v, %v, %d left", data, raw, err, Check(raw), seq.Len())
			}
			errNext, errOne := values.Next(&x), Unmarshal(raw, &y)
			if (errNext == nil) != (errOne == nil) {
				t.Fatalf("%x: Next: %v, Unmarshal: %v", raw, errNext, errOne)
			}
			checkError(t, errNext, data)
			if errNext == nil && values.Len() != left-1 || errNext != nil && values.Len() != left {
				t.Fatalf("%x: %d left after %v", raw, values.Len(), errNext)
			}
			if errNext == nil {
				if raw, err = Append(nil, x); err != nil {
					t.Fatal(err)
				}
			}
			together = append(together, raw...)
		}
		if !bytes.Equal(together, data) {
			t.Fatalf("got %x, want %x", together, data)
		}
	})
}

// FuzzDiagnostic: it always ends, in bounds, and its error is Check's.
func FuzzDiagnostic(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		text, err := Diagnostic(data)
		checkError(t, err, data)
		if len(text) > 16*len(data) {
			t.Fatalf("%x: %d bytes of text for %d", data, len(text), len(data))
		}
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Fatalf("%x: control characters in %q", data, text)
		}
		if _, errSeq := NewSequence(data); len(data) > 0 && (err == nil) != (errSeq == nil) {
			t.Fatalf("%x: Diagnostic: %v, NewSequence: %v", data, err, errSeq)
		}
		if err == nil && text == "" {
			t.Fatalf("%x: no text", data)
		}
	})
}
