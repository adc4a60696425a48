package broker

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/codec"
)

// Target is what Bind calls through: a *Proxy, or many behind one, as a pool.Pool.
type Target interface {
	Call(ctx context.Context, method string, result any, args ...any) error
	Oneway(ctx context.Context, method string, args ...any) error
}

var _ Target = (*Proxy)(nil)

// picker is a Target that streams need a proxy of.
type picker interface {
	Pick(ctx context.Context) (p *Proxy, done func(error), err error)
}

// Bind fills a struct of functions, which api points to, with functions that call the
// methods of those names: a typed proxy that needs no generated code.
//
//	var bank struct {
//		Deposit func(ctx context.Context, owner string, cents int64) (int64, error)
//		Watch   func(ctx context.Context, owner string) iter.Seq2[Entry, error]
//		Import  func(ctx context.Context, entries iter.Seq2[Entry, error]) (int, error)
//		Note    func(ctx context.Context, text string) error `pyro:",oneway"`
//		Limit   func(ctx context.Context) (int64, error)     `pyro:"get:limit"`
//	}
//	err := broker.Bind(proxy, &bank)
//	left, err := bank.Deposit(ctx, "alice", 100)
//
// A function takes a context first, then what the method takes; the last ones may be
// variadic, and one may be an iter.Seq2[T, error]. It returns up to one value and an
// error, as [Proxy.Call] does, or an iter.Seq2[T, error] alone, as [Stream] does: there
// the error comes last. A result that is a reference is a *Proxy.
//
// The tag pyro:"name,oneway" gives another method's name, the one of an attribute too
// (get:NAME, set:NAME), and with oneway the call is one of [Proxy.Oneway]; pyro:"-"
// leaves a field alone. The functions of an embedded struct are filled in too. Bind
// refuses a struct of which any field cannot be bound, naming the field and the reason,
// and then changes none. Whether the object has the methods is seen when they are called.
//
// Which methods may be called again after a lost connection is for the proxy to know:
// see [Idempotent].
func Bind(t Target, api any) error {
	if p, ok := t.(*Proxy); t == nil || ok && p == nil {
		return errors.New("broker: Bind: the proxy is nil")
	}
	v := reflect.ValueOf(api)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("broker: Bind into a %T, want a pointer to a struct of functions", api)
	}
	var fill []func()
	if err := bindStruct(t, v.Elem(), &fill); err != nil {
		return err
	}
	if len(fill) == 0 {
		return errors.New("broker: Bind into a struct that has no functions to fill in")
	}
	for _, f := range fill {
		f()
	}
	return nil
}

// bindStruct collects what to fill in.
func bindStruct(t Target, s reflect.Value, fill *[]func()) error {
	for i := range s.NumField() {
		f := s.Type().Field(i)
		tag, tagged := f.Tag.Lookup("pyro")
		switch {
		case tag == "-" || f.Name == "_":
			continue
		case f.Anonymous && f.Type.Kind() == reflect.Struct && !tagged:
			if err := bindStruct(t, s.Field(i), fill); err != nil {
				return err
			}
			continue
		}
		b, err := newBound(t, f, tag)
		if err != nil {
			of := "the struct" // an unnamed type is as long as its text
			if s.Type().Name() != "" {
				of = s.Type().String()
			}
			return fmt.Errorf("broker: field %s of %s cannot be bound: %w", f.Name, of, err)
		}
		*fill = append(*fill, func() { s.Field(i).Set(reflect.MakeFunc(f.Type, b.call)) })
	}
	return nil
}

// bound is a function that calls a method.
type bound struct {
	target   Target
	method   string
	oneway   bool
	variadic bool
	sends    bool         // an argument is a stream
	out      reflect.Type // nil when it returns no value
	items    reflect.Type // of the stream that out is, or nil
	args     sync.Pool    // of *[]any
}

// newBound checks that a field can be filled in, by the rules of Register.
func newBound(t Target, f reflect.StructField, tag string) (*bound, error) {
	b := &bound{target: t, method: f.Name}
	switch {
	case !f.IsExported():
		return nil, errors.New(`it is not exported; the tag pyro:"-" leaves it out`)
	case f.Type.Kind() != reflect.Func:
		return nil, fmt.Errorf(`it is a %v, want a function; the tag pyro:"-" leaves it out`, f.Type)
	}
	name, options, has := strings.Cut(tag, ",")
	if has && options != "oneway" {
		return nil, fmt.Errorf(`tag pyro:%q: option %q, want "oneway" or none`, tag, options)
	}
	if b.oneway = has; name != "" {
		b.method = name
	}
	if !utf8.ValidString(b.method) {
		return nil, fmt.Errorf("tag pyro:%q: the method's name is no valid UTF-8", tag)
	}
	if _, err := wire.AppendCallHead(nil, "object", b.method, nil, 0); err != nil {
		return nil, fmt.Errorf("tag pyro:%q: %s", tag, withoutPrefix(err))
	}
	if err := b.parameters(f.Type); err != nil {
		return nil, err
	}
	return b, b.results(f.Type)
}

func (b *bound) parameters(t reflect.Type) error {
	if t.NumIn() == 0 || t.In(0) != contextType {
		return errors.New("its first argument is no context.Context")
	}
	b.variadic = t.IsVariadic()
	for i := 1; i < t.NumIn(); i++ {
		in := t.In(i)
		if in == contextType {
			return fmt.Errorf("its context is argument %d, want it first", i+1)
		}
		item, ok := streamOf(in)
		switch {
		case !ok:
			if err := passed(in); err != nil {
				return fmt.Errorf("argument %d: %s", i+1, withoutPrefix(err))
			}
			continue
		case b.sends:
			return fmt.Errorf("argument %d: it takes a second stream, want at most one", i+1)
		case b.oneway:
			return fmt.Errorf("argument %d: a oneway call takes no stream", i+1)
		}
		if err := codec.CheckType(item); err != nil {
			return fmt.Errorf("argument %d: items of its stream: %s", i+1, withoutPrefix(err))
		}
		b.sends = true
	}
	if b.sends && b.variadic {
		return errors.New("it takes a stream and a variable number of arguments")
	}
	return nil
}

// passed reports whether a caller can pass an argument of type t.
func passed(t reflect.Type) error {
	switch t {
	case ownType:
		return nil
	case reflect.TypeFor[*Pending](), reflect.TypeFor[*Batch]():
		return fmt.Errorf("a %v has a meaning in a batch only", t)
	}
	return carried(t)
}

func (b *bound) results(t reflect.Type) error {
	n := t.NumOut()
	if n == 1 {
		if item, ok := streamOf(t.Out(0)); ok {
			return b.stream(t.Out(0), item)
		}
	}
	switch {
	case n == 0 || n > 2:
		return fmt.Errorf("it returns %d values, want an error, a value and an error, or an iter.Seq2[T, error]", n)
	case t.Out(n-1) != errorType:
		return fmt.Errorf("its last result is %v, want error", t.Out(n-1))
	case n == 1:
		return nil
	case b.oneway:
		return errors.New("a oneway call returns an error and no value")
	}
	b.out = t.Out(0)
	if _, ok := streamOf(b.out); ok {
		return errors.New("it returns a stream and an error, want the stream alone: the error comes last in it")
	}
	if b.out == proxyType {
		return nil
	}
	if referenced(b.out) {
		return fmt.Errorf("its result is %v; what arrives as a reference is a *broker.Proxy", b.out)
	}
	if err := codec.CheckType(b.out); err != nil {
		return fmt.Errorf("its result: %s", withoutPrefix(err))
	}
	return nil
}

func (b *bound) stream(out, item reflect.Type) error {
	if b.oneway {
		return errors.New("a oneway call returns an error and no stream")
	}
	if err := codec.CheckType(item); err != nil {
		return fmt.Errorf("items of its stream: %s", withoutPrefix(err))
	}
	switch b.target.(type) {
	case *Proxy, picker:
	default:
		return fmt.Errorf("it returns a stream, which a %T cannot make", b.target)
	}
	b.out, b.items = out, item
	return nil
}

var noError = reflect.Zero(errorType)

func errorValue(err error) reflect.Value {
	if err == nil {
		return noError
	}
	e := err // moved to the heap, and here only
	return reflect.ValueOf(&e).Elem()
}

// call is what the function does.
func (b *bound) call(in []reflect.Value) []reflect.Value {
	ctx, _ := in[0].Interface().(context.Context)
	if b.items != nil {
		return []reflect.Value{b.ranges(ctx, b.arguments(nil, in))}
	}
	args, _ := b.args.Get().(*[]any)
	if args == nil {
		args = new([]any)
	}
	*args = b.arguments((*args)[:0], in)
	var err error
	out := make([]reflect.Value, 0, 2)
	switch {
	case b.oneway:
		err = b.target.Oneway(ctx, b.method, *args...)
	case b.out == nil:
		err = b.target.Call(ctx, b.method, nil, *args...)
	default:
		result := reflect.New(b.out)
		if err = b.target.Call(ctx, b.method, result.Interface(), *args...); err != nil {
			result.Elem().SetZero() // a result that does not fit may have been decoded in part
		}
		out = append(out, result.Elem())
	}
	clear(*args)
	b.args.Put(args)
	return append(out, errorValue(err))
}

// arguments appends what the method takes, without the context.
func (b *bound) arguments(dst []any, in []reflect.Value) []any {
	fixed := len(in)
	if b.variadic {
		fixed--
	}
	for _, v := range in[1:fixed] {
		dst = append(dst, v.Interface())
	}
	if b.variadic {
		for i := range in[fixed].Len() {
			dst = append(dst, in[fixed].Index(i).Interface())
		}
	}
	return dst
}

// ranges makes the iterator of a method that yields a stream.
func (b *bound) ranges(ctx context.Context, args []any) reflect.Value {
	return reflect.MakeFunc(b.out, func(in []reflect.Value) []reflect.Value {
		yield := in[0]
		err := b.each(ctx, args, func(raw []byte) (bool, error) {
			item := reflect.New(b.items)
			if err := decodeItem(raw, item.Interface()); err != nil {
				return false, err
			}
			return yield.Call([]reflect.Value{item.Elem(), noError})[0].Bool(), nil
		})
		if err != nil {
			yield.Call([]reflect.Value{reflect.Zero(b.items), errorValue(err)})
		}
		return nil
	})
}

func (b *bound) each(ctx context.Context, args []any, take func([]byte) (bool, error)) (err error) {
	p, done, err := b.pick(ctx)
	if err != nil {
		return err
	}
	defer func() { done(err) }() // also when the loop's body panics
	plain, push, err := splitStream(args)
	if err != nil {
		return p.failure(KindArguments, b.method, err, false)
	}
	return p.each(ctx, b.method, payload{args: plain}, push, take)
}

func (b *bound) pick(ctx context.Context) (*Proxy, func(error), error) {
	if p, ok := b.target.(*Proxy); ok {
		return p, func(error) {}, nil
	}
	return b.target.(picker).Pick(ctx)
}
