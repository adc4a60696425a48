package codec

import (
	"bytes"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

type (
	wide  struct{ Block [512]byte }
	wider struct{ Block [1 << 20]byte }
)

// allocated returns how many bytes f takes, the least of several runs: what the
// runtime does beside it, and what is built once per type, is no part of it.
func allocated(f func()) uint64 {
	least := ^uint64(0)
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

func kilobyte(head string, unit string) []byte {
	h := []byte(head)
	return append(h, bytes.Repeat([]byte(unit), (1024-len(h))/len(unit))...)
}

// TestMemory: what messages of 1 KiB make the process allocate, as the package comment says.
func TestMemory(t *testing.T) {
	const few = 2 << 10 // for an error with its path
	tests := []struct {
		name    string
		data    []byte
		into    any
		refused bool
		most    uint64
	}{
		// Claims: nothing is taken for what is not there.
		{"claims 4 GiB of bytes", kilobyte("\x5a\xff\xff\xff\xff", "x"), new([]byte), true, few},
		{"claims 2^63 bytes of text", kilobyte("\x7b\x80\x00\x00\x00\x00\x00\x00\x00", "x"), new(string), true, few},
		{"claims a billion items", kilobyte("\x9a\x40\x00\x00\x00", "\x00"), new([]int), true, few},
		{"claims a billion items in an any", kilobyte("\x9a\x40\x00\x00\x00", "\x00"), new(any), true, few},
		{"claims a billion pairs", kilobyte("\xba\x40\x00\x00\x00", "\x00"), new(map[int]int), true, few},
		{"claims in every element", kilobyte("\x99\x03\xf8", "\x99\x03\xf0"), new([][][][][]int), true, few},
		{"nests 1000 deep", kilobyte("", "\x81"), new(any), true, few},
		{"a bignum of 1 KiB", kilobyte("\xc2\x59\x03\xfc", "\xff"), new(int), true, few},
		{"equal keys", kilobyte("\xb9\x01\xfe", "\x00\x00"), new(account), true, few},
		// Amplifiers: a byte of the message that becomes many.
		{"large structs, absent", kilobyte("\x99\x03\xfd", "\xa0"), new([]wide), true, few},
		{"huge structs, absent", kilobyte("\x88", "\xa0")[:9], new([]wider), true, few},
		{"pointers to large structs", kilobyte("\x99\x03\xfd", "\xa0"), new([]*wide), true, few},
		{"a huge array", []byte{0x41, 0}, new(*[1 << 30]byte), true, few},
		{"empty lists in an any", kilobyte("\x99\x03\xfd", "\x80"), new(any), true, few},
		{"empty maps in an any", kilobyte("\x99\x03\xfd", "\xa0"), new(any), true, few},
		{"maps of one in an any", kilobyte("\x98\xff", "\xa1\x61a\x00"), new(any), true, few},
		{"maps of one", kilobyte("\x98\xff", "\xa1\x61a\x00"), new([]map[string]int), true, few},
		// Honest messages.
		{"bytes", kilobyte("\x59\x03\xfd", "x"), new([]byte), false, 1<<10 + 128},
		{"text", kilobyte("\x79\x03\xfd", "x"), new(string), false, 1<<10 + 128},
		{"small integers", kilobyte("\x99\x03\xfd", "\x00"), new([]int64), false, 9 << 10},
		{"null pointers", kilobyte("\x99\x03\xfd", "\xf6"), new([]*wide), false, 9 << 10},
		{"small integers in an any", kilobyte("\x99\x03\xfd", "\x00"), new(any), false, 20 << 10},
		{"empty strings", kilobyte("\x99\x03\xfd", "\x60"), new([]string), false, 17 << 10},
		{"lists of one in an any", kilobyte("\x99\x01\xfe", "\x81\x00"), new(any), false, 30 << 10},
		{"rows in an any", kilobyte("\x98\x3f", "\xa2\x62id\x19\x30\x39\x64name\x63bob"), new(any), false, 30 << 10},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			target := reflect.New(reflect.TypeOf(test.into).Elem())
			var err error
			got := allocated(func() {
				target.Elem().SetZero()
				err = Unmarshal(test.data, target.Interface())
			})
			t.Logf("%d bytes of message: %d bytes of memory, %v", len(test.data), got, err)
			if (err != nil) != test.refused {
				t.Fatalf("got %v", err)
			}
			if got > test.most {
				t.Errorf("took %d bytes, want at most %d", got, test.most)
			}
		})
	}
}

// TestMemoryBound: the estimate that decides is not below what is really taken.
func TestMemoryBound(t *testing.T) {
	type sparse struct {
		A, B, C *sparse
		M       map[uint8][4]uint64
		L       []sparse
	}
	messages := [][]byte{
		kilobyte("\x99\x03\xfd", "\xa0"), kilobyte("\x98\xfd", "\xa1\x61A\xa0")[:2+4*253],
		kilobyte("\x98\x92", "\xa1\x61M\xa1\x00\x84\x00\x00\x00\x00")[:2+10*0x66], {0xa1, 0x61, 'L', 0x82, 0xa0, 0xa0},
	}
	messages[2][1] = 0x66
	for _, data := range messages {
		var list []sparse
		var one sparse
		for _, v := range []any{&list, &one} {
			var err error
			got := allocated(func() { err = Unmarshal(data, v) })
			if most := uint64(baseMemory + memoryPerByte*len(data)); got > most+most/4 {
				t.Errorf("%x... into %T: took %d bytes, want at most %d and what the allocator rounds up", data[:4], v, got, most)
			}
			if err != nil && !strings.Contains(err.Error(), "declared") && !strings.Contains(err.Error(), "of memory") {
				t.Errorf("%x... into %T: %v", data[:4], v, err)
			}
		}
	}
}

func TestAllocations(t *testing.T) {
	list := kilobyte("\x99\x03\xfd", "\x00")
	big := make([]byte, 0, 4096)
	text, blob := any("hello, world, this is text"), any(make([]byte, 64))
	number, yes := any(int64(1234567)), any(true)
	var s string
	var n int64
	var flag bool
	seqData, err := Append(nil, 1234567)
	if err != nil {
		t.Fatal(err)
	}
	structData, err := Marshal(sample)
	if err != nil {
		t.Fatal(err)
	}
	textData, flagData := []byte("\x78\x1ahello, world, this is text"), []byte{byteTrue}
	var record eight
	tests := []struct {
		name string
		most float64
		run  func() error
	}{
		{"Check", 0, func() error { return Check(list) }},
		{"Check of a struct", 0, func() error { return Check(structData) }},
		{"NewSequence", 0, func() error { _, err := NewSequence(list); return err }},
		{"Append text", 0, func() error { _, err := Append(big, text); return err }},
		{"Append bytes", 0, func() error { _, err := Append(big, blob); return err }},
		{"Append int64", 0, func() error { _, err := Append(big, number); return err }},
		{"Append bool", 0, func() error { _, err := Append(big, yes); return err }},
		{"Append nil", 0, func() error { _, err := Append(big, nil); return err }},
		{"Append a struct", 0, func() error { _, err := Append(big, &sample); return err }},
		{"Marshal int64", 1, func() error { _, err := Marshal(number); return err }},
		{"Unmarshal int64", 0, func() error { return Unmarshal(seqData, &n) }},
		{"Unmarshal bool", 0, func() error { return Unmarshal(flagData, &flag) }},
		{"Unmarshal text", 1, func() error { return Unmarshal(textData, &s) }},
		{"Next", 0, func() error {
			seq, err := NewSequence(seqData)
			if err != nil {
				return err
			}
			return seq.Next(&n)
		}},
		{"Unmarshal a struct", 5, func() error { return Unmarshal(structData, &record) }},
	}
	for _, test := range tests {
		if err := test.run(); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if got := testing.AllocsPerRun(100, func() { err = test.run() }); got > test.most {
			t.Errorf("%s: %v allocations, want at most %v", test.name, got, test.most)
		}
	}
}
