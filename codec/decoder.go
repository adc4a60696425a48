package codec

import (
	"errors"
	"io"
	"reflect"
	"strconv"
)

// Decoder reads checked items without reflection: generated code reads with it. It
// takes and refuses what [Sequence.Next] and [Unmarshal] do for a value of the same
// type, with the same errors and within the same bound on memory.
//
// Errors stick: after the first one every method returns a zero value, so that one
// look at [Decoder.Err] at the end is enough. Reading more items than there are is an
// error that wraps io.EOF.
//
// The methods named after a type read one item into that type. A value of any other
// type is read in one of two ways. Value reads it as Unmarshal does. Or it is read in
// parts between Begin and End, and by Value if End says that it did not fit:
//
//	d.Begin()
//	n := d.MapLen()
//	if d.Key(&n, "\x62id") { // the fields in the order of their encoded keys
//		account.ID = d.Int64()
//	}
//	if d.Key(&n, "\x65owner") {
//		account.Owner = d.Text()
//	}
//	d.Rest(n)
//	if !d.End() {
//		d.Value(&again) // fails with the reason, at the right place
//	}
//
// Between the two, exactly one item must be read, and nothing of it be used before End
// has returned true.
//
// The zero Decoder is at the end of an empty sequence. A Decoder belongs to one
// goroutine.
type Decoder struct {
	data []byte
	off  int // where the next item begins; at the end of data, too, once something went wrong
	left int // items from there on
	all  int // items at the beginning

	inside bool // between Begin and End
	misfit bool // something did not fit since Begin
	start  int  // where Begin was
	memory int64

	sequence bool // the data is a sequence, so that a path begins with an index
	owned    bool
	err      error
	failed   reflect.Type // what the item that did not fit was to become
}

// ErrCount is what the error of [Decoder.Expect] wraps.
var ErrCount = errors.New("another number of items was expected")

// NewDecoder checks data, which must be exactly one item, as [Check] does, and returns
// a Decoder for it. The bytes must not change while it is used. The error is the
// Decoder's, too, so that it may as well be looked at after reading.
func NewDecoder(data []byte) (Decoder, error) {
	c := checker{data: data}
	if err := c.single(); err != nil {
		located(err, data, nil, false)
		return Decoder{err: err}, err
	}
	return Decoder{data: data, left: 1, all: 1}, nil
}

// Decoder returns a Decoder for the items that are left, which have been checked
// already. Reading from it does not move the Sequence on.
func (s *Sequence) Decoder() Decoder {
	return Decoder{data: s.data, off: s.off, left: s.left, all: s.left, sequence: true}
}

// Own says that the bytes are the reader's alone and will not change any more: Bytes,
// but for those between Begin and End, then returns parts of them instead of copies.
func (d *Decoder) Own() { d.owned = true }

// Len returns how many items are left; none after an error.
func (d *Decoder) Len() int {
	if d.err != nil {
		return 0
	}
	return d.left
}

// Err returns the first error, an [*Error], or nil.
func (d *Decoder) Err() error { return d.err }

// Failed returns, after an error of an item that did not fit, the index of that item
// among those that the Decoder was made for and the type that it was to become.
func (d *Decoder) Failed() (item int, as reflect.Type) { return d.all - d.left, d.failed }

// Expect fails unless from least to most items are left; a negative most is no bound.
// The error wraps [ErrCount].
func (d *Decoder) Expect(least, most int) {
	if d.err == nil && (d.left < least || most >= 0 && d.left > most) {
		want := strconv.Itoa(least)
		switch {
		case most < 0:
			want = "at least " + want
		case most != least:
			want += " to " + strconv.Itoa(most)
		}
		e := failf(d.off, "%d items are left, want %s", d.left, want)
		e.Err = ErrCount
		d.stop(e)
	}
}

// Value reads the next item into the value that v points to, by reflection.
func (d *Decoder) Value(v any) {
	switch {
	case d.off >= len(d.data):
		d.exhausted()
	case d.inside:
		d.part(v)
	default:
		next, err := decode(d.data, d.off, v)
		if err != nil {
			located(err, d.data, v, d.sequence)
			d.failed = reflect.TypeOf(v)
			if d.failed != nil && d.failed.Kind() == reflect.Pointer {
				d.failed = d.failed.Elem()
			}
			d.stop(err)
			return
		}
		d.move(next)
	}
}

// part is Value between Begin and End.
func (d *Decoder) part(v any) {
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Pointer || rv.IsNil() {
		d.mismatch()
		return
	}
	s, err := shapeOf(rv.Type().Elem())
	if err != nil {
		d.mismatch()
		return
	}
	f := fitter{data: d.data}
	next, fault := f.fit(d.off, s)
	if fault != nil || !d.charge(f.memory) || f.into(v, d.off, next, s) != nil {
		d.mismatch()
		return
	}
	d.off = next
}

// Begin begins an item that is read in parts. It does not nest.
func (d *Decoder) Begin() {
	switch {
	case d.inside:
		d.mismatch()
	case d.off < len(d.data):
		d.inside, d.start, d.memory = true, d.off, 0
	}
}

// End ends an item that was read in parts and reports whether it fitted. If not, the
// Decoder is at the item again.
func (d *Decoder) End() bool {
	if !d.inside {
		return false
	}
	d.inside = false
	if d.misfit || d.memory > mostMemory(d.off-d.start) {
		d.misfit, d.off = false, d.start
		return false
	}
	d.left--
	return true
}

// move goes on to the item at next.
func (d *Decoder) move(next int) {
	d.off = next
	if !d.inside {
		d.left--
	}
}

// mismatch notes that a part does not fit. To be at the end of the data makes all
// that follows fail too, with no other check for it in any method.
func (d *Decoder) mismatch() { d.misfit, d.off = true, len(d.data) }

// stop makes an error the Decoder's.
func (d *Decoder) stop(err *Error) { d.err, d.off = err, len(d.data) }

// exhausted is called where an item is wanted and none is left, or something went
// wrong before.
func (d *Decoder) exhausted() {
	switch {
	case d.inside:
		d.misfit = true
	case d.err == nil:
		d.stop(&Error{Offset: d.off, Reason: "the sequence has no more items", Err: io.EOF})
	}
}

// charge adds what a part takes. It refuses what no message of this size may take;
// End knows the size of the item itself.
func (d *Decoder) charge(n int64) bool {
	d.memory += n
	return d.memory <= mostMemory(len(d.data)-d.start)
}
