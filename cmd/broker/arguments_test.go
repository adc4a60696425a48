package main

import (
	"errors"
	"math/big"
	"reflect"
	"strings"
	"testing"
)

func TestParseJSON(t *testing.T) {
	huge, _ := new(big.Int).SetString("18446744073709551616", 10)
	tests := []struct {
		text string
		want any
	}{
		{`1`, int64(1)},
		{` -1`, int64(-1)},
		{`-0`, int64(0)},
		{`9007199254740993`, int64(9007199254740993)}, // no float64 holds it
		{`-9223372036854775808`, int64(-9223372036854775808)},
		{`9223372036854775808`, uint64(9223372036854775808)},
		{`18446744073709551615`, uint64(18446744073709551615)},
		{`18446744073709551616`, huge},
		{`1.0`, 1.0},
		{`1e3`, 1000.0},
		{`"alice"`, "alice"},
		{`"\u00e9\n"`, "é\n"},
		{`null`, nil},
		{`true`, true},
		{`[]`, []any{}},
		{`{}`, map[string]any{}},
		{`[1, "a", [null]]`, []any{int64(1), "a", []any{nil}}},
		{`{"a": {"b": [1.5]}}`, map[string]any{"a": map[string]any{"b": []any{1.5}}}},
	}
	for _, test := range tests {
		got, err := parseJSON(test.text)
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("parseJSON(%q): got %#v, %v, want %#v", test.text, got, err, test.want)
		}
	}
}

func TestParseJSONRefuses(t *testing.T) {
	tests := []struct{ text, want string }{
		{``, "ends too early"},
		{`[1`, "ends too early"},
		{`{"a"`, "ends too early"},
		{`1 2`, "more follows"},
		{`[1]]`, "more follows"},
		{`alice`, "invalid character"},
		{`'alice'`, "invalid character"},
		{`{"a": 1, "a": 2}`, `"a" appears twice`},
		{`{a: 1}`, "invalid character"},
		{`{1: 1}`, "invalid character"},
		{`[1,]`, "invalid character"},
		{`{"a":1,}`, "invalid character"},
		{`[1 2]`, "invalid character"},
		{`01`, "more follows"},
		{`1e999`, "out of range"},
		{"\"\xff\"", "not UTF-8"},
		{strings.Repeat("[", 17) + strings.Repeat("]", 17), "deeper than 16"},
		{strings.Repeat("9", 1001), "1001 digits"},
	}
	for _, test := range tests {
		got, err := parseJSON(test.text)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("parseJSON(%q): got %#v, %v, want an error with %q", shorten(test.text, 40), got, err, test.want)
		}
	}
}

func TestArgumentHints(t *testing.T) {
	tests := []struct{ word, hint string }{
		{`alice`, `'"alice"'`},
		{`o'brien`, `'"o'\''brien"'`},
		{`é`, `'"é"'`},
		{`[1`, `one JSON value`},
		{`1.2.3`, `one JSON value`},
		{``, `one JSON value`},
	}
	for _, test := range tests {
		_, err := parseArguments([]string{test.word})
		var p *problem
		if !errors.As(err, &p) || p.code != exitUsage || !strings.Contains(p.hint, test.hint) {
			t.Errorf("argument %q: got %#v, want a usage error whose hint has %q", test.word, err, test.hint)
		}
	}
}

func FuzzParseJSON(f *testing.F) {
	for _, s := range []string{`1`, `"a"`, `[1, {"a": null}]`, `{"a": 1, "a": 2}`, `-1.5e3`, `[`, `18446744073709551616`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := parseJSON(text)
		if err != nil {
			return
		}
		// What was accepted prints, and reads back as the same value.
		printed, err := marshalJSON(v)
		if err != nil {
			t.Fatalf("%q was read as %#v, which does not print: %v", text, v, err)
		}
		again, err := parseJSON(string(printed))
		if err != nil {
			t.Fatalf("%q was printed as %q, which does not parse: %v", text, printed, err)
		}
		if !sameValue(v, again) {
			t.Fatalf("%q was read as %#v, printed as %s and read as %#v", text, v, printed, again)
		}
	})
}

// sameValue is DeepEqual, but for whole floats: 1.0 prints as 1.
func sameValue(a, b any) bool {
	switch a := a.(type) {
	case float64:
		switch b := b.(type) {
		case float64:
			return a == b
		case int64:
			return a == float64(b)
		case uint64:
			return a == float64(b)
		case *big.Int:
			f, _ := new(big.Float).SetInt(b).Float64()
			return a == f
		}
		return false
	case []any:
		list, ok := b.([]any)
		if !ok || len(a) != len(list) {
			return false
		}
		for i := range a {
			if !sameValue(a[i], list[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		object, ok := b.(map[string]any)
		if !ok || len(a) != len(object) {
			return false
		}
		for k := range a {
			if !sameValue(a[k], object[k]) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(a, b)
}
