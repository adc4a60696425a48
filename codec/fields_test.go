package codec

import (
	"reflect"
	"slices"
	"sync"
	"testing"
)

type (
	left  struct{ Same, Left string }
	right struct {
		Same  string
		Right string `json:"Left2"`
	}
	deepest struct{ Top, Low int }
	Middle  struct {
		deepest
		Top int
	}
	named struct{ Text string }
)

// TestFields: our reading of a struct's fields is the library's.
func TestFields(t *testing.T) {
	for _, v := range []any{
		account{Tags: []string{"x"}, Limits: map[string]uint32{"a": 1}, Parent: &account{}}, shelf{meta: meta{Note: "x"}, Shared: &Shared{}}, compact{},
		struct {
			left
			right
		}{},
		struct {
			left
			right
			Same int `cbor:"Same"`
		}{},
		struct {
			Middle
			*Shared
		}{Shared: &Shared{}},
		struct {
			Middle
			deepest
			Low string
		}{},
		struct {
			Middle `cbor:"middle"`
			status string
			A      int `cbor:"a" json:"b"`
			B      int `json:"-"`
			C      int `cbor:",omitempty" json:"c"`
			D      int `json:"d,omitempty"`
		}{C: 1, D: 1},
		struct {
			A int `cbor:"01,keyasint"`
			B int `cbor:"+1"`
			C int `cbor:"300,keyasint"`
			D int `cbor:"-1,keyasint"`
		}{},
		struct {
			left  `cbor:"-"`
			Named named `cbor:"Left"`
			Left  string
		}{},
	} {
		b, err := Marshal(v)
		if err != nil {
			t.Errorf("%T: %v", v, err)
			continue
		}
		s, err := shapeOf(reflect.TypeOf(v))
		if err != nil {
			t.Fatal(err)
		}
		var got, want []string
		_, n, off, _ := readHead(b, 0)
		for range n {
			end, _ := skip(b, off)
			got = append(got, keyText(b[off:end]))
			off, _ = skip(b, end)
		}
		for _, f := range s.fields {
			want = append(want, keyText(f.key))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%T: written are %v, known are %v", v, got, want)
		}
	}
}

// TestConcurrent: the first uses of a type, all at once.
func TestConcurrent(t *testing.T) {
	type fresh struct {
		Next *fresh
		M    map[string][]fresh
		Any  any
	}
	v := fresh{Next: &fresh{}, M: map[string][]fresh{"a": {{Any: uint64(1 << 63)}}}, Any: "x"}
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			b, err := Marshal(&v)
			if err != nil {
				t.Error(err)
				return
			}
			var got fresh
			if err := Unmarshal(b, &got); err != nil || !reflect.DeepEqual(got, v) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	group.Wait()
}
