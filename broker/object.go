package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strings"

	"github.com/pyrossl/pyrossl/codec"
)

// object is what Register makes: a fixed table of what may be called.
type object struct {
	name    string
	value   any
	methods map[string]*method
}

// method is one row of the table.
type method struct {
	object     string
	name       string
	fn         reflect.Value // takes the receiver first: calling that costs less than a method value
	receiver   reflect.Value
	takesCtx   bool
	variadic   bool
	in         []reflect.Type // without the context
	out        reflect.Type   // nil when it returns no value
	fails      bool           // its last result is an error
	idempotent bool
}

// RegisterOption changes how an object is exposed.
type RegisterOption func(*registration) error

type registration struct {
	expose     []string
	iface      reflect.Type
	idempotent []string
}

// Expose exposes these methods and no others.
func Expose(methods ...string) RegisterOption {
	return func(r *registration) error {
		if len(methods) == 0 {
			return errors.New("Expose names no method")
		}
		r.expose = append(r.expose, methods...)
		return nil
	}
}

// ExposeAs exposes exactly the methods of interface type I.
func ExposeAs[I any]() RegisterOption {
	return func(r *registration) error {
		t := reflect.TypeFor[I]()
		if t.Kind() != reflect.Interface {
			return fmt.Errorf("ExposeAs[%v] is not an interface type", t)
		}
		if t.NumMethod() == 0 {
			return fmt.Errorf("ExposeAs[%v] has no methods", t)
		}
		r.iface = t
		return nil
	}
}

// IdempotentMethods declares methods that may run twice without harm: calling
// them again after a lost connection is accepted. All others are run at most
// once, whatever a client sends.
func IdempotentMethods(methods ...string) RegisterOption {
	return func(r *registration) error {
		r.idempotent = append(r.idempotent, methods...)
		return nil
	}
}

var (
	contextType = reflect.TypeFor[context.Context]()
	errorType   = reflect.TypeFor[error]()
)

// newObject lists what value exposes. It refuses a value of which any exposed
// method cannot be carried, naming the method and the reason.
func newObject(name string, value any, opts []RegisterOption) (*object, error) {
	v := reflect.ValueOf(value)
	if !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, fmt.Errorf("broker: object %q is nil", name)
	}
	var reg registration
	for _, opt := range opts {
		if err := opt(&reg); err != nil {
			return nil, fmt.Errorf("broker: object %q: %w", name, err)
		}
	}
	names, err := reg.methodNames(v.Type())
	if err != nil {
		return nil, fmt.Errorf("broker: object %q: %w", name, err)
	}
	o := &object{name: name, value: value, methods: make(map[string]*method, len(names))}
	for _, n := range names {
		m, err := newMethod(name, n, v)
		if err != nil {
			return nil, err
		}
		o.methods[n] = m
	}
	for _, n := range reg.idempotent {
		m, ok := o.methods[n]
		if !ok {
			return nil, fmt.Errorf("broker: object %q: IdempotentMethods names %q, which is not exposed", name, n)
		}
		m.idempotent = true
	}
	return o, nil
}

// methodNames are the methods to expose. Nothing that the type inherits by
// embedding is exposed unasked: the Lock of a sync.Mutex is not for callers.
func (r *registration) methodNames(t reflect.Type) ([]string, error) {
	names := r.expose
	if r.iface != nil {
		if !t.Implements(r.iface) {
			return nil, fmt.Errorf("type %v does not implement %v", t, r.iface)
		}
		for i := range r.iface.NumMethod() {
			names = append(names, r.iface.Method(i).Name)
		}
	}
	if len(names) > 0 {
		for _, n := range names {
			if _, ok := t.MethodByName(n); !ok {
				return nil, fmt.Errorf("type %v has no exported method %q (a pointer may have more: pass &value)", t, n)
			}
		}
		slices.Sort(names)
		return slices.Compact(names), nil
	}
	for i := range t.NumMethod() {
		m := t.Method(i)
		if from := inherited(t, m); from != nil {
			return nil, fmt.Errorf("method %s of %v comes from the embedded %v: name what is to be exposed with Expose or ExposeAs, or do not embed it", m.Name, t, from)
		}
		names = append(names, m.Name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("type %v has no exported methods (a pointer may have some: pass &value)", t)
	}
	return names, nil
}

// inherited returns the embedded type that m is promoted from, or nil. Promoted
// methods are wrappers that the compiler generates; the same holds for a value's
// method called through a pointer, so that the value's own one is asked.
func inherited(t reflect.Type, m reflect.Method) reflect.Type {
	s := t
	if s.Kind() == reflect.Pointer {
		s = s.Elem()
	}
	if s.Kind() != reflect.Struct {
		return nil
	}
	from := embeddedWith(s, m.Name)
	if from == nil || declared(m) {
		return nil
	}
	if vm, ok := s.MethodByName(m.Name); ok && declared(vm) {
		return nil
	}
	return from
}

func declared(m reflect.Method) bool {
	pc := m.Func.Pointer()
	file, _ := runtime.FuncForPC(pc).FileLine(pc)
	return file != "<autogenerated>"
}

// embeddedWith returns the field type of s whose method name would be promoted.
func embeddedWith(s reflect.Type, name string) reflect.Type {
	for i := range s.NumField() {
		f := s.Field(i)
		if !f.Anonymous {
			continue
		}
		if _, ok := f.Type.MethodByName(name); ok {
			return f.Type
		}
		if f.Type.Kind() != reflect.Pointer {
			if _, ok := reflect.PointerTo(f.Type).MethodByName(name); ok {
				return f.Type
			}
		}
	}
	return nil
}

// newMethod checks that a method can be carried.
func newMethod(object, name string, receiver reflect.Value) (*method, error) {
	of, _ := receiver.Type().MethodByName(name)
	m := &method{object: object, name: name, fn: of.Func, receiver: receiver}
	refuse := func(format string, args ...any) (*method, error) {
		return nil, fmt.Errorf("broker: method %s.%s cannot be exposed: %s", object, name, fmt.Sprintf(format, args...))
	}
	t := of.Type
	m.variadic = t.IsVariadic()
	for i := 1; i < t.NumIn(); i++ {
		in := t.In(i)
		if in == contextType {
			if i > 1 {
				return refuse("its context is argument %d, want it first", i)
			}
			m.takesCtx = true
			continue
		}
		if err := codec.CheckType(in); err != nil {
			return refuse("argument %d: %v", i, strings.TrimPrefix(err.Error(), "codec: "))
		}
		m.in = append(m.in, in)
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
		if err := codec.CheckType(m.out); err != nil {
			return refuse("its result: %v", strings.TrimPrefix(err.Error(), "codec: "))
		}
		m.fails = n == 2
	case n == 1:
		m.fails = true
	}
	return m, nil
}

// signature prints a method as a caller sees it.
func (m *method) signature() string {
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
			fmt.Fprint(&b, t)
		}
	}
	b.WriteByte(')')
	if m.out != nil {
		fmt.Fprintf(&b, " %v", m.out)
	}
	return b.String()
}

// registry is the set of objects of a daemon, replaced whole at each change.
type registry map[string]*object

func (r registry) with(o *object) (registry, error) {
	if _, ok := r[o.name]; ok {
		return nil, fmt.Errorf("broker: object %q is registered already", o.name)
	}
	next := maps.Clone(r)
	if next == nil {
		next = make(registry)
	}
	next[o.name] = o
	return next, nil
}

func (r registry) without(name string) (registry, error) {
	if _, ok := r[name]; !ok {
		return nil, fmt.Errorf("broker: object %q is not registered", name)
	}
	next := maps.Clone(r)
	delete(next, name)
	return next, nil
}
