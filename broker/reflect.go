package broker

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/codec"
)

// reflected is a method that is called by reflection.
type reflected struct {
	method
	fn       reflect.Value // takes the receiver first, if it has one: that costs less than a method value
	receiver bool
	takesCtx bool
	variadic bool
	in       []reflect.Type // without the context
	stream   int            // which of in is a stream, -1 for none
	out      reflect.Type   // nil when it returns no value
	fails    bool           // its last result is an error
	frames   sync.Pool      // of *frame
}

// frame holds the arguments of one call. It is used again for another, so that a call
// takes no memory but for what is in its arguments.
type frame struct {
	args  []reflect.Value // receiver, context, arguments
	cells []reflect.Value // for each of reflected.in a pointer to decode into; zero where that is not done
}

func (m *reflected) newFrame() *frame {
	f, _ := m.frames.Get().(*frame)
	if f == nil {
		f = &frame{args: make([]reflect.Value, 0, len(m.in)+2), cells: make([]reflect.Value, len(m.in))}
		for i, t := range m.in {
			if i != m.stream && t != proxyType && !(m.variadic && i == len(m.in)-1) {
				f.cells[i] = reflect.New(t)
			}
		}
	}
	return f
}

// free gives a frame back when the method has returned.
func (m *reflected) free(f *frame) {
	for _, c := range f.cells {
		if c.IsValid() {
			c.Elem().SetZero()
		}
	}
	clear(f.args)
	f.args = f.args[:0]
	m.frames.Put(f)
}

var (
	contextType = reflect.TypeFor[context.Context]()
	errorType   = reflect.TypeFor[error]()
	bytesType   = reflect.TypeFor[[]byte]()
	proxyType   = reflect.TypeFor[*Proxy]()
	ownType     = reflect.TypeFor[*Local]()
)

// newMethod checks that a function can be carried.
func newMethod(object, name string, fn reflect.Value, receiver bool) (*method, error) {
	m := &reflected{method: method{object: object, name: name}, fn: fn, receiver: receiver, stream: -1}
	refuse := func(format string, args ...any) (*method, error) {
		return nil, fmt.Errorf("broker: method %s.%s cannot be exposed: %s", object, name, fmt.Sprintf(format, args...))
	}
	t := fn.Type()
	m.variadic = t.IsVariadic()
	first := 0
	if receiver {
		first = 1
	}
	for i := first; i < t.NumIn(); i++ {
		in := t.In(i)
		if in == contextType {
			if i > first {
				return refuse("its context is argument %d, want it first", i-first+1)
			}
			m.takesCtx = true
			continue
		}
		if item, ok := streamOf(in); ok {
			if m.sends {
				return refuse("argument %d: it takes a second stream, want at most one", i-first+1)
			}
			if err := codec.CheckType(item); err != nil {
				return refuse("argument %d: items of its stream: %v", i-first+1, withoutPrefix(err))
			}
			m.sends, m.stream = true, len(m.in)
		} else if err := carried(in); err != nil {
			return refuse("argument %d: %v", i-first+1, withoutPrefix(err))
		}
		m.in = append(m.in, in)
	}
	if m.sends && m.variadic {
		return refuse("it takes a stream and a variable number of arguments")
	}
	switch n := t.NumOut(); {
	case n > 2:
		return refuse("it returns %d values, want at most one and an error", n)
	case n == 2 && t.Out(1) != errorType:
		return refuse("its second result is %v, want error", t.Out(1))
	case n == 2 && t.Out(0) == errorType:
		return refuse("it returns two errors")
	case n == 2 || n == 1 && t.Out(0) != errorType:
		m.out = t.Out(0)
		if item, ok := streamOf(m.out); ok {
			m.wants = true
			if err := codec.CheckType(item); err != nil {
				return refuse("items of its stream: %v", withoutPrefix(err))
			}
		} else if err := carriedBack(m.out); err != nil {
			return refuse("its result: %v", withoutPrefix(err))
		}
		m.fails = n == 2
	case n == 1:
		m.fails = true
	}
	m.signature = m.describe()
	m.run = m.call
	return &m.method, nil
}

// carried reports whether an argument can be carried: as a value, or as a reference.
func carried(t reflect.Type) error {
	if t == proxyType {
		return nil
	}
	return codec.CheckType(t)
}

// carriedBack is carried for a result, which may also be an interface with methods:
// the object in it travels as a reference.
func carriedBack(t reflect.Type) error {
	if referenced(t) {
		return nil
	}
	return codec.CheckType(t)
}

// referenced reports whether values of a result type travel as references.
func referenced(t reflect.Type) bool {
	return t == proxyType || t == ownType || t.Kind() == reflect.Interface && t.NumMethod() > 0
}

// describe prints a method as a caller sees it.
func (m *reflected) describe() string {
	var b strings.Builder
	b.WriteString(m.name)
	b.WriteByte('(')
	for i, t := range m.in {
		if i > 0 {
			b.WriteString(", ")
		}
		if m.variadic && i == len(m.in)-1 {
			fmt.Fprintf(&b, "...%v", t.Elem())
		} else {
			b.WriteString(spoken(t))
		}
	}
	b.WriteByte(')')
	if m.out != nil {
		b.WriteByte(' ')
		b.WriteString(spoken(m.out))
	}
	return b.String()
}

// spoken prints a type as a caller sees it.
func spoken(t reflect.Type) string {
	if item, ok := streamOf(t); ok {
		return "stream of " + item.String()
	}
	if referenced(t) {
		return "reference"
	}
	return t.String()
}

// call is method.run by reflection.
func (m *reflected) call(ctx context.Context, o *object, inv *Invocation) error {
	f := m.newFrame()
	defer m.free(f)
	if m.receiver {
		recv, done, err := o.receiver(ctx, inv.callee)
		if err != nil {
			inv.release()
			return err
		}
		if done != nil {
			defer done()
		}
		f.args = append(f.args, recv)
	}
	if m.takesCtx {
		f.args = append(f.args, reflect.ValueOf(ctx))
	}
	err := m.arguments(f, ctx, inv)
	inv.release()
	if err != nil {
		return &argumentError{err}
	}
	out := m.fn.Call(f.args)
	if m.fails {
		if e, _ := out[len(out)-1].Interface().(error); e != nil {
			return e
		}
	}
	switch {
	case m.wants:
		return inv.yield(ctx, out[0])
	case m.out != nil:
		return inv.result(m.out, out[0])
	}
	return nil
}

// arguments decodes the arguments into the types that the method declares.
func (m *reflected) arguments(f *frame, ctx context.Context, inv *Invocation) error {
	seq, err := codec.NewSequence(inv.args)
	if err != nil {
		return fmt.Errorf("arguments: %s", withoutPrefix(err))
	}
	n, want := seq.Len(), len(m.in)
	if m.sends {
		want--
	}
	if n != want && !(m.variadic && n >= want-1) {
		return fmt.Errorf("%d arguments, want %s", n, m.signature)
	}
	if m.variadic {
		if err := codec.Room(n-want+1, last(m.in).Elem(), len(inv.args)); err != nil {
			return errors.New(withoutPrefix(err))
		}
	}
	for i := 0; i < len(m.in) || m.variadic && seq.Len() > 0; i++ {
		if i == m.stream {
			f.args = append(f.args, inv.incoming(ctx, m.in[i]))
			continue
		}
		t := m.in[min(i, len(m.in)-1)]
		var cell reflect.Value
		if m.variadic && i >= len(m.in)-1 {
			if seq.Len() == 0 {
				break
			}
			t = t.Elem()
		} else {
			cell = f.cells[i]
		}
		v, err := inv.argument(&seq, t, cell)
		if err != nil {
			return fmt.Errorf("argument %d, %v: %s", i+1, spoken(t), withoutPrefix(err))
		}
		f.args = append(f.args, v)
	}
	return nil
}

// argument decodes one argument, into where cell points if it is valid.
func (inv *Invocation) argument(seq *codec.Sequence, t reflect.Type, cell reflect.Value) (reflect.Value, error) {
	switch {
	case t == proxyType:
		var text string
		if err := seq.Next(&text); err != nil {
			return reflect.Value{}, err
		}
		p, err := inv.callee.follow(text)
		return reflect.ValueOf(p), err
	case inv.owned && t == bytesType:
		// The message is this call's alone: no copy of what may be megabytes.
		probe := *seq
		if raw, err := probe.Raw(); err == nil {
			if content, ok := wire.BytesItem(raw); ok {
				*seq = probe
				return reflect.ValueOf(slices.Clip(content)), nil
			}
		}
	}
	if !cell.IsValid() {
		cell = reflect.New(t)
	}
	if err := seq.Next(cell.Interface()); err != nil {
		return reflect.Value{}, err
	}
	return cell.Elem(), nil
}

// result encodes what a method returned.
func (inv *Invocation) result(t reflect.Type, v reflect.Value) (err error) {
	switch {
	case referenced(t):
		text, err := inv.callee.reference(v.Interface())
		if err != nil {
			return &resultError{err}
		}
		inv.head, err = codec.Append(inv.head, text)
		return err
	case t == bytesType && v.Len() >= inlineBytes:
		inv.head, inv.body = wire.AppendBytesHead(inv.head, v.Len()), v.Bytes()
		return nil
	}
	if inv.head, err = codec.Append(inv.head, v.Interface()); err != nil {
		return &resultError{err}
	}
	return nil
}

// inlineBytes is the size from which a []byte is sent from where it lies.
const inlineBytes = 16 << 10
