package broker

import (
	"context"
	"errors"
	"fmt"
	"reflect"
)

// instances makes the receivers of an object's methods: Pyro's instance modes. What is
// registered as it is has a single instance.
type instances struct {
	typ        reflect.Type
	make       func(context.Context) (any, error)
	perSession bool
}

// PerSession is registered instead of an object, to make one for each connection with
// the first call on it: what it keeps is that client's alone. If it is a [Releaser], it
// is told when the connection has ended. Calls of one client may run side by side.
//
//	d.Register("cart", broker.PerSession(func(ctx context.Context) (*Cart, error) { return new(Cart), nil }))
func PerSession[T any](make func(context.Context) (T, error)) any {
	return newInstances(make, true)
}

// PerCall is registered instead of an object, to make one for each call. If it is a
// [Releaser], it is told when the call has ended.
func PerCall[T any](make func(context.Context) (T, error)) any {
	return newInstances(make, false)
}

func newInstances[T any](make func(context.Context) (T, error), perSession bool) *instances {
	return &instances{
		typ:        reflect.TypeFor[T](),
		make:       func(ctx context.Context) (any, error) { return make(ctx) },
		perSession: perSession,
	}
}

// receiver is the instance that a call runs on. done must be called after it.
func (o *object) receiver(ctx context.Context, c *callee) (recv reflect.Value, done func(), err error) {
	i := o.instances
	switch {
	case i == nil:
		return o.recv, nil, nil
	case i.perSession:
		recv, err = c.instance(ctx, o)
		return recv, nil, err
	}
	v, err := i.new(ctx)
	if err != nil {
		return recv, nil, err
	}
	return reflect.ValueOf(v), func() { released(v, "the call ended") }, nil
}

func (i *instances) new(ctx context.Context) (any, error) {
	v, err := i.make(ctx)
	if err != nil {
		return nil, err
	}
	if rv := reflect.ValueOf(v); !rv.IsValid() || rv.Kind() == reflect.Pointer && rv.IsNil() {
		return nil, fmt.Errorf("broker: the function that makes a %v returned nil", i.typ)
	}
	return v, nil
}

// instance returns the connection's instance of an object, made with the first call.
// Two first calls may both make one: the second is released unused.
func (c *callee) instance(ctx context.Context, o *object) (reflect.Value, error) {
	c.mu.Lock()
	v, ok := c.instances[o]
	c.mu.Unlock()
	if ok {
		return reflect.ValueOf(v), nil
	}
	made, err := o.instances.new(ctx)
	if err != nil {
		return reflect.Value{}, err
	}
	c.mu.Lock()
	v, ok = c.instances[o]
	closed := c.closed
	if !ok && !closed {
		if c.instances == nil {
			c.instances = make(map[*object]any)
		}
		c.instances[o], v = made, made
	}
	c.mu.Unlock()
	switch {
	case closed:
		released(made, "the connection ended")
		return reflect.Value{}, errors.New("broker: the connection has ended")
	case ok:
		released(made, "not needed")
	}
	return reflect.ValueOf(v), nil
}
