package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/naming"
	"github.com/pyrossl/pyrossl/validator"
)

// object is something that can be called: a name, and a fixed table of methods.
type object struct {
	name  string
	value any           // what was registered
	recv  reflect.Value // of value; zero when instances are made on demand
	table *table

	instances *instances // nil for a single instance
	generated *Exported  // nil for methods that are called by reflection
	life      *lifetime  // nil for one that ends with the daemon
	shared    *holders   // of an object that was exported to a connection
	callback  *Local     // that it was made from; guarded by its callee's mu
	failed    func(method string, err error)
	names     []naming.Registration // in the name server
}

// names lists what a table exposes.
func (t *table) names() []string { return slices.Sorted(maps.Keys(t.methods)) }

// table is what a type exposes. It belongs to a kind of object, not to one of them.
type table struct {
	kind    string // what the authorizer and the log call objects with this table
	typ     reflect.Type
	methods map[string]*method
}

// method is one row of a table.
type method struct {
	object     string // the table's kind
	name       string
	signature  string
	idempotent bool
	sends      bool // it takes a stream
	wants      bool // it yields one
	stream     int  // of generated code: which argument is a stream, from 1
	pace       pace
	running    [3]running // what calls of each kind are marked with
	// run decodes the arguments, calls the method and encodes its result. The error
	// is the method's, or an *argumentError.
	run func(ctx context.Context, o *object, inv *Invocation) error
}

// running marks a call with what it was authorized for.
type running struct {
	method *method
	kind   validator.CallKind
}

// mark prepares the marks of a method's calls.
func (m *method) mark() {
	for kind := range m.running {
		m.running[kind] = running{m, validator.CallKind(kind)}
	}
}

// RegisterOption changes how an object is exposed.
type RegisterOption func(*registration) error

type registration struct {
	expose     []string
	iface      reflect.Type
	idempotent []string
	attributes []attribute
	transient  time.Duration
	failed     func(method string, err error)
	names      []naming.Registration
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

// newObject lists what value exposes. It refuses a value of which any exposed
// method cannot be carried, naming the method and the reason.
func newObject(name string, value any, opts []RegisterOption) (*object, error) {
	reg, err := newRegistration(name, opts)
	if err != nil {
		return nil, err
	}
	o := &object{name: name, value: value, failed: reg.failed, names: reg.names}
	switch v := value.(type) {
	case *instances:
		o.instances = v
		o.table, err = newTable(name, v.typ, reg)
	case *Exported:
		if v == nil {
			return nil, fmt.Errorf("broker: object %q is nil", name)
		}
		o.value, o.generated = v.Value, v
		o.table, err = newExportedTable(name, v, reg)
	default:
		o.recv = reflect.ValueOf(value)
		if !o.recv.IsValid() || o.recv.Kind() == reflect.Pointer && o.recv.IsNil() {
			return nil, fmt.Errorf("broker: object %q is nil", name)
		}
		o.table, err = newTable(name, o.recv.Type(), reg)
	}
	if err != nil {
		return nil, err
	}
	if reg.transient > 0 {
		o.life = &lifetime{age: reg.transient}
	}
	return o, nil
}

func newRegistration(name string, opts []RegisterOption) (*registration, error) {
	reg := new(registration)
	for _, opt := range opts {
		if err := opt(reg); err != nil {
			return nil, fmt.Errorf("broker: object %q: %w", name, err)
		}
	}
	return reg, nil
}

// newTable lists what objects of a type expose.
func newTable(kind string, typ reflect.Type, reg *registration) (*table, error) {
	names, err := reg.methodNames(typ)
	if err != nil {
		return nil, fmt.Errorf("broker: object %q: %w", kind, err)
	}
	t := &table{kind: kind, typ: typ, methods: make(map[string]*method, len(names))}
	for _, n := range names {
		of, _ := typ.MethodByName(n)
		if t.methods[n], err = newMethod(kind, n, of.Func, true); err != nil {
			return nil, err
		}
	}
	return t, reg.complete(t)
}

// complete adds to a table what its options ask for.
func (r *registration) complete(t *table) error {
	for _, a := range r.attributes {
		if err := a.addTo(t); err != nil {
			return err
		}
	}
	for _, n := range r.idempotent {
		m, ok := t.methods[n]
		if !ok {
			return fmt.Errorf("broker: object %q: IdempotentMethods names %q, which is not exposed", t.kind, n)
		}
		m.idempotent = true
	}
	for _, m := range t.methods {
		m.mark()
	}
	return nil
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
		if hook, ok := hooks[m.Name]; ok && t.Implements(hook) {
			continue // for the daemon to call, not for clients
		}
		if from := inherited(t, m); from != nil {
			return nil, fmt.Errorf("method %s of %v comes from the embedded %v: name what is to be exposed with Expose or ExposeAs, or do not embed it", m.Name, t, from)
		}
		names = append(names, m.Name)
	}
	if len(names) == 0 && len(r.attributes) == 0 {
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

func (r registry) without(name string) registry {
	next := maps.Clone(r)
	delete(next, name)
	return next
}
