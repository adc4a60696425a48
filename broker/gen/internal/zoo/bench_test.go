package zoo

import (
	"context"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/pyrossl/pyrossl/codec"
)

// TestAllocations counts what both sides of a call take, over mTLS and in one process:
// arguments and results take nothing beyond what a call without them does, but for
// the memory that they are themselves, on each side.
func TestAllocations(t *testing.T) {
	a := newAll(t)
	ctx := context.Background()
	zoo := NewZooProxy(a.generated)
	data := make([]byte, 64)
	tests := []struct {
		name string
		more float64
		call func() error
	}{
		{"Ping", 0, func() error { return zoo.Ping(ctx) }},
		{"Add", 0, func() error { _, err := zoo.Add(ctx, 1000000, 2); return err }},
		{"Echo", 2, func() error { _, err := zoo.Echo(ctx, data); return err }},
		{"NoError", 2, func() error { _, err := zoo.NoError(ctx, "some text"); return err }},
		{"Fixed", 0, func() error { _, err := zoo.Fixed(ctx, [3]Point{{X: 1}}, [4]byte{1}); return err }},
		{"List", 6, func() error { _, err := zoo.List(ctx, []*Point{{X: 1}}); return err }},
	}
	// The race detector lets pools forget, some more in one test than in another; what
	// the functions take by themselves is exact, below.
	const slack = 2
	var bare float64
	for i, test := range tests {
		got := allocations(t, test.name, test.call)
		if i == 0 {
			bare = got
			t.Logf("a call takes %v allocations", bare)
		}
		if got < bare+test.more-slack || got > bare+test.more+slack {
			t.Errorf("%s: %v allocations, want %v and %v", test.name, got, bare, test.more)
		}
	}
	small := allocations(t, "reflected Add", func() error {
		var n int64
		return a.reflective.Call(ctx, "Add", &n, int64(1000000), uint8(2))
	})
	if small < bare+2*slack {
		t.Errorf("by reflection Add takes %v allocations, and generated %v: what is the generated code for?", small, bare)
	}
}

func allocations(t *testing.T, name string, f func() error) float64 {
	t.Helper()
	failed := f()
	n := testing.AllocsPerRun(1000, func() {
		if err := f(); err != nil {
			failed = err
		}
	})
	if failed != nil {
		t.Fatalf("%s: %v", name, failed)
	}
	return n
}

// TestFunctionAllocations: encoding takes nothing, and decoding what the value keeps.
func TestFunctionAllocations(t *testing.T) {
	name := "Bob"
	account := Account{Owner: "alice", Tags: []string{"first", "second"}, Rows: [][]int16{{1, 2}, nil}, Parent: &Parent{Name: "carol"}, Nick: &name}
	points := []*Point{{X: 1}, {Note: "here"}}
	buf := make([]byte, 0, 1<<10)
	encoded := func(v any) codec.Sequence {
		b, err := codec.Append(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		seq, err := codec.NewSequence(b)
		if err != nil {
			t.Fatal(err)
		}
		return seq
	}
	var d codec.Decoder // kept, as the broker keeps it
	accounts, lists, names := encoded(account), encoded(points), encoded(Name("someone"))
	for _, test := range []struct {
		name string
		want float64
		call func() error
	}{
		{"append an Account", 0, func() error { _, err := zooAppendAccount(buf, &account); return err }},
		{"append Points", 0, func() error { _, err := zooAppendPointPointerSlice(buf, points); return err }},
		{"append a Name", 0, func() error { _, err := zooAppendName(buf, "someone"); return err }},
		// Owner, Tags and two texts, Rows and one of them, Parent and its name, Nick and its text.
		{"read an Account", 10, func() error { d = accounts.Decoder(); zooReadAccount(&d); return d.Err() }},
		{"read Points", 4, func() error { d = lists.Decoder(); zooReadPointPointerSlice(&d); return d.Err() }},
		{"read a Name", 1, func() error { d = names.Decoder(); zooReadName(&d); return d.Err() }},
	} {
		if got := allocations(t, test.name, test.call); got != test.want {
			t.Errorf("%s: %v allocations, want %v", test.name, got, test.want)
		}
	}
}

// calm is an Account without what a random one may have.
func calm() Account {
	var a Account
	random(rand.New(rand.NewPCG(7, 7)), reflect.ValueOf(&a).Elem(), 0)
	a.Owner, a.Nick, a.When, a.Tags = "owner", nil, nil, []string{"a", "b"}
	a.Limits = map[string]uint32{"day": 100, "month": 1000}
	return a
}

func BenchmarkAccount(b *testing.B) {
	a := calm()
	data, err := codec.Append(nil, a)
	if err != nil {
		b.Fatal(err)
	}
	seq, err := codec.NewSequence(data)
	if err != nil {
		b.Fatal(err)
	}
	var buf []byte
	benchmarks := []struct {
		name string
		run  func() error
	}{
		{"append/reflected", func() (err error) { buf, err = codec.Append(buf[:0], &a); return err }},
		{"append/generated", func() (err error) { buf, err = zooAppendAccount(buf[:0], &a); return err }},
		{"read/reflected", func() error {
			s := seq
			var v Account
			return s.Next(&v)
		}},
		{"read/generated", func() error {
			d := seq.Decoder()
			zooReadAccount(&d)
			return d.Err()
		}},
	}
	for _, bench := range benchmarks {
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if err := bench.run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCall(b *testing.B) {
	a := newAll(b)
	ctx := context.Background()
	zoo, account := NewZooProxy(a.generated), calm()
	benchmarks := []struct {
		name string
		run  func() error
	}{
		{"Add/reflected", func() error { var n int64; return a.reflective.Call(ctx, "Add", &n, int64(1), uint8(2)) }},
		{"Add/generated", func() error { _, err := zoo.Add(ctx, 1, 2); return err }},
		{"Account/reflected", func() error { var v Account; return a.reflective.Call(ctx, "Account", &v, account) }},
		{"Account/generated", func() error { _, err := zoo.Account(ctx, account); return err }},
	}
	for _, bench := range benchmarks {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := bench.run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
