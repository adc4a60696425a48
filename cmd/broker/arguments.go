package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pyrossl/pyrossl/codec"
)

// parseArguments turns the words after the method into the values to send. Each is
// one JSON value.
func parseArguments(words []string) ([]any, error) {
	args := make([]any, len(words))
	for i, w := range words {
		v, err := parseJSON(w)
		if err != nil {
			return nil, argumentError(i, w, err)
		}
		args[i] = v
	}
	return args, nil
}

// argumentError says how the argument has to be written, when that can be guessed.
func argumentError(i int, word string, err error) error {
	hint := "each argument is one JSON value: 100, true, null, '\"text\"', '[1, 2]', '{\"key\": 1}'"
	if looksLikeText(word) {
		quoted, _ := json.Marshal(word)
		hint = "text needs its JSON quotes, kept from the shell: " + shellQuote(string(quoted))
	}
	return &problem{
		err:  fmt.Errorf("argument %d, %q, is not JSON: %w", i+1, shorten(word, 60), err),
		hint: hint, code: exitUsage,
	}
}

// looksLikeText reports whether whoever typed word meant a string: no JSON value
// but a string starts like it.
func looksLikeText(word string) bool {
	return word != "" && utf8.ValidString(word) && !strings.ContainsAny(word[:1], "[{\"-0123456789 \t\n")
}

// parseJSON reads exactly one JSON value. It is stricter than encoding/json where
// that would send something else than was typed: a key that appears twice and bytes
// that are not UTF-8 are errors, and a number is never rounded unless it is written
// as a fraction.
func parseJSON(text string) (any, error) {
	if !utf8.ValidString(text) {
		return nil, errors.New("it is not UTF-8")
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	v, err := parseValue(dec, 0)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errors.New("it ends too early")
	}
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("more follows after the value")
	}
	return v, nil
}

func parseValue(dec *json.Decoder, depth int) (any, error) {
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Number:
		return number(t.String())
	case json.Delim:
		if depth == codec.MaxDepth {
			return nil, fmt.Errorf("it is nested deeper than %d", codec.MaxDepth)
		}
		if t == '[' {
			return parseArray(dec, depth)
		}
		return parseObject(dec, depth)
	}
	return t, nil // nil, bool or string
}

func parseArray(dec *json.Decoder, depth int) (any, error) {
	list := []any{}
	for dec.More() {
		v, err := parseValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := dec.Token() // the closing bracket
	return list, err
}

func parseObject(dec *json.Decoder, depth int) (any, error) {
	object := map[string]any{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, err
		}
		key := t.(string) // the decoder takes nothing else for a key
		if _, ok := object[key]; ok {
			return nil, fmt.Errorf("key %q appears twice", key)
		}
		if object[key], err = parseValue(dec, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := dec.Token()
	return object, err
}

// number keeps integers integers: int64, uint64, or a big.Int beyond them.
func number(text string) (any, error) {
	if !strings.ContainsAny(text, ".eE") {
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			return i, nil
		}
		if u, err := strconv.ParseUint(text, 10, 64); err == nil {
			return u, nil
		}
		if len(text) > maxDigits {
			return nil, fmt.Errorf("an integer of %d digits, want at most %d", len(text), maxDigits)
		}
		if b, ok := new(big.Int).SetString(text, 10); ok {
			return b, nil
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) {
		return nil, fmt.Errorf("number %s is out of range", shorten(text, 60))
	}
	return f, nil
}

// maxDigits bounds an integer: reading one takes time with the square of its digits.
const maxDigits = 1000
