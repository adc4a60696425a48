package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"slices"
	"strconv"
	"time"

	"github.com/pyrossl/pyrossl/codec"
)

// result is what a method returned, as JSON. It takes whatever a daemon may send,
// also what has no form of its own in JSON: byte strings become base64, times RFC
// 3339, keys text, and NaN and the infinities the strings "NaN", "+Inf" and "-Inf".
type result json.RawMessage

// UnmarshalCBOR is called by package codec with one checked item.
func (r *result) UnmarshalCBOR(item []byte) error {
	if len(item) == 0 {
		return errors.New("an empty item")
	}
	var err error
	switch item[0] >> 5 { // RFC 8949, section 3: the major type
	case 4:
		err = r.array(item)
	case 5:
		err = r.object(item)
	case 6:
		err = r.tagged(item)
	default:
		err = r.plain(item)
	}
	return err
}

// MarshalCBOR is there because the codec wants both directions of a type that has
// one. Nothing sends a result.
func (r result) MarshalCBOR() ([]byte, error) {
	return nil, errors.New("a result is only read")
}

func (r *result) set(v any) (err error) {
	*r, err = marshalJSON(v)
	return err
}

func (r *result) plain(item []byte) error {
	var v any
	if err := codec.Unmarshal(item, &v); err != nil {
		return err
	}
	if f, ok := v.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
		v = strconv.FormatFloat(f, 'g', -1, 64)
	}
	return r.set(v)
}

func (r *result) array(item []byte) error {
	list := []result{}
	if err := codec.Unmarshal(item, &list); err != nil {
		return err
	}
	parts := make([][]byte, len(list))
	for i, v := range list {
		parts[i] = v
	}
	*r = join('[', parts, ']')
	return nil
}

// object prints maps sorted by key. Keys are text or, for structs whose fields are
// numbered, integers.
func (r *result) object(item []byte) error {
	named := map[string]result{}
	err := codec.Unmarshal(item, &named)
	if err == nil {
		*r = members(named, func(k string) any { return k })
		return nil
	}
	numbered := map[int64]result{}
	if codec.Unmarshal(item, &numbered) != nil {
		return err
	}
	*r = members(numbered, func(k int64) any { return strconv.FormatInt(k, 10) })
	return nil
}

func members[K string | int64](m map[K]result, text func(K) any) result {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	parts := make([][]byte, len(keys))
	for i, k := range keys {
		key, _ := marshalJSON(text(k)) // a string always prints
		parts[i] = append(append(key, ':'), m[k]...)
	}
	return join('{', parts, '}')
}

func join(open byte, parts [][]byte, end byte) result {
	return append(append([]byte{open}, bytes.Join(parts, []byte{','})...), end)
}

// tagged prints the tags that the codec lets through: times and large integers.
func (r *result) tagged(item []byte) error {
	if tag := item[0] & 0x1f; tag <= 1 {
		var t time.Time
		if err := codec.Unmarshal(item, &t); err != nil {
			return err
		}
		return r.set(t)
	}
	var b big.Int
	if err := codec.Unmarshal(item, &b); err != nil {
		return err
	}
	return r.set(&b)
}

// marshalJSON is json.Marshal without its escapes for HTML.
func marshalJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
