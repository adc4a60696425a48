package broker

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/pyrossl/pyrossl/broker/uri"
	"github.com/pyrossl/pyrossl/codec"
)

// Objects are passed by reference as URIs, and never with credentials: who follows a
// reference does so with its own certificate. PROTOCOL §5.11.
//
// A proxy may be an argument or a result, and so may an object that is registered (as
// a result of an interface type); inside of structs and lists a [Ref] does the same.

// peerScheme stands in front of the name of an object that the sender of a message
// exports over this very connection.
const peerScheme = "PYROPEER:"

// Referable is what can be passed by reference as an argument: a *Proxy, or a *Local that
// [Callback] made.
type Referable interface {
	appendReference(dst []byte, to *callee) ([]byte, error)
}

var _, _ Referable = (*Proxy)(nil), (*Local)(nil)

func (p *Proxy) appendReference(dst []byte, _ *callee) ([]byte, error) {
	switch {
	case p == nil:
		return codec.AppendString(dst, "")
	case p.peer != nil:
		return dst, fmt.Errorf("%s is exported over a connection of its own, and cannot be passed on", p.uri.Object)
	}
	return codec.AppendString(dst, p.uri.String())
}

func (e *Local) appendReference(dst []byte, to *callee) ([]byte, error) {
	if e == nil {
		return codec.AppendString(dst, "")
	}
	name, err := to.pass(e)
	if err != nil {
		return dst, err
	}
	return codec.AppendString(dst, peerScheme+name)
}

// Ref is a reference as a value: the text of a URI, to be carried in structs and
// lists. [Follow] and [Proxy.Follow] make a proxy of it. The zero Ref refers to
// nothing.
type Ref struct{ text string }

// RefTo returns a reference to what a proxy calls. A proxy for an object that the
// other side exports over its own connection has no meaning elsewhere: its Ref is
// zero.
func RefTo(p *Proxy) Ref {
	if p.peer != nil {
		return Ref{}
	}
	return Ref{p.uri.String()}
}

// String is the text of the reference.
func (r Ref) String() string { return r.text }

// IsZero reports whether the reference refers to nothing.
func (r Ref) IsZero() bool { return r.text == "" }

// MarshalText lets the codec carry references.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.text), nil }

// UnmarshalText checks the form of a reference. Whether it may be followed is asked
// when it is.
func (r *Ref) UnmarshalText(text []byte) error {
	s := string(text)
	if name, ok := strings.CutPrefix(s, peerScheme); ok {
		if err := checkPeerName(name); err != nil {
			return err
		}
	} else if s != "" {
		u, err := uri.Parse(s)
		if err != nil {
			return err
		}
		s = u.String()
	}
	r.text = s
	return nil
}

func checkPeerName(name string) error {
	u := uri.URI{Scheme: uri.PYROSSL, Host: "peer.invalid", Port: uri.DefaultPort, Object: name}
	if err := u.Check(); err != nil {
		return fmt.Errorf("broker: reference %q: %w", peerScheme+name, err)
	}
	return nil
}

// Follow makes a proxy of a reference that came with the call that ctx belongs to. An
// object of the caller's own is called over the caller's connection; for any other the
// daemon needs Config.Client, whose rules for references decide.
func Follow(ctx context.Context, r Ref) (*Proxy, error) {
	c := calleeOf(ctx)
	if c == nil {
		return nil, errors.New("broker: Follow needs the context of a call")
	}
	return c.follow(r.text)
}

// Follow makes a proxy of a reference that came from the daemon that p calls.
// ClientConfig.References decides about references to other daemons.
func (p *Proxy) Follow(ctx context.Context, r Ref) (*Proxy, error) {
	if p.peer != nil {
		return p.peer.follow(r.text)
	}
	if !strings.HasPrefix(r.text, peerScheme) {
		return p.client.followed(p.uri, r.text)
	}
	c, _, err := p.connection(ctx, 0)
	if err != nil {
		return nil, err
	}
	return c.follow(r.text)
}

// referred is follow for a result, which may refer to nothing.
func (c *callee) referred(text string) (*Proxy, error) {
	if text == "" {
		return nil, nil
	}
	return c.follow(text)
}

// follow makes a proxy of the text of a reference that came over c's connection.
func (c *callee) follow(text string) (*Proxy, error) {
	if text == "" {
		return nil, errors.New("broker: the reference refers to nothing")
	}
	name, ok := strings.CutPrefix(text, peerScheme)
	if !ok {
		return c.host.follow(c, text)
	}
	if err := checkPeerName(name); err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.given = true
	c.mu.Unlock()
	return c.host.peerProxy(c, name), nil
}

// reference is the text that stands for a value that a method returns.
func (c *callee) reference(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "", nil
	case *Proxy:
		switch {
		case v == nil:
			return "", nil
		case v.peer == c:
			return "", fmt.Errorf("a reference to the caller's own %q: the caller has that object itself", v.uri.Object)
		case v.peer != nil:
			return "", fmt.Errorf("a reference to %q, which another connection's peer exports to this daemon alone", v.uri.Object)
		}
		return v.uri.String(), nil
	case *Local:
		if v == nil {
			return "", nil
		}
		if v.callee != c {
			return "", fmt.Errorf("a reference to %q, which was exported to another caller", v.name)
		}
		return peerScheme + v.name, nil
	}
	if u := c.host.reference(value); u != "" {
		return u, nil
	}
	return "", fmt.Errorf("a %T that is not registered: register it, or make it the caller's with Export", value)
}

// references are the URIs of registered objects, by value.
type references map[any]string

func (r references) add(value any, uri string) {
	if v := reflect.ValueOf(value); v.Kind() == reflect.Pointer {
		r[value] = uri
	}
}

func (r references) drop(value any) {
	if v := reflect.ValueOf(value); v.Kind() == reflect.Pointer {
		delete(r, value)
	}
}

// get returns "" for what is not there, or cannot be.
func (r references) get(value any) string {
	if v := reflect.ValueOf(value); v.Kind() != reflect.Pointer {
		return ""
	}
	return r[value]
}
