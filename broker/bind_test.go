package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/brokertest"
)

// boundBank is what a client calls of a bank.
type boundBank struct {
	Deposit  func(ctx context.Context, name string, amount int64) (int64, error)
	Withdraw func(ctx context.Context, name string, amount int64) (int64, error)
	Echo     func(ctx context.Context, a account) (account, error)
	Bytes    func(ctx context.Context, p []byte) ([]byte, error)
	Sum      func(ctx context.Context, start int, more ...int) (int, error)
	Nothing  func(ctx context.Context) error
	Panics   func(ctx context.Context) error                  `pyro:"Panic"`
	Note     func(ctx context.Context, v any) error           `pyro:"Any,oneway"`
	Kept     func(ctx context.Context) error                  `pyro:"-"`
	Limit    func(ctx context.Context) (int, error)           `pyro:"get:limit"`
	SetLimit func(ctx context.Context, limit int) error       `pyro:"set:limit"`
	Text     func(ctx context.Context, v string) (any, error) `pyro:"Any"`
	moreOfBank
	_ struct{}
}

type moreOfBank struct {
	Who     func(context.Context) (string, error)
	Missing func(context.Context) error
	NoValue func(context.Context) (int, error)                 `pyro:"Nothing"`
	NoFit   func(context.Context, any) (map[string]int, error) `pyro:"Any"`
}

func TestBind(t *testing.T) {
	w := newWorld(t, func(c *broker.Config) { c.Errors = bankErrors })
	limit := 5
	w.daemon.Register("bank", newBank(), broker.Attribute("limit",
		func(context.Context) (int, error) { return limit, nil },
		func(_ context.Context, n int) error { limit = n; return nil }))
	p := w.proxy(w.client("alice@bank.example", func(c *broker.ClientConfig) { c.Errors = bankErrors }), w.uri("bank"))
	var api boundBank
	if err := broker.Bind(p, &api); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()

	if n, err := api.Deposit(ctx, "alice", 100); n != 100 || err != nil {
		t.Errorf("Deposit: %d, %v", n, err)
	}
	if n, err := api.Deposit(ctx, "bob", 100); n != 0 || !errors.Is(err, errNoAccount) {
		t.Errorf("Deposit to nobody: %d, %v", n, err)
	}
	var short *overdrawn
	if _, err := api.Withdraw(ctx, "alice", 101); !errors.As(err, &short) || short.Balance != 100 {
		t.Errorf("Withdraw: %v", err)
	}
	sent := account{Name: "alice", Balance: -1, Opened: time.Unix(1e9, 0).UTC()}
	if got, err := api.Echo(ctx, sent); err != nil || !reflect.DeepEqual(got, sent) {
		t.Errorf("Echo: %+v, %v", got, err)
	}
	for _, size := range []int{0, 1, 20 << 10, 1 << 20} {
		if got, err := api.Bytes(ctx, bytes.Repeat([]byte{7}, size)); err != nil || !bytes.Equal(got, bytes.Repeat([]byte{7}, size)) {
			t.Errorf("Bytes of %d: %d bytes, %v", size, len(got), err)
		}
	}
	for more := range 4 {
		if n, err := api.Sum(ctx, 10, make([]int, more)...); n != 10+more || err != nil {
			t.Errorf("Sum with %d more: %d, %v", more, n, err)
		}
	}
	if err := api.Nothing(ctx); err != nil {
		t.Errorf("Nothing: %v", err)
	}
	if err := api.Panics(ctx); kindOf(t, err) != broker.KindInternal {
		t.Errorf("Panics: %v", err)
	}
	if who, err := api.Who(ctx); err != nil || !strings.Contains(who, "alice") {
		t.Errorf("Who: %q, %v", who, err)
	}
	if err := api.Missing(ctx); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Missing: %v", err)
	}
	if n, err := api.NoValue(ctx); n != 0 || !errors.Is(err, broker.ErrNoResult) {
		t.Errorf("NoValue: %d, %v", n, err)
	}
	if m, err := api.NoFit(ctx, map[string]any{"a": 1, "b": "text"}); m != nil || kindOf(t, err) != broker.KindResult {
		t.Errorf("NoFit: %v, %v", m, err)
	}
	if v, err := api.Text(ctx, "x"); v != "x" || err != nil {
		t.Errorf("Text: %v, %v", v, err)
	}
	if err := api.SetLimit(ctx, 9); err != nil {
		t.Errorf("SetLimit: %v", err)
	}
	if n, err := api.Limit(ctx); n != 9 || err != nil {
		t.Errorf("Limit: %d, %v", n, err)
	}
	if err := api.Note(ctx, 1); err != nil {
		t.Errorf("Note: %v", err)
	}
	if api.Kept != nil {
		t.Error(`a field with pyro:"-" was filled in`)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := api.Deposit(canceled, "alice", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// TestBindAtOnce calls the same functions from many goroutines: what they keep for the
// next call must not be another call's.
func TestBindAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	var api boundBank
	if err := broker.Bind(w.register("bank", newBank()), &api); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for j := range 50 {
				want := account{Name: fmt.Sprint(i, j), Balance: int64(i * j), Opened: time.Unix(int64(i), 0).UTC()}
				if got, err := api.Echo(t.Context(), want); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("Echo: got %+v, want %+v, %v", got, want, err)
				}
			}
		})
	}
	wg.Wait()
}

type boundStreams struct {
	Count   func(ctx context.Context, n int) iter.Seq2[int, error]
	Endless func(ctx context.Context) iter.Seq2[[]byte, error]
	Sum     func(ctx context.Context, numbers iter.Seq2[int, error]) (int, error)
	Double  func(ctx context.Context, factor int, numbers iter.Seq2[int, error]) iter.Seq2[string, error]
	Fails   func(ctx context.Context, n int) iter.Seq2[int, error]
	Wrong   func(ctx context.Context, n int) iter.Seq2[string, error] `pyro:"Count"`
	Blocks  func(ctx context.Context, size, n int) iter.Seq2[[]byte, error]
}

func TestBindStreams(t *testing.T) {
	w := newWorld(t, func(c *broker.Config) { c.Errors = bankErrors })
	s := &streamer{ended: make(chan error, 10)}
	w.register("counter", s)
	p := w.proxy(w.client("bob@bank.example", func(c *broker.ClientConfig) { c.Errors = bankErrors }), w.uri("counter"))
	var api boundStreams
	if err := broker.Bind(p, &api); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()

	count := api.Count(ctx, 1000)
	for range 2 { // each range is a call of its own
		if got, err := collect(count); len(got) != 1000 || got[999] != 999 || err != nil {
			t.Errorf("Count: %d items, %v", len(got), err)
		}
	}
	if sum, err := api.Sum(ctx, numbers(100)); sum != 4950 || err != nil {
		t.Errorf("Sum: %d, %v", sum, err)
	}
	if got, err := collect(api.Double(ctx, 2, numbers(300))); len(got) != 300 || got[299] != "598" || err != nil {
		t.Errorf("Double: %d items, %v", len(got), err)
	}
	if got, err := collect(api.Double(ctx, 0, numbers(3))); got != nil || kindOf(t, err) != broker.KindApplication {
		t.Errorf("Double by 0: %v, %v", got, err)
	}
	if got, err := collect(api.Fails(ctx, 3)); len(got) != 3 || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Fails: %v, %v", got, err)
	}
	if got, err := collect(api.Wrong(ctx, 3)); got != nil || kindOf(t, err) != broker.KindResult {
		t.Errorf("items of another type: %v, %v", got, err)
	}
	if got, err := collect(api.Blocks(ctx, 20<<10, 3)); len(got) != 3 || !bytes.Equal(got[2], bytes.Repeat([]byte{2}, 20<<10)) || err != nil {
		t.Errorf("Blocks: %d, %v", len(got), err)
	}
	for range api.Endless(ctx) {
		break
	}
	if err := <-s.ended; err == nil {
		t.Error("breaking out did not cancel the method")
	}
	func() {
		defer func() { recover() }()
		for range api.Endless(ctx) {
			panic("in the loop")
		}
	}()
	if err := <-s.ended; err == nil {
		t.Error("a panic in the loop did not cancel the method")
	}
}

type boundHub struct {
	Open      func(ctx context.Context, owner string) (*broker.Proxy, error)
	Nobody    func(ctx context.Context) (*broker.Proxy, error)
	Echo      func(ctx context.Context, p *broker.Proxy) (string, error)
	Subscribe func(ctx context.Context, listener *broker.Local) error
	Publish   func(ctx context.Context, text string) ([]string, error)
}

func TestBindReferences(t *testing.T) {
	w := newWorld(t, nil)
	p := w.register("hub", &hub{gone: make(chan string, 10)})
	var api boundHub
	if err := broker.Bind(p, &api); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	purse, err := api.Open(ctx, "alice")
	if err != nil {
		t.Fatal(err)
	}
	var of struct {
		Add func(context.Context, int) (int, error)
	}
	if err := broker.Bind(purse, &of); err != nil {
		t.Fatal(err)
	}
	of.Add(ctx, 1)
	if n, err := of.Add(ctx, 2); n != 3 || err != nil {
		t.Errorf("Add: %d, %v", n, err)
	}
	if nobody, err := api.Nobody(ctx); nobody != nil || err != nil {
		t.Errorf("Nobody: %v, %v", nobody, err)
	}
	l := &listener{got: make(chan string, 1)}
	if err := api.Subscribe(ctx, broker.Callback("listener", l)); err != nil {
		t.Fatal(err)
	}
	if failed, err := api.Publish(ctx, "news"); len(failed) > 0 || err != nil {
		t.Errorf("Publish: %v, %v", failed, err)
	}
	if got := <-l.got; !strings.HasPrefix(got, "news") {
		t.Errorf("the callback got %q", got)
	}
}

type embeddedPointer struct{ *moreOfBank }

func TestBindRefuses(t *testing.T) {
	p := newWorld(t, nil).register("bank", newBank())
	var nilAPI *boundBank
	for _, test := range []struct {
		target broker.Target
		api    any
		want   string
	}{
		{p, nil, "want a pointer to a struct of functions"},
		{p, boundBank{}, "want a pointer to a struct of functions"},
		{p, nilAPI, "want a pointer to a struct of functions"},
		{p, new(int), "want a pointer to a struct of functions"},
		{nil, new(boundBank), "the proxy is nil"},
		{(*broker.Proxy)(nil), new(boundBank), "the proxy is nil"},
		{p, new(struct{}), "no functions to fill in"},
		{p, &struct{ N int }{}, `field N of the struct cannot be bound: it is a int, want a function; the tag pyro:"-" leaves it out`},
		{p, &struct{ f func(context.Context) error }{}, "field f of the struct cannot be bound: it is not exported"},
		{p, new(embeddedPointer), "field moreOfBank of broker_test.embeddedPointer cannot be bound: it is not exported"},
		{p, &struct{ F func() error }{}, "its first argument is no context.Context"},
		{p, &struct{ F func(int) error }{}, "its first argument is no context.Context"},
		{p, &struct {
			F func(context.Context, context.Context) error
		}{}, "its context is argument 2"},
		{p, &struct{ F func(context.Context) }{}, "it returns 0 values"},
		{p, &struct{ F func(context.Context) int }{}, "its last result is int, want error"},
		{p, &struct {
			F func(context.Context) (error, int)
		}{}, "its last result is int, want error"},
		{p, &struct {
			F func(context.Context) (int, int, error)
		}{}, "it returns 3 values"},
		{p, &struct {
			F func(context.Context, chan int) error
		}{}, "argument 2: chan int"},
		{p, &struct {
			F func(context.Context, int, func()) error
		}{}, "argument 3: func()"},
		{p, &struct {
			F func(context.Context, ...chan int) error
		}{}, "argument 2: []chan int"},
		{p, &struct {
			F func(context.Context, fmt.Stringer) error
		}{}, "argument 2: fmt.Stringer"},
		{p, &struct {
			F func(context.Context, *broker.Pending) error
		}{}, "has a meaning in a batch only"},
		{p, &struct {
			F func(context.Context, *broker.Batch) error
		}{}, "has a meaning in a batch only"},
		{p, &struct {
			F func(context.Context) (chan int, error)
		}{}, "its result: chan int"},
		{p, &struct {
			F func(context.Context) (fmt.Stringer, error)
		}{}, "its result is fmt.Stringer; what arrives as a reference is a *broker.Proxy"},
		{p, &struct {
			F func(context.Context) (*broker.Local, error)
		}{}, "what arrives as a reference is a *broker.Proxy"},
		{p, &struct {
			F func(context.Context) (error, error)
		}{}, "its result is error"},
		{p, &struct {
			F func(context.Context) (iter.Seq2[int, error], error)
		}{}, "want the stream alone"},
		{p, &struct {
			F func(context.Context) iter.Seq2[chan int, error]
		}{}, "items of its stream: chan int"},
		{p, &struct {
			F func(context.Context, iter.Seq2[chan int, error]) error
		}{}, "argument 2: items of its stream: chan int"},
		{p, &struct {
			F func(context.Context, iter.Seq2[int, error], iter.Seq2[int, error]) error
		}{}, "argument 3: it takes a second stream"},
		{p, &struct {
			F func(context.Context, iter.Seq2[int, error], ...int) error
		}{}, "a stream and a variable number of arguments"},
		{p, &struct {
			F func(context.Context, iter.Seq2[int, error]) error `pyro:",oneway"`
		}{}, "a oneway call takes no stream"},
		{p, &struct {
			F func(context.Context) (int, error) `pyro:",oneway"`
		}{}, "returns an error and no value"},
		{p, &struct {
			F func(context.Context) iter.Seq2[int, error] `pyro:",oneway"`
		}{}, "returns an error and no stream"},
		{p, &struct {
			F func(context.Context) error `pyro:"G,twoway"`
		}{}, `option "twoway", want "oneway" or none`},
		{p, &struct {
			F func(context.Context) error `pyro:"G,"`
		}{}, `option "", want "oneway" or none`},
		{new(recorder), &struct {
			F func(context.Context) iter.Seq2[int, error]
		}{}, "it returns a stream, which a *broker_test.recorder cannot make"},
	} {
		err := broker.Bind(test.target, test.api)
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "broker: ") {
			t.Errorf("Bind into a %T: got %v, want %q", test.api, err, test.want)
		}
	}

	var half struct {
		Good func(context.Context) error
		Bad  func(context.Context)
	}
	if err := broker.Bind(p, &half); err == nil || half.Good != nil {
		t.Errorf("a struct that was refused was changed: %v, Good is nil: %v", err, half.Good == nil)
	}
	long := reflect.New(reflect.StructOf([]reflect.StructField{{
		Name: "F", Type: reflect.TypeFor[func(context.Context) error](), Tag: reflect.StructTag(`pyro:"` + strings.Repeat("x", 300) + `"`),
	}}))
	if err := broker.Bind(p, long.Interface()); err == nil || !strings.Contains(err.Error(), "method name of 300 bytes") {
		t.Errorf("a name that is too long: %v", err)
	}
}

// recorder is a target that calls nothing.
type recorder struct {
	method string
	oneway bool
	args   int
}

func (r *recorder) Call(_ context.Context, method string, _ any, args ...any) error {
	r.method, r.oneway, r.args = method, false, len(args)
	return nil
}

func (r *recorder) Oneway(_ context.Context, method string, args ...any) error {
	r.method, r.oneway, r.args = method, true, len(args)
	return nil
}

// TestBindAllocations bounds what a bound function adds to a call. reflect.MakeFunc makes
// a slice of arguments and a copy of each; then there are the results, the value that the
// result is decoded into, and nothing else. One more is for the race detector, under
// which a sync.Pool forgets at random.
func TestBindAllocations(t *testing.T) {
	var api struct {
		F func(context.Context, string, int64, []byte) (int64, error)
		G func(context.Context) error
	}
	if err := broker.Bind(new(recorder), &api); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { api.F(ctx, "alice", 1000, nil) }); n > 8 {
		t.Errorf("a function of three arguments takes %v allocations, want at most 8", n)
	}
	if n := testing.AllocsPerRun(100, func() { api.G(ctx) }); n > 4 {
		t.Errorf("a function without arguments takes %v allocations, want at most 4", n)
	}
}

// FuzzBindTag: a tag is refused, or leaves the field alone, or names the method that is
// called, before the comma.
func FuzzBindTag(f *testing.F) {
	for _, tag := range []string{"", "-", "Name", "Name,oneway", ",oneway", "get:limit", ",", ",,", "-,oneway", "a b", "\xff", "Name,oneway,oneway"} {
		f.Add(tag)
	}
	f.Fuzz(func(t *testing.T, tag string) {
		typ := reflect.StructOf([]reflect.StructField{{
			Name: "Field", Type: reflect.TypeFor[func(context.Context, int) error](),
			Tag: reflect.StructTag(fmt.Sprintf("pyro:%q", tag)),
		}})
		r, api := new(recorder), reflect.New(typ)
		err := broker.Bind(r, api.Interface())
		if tag == "-" {
			if err == nil || !api.Elem().Field(0).IsNil() {
				t.Errorf("tag %q: %v", tag, err)
			}
			return
		}
		name, option, _ := strings.Cut(tag, ",")
		if err != nil {
			if len(tag) < 100 && utf8.ValidString(tag) && (tag == name || tag == name+",oneway") {
				t.Errorf("tag %q: %v", tag, err)
			}
			return
		}
		if name == "" {
			name = "Field"
		}
		if err := api.Elem().Field(0).Interface().(func(context.Context, int) error)(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if r.method != name || r.oneway != (option == "oneway") || r.args != 1 {
			t.Errorf("tag %q calls %+v", tag, r)
		}
	})
}

func BenchmarkBound(b *testing.B) {
	w := newWorld(b, nil)
	p := w.register("bank", newBank())
	var api boundBank
	if err := broker.Bind(p, &api); err != nil {
		b.Fatal(err)
	}
	b.Run("Bind", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := api.Sum(b.Context(), 1); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Call", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var n int
			if err := p.Call(b.Context(), "Sum", &n, 1); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// A typed proxy without generated code.
func ExampleBind() {
	w := brokertest.New(new(testing.T), brokertest.Config{Objects: map[string]any{"account": &Account{cents: 1000}}})
	defer w.Close()
	var account struct {
		Withdraw func(ctx context.Context, cents int64) (int64, error)
		Owner    func(ctx context.Context) (string, error)
	}
	if err := broker.Bind(w.Proxy("alice", "account"), &account); err != nil {
		fmt.Println(err)
		return
	}
	left, err := account.Withdraw(context.Background(), 250)
	fmt.Println(left, err)
	owner, err := account.Owner(context.Background())
	fmt.Println(owner, err)
	// Output:
	// 750 <nil>
	// alice <nil>
}
