package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"time"
)

// Local is an object that one connection alone may call: a callback, which a
// client gives to a daemon, or an object that a daemon made for one client. It is
// passed as an argument or a result, and ends with the connection.
type Local struct {
	name   string
	value  any
	callee *callee // that it was exported to; nil for a callback, which goes where it is passed
	kind   string
	opts   []RegisterOption
	// export is callee's method of a callback. Only Callback names it, so that the linker
	// leaves out what it needs, most of all reflection on methods, which keeps all of them,
	// from clients that have no callbacks.
	export func(*callee, string, any, []RegisterOption) (*Local, error)

	mu sync.Mutex
	on map[*callee]string // the callback's name on each connection it was passed on
}

// Export makes object the caller's own: only the connection that made the call of ctx
// can call it, and it ends with that connection, or when [Local.End] is called. A
// method returns what Export returns; its result type is *broker.Local.
//
// The authorizer decides calls by kind, as if that were the object's name. Objects of
// one kind have one type, and the options of the first one count. An object that was
// exported to several connections is told by [Releaser] when the last of them has
// ended.
func Export(ctx context.Context, kind string, object any, opts ...RegisterOption) (*Local, error) {
	c := calleeOf(ctx)
	if c == nil {
		return nil, errors.New("broker: Export needs the context of a call")
	}
	return c.export(kind, object, opts)
}

// Callback makes an object that daemons may call, over the connection that it is
// passed on as an argument of a call. No listener is needed, and whoever cannot reach
// this client by itself can call it back. The daemon that it was passed to may call
// what it exposes, unless ClientConfig.Authorizer says otherwise, until the connection
// or the callback ends. kind is what authorizers and logs call it.
//
// When a method of it fails, the daemon gets the error. With [CallbackErrors] this
// side gets it too.
func Callback(kind string, object any, opts ...RegisterOption) *Local {
	return &Local{value: object, kind: kind, opts: opts, export: (*callee).export}
}

// End takes the object away from those it was exported to. Calls that run on it
// finish.
func (e *Local) End() {
	if e.callee != nil {
		e.callee.unexport(e.name, "ended")
		return
	}
	e.mu.Lock()
	on := e.on
	e.on = nil
	e.mu.Unlock()
	for c, name := range on {
		c.unexport(name, "ended")
	}
}

// MarshalCBOR refuses: a Local is passed as an argument or result itself, and has
// no meaning inside of one.
func (e *Local) MarshalCBOR() ([]byte, error) {
	return nil, errors.New("an exported object is passed as an argument or result itself, not inside of one")
}

// UnmarshalCBOR refuses: what arrives is taken as a *Proxy or a Ref.
func (e *Local) UnmarshalCBOR([]byte) error {
	return errors.New("an exported object arrives as a *broker.Proxy or a broker.Ref")
}

// export enters an object of this connection.
func (c *callee) export(kind string, value any, opts []RegisterOption) (*Local, error) {
	t, reg, err := c.host.table(kind, value, opts)
	if err != nil {
		return nil, err
	}
	if len(reg.names) > 0 {
		return nil, fmt.Errorf("broker: %s: InNames and InGroup are for objects that Register is given: this one is one connection's", kind)
	}
	o := &object{name: kind + "." + exportID(), value: value, recv: reflect.ValueOf(value), table: t, shared: c.host.holders(), failed: reg.failed}
	if reg.transient > 0 {
		o.life = &lifetime{age: reg.transient}
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, errors.New("broker: the connection has ended, and with it what is exported to it")
	}
	if c.own == nil {
		c.own = make(map[string]*object)
	}
	c.own[o.name] = o
	c.mu.Unlock()
	o.shared.hold(value)
	o.life.start(func() { c.unexport(o.name, "not called for "+reg.transient.String()) })
	return &Local{name: o.name, value: value, callee: c, kind: kind}, nil
}

// exportID is a name that cannot be guessed, although guessing would not help:
// another connection's names mean nothing here.
func exportID() string {
	var b [10]byte
	rand.Read(b[:])
	return crockford.EncodeToString(b[:])
}

// pass returns the name of an object on this connection: the one that it was exported
// with or, of a callback, exporting it the first time.
func (c *callee) pass(e *Local) (string, error) {
	switch e.callee {
	case nil:
	case c:
		return e.name, nil
	default:
		return "", fmt.Errorf("%s is an object that was exported to one caller, and cannot be passed on", e.name)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if name := e.on[c]; name != "" {
		return name, nil
	}
	here, err := e.export(c, e.kind, e.value, e.opts)
	if err != nil {
		return "", err
	}
	if e.on == nil {
		e.on = make(map[*callee]string)
	}
	e.on[c] = here.name
	c.mu.Lock()
	closed := c.closed
	if o := c.own[here.name]; o != nil {
		o.callback = e
	}
	c.mu.Unlock()
	if closed {
		delete(e.on, c)
	}
	return here.name, nil
}

// ownObject returns an object of this connection, or nil.
func (c *callee) ownObject(name []byte) *object {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.own[string(name)]
}

// unexport takes an object of this connection away.
func (c *callee) unexport(name, why string) {
	c.mu.Lock()
	o := c.own[name]
	delete(c.own, name)
	c.mu.Unlock()
	if o != nil {
		o.end(why)
	}
}

// endExports takes away all that was exported to a connection that has ended.
func (c *callee) endExports() {
	c.mu.Lock()
	c.closed = true
	own, instances := c.own, c.instances
	c.own, c.instances = nil, nil
	c.mu.Unlock()
	for _, o := range own {
		if e := o.callback; e != nil {
			e.mu.Lock()
			delete(e.on, c)
			e.mu.Unlock()
		}
		o.end("the connection ended")
	}
	for _, v := range instances {
		released(v, "the connection ended")
	}
}

// end tells an object that nobody can call it any longer.
func (o *object) end(why string) {
	o.life.stop()
	if o.shared == nil || o.shared.drop(o.value) {
		released(o.value, why)
	}
}

// Releaser may be implemented by objects that want to know when nobody can call them
// any more: Pyro's _gotReaped. It is told once, with the reason: the connection ended,
// nobody called for the time given with Transient, or the object was taken away. The
// method itself is never exposed.
type Releaser interface{ Released(reason string) }

// hooks are the methods that are for the daemon, by name.
var hooks = map[string]reflect.Type{"Released": reflect.TypeFor[Releaser]()}

func released(value any, why string) {
	if r, ok := value.(Releaser); ok {
		r.Released(why)
	}
}

// holders counts to how many connections each value is exported.
type holders struct {
	mu    sync.Mutex
	count map[any]int
}

func (h *holders) hold(value any) {
	if h == nil || reflect.TypeOf(value).Kind() != reflect.Pointer {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.count == nil {
		h.count = make(map[any]int)
	}
	h.count[value]++
}

// drop reports whether nobody holds the value any longer.
func (h *holders) drop(value any) bool {
	if reflect.TypeOf(value).Kind() != reflect.Pointer {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.count[value]--; h.count[value] > 0 {
		return false
	}
	delete(h.count, value)
	return true
}

// lifetime ends an object that nobody calls for a while. A nil one never does.
type lifetime struct {
	age  time.Duration
	last atomic.Int64 // of use, in nanoseconds since base
	base time.Time

	mu    sync.Mutex
	timer *time.Timer
	over  bool
}

// Transient takes an object away when nobody has called it for the given time, and
// tells it so if it is a [Releaser].
func Transient(age time.Duration) RegisterOption {
	return func(r *registration) error {
		if age <= 0 {
			return fmt.Errorf("Transient(%v), want a positive time", age)
		}
		r.transient = age
		return nil
	}
}

func (l *lifetime) start(end func()) {
	if l == nil {
		return
	}
	l.base = time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(l.age, func() { l.check(end) })
}

func (l *lifetime) check(end func()) {
	idle := time.Since(l.base) - time.Duration(l.last.Load())
	l.mu.Lock()
	if l.over || idle < l.age {
		if !l.over {
			l.timer.Reset(l.age - idle)
		}
		l.mu.Unlock()
		return
	}
	l.over = true
	l.mu.Unlock()
	end()
}

func (l *lifetime) stop() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	if l.timer != nil {
		l.timer.Stop()
	}
}

// used notes that an object was called.
func (o *object) used() {
	if o.life != nil {
		o.life.last.Store(int64(time.Since(o.life.base)))
	}
}
