package zoo

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/brokertest"
	"github.com/pyrossl/pyrossl/codec"
	"github.com/pyrossl/pyrossl/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// item is an encoded value that is passed on as it is.
type item []byte

func (i item) MarshalCBOR() ([]byte, error)     { return i, nil }
func (i *item) UnmarshalCBOR(data []byte) error { *i = bytes.Clone(data); return nil }

// recorder is an object that keeps the bytes of the arguments that came, and answers
// with bytes that it is given.
type recorder struct {
	mu     sync.Mutex
	args   [][]byte
	answer []byte // nil for no result
}

func (r *recorder) Call(_ context.Context, in *broker.Invocation) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := in.Args()
	r.args = nil
	for d.Len() > 0 {
		var arg item
		d.Value(&arg)
		r.args = append(r.args, arg)
	}
	if err := in.Decoded(); err != nil {
		return err
	}
	if r.answer != nil {
		in.Return(append(in.Buffer(), r.answer...))
	}
	return nil
}

func (r *recorder) recorded(answer []byte) (args [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	args, r.args, r.answer = r.args, nil, answer
	return args
}

func (r *recorder) exported() *broker.Exported {
	e := &broker.Exported{Value: r, Interface: "Zoo"}
	for m := range reflect.TypeFor[Zoo]().Methods() {
		e.Methods = append(e.Methods, broker.ExportedMethod{Name: m.Name, Call: r.Call})
	}
	return e
}

// all is one world with the same object exported by reflection, by generated code, and
// as a recorder. They have one name each, of one length.
type all struct {
	world                            *brokertest.World
	reflective, generated, recording *broker.Proxy
	recorder                         *recorder
}

func newAll(t testing.TB) *all {
	t.Helper()
	table := broker.Errors{"zoo.gone": ErrGone}
	a := &all{recorder: new(recorder)}
	w := brokertest.New(t, brokertest.Config{
		Objects: map[string]any{"zoo.gen": ExportZoo(Keeper{}), "zoo.rec": a.recorder.exported()},
		Daemon:  func(c *broker.Config) { c.Errors = table },
		Client:  func(_ string, c *broker.ClientConfig) { c.Errors = table },
	})
	if _, err := w.Daemon.Register("zoo.ref", Keeper{}, broker.ExposeAs[Zoo](), broker.IdempotentMethods("Add", "Echo")); err != nil {
		t.Fatal(err)
	}
	a.world = w
	a.reflective = w.Proxy("alice", "zoo.ref", ZooIdempotent())
	a.generated = w.Proxy("alice", "zoo.gen", ZooIdempotent())
	a.recording = w.Proxy("alice", "zoo.rec")
	return a
}

// outcome is what a caller sees of a call.
type outcome struct {
	value any
	err   error
}

// text leaves out of an error what differs for each call and object.
func (o outcome) text() string {
	var e *broker.Error
	if !errors.As(o.err, &e) {
		return text(o.err)
	}
	of := *e
	of.Incident = strings.Repeat("#", min(1, len(e.Incident)))
	of.Object = e.Object[:4]
	return of.Error() + " caused by " + text(of.Err)
}

// dynamic calls through broker.Proxy.Call.
func dynamic(ctx context.Context, p *broker.Proxy, m reflect.Method, args []reflect.Value) outcome {
	plain := make([]any, 0, len(args))
	for i, a := range args {
		if m.Type.IsVariadic() && i == len(args)-1 {
			for j := range a.Len() {
				plain = append(plain, a.Index(j).Interface())
			}
			continue
		}
		plain = append(plain, a.Interface())
	}
	if m.Type.NumOut() == 0 || m.Type.Out(0) == reflect.TypeFor[error]() {
		return outcome{nil, p.Call(ctx, m.Name, nil, plain...)}
	}
	result := reflect.New(m.Type.Out(0))
	err := p.Call(ctx, m.Name, result.Interface(), plain...)
	if err != nil {
		result.Elem().SetZero()
	}
	return outcome{result.Elem().Interface(), err}
}

// typed calls through a generated proxy, which adds a context and an error to methods
// that have none.
func typed(ctx context.Context, p *broker.Proxy, m reflect.Method, args []reflect.Value) outcome {
	f := reflect.ValueOf(NewZooProxy(p)).MethodByName(m.Name)
	in := append([]reflect.Value{reflect.ValueOf(ctx)}, args...)
	var out []reflect.Value
	if m.Type.IsVariadic() {
		out = f.CallSlice(in)
	} else {
		out = f.Call(in)
	}
	err, _ := out[len(out)-1].Interface().(error)
	if len(out) == 1 {
		return outcome{nil, err}
	}
	return outcome{out[0].Interface(), err}
}

// arguments makes random ones, but for the context.
func arguments(r *rand.Rand, m reflect.Method) []reflect.Value {
	var args []reflect.Value
	for t := range m.Type.Ins() {
		if t == reflect.TypeFor[context.Context]() {
			continue
		}
		v := reflect.New(t).Elem()
		random(r, v, 0)
		args = append(args, v)
	}
	return args
}

func same(got, want outcome) bool {
	if got.text() != want.text() {
		return false
	}
	if reflect.DeepEqual(got.value, want.value) {
		return true
	}
	x, err1 := codec.Marshal(got.value)
	y, err2 := codec.Marshal(want.value)
	return err1 == nil && err2 == nil && nan(y) && bytes.Equal(x, y)
}

// TestConformance calls every method with many arguments in all four combinations of
// proxy and object, and compares results, errors and the bytes that travel.
func TestConformance(t *testing.T) {
	a := newAll(t)
	ctx := t.Context()
	for m := range reflect.TypeFor[Zoo]().Methods() {
		t.Run(m.Name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, uint64(len(m.Name))))
			failed := 0
			for range 150 {
				args := arguments(r, m)
				if m.Name == "Fail" {
					args[0].SetString([]string{"", "gone", "panic", "deadline", "x", "no\xfftext"}[r.IntN(6)])
				}
				want := dynamic(ctx, a.reflective, m, args)
				for name, got := range map[string]outcome{
					"dynamic proxy, generated object":   dynamic(ctx, a.generated, m, args),
					"generated proxy, reflected object": typed(ctx, a.reflective, m, args),
					"generated proxy, generated object": typed(ctx, a.generated, m, args),
				} {
					if !same(got, want) {
						t.Fatalf("%s: %#v\ngot  %#v, %s\nwant %#v, %s", name, args, got.value, got.text(), want.value, want.text())
					}
					if errors.Is(got.err, ErrGone) != errors.Is(want.err, ErrGone) || errors.Is(got.err, context.DeadlineExceeded) != errors.Is(want.err, context.DeadlineExceeded) {
						t.Fatalf("%s: %v is not %v", name, got.err, want.err)
					}
				}
				if want.err != nil {
					failed++
				}
				a.compareBytes(t, m, args)
			}
			t.Logf("%d of 150 calls failed", failed)
		})
	}
}

// TestMethods: clients are shown the same methods of both objects, with signatures as
// reflection prints them.
func TestMethods(t *testing.T) {
	a := newAll(t)
	self := a.world.Proxy("alice", broker.SelfName)
	var want, got []broker.MethodInfo
	if err := errors.Join(self.Call(t.Context(), "Methods", &want, "zoo.ref"), self.Call(t.Context(), "Methods", &got, "zoo.gen")); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) || len(got) != reflect.TypeFor[Zoo]().NumMethod() {
		for i := range want {
			if i >= len(got) || got[i] != want[i] {
				t.Fatalf("got %+v, want %+v", got[min(i, len(got)-1)], want[i])
			}
		}
		t.Fatalf("got %d methods, want %d", len(got), len(want))
	}
}

// compareBytes compares the arguments and the results as they travel.
func (a *all) compareBytes(t *testing.T, m reflect.Method, args []reflect.Value) {
	t.Helper()
	ctx := t.Context()
	a.recorder.recorded(nil)
	dynamic(ctx, a.recording, m, args)
	want := a.recorder.recorded(nil)
	typed(ctx, a.recording, m, args)
	if got := a.recorder.recorded(nil); !reflect.DeepEqual(got, want) {
		t.Fatalf("%#v: the arguments travel as\n%x, want\n%x", args, got, want)
	}
	if m.Type.NumOut() == 0 || m.Type.Out(0) == reflect.TypeFor[error]() || want == nil {
		return
	}
	encoded := make([]any, len(want))
	for i := range want {
		encoded[i] = item(want[i])
	}
	var reflective, generated item
	err1 := a.reflective.Call(ctx, m.Name, &reflective, encoded...)
	err2 := a.generated.Call(ctx, m.Name, &generated, encoded...)
	if (err1 == nil) != (err2 == nil) || !bytes.Equal(reflective, generated) {
		t.Fatalf("%#v: the results travel as\n%x, %v, want\n%x, %v", args, generated, err2, reflective, err1)
	}
}

// TestHostileArguments: whatever a client sends instead of arguments, both objects take
// it or refuse it in the same words.
func TestHostileArguments(t *testing.T) {
	a := newAll(t)
	ctx := t.Context()
	for m := range reflect.TypeFor[Zoo]().Methods() {
		r := rand.New(rand.NewPCG(2, uint64(len(m.Name))))
		refused := 0
		for range 150 {
			var args []any
			for _, v := range arguments(r, m) {
				b, err := codec.Append(nil, v.Interface())
				if err != nil {
					b = []byte{0xf6}
				}
				if r.IntN(3) > 0 {
					b = mutate(r, b)
				}
				args = append(args, item(b))
			}
			switch r.IntN(8) {
			case 0:
				args = append(args, 1)
			case 1:
				args = args[:len(args)-min(1, len(args))]
			}
			var want, got item
			errWant := a.reflective.Call(ctx, m.Name, &want, args...)
			errGot := a.generated.Call(ctx, m.Name, &got, args...)
			if x, y := (outcome{nil, errGot}).text(), (outcome{nil, errWant}).text(); x != y || !bytes.Equal(got, want) {
				t.Fatalf("%s%x:\ngot  %x, %s\nwant %x, %s", m.Name, args, got, x, want, y)
			}
			if errors.Is(errWant, broker.KindArguments) {
				refused++
			}
		}
		if refused < 10 {
			t.Errorf("%s: %d of 150 calls had wrong arguments: too few", m.Name, refused)
		}
	}
}

// TestHostileResults: whatever a daemon sends instead of a result, both proxies take it
// or refuse it in the same words.
func TestHostileResults(t *testing.T) {
	a := newAll(t)
	ctx := t.Context()
	for m := range reflect.TypeFor[Zoo]().Methods() {
		r := rand.New(rand.NewPCG(3, uint64(len(m.Name))))
		for range 150 {
			args := arguments(r, m)
			answer := []byte{0xf6}
			hasResult := m.Type.NumOut() > 0 && m.Type.Out(0) != reflect.TypeFor[error]()
			if hasResult {
				v := reflect.New(m.Type.Out(0)).Elem()
				random(r, v, 0)
				if b, err := codec.Append(nil, v.Interface()); err == nil {
					answer = b
				}
			}
			switch n := r.IntN(8); {
			case n == 0:
				answer = nil
			case n == 1: // no data item at all
				answer = append(answer, 0xff)
			default:
				answer = mutate(r, answer)
			}
			if !hasResult && codec.Check(answer) != nil {
				answer = nil
			}
			a.recorder.recorded(answer)
			want := dynamic(ctx, a.recording, m, args)
			got := typed(ctx, a.recording, m, args)
			if !same(got, want) {
				t.Fatalf("%s: %x:\ngot  %#v, %s\nwant %#v, %s", m.Name, answer, got.value, got.text(), want.value, want.text())
			}
		}
	}
}
