package zoo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/brokertest"
)

// ranger keeps the park.
type ranger struct{ gate *turnstile }

var _ Park = ranger{}

func (ranger) Count(_ context.Context, to, bad int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range to {
			if i == bad {
				yield(0, ErrGone)
				return
			}
			if !yield(i, nil) {
				return
			}
		}
	}
}

func (ranger) Accounts(_ context.Context, owners []Name) (Feed, error) {
	if len(owners) == 0 {
		return nil, ErrGone
	}
	return func(yield func(Account, error) bool) {
		for i, owner := range owners {
			if !yield(Account{Base: Base{ID: int64(i)}, Owner: owner, Limits: map[string]uint32{string(owner): uint32(i)}}, nil) {
				return
			}
		}
	}, nil
}

func (ranger) Blobs(size ...int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, n := range size {
			if !yield(bytes.Repeat([]byte{byte(n)}, n), nil) {
				return
			}
		}
	}
}

func (ranger) Times(from time.Time) iter.Seq2[time.Time, error] {
	return func(yield func(time.Time, error) bool) {
		for from.Year() < 10000 && yield(from, nil) {
			from = from.AddDate(1, 0, 0)
		}
		yield(from, nil) // which cannot be carried
	}
}

func (ranger) None() iter.Seq2[string, error] { return nil }

func (ranger) Sum(_ context.Context, start int, numbers iter.Seq2[int, error], factor uint8) (int, error) {
	for n, err := range numbers {
		if err != nil {
			return 0, err
		}
		if n == 1000 {
			break
		}
		start += n
	}
	return start * int(factor), nil
}

func (ranger) Names(feed Feed) (names []Name, err error) {
	for a, err := range feed {
		if err != nil {
			return nil, err
		}
		names = append(names, a.Owner)
	}
	return names, nil
}

func (ranger) Measure(_ context.Context, blobs iter.Seq2[[]byte, error]) (n int, err error) {
	for b, err := range blobs {
		if err != nil {
			return 0, err
		}
		n += len(b)
	}
	return n, nil
}

func (ranger) Double(_ context.Context, numbers iter.Seq2[int, error]) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for n, err := range numbers {
			if !yield(fmt.Sprint(2*n), err) || err != nil {
				return
			}
		}
	}
}

func (ranger) Tell(ctx context.Context, word string, to *broker.Proxy, data []byte) (answer string, err error) {
	err = to.Call(ctx, "Hear", &answer, fmt.Sprintf("%s %d", word, len(data)))
	return answer, err
}

func (ranger) Each(ctx context.Context, to *broker.Proxy, numbers iter.Seq2[int, error]) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for n, err := range numbers {
			var answer string
			if err == nil {
				err = to.Call(ctx, "Hear", &answer, fmt.Sprint(n))
			}
			if !yield(answer, err) || err != nil {
				return
			}
		}
	}
}

func (ranger) Open(ctx context.Context, start int) (*broker.Local, error) {
	if start < 0 {
		return nil, nil
	}
	return broker.Export(ctx, "gate", &turnstile{start})
}

func (r ranger) Gate() Gate {
	if r.gate == nil {
		return nil
	}
	return r.gate
}

func (ranger) Back(_ context.Context, p *broker.Proxy) (*broker.Proxy, error) { return p, nil }

// turnstile counts who passes.
type turnstile struct{ passed int }

func (g *turnstile) Pass(n int) (int, error) {
	g.passed += n
	return g.passed, nil
}

// listener is a callback.
type listener struct{}

func (listener) Hear(word string) (string, error) {
	if word == "7" {
		return "", ErrGone
	}
	return "heard " + word, nil
}

// visitor calls a Park in one of two ways.
type visitor interface {
	Count(ctx context.Context, to, bad int) iter.Seq2[int, error]
	Accounts(ctx context.Context, owners []Name) Feed
	Blobs(ctx context.Context, size ...int) iter.Seq2[[]byte, error]
	Times(ctx context.Context, from time.Time) iter.Seq2[time.Time, error]
	None(ctx context.Context) iter.Seq2[string, error]
	Sum(ctx context.Context, start int, numbers iter.Seq2[int, error], factor uint8) (int, error)
	Names(ctx context.Context, feed Feed) ([]Name, error)
	Measure(ctx context.Context, blobs iter.Seq2[[]byte, error]) (int, error)
	Double(ctx context.Context, numbers iter.Seq2[int, error]) iter.Seq2[string, error]
	Tell(ctx context.Context, word string, to broker.Referable, data []byte) (string, error)
	Each(ctx context.Context, to broker.Referable, numbers iter.Seq2[int, error]) iter.Seq2[string, error]
	Open(ctx context.Context, start int) (*broker.Proxy, error)
	Gate(ctx context.Context) (*broker.Proxy, error)
	Back(ctx context.Context, p broker.Referable) (*broker.Proxy, error)
}

var _, _ visitor = (*ParkProxy)(nil), hiker{}

// hiker calls without generated code.
type hiker struct{ *broker.Proxy }

func call[T any](ctx context.Context, p *broker.Proxy, method string, args ...any) (v T, err error) {
	if err = p.Call(ctx, method, &v, args...); err != nil {
		var zero T
		v = zero
	}
	return v, err
}

func (h hiker) Count(ctx context.Context, to, bad int) iter.Seq2[int, error] {
	return broker.Stream[int](ctx, h.Proxy, "Count", to, bad)
}
func (h hiker) Accounts(ctx context.Context, owners []Name) Feed {
	return Feed(broker.Stream[Account](ctx, h.Proxy, "Accounts", owners))
}
func (h hiker) Blobs(ctx context.Context, size ...int) iter.Seq2[[]byte, error] {
	args := make([]any, len(size))
	for i := range size {
		args[i] = size[i]
	}
	return broker.Stream[[]byte](ctx, h.Proxy, "Blobs", args...)
}
func (h hiker) Times(ctx context.Context, from time.Time) iter.Seq2[time.Time, error] {
	return broker.Stream[time.Time](ctx, h.Proxy, "Times", from)
}
func (h hiker) None(ctx context.Context) iter.Seq2[string, error] {
	return broker.Stream[string](ctx, h.Proxy, "None")
}
func (h hiker) Sum(ctx context.Context, start int, numbers iter.Seq2[int, error], factor uint8) (int, error) {
	return call[int](ctx, h.Proxy, "Sum", start, numbers, factor)
}
func (h hiker) Names(ctx context.Context, feed Feed) ([]Name, error) {
	return call[[]Name](ctx, h.Proxy, "Names", feed)
}
func (h hiker) Measure(ctx context.Context, blobs iter.Seq2[[]byte, error]) (int, error) {
	return call[int](ctx, h.Proxy, "Measure", blobs)
}
func (h hiker) Double(ctx context.Context, numbers iter.Seq2[int, error]) iter.Seq2[string, error] {
	return broker.Stream[string](ctx, h.Proxy, "Double", numbers)
}
func (h hiker) Tell(ctx context.Context, word string, to broker.Referable, data []byte) (string, error) {
	return call[string](ctx, h.Proxy, "Tell", word, to, data)
}
func (h hiker) Each(ctx context.Context, to broker.Referable, numbers iter.Seq2[int, error]) iter.Seq2[string, error] {
	return broker.Stream[string](ctx, h.Proxy, "Each", to, numbers)
}
func (h hiker) Open(ctx context.Context, start int) (*broker.Proxy, error) {
	return call[*broker.Proxy](ctx, h.Proxy, "Open", start)
}
func (h hiker) Gate(ctx context.Context) (*broker.Proxy, error) {
	return call[*broker.Proxy](ctx, h.Proxy, "Gate")
}
func (h hiker) Back(ctx context.Context, p broker.Referable) (*broker.Proxy, error) {
	return call[*broker.Proxy](ctx, h.Proxy, "Back", p)
}

// numbers yields from 0, and stop instead of the last one.
func numbers(n int, stop error) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if stop != nil && i == n-1 {
				yield(0, stop)
				return
			}
			if !yield(i, nil) {
				return
			}
		}
	}
}

// told is all that a stream yields, as text; of a byte string its length.
func told[T any](seq func(func(T, error) bool)) string {
	var b strings.Builder
	for v, err := range seq {
		switch v := any(v).(type) {
		case []byte:
			fmt.Fprintf(&b, "%d bytes ", len(v))
		case Account:
			fmt.Fprintf(&b, "%s%d ", v.Owner, v.Limits[string(v.Owner)])
		default:
			fmt.Fprintf(&b, "%v ", v)
		}
		if err != nil {
			b.WriteString(failure(err))
		}
	}
	return b.String()
}

func result(v any, err error) string {
	if err != nil {
		return failure(err)
	}
	return fmt.Sprint(v)
}

// failure is an error without what differs for each call.
func failure(err error) string {
	var e *broker.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	text := exportID.ReplaceAllString(e.Kind.String()+": "+e.Message, ".")
	if errors.Is(err, ErrGone) {
		text += ", gone"
	}
	if errors.Is(err, errOwn) {
		text += ", own"
	}
	return text
}

// exportID is in the name of an object that was exported to one connection.
var exportID = regexp.MustCompile(`\.[0-9A-Z]{16}\.`)

var errOwn = errors.New("the caller's own")

// visits are calls, and what must come of them in all ways.
var visits = []struct {
	name, want string
	visit      func(ctx context.Context, v visitor) string
}{
	{"all", "0 1 2 ", func(ctx context.Context, v visitor) string { return told(v.Count(ctx, 3, -1)) }},
	{"an error in it", "0 1 0 failed: zoo: gone, gone", func(ctx context.Context, v visitor) string { return told(v.Count(ctx, 3, 2)) }},
	{"enough", "2", func(ctx context.Context, v visitor) string {
		for n, err := range v.Count(ctx, 1e9, -1) {
			if n == 2 || err != nil {
				return result(n, err)
			}
		}
		return "too few"
	}},
	{"twice", "0 1 0 1 ", func(ctx context.Context, v visitor) string { c := v.Count(ctx, 2, -1); return told(c) + told(c) }},
	{"structs", "a0 b1 ", func(ctx context.Context, v visitor) string { return told(v.Accounts(ctx, []Name{"a", "b"})) }},
	{"an error before it", "0 failed: zoo: gone, gone", func(ctx context.Context, v visitor) string { return told(v.Accounts(ctx, nil)) }},
	{"an argument that cannot be carried", "0 wrong arguments: argument 1: cannot encode []zoo.Name: text is not valid UTF-8 in [1]", func(ctx context.Context, v visitor) string {
		return told(v.Accounts(ctx, []Name{"a", "\xff"}))
	}},
	{"bytes", "3 bytes 0 bytes 100000 bytes 1 bytes ", func(ctx context.Context, v visitor) string { return told(v.Blobs(ctx, 3, 0, 100000, 1)) }},
	{"times", "9998-01-01 00:00:00 +0000 UTC 9999-01-01 00:00:00 +0000 UTC 0001-01-01 00:00:00 +0000 UTC internal error: ", func(ctx context.Context, v visitor) string {
		return told(v.Times(ctx, time.Date(9998, 1, 1, 0, 0, 0, 0, time.UTC)))
	}},
	{"none", "", func(ctx context.Context, v visitor) string { return told(v.None(ctx)) }},
	{"sent", "42", func(ctx context.Context, v visitor) string { return result(v.Sum(ctx, 4, numbers(5, nil), 3)) }},
	{"sent, with an error", "failed: session: the sender broke the stream off: the caller's own, own", func(ctx context.Context, v visitor) string { return result(v.Sum(ctx, 4, numbers(5, errOwn), 3)) }},
	{"sent without end", "499500", func(ctx context.Context, v visitor) string { return result(v.Sum(ctx, 0, numbers(1e9, nil), 1)) }},
	{"nil sent", "wrong arguments: the stream among the arguments is nil", func(ctx context.Context, v visitor) string { return result(v.Sum(ctx, 4, nil, 3)) }},
	{"structs sent", "[x y]", func(ctx context.Context, v visitor) string {
		return result(v.Names(ctx, v.Accounts(ctx, []Name{"x", "y"})))
	}},
	{"structs that cannot be sent", "failed: session: the sender broke the stream off: an item of the stream cannot be carried: cannot encode zoo.Account: text is not valid UTF-8 in .owner", func(ctx context.Context, v visitor) string {
		return result(v.Names(ctx, func(yield func(Account, error) bool) { yield(Account{Owner: "\xff"}, nil) }))
	}},
	{"bytes sent", "100004", func(ctx context.Context, v visitor) string {
		return result(v.Measure(ctx, v.Blobs(ctx, 3, 0, 100000, 1)))
	}},
	{"both ways", "0 2 4 ", func(ctx context.Context, v visitor) string { return told(v.Double(ctx, numbers(3, nil))) }},
	{"both ways, with an error", "0 2  failed: session: the sender broke the stream off: the caller's own", func(ctx context.Context, v visitor) string { return told(v.Double(ctx, numbers(3, errOwn))) }},
	{"a callback", "heard hello 3", func(ctx context.Context, v visitor) string {
		return result(v.Tell(ctx, "hello", broker.Callback("listener", listener{}), []byte("abc")))
	}},
	{"a callback beside large bytes", "heard hello 50000", func(ctx context.Context, v visitor) string {
		return result(v.Tell(ctx, "hello", broker.Callback("listener", listener{}), make([]byte, 50000)))
	}},
	{"no callback", "wrong arguments: argument 2, reference: the reference refers to nothing", func(ctx context.Context, v visitor) string {
		return result(v.Tell(ctx, "hello", (*broker.Local)(nil), nil))
	}},
	{"a callback for each", "heard 0 heard 1 heard 2 ", func(ctx context.Context, v visitor) string {
		return told(v.Each(ctx, broker.Callback("listener", listener{}), numbers(3, nil)))
	}},
	{"a callback that fails", "heard 0 heard 1 heard 2 heard 3 heard 4 heard 5 heard 6  failed: broker: listener.Hear at alice: zoo: gone, gone", func(ctx context.Context, v visitor) string {
		return told(v.Each(ctx, broker.Callback("listener", listener{}), numbers(9, nil)))
	}},
	{"an object for the caller", "7", func(ctx context.Context, v visitor) string { return pass(ctx, v.Open, 5) }},
	{"no object", "nothing", func(ctx context.Context, v visitor) string { return pass(ctx, v.Open, -1) }},
	{"a registered object", "passed", func(ctx context.Context, v visitor) string {
		gate, err := v.Gate(ctx)
		if err != nil {
			return failure(err)
		}
		if err := gate.Call(ctx, "Pass", nil, 1); err != nil {
			return failure(err)
		}
		return "passed"
	}},
	{"a reference that is not followed", "wrong arguments: argument 1, reference: reference ", func(ctx context.Context, v visitor) string {
		gate, err := v.Gate(ctx)
		if err != nil {
			return failure(err)
		}
		text, _, _ := strings.Cut(result(v.Back(ctx, gate)), `"`)
		return text
	}},
	{"nothing there and back", "wrong arguments: argument 1, reference: the reference refers to nothing", func(ctx context.Context, v visitor) string {
		return result(v.Back(ctx, (*broker.Proxy)(nil)))
	}},
}

func pass(ctx context.Context, open func(context.Context, int) (*broker.Proxy, error), start int) string {
	gate, err := open(ctx, start)
	switch {
	case err != nil:
		return failure(err)
	case gate == nil:
		return "nothing"
	}
	return result(call[int](ctx, gate, "Pass", 2))
}

// TestPark makes every visit in four ways: from generated code and without, to generated
// code and without.
func TestPark(t *testing.T) {
	gate := new(turnstile)
	table := broker.Errors{"zoo.gone": ErrGone}
	w := brokertest.New(t, brokertest.Config{
		Objects: map[string]any{"park.gen": ExportPark(ranger{gate}), "gate": gate},
		Daemon:  func(c *broker.Config) { c.Errors = table },
		Client:  func(_ string, c *broker.ClientConfig) { c.Errors = table },
	})
	if _, err := w.Daemon.Register("park.ref", ranger{gate}, broker.ExposeAs[Park](), broker.IdempotentMethods("Count")); err != nil {
		t.Fatal(err)
	}
	for _, object := range []string{"park.ref", "park.gen"} {
		p := w.Proxy("alice", object, ParkIdempotent())
		for name, v := range map[string]visitor{"reflection": hiker{p}, "generated": NewParkProxy(p)} {
			for _, visit := range visits {
				t.Run(name+" to "+object+": "+visit.name, func(t *testing.T) {
					if got := visit.visit(t.Context(), v); got != visit.want {
						t.Errorf("got  %q\nwant %q", got, visit.want)
					}
				})
			}
		}
	}
}

// TestParkSignatures: both ways describe the methods alike.
func TestParkSignatures(t *testing.T) {
	w := brokertest.New(t, brokertest.Config{Objects: map[string]any{"park.gen": ExportPark(ranger{})}})
	if _, err := w.Daemon.Register("park.ref", ranger{}, broker.ExposeAs[Park](), broker.IdempotentMethods("Count")); err != nil {
		t.Fatal(err)
	}
	var methods [2]any
	for i, object := range []string{"park.ref", "park.gen"} {
		if err := w.Proxy("alice", "Pyro.Daemon").Call(t.Context(), "Methods", &methods[i], object); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(methods[0], methods[1]) {
		t.Errorf("by reflection %v\ngenerated     %v", methods[0], methods[1])
	}
}
