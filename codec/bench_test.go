package codec

import (
	"fmt"
	"testing"
)

// eight is the structured value of the benchmarks: eight fields.
type eight struct {
	ID      int64    `cbor:"id"`
	Owner   string   `cbor:"owner"`
	Balance float64  `cbor:"balance"`
	Open    bool     `cbor:"open"`
	Limit   uint32   `cbor:"limit"`
	Hash    []byte   `cbor:"hash"`
	Tags    []string `cbor:"tags"`
	Branch  string   `cbor:"branch"`
}

var sample = eight{
	ID: 1234567, Owner: "alice@bank.example", Balance: 100.25, Open: true, Limit: 5000,
	Hash: []byte("0123456789abcdef"), Tags: []string{"a"}, Branch: "main street",
}

var benchmarks = []struct {
	name  string
	value any
	into  func() any
}{
	{"int64", int64(1234567), func() any { return new(int64) }},
	{"string", "hello, world, this is text", func() any { return new(string) }},
	{"bytes/64B", make([]byte, 64), func() any { return new([]byte) }},
	{"bytes/1KiB", make([]byte, 1<<10), func() any { return new([]byte) }},
	{"bytes/1MiB", make([]byte, 1<<20), func() any { return new([]byte) }},
	{"struct8", &sample, func() any { return new(eight) }},
	{"map", map[string]any{"id": int64(1), "name": "alice", "list": []any{true, 1.5}}, func() any { return new(any) }},
}

func BenchmarkAppend(b *testing.B) {
	for _, bench := range benchmarks {
		b.Run(bench.name, func(b *testing.B) {
			buf, err := Append(nil, bench.value)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				if buf, err = Append(buf[:0], bench.value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkNext(b *testing.B) {
	for _, bench := range benchmarks {
		b.Run(bench.name, func(b *testing.B) {
			data, err := Append(nil, bench.value)
			if err != nil {
				b.Fatal(err)
			}
			into := bench.into()
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				seq, err := NewSequence(data)
				if err == nil {
					err = seq.Next(into)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCheck(b *testing.B) {
	inputs := map[string]any{"struct8": &sample, "bytes/1MiB": make([]byte, 1<<20)}
	for _, n := range []int{10, 10000} {
		inputs[fmt.Sprintf("ints/%d", n)] = make([]int, n)
	}
	for name, value := range inputs {
		b.Run(name, func(b *testing.B) {
			data, err := Append(nil, value)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if err := Check(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
