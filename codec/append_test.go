package codec

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// sameAppend compares a function with what Append, by way of the library, writes.
func sameAppend(t *testing.T, name string, v any, got []byte, errGot error) {
	t.Helper()
	want, err := encMode.Marshal(v)
	if err == nil {
		err = checkOwn(want, v)
	}
	if (err == nil) != (errGot == nil) {
		t.Fatalf("%s(%v): got %v, want %v", name, v, errGot, err)
	}
	if err != nil {
		if _, err := Append(nil, v); err.Error() != errGot.Error() {
			t.Fatalf("%s(%v): got %v, want %v", name, v, errGot, err)
		}
		want = nil
	}
	if want = append([]byte("x"), want...); !bytes.Equal(got, want) {
		t.Fatalf("%s(%v): got %x, want %x", name, v, got, want)
	}
}

func TestAppendParts(t *testing.T) {
	x := []byte("x")[:1:1]
	sameAppend(t, "AppendNil", nil, AppendNil(x), nil)
	for _, v := range []bool{false, true} {
		sameAppend(t, "AppendBool", v, AppendBool(x, v), nil)
	}
	for shift := range 64 {
		for _, d := range []int64{-1, 0, 1} {
			n := int64(1)<<shift + d
			sameAppend(t, "AppendInt", n, AppendInt(x, n), nil)
			sameAppend(t, "AppendInt", -n, AppendInt(x, -n), nil)
			sameAppend(t, "AppendUint", uint64(n), AppendUint(x, uint64(n)), nil)
		}
	}
	for _, n := range []int{0, 1, 23, 24, 255, 256, 65535, 65536} {
		text := string(bytes.Repeat([]byte("a"), n))
		got, err := AppendString(x, text)
		sameAppend(t, "AppendString", text, got, err)
		sameAppend(t, "AppendBytes", []byte(text), AppendBytes(x, []byte(text)), nil)
		if n < 65536 {
			sameAppend(t, "AppendArrayHead", make([]bool, n), append(AppendArrayHead(x, n), bytes.Repeat([]byte{byteFalse}, n)...), nil)
		}
	}
	sameAppend(t, "AppendBytes", []byte(nil), AppendBytes(x, nil), nil)
	for _, text := range []string{"\xff", "a\xc3", "\xed\xa0\x80", "界\x00é"} {
		got, err := AppendString(x, text)
		sameAppend(t, "AppendString", text, got, err)
	}
}

func TestAppendFloat(t *testing.T) {
	check := func(v float64) {
		t.Helper()
		sameAppend(t, "AppendFloat", v, AppendFloat([]byte("x"), v), nil)
		if f := float32(v); float64(f) == v || v != v {
			sameAppend(t, "AppendFloat of a float32", f, AppendFloat([]byte("x"), float64(f)), nil)
		}
	}
	for h := range 1 << 16 {
		check(float16Value(uint16(h)))
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		check(float64(math.Float32frombits(r.Uint32())))
		check(math.Float64frombits(r.Uint64()))
		// What is between two halves, or just too small for one.
		check(float64(math.Float32frombits(r.Uint32() &^ (1<<r.IntN(24) - 1))))
	}
}

func TestAppendTime(t *testing.T) {
	utc := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	for _, v := range []time.Time{
		{}, utc, utc.Add(1), utc.Add(120 * time.Millisecond), utc.In(time.FixedZone("", 3600)), utc.In(time.Local), time.Unix(0, 0),
		time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC), time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -3600)), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(0, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600)),
		time.Unix(1<<62, 0), time.Now(),
	} {
		got, err := AppendTime([]byte("x"), v)
		sameAppend(t, "AppendTime", v, got, err)
	}
}

func TestSortedKeys(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	m := map[string]int{"": 0, "b": 1, "a": 2, "é": 3, "aa": 4, "z": 5}
	for range 500 {
		m[string(bytes.Repeat([]byte{'a' + byte(r.IntN(26))}, r.IntN(300)))] = r.IntN(1000)
	}
	dst := AppendMapHead([]byte("x"), len(m))
	for _, key := range SortedKeys(m) {
		var err error
		if dst, err = AppendString(dst, key); err != nil {
			t.Fatal(err)
		}
		dst = AppendInt(dst, int64(m[key]))
	}
	sameAppend(t, "a map", m, dst, nil)
}
