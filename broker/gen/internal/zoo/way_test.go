package zoo

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/pyrossl/pyrossl/codec"
)

// way is how one type travels through generated code.
type way struct {
	name   string
	random func(r *rand.Rand) any
	append func(dst []byte, v any) ([]byte, error)
	read   func(d *codec.Decoder) any
	next   func(s *codec.Sequence) (any, error) // the same by reflection
	whole  func(data []byte) (any, error)       // and for a result
}

func newWay[T any](append func(dst []byte, v T) ([]byte, error), read func(d *codec.Decoder) T) way {
	return way{
		name: reflect.TypeFor[T]().String(),
		random: func(r *rand.Rand) any {
			var v T
			random(r, reflect.ValueOf(&v).Elem(), 0)
			return v
		},
		append: func(dst []byte, v any) ([]byte, error) { return append(dst, v.(T)) },
		read:   func(d *codec.Decoder) any { return read(d) },
		next: func(s *codec.Sequence) (any, error) {
			var v T
			err := s.Next(&v)
			return v, err
		},
		whole: func(data []byte) (any, error) {
			var v T
			err := codec.Unmarshal(data, &v)
			return v, err
		},
	}
}

// pointer makes a function for values of one for pointers.
func pointer[T any](f func([]byte, *T) ([]byte, error)) func([]byte, T) ([]byte, error) {
	return func(dst []byte, v T) ([]byte, error) { return f(dst, &v) }
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// compare reads data, an item in front of another one, in both ways.
func (w *way) compare(t *testing.T, item []byte) (accepted bool) {
	t.Helper()
	data := append(bytes.Clone(item), 0x07)
	seq, err := codec.NewSequence(data)
	if err != nil {
		return false
	}
	d := seq.Decoder()
	got := w.read(&d)
	want, errWant := w.next(&seq)
	w.same(t, item, got, d.Err(), want, errWant)
	if errWant == nil {
		if seven := d.Int64(); seven != 7 || d.Err() != nil || d.Len() != 0 {
			t.Fatalf("%s: %x: what follows is %d, %v, with %d left", w.name, item, seven, d.Err(), d.Len())
		}
	} else if i, as := d.Failed(); i != 0 || as.String() != w.name || d.Len() != 0 {
		t.Fatalf("%s: %x: item %d failed as %v, %d are left", w.name, item, i, as, d.Len())
	}
	if d, err = codec.NewDecoder(item); err != nil {
		t.Fatalf("%x: %v", item, err)
	}
	got = w.read(&d)
	want, errWant = w.whole(item)
	w.same(t, item, got, d.Err(), want, errWant)
	return errWant == nil
}

func (w *way) same(t *testing.T, item []byte, got any, errGot error, want any, errWant error) {
	t.Helper()
	if text(errGot) != text(errWant) {
		t.Fatalf("%s: %x:\ngot  %v\nwant %v", w.name, item, errGot, errWant)
	}
	if reflect.DeepEqual(got, want) {
		return
	}
	again, err := codec.Marshal(got)
	reference, _ := codec.Marshal(want)
	if !nan(item) || err != nil || !bytes.Equal(again, reference) {
		t.Fatalf("%s: %x:\ngot  %s\nwant %s", w.name, item, fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", want))
	}
}

// compareAppends: for any value both ways write the same bytes, or refuse with the same
// words and leave what was there.
func (w *way) compareAppends(t *testing.T, r *rand.Rand, n int) (refused int) {
	t.Helper()
	for range n {
		v := w.random(r)
		got, errGot := w.append([]byte("before"), v)
		want, errWant := codec.Append([]byte("before"), v)
		if text(errGot) != text(errWant) || !bytes.Equal(got, want) {
			t.Fatalf("%s: %#v:\ngot  %x, %v\nwant %x, %v", w.name, v, got, errGot, want, errWant)
		}
		if errWant != nil {
			refused++
		}
	}
	return refused
}

// compareReads: for what a value became, and for what becomes of that when it is
// changed, both ways read the same value or give the same error.
func (w *way) compareReads(t *testing.T, r *rand.Rand, n int) (accepted, refused int) {
	t.Helper()
	for range n {
		item, err := codec.Append(nil, w.random(r))
		if err != nil {
			continue
		}
		for _, item := range [][]byte{item, mutate(r, item), mutate(r, item), mutate(r, item), mutate(r, item)} {
			if w.compare(t, item) {
				accepted++
			} else {
				refused++
			}
		}
	}
	return accepted, refused
}
