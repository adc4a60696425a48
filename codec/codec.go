// Package codec turns Go values into CBOR and back, strictly and within bounds.
//
// There is one mode and it cannot be changed. A value is written in the core
// deterministic encoding (RFC 8949, section 4.2.1): one value has one encoding.
// The same rule is demanded of what is read, so bytes that were signed, hashed or
// compared mean one thing only. [Marshal] and [Unmarshal] carry one value,
// [Append] adds to a buffer, and [Sequence] reads values that follow one another
// (RFC 8742), such as the arguments of a call. [Diagnostic] prints bytes for people.
// [Decoder] and the functions AppendInt to AppendTime do the same without reflection,
// for generated code (package broker/gen).
//
// # What is refused
//
// Before any memory is taken for a message, one pass over it refuses: input that
// is cut short or goes on after the last item; a declared length beyond the
// message; indefinite lengths; integers, lengths and floats that are not in their
// shortest form; a NaN other than f97e00; map keys that appear twice or are not in
// bytewise order; text that is not UTF-8; undefined and other simple values than
// false, true and null; tags other than 0 to 3; nesting deeper than [MaxDepth];
// more than [MaxItems] items. [Check] is that pass alone. Every refusal is an
// [*Error] with the offset, a path and what was expected.
//
// # What a value becomes
//
// A message is decoded only into what the receiver declared. A second pass compares
// it with the receiver's type and refuses what does not fit: unknown struct fields,
// a Go array of another length, null for a value that cannot be nil, a number that
// overflows or, for an integer, would lose digits in a float. It also adds up what
// the value will need, and refuses more than 4 KiB plus 32 bytes for each byte of
// the message. Text and byte strings need their own length, and a slice needs its
// elements' size. Long lists of maps with a single short entry reach the limit, for a Go
// map takes 340 bytes however little is in it: declare a struct for them. So does a type
// whose elements are large and mostly absent from the message. What a type's own
// methods allocate is theirs to bound, and their panics are not caught here.
// [Unmarshal] replaces the whole value: nothing of the old one shows through, and
// after an error it is the zero value or the old one, never half of each.
//
// Into an any go nil, bool, int64, uint64 (only above the int64 range), float64,
// string, []byte, []any and map[string]any, and nothing else: a tag or a key that
// is not text is an error there.
//
// Struct fields are named by their `cbor` tag, else by `json`, else by their Go
// name, and match exactly. The options keyasint, toarray, omitempty and omitzero
// work, and embedded structs are inlined as encoding/json does it. A [time.Time] is
// carried as tag 0, RFC 3339 in UTC with its nanoseconds (the zero time as null; tag
// 1, seconds since 1970, is accepted too); the zone is not carried. A [big.Int] is an
// integer where it fits 64 bits, else tag 2 or 3. Types with MarshalBinary are byte
// strings and those with MarshalText are text strings, like [net/netip.Addr]; a
// type may write its own CBOR with MarshalCBOR and UnmarshalCBOR. [CheckType]
// tells beforehand whether a type can be carried.
//
// All functions are safe for concurrent use; a Sequence and a Decoder belong to one goroutine.
// Decoded values never share memory with the message, but for [Sequence.Raw] and where
// [Decoder.Own] allows it.
package codec

import (
	"bytes"
	"reflect"
	"sync"

	"github.com/fxamacker/cbor/v2"
)

const (
	// MaxDepth is how deeply arrays and maps may nest: an array of integers has depth 1.
	MaxDepth = 16

	// MaxItems is how many data items one message or sequence may hold, where
	// containers, their elements, keys, values and tags count one each.
	MaxItems = 65536
)

// The modes are built once. Options that the library refuses are our own bug.
var (
	encMode = must(encOptions().UserBufferEncMode())
	decMode = must(decOptions().DecMode())
	// decModeDup also looks for keys that differ as bytes and are equal as Go values,
	// which takes memory and can only happen where keys unmarshal themselves.
	decModeDup = must(func() (cbor.DecMode, error) {
		o := decOptions()
		o.DupMapKey = cbor.DupMapKeyEnforcedAPF
		return o.DecMode()
	}())
)

func must[T any](mode T, err error) T {
	if err != nil {
		panic("codec: internal error: " + err.Error())
	}
	return mode
}

func encOptions() cbor.EncOptions {
	o := cbor.CoreDetEncOptions()
	o.Time = cbor.TimeRFC3339NanoUTC
	o.TimeTag = cbor.EncTagRequired
	o.ByteArray = cbor.ByteArrayToByteSlice
	o.TextMarshaler = cbor.TextMarshalerTextString
	return o
}

func decOptions() cbor.DecOptions {
	return cbor.DecOptions{
		TimeTag:           cbor.DecTagRequired,
		MaxNestedLevels:   2 * MaxDepth, // the library counts tags too; ours is checked first
		MaxArrayElements:  MaxItems,
		MaxMapPairs:       MaxItems,
		IndefLength:       cbor.IndefLengthForbidden,
		IntDec:            cbor.IntDecConvertSignedOrBigInt, // see narrow
		BigIntDec:         cbor.BigIntDecodePointer,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		DefaultMapType:    reflect.TypeFor[map[string]any](),
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
		TextUnmarshaler:   cbor.TextUnmarshalerTextString,
	}
}

// Marshal returns the encoding of v. What it returns without an error, Check accepts.
func Marshal(v any) ([]byte, error) {
	var small [32]byte
	if b, ok, err := appendFast(small[:0], v); ok {
		if err != nil {
			return nil, err
		}
		return bytes.Clone(b), nil
	}
	if err := encodable(v); err != nil {
		return nil, err
	}
	b, err := encMode.Marshal(v)
	if err != nil {
		return nil, encodeError(v, err)
	}
	if err := checkOwn(b, v); err != nil {
		return nil, err
	}
	return b, nil
}

// buffers holds wrappers only; the bytes are always the caller's.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// Append adds the encoding of v to dst and returns the extended slice. After an
// error it returns dst as it was; the bytes between its length and its capacity
// may have been overwritten.
func Append(dst []byte, v any) ([]byte, error) {
	if b, ok, err := appendFast(dst, v); ok {
		return b, err
	}
	if err := encodable(v); err != nil {
		return dst, err
	}
	buf := buffers.Get().(*bytes.Buffer)
	*buf = *bytes.NewBuffer(dst)
	err := encMode.MarshalToBuffer(v, buf)
	out := buf.Bytes()
	*buf = bytes.Buffer{}
	buffers.Put(buf)
	if err != nil {
		return dst, encodeError(v, err)
	}
	if err := checkOwn(out[len(dst):], v); err != nil {
		return dst, err
	}
	return out, nil
}

// Unmarshal decodes exactly one data item into the value that v points to.
func Unmarshal(data []byte, v any) error {
	c := checker{data: data}
	if err := c.single(); err != nil {
		return located(err, data, nil, false)
	}
	if _, err := decode(data, 0, v); err != nil {
		return located(err, data, v, false)
	}
	return nil
}

// Check reports whether data is exactly one data item that this package would read:
// well-formed, deterministic and within the limits. It takes no memory unless it fails.
func Check(data []byte) error {
	c := checker{data: data}
	if err := c.single(); err != nil {
		return located(err, data, nil, false)
	}
	return nil
}

// decode reads the checked item at data[off:] into v and returns where it ends.
func decode(data []byte, off int, v any) (int, *Error) {
	if next, ok := decodeFast(data, off, v); ok {
		return next, nil
	}
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Pointer || rv.IsNil() {
		return off, failf(off, "cannot decode into %T, want a pointer that is not nil", v)
	}
	s, err := shapeOf(rv.Type().Elem())
	if err != nil {
		return off, &Error{Offset: off, Reason: trimPrefix(err), Err: err}
	}
	f := fitter{data: data}
	next, fault := f.fit(off, s)
	if fault != nil {
		return off, fault
	}
	if most := mostMemory(next - off); f.memory > most {
		return off, failf(off, "the value needs %d bytes of memory, want at most %d for a message of %d bytes; structs need less than maps", f.memory, most, next-off)
	}
	if err := f.into(v, off, next, s); err != nil {
		return off, explain(data, off, s, err)
	}
	return next, nil
}

// mostMemory is what a value may take that is n bytes of a message.
func mostMemory(n int) int64 { return baseMemory + memoryPerByte*int64(n) }

// into decodes data[off:next], which fits, into the value that v points to.
func (f *fitter) into(v any, off, next int, s *shape) error {
	target := reflect.ValueOf(v).Elem()
	target.SetZero()
	mode := decMode
	if s.traits&hasOwnKeys != 0 {
		mode = decModeDup
	}
	if err := mode.Unmarshal(f.data[off:next], v); err != nil {
		target.SetZero()
		return err
	}
	if f.wide {
		narrow(target, s)
	}
	return nil
}
