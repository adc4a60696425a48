package codec

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/big"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

type vector struct{ hex, diagnostic, want string }

func appendixA(tb testing.TB) []vector {
	tb.Helper()
	text, err := os.ReadFile("testdata/appendix-a.txt")
	if err != nil {
		tb.Fatal(err)
	}
	var all []vector
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		columns := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(columns) != 3 {
			tb.Fatalf("line %q has %d columns, want 3", line, len(columns))
		}
		all = append(all, vector{columns[0], columns[1], columns[2]})
	}
	if len(all) != 81 {
		tb.Fatalf("%d vectors, want the 81 of appendix A", len(all))
	}
	return all
}

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestAppendixA(t *testing.T) {
	// The RFC's table leaves out the encoding indicators of section 8.1; we do not.
	mark := regexp.MustCompile(`_[0-3]$`)
	for _, v := range appendixA(t) {
		t.Run(v.hex, func(t *testing.T) {
			data := unhex(t, v.hex)
			text, diagErr := Diagnostic(data)
			if text = mark.ReplaceAllString(text, ""); text != v.diagnostic {
				t.Errorf("Diagnostic: got %s, want %s", text, v.diagnostic)
			}
			kind, want, _ := strings.Cut(v.want, " ")
			var x any
			anyErr := Unmarshal(data, &x)
			if (Check(data) != nil) != (kind == "refused") || (diagErr != nil) != (kind == "refused") {
				t.Fatalf("Check: %v, Diagnostic: %v, want %q", Check(data), diagErr, v.want)
			}
			if (anyErr == nil) != (kind == "any") {
				t.Fatalf("into an any: got %#v, %v, want %q", x, anyErr, v.want)
			}
			var got string
			var value any
			switch kind {
			case "refused":
				if !strings.Contains(anyErr.Error(), want) || anyErr.Error() != diagErr.Error() {
					t.Errorf("got errors %q and %q, want %q", anyErr, diagErr, want)
				}
				return
			case "any":
				got, value = fmt.Sprintf("%T %v", x, x), x
			case "bigint":
				var n big.Int
				decodeInto(t, data, &n)
				got, value = n.String(), n
			case "time":
				var at time.Time
				decodeInto(t, data, &at)
				got = at.UTC().Format(time.RFC3339Nano)
				if data[0] == 0xc0 {
					value = at
				}
			case "intmap":
				var m map[int64]int64
				decodeInto(t, data, &m)
				got, value = fmt.Sprint(m), m
			default:
				t.Fatalf("unknown kind %q", kind)
			}
			if got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if value == nil && data[0] == 0xc1 {
				return // seconds are read, but written as tag 0
			}
			for name, encode := range encoders {
				again, err := encode(value)
				if err != nil || !bytes.Equal(again, data) {
					t.Errorf("%s: encoded again: %x, %v", name, again, err)
				}
			}
		})
	}
}

// encoders are all ways to encode one value.
var encoders = map[string]func(any) ([]byte, error){
	"Marshal": Marshal,
	"Append": func(v any) ([]byte, error) {
		b, err := Append([]byte("before"), v)
		return bytes.TrimPrefix(b, []byte("before")), err
	},
	"Append with room": func(v any) ([]byte, error) {
		b, err := Append(append(make([]byte, 0, 4096), "before"...), v)
		return bytes.TrimPrefix(b, []byte("before")), err
	},
}

func decodeInto(t *testing.T, data []byte, v any) {
	t.Helper()
	if err := Unmarshal(data, v); err != nil {
		t.Fatalf("Unmarshal into %T: %v", v, err)
	}
}
