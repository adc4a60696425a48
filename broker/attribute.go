package broker

import (
	"context"
	"errors"
	"fmt"
	"reflect"
)

// Attributes are values of an object that are read and written by name. On the wire,
// and for an authorizer, they are the methods get:NAME and set:NAME. PROTOCOL §5.10.
const (
	getPrefix = "get:"
	setPrefix = "set:"
)

type attribute struct {
	name     string
	get, set any // func(context.Context) (T, error) and func(context.Context, T) error; nil if not exposed
}

// Attribute exposes a value by name, to be read with [Proxy.Get] and, if set is not
// nil, to be written with [Proxy.Set]. The functions are called side by side, like
// methods: what they share they must guard.
func Attribute[T any](name string, get func(context.Context) (T, error), set func(context.Context, T) error) RegisterOption {
	a := attribute{name: name}
	if get != nil {
		a.get = get
	}
	if set != nil {
		a.set = set
	}
	return func(r *registration) error {
		switch {
		case name == "":
			return errors.New("Attribute has no name")
		case get == nil && set == nil:
			return fmt.Errorf("Attribute %q has neither a function to read it nor one to write it", name)
		}
		r.attributes = append(r.attributes, a)
		return nil
	}
}

// addTo enters the methods of an attribute. Reading is idempotent, and so is writing.
func (a attribute) addTo(t *table) error {
	for prefix, f := range map[string]any{getPrefix: a.get, setPrefix: a.set} {
		if f == nil {
			continue
		}
		name := prefix + a.name
		if t.methods[name] != nil {
			return fmt.Errorf("broker: object %q: attribute %q is exposed twice", t.kind, a.name)
		}
		m, err := newMethod(t.kind, name, reflect.ValueOf(f), false)
		if err != nil {
			return err
		}
		m.idempotent = true
		t.methods[name] = m
	}
	return nil
}

// Get reads an attribute into result, a pointer.
func (p *Proxy) Get(ctx context.Context, attribute string, result any) error {
	return p.Call(ctx, getPrefix+attribute, result)
}

// Set writes an attribute.
func (p *Proxy) Set(ctx context.Context, attribute string, value any) error {
	return p.Call(ctx, setPrefix+attribute, nil, value)
}
