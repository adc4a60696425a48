package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/session"
	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/codec"
)

// Invocation is one call as the method's side sees it: the arguments that came and
// the result that is to go. It belongs to the call and is not valid after it.
type Invocation struct {
	callee  *callee
	method  *method
	in      *session.Incoming
	batch   bool   // in has other calls, too
	args    []byte // valid until release
	owned   bool   // what is decoded may alias args
	decoder codec.Decoder
	items   int // arguments that came
	badArgs error
	// badReference is what is wrong with a reference, if nothing before it is.
	badReference error
	head         []byte // the encoded result
	body         []byte // the rest of it, from where it lies
}

var invocations = sync.Pool{New: func() any { return new(Invocation) }}

func newInvocation(c *callee, in *session.Incoming) *Invocation {
	inv := invocations.Get().(*Invocation)
	*inv = Invocation{callee: c, in: in, args: in.Args, owned: in.Owned, head: session.GetBuffer()}
	return inv
}

// release gives the arguments back, after they were decoded.
func (inv *Invocation) release() {
	inv.args = nil
	if !inv.batch {
		inv.in.Release()
	}
}

func (inv *Invocation) free() {
	session.PutBuffer(inv.head)
	*inv = Invocation{}
	invocations.Put(inv)
}

// argumentError is why a method was not run.
type argumentError struct{ err error }

func (e *argumentError) Error() string { return e.err.Error() }
func (e *argumentError) Unwrap() error { return e.err }

// resultError is why a method's result cannot be carried.
type resultError struct{ err error }

func (e *resultError) Error() string { return e.err.Error() }
func (e *resultError) Unwrap() error { return e.err }

// panicked is the error of a method that panicked.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprint(p.value) }

// run runs the method. A panic ends this call only.
func (inv *Invocation) run(ctx context.Context, o *object, m *method) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicked{p, debug.Stack()}
		}
	}()
	inv.method = m
	return m.run(ctx, o, inv)
}

// failure is what the caller gets to know of an error. What it may not know goes to
// the log, under the incident that joins the two.
func (c *callee) failure(ctx context.Context, m *method, err error) *wire.ErrorBody {
	var bad *argumentError
	var p *panicked
	var uncarried *resultError
	var remote *refusal
	switch {
	case errors.As(err, &bad):
		return &wire.ErrorBody{Kind: wire.KindArguments, Message: bad.Error()}
	case errors.As(err, &remote):
		return remote.body
	case errors.As(err, &p):
		incident := newIncident()
		c.host.noted(Incident{ID: incident, Time: time.Now().UTC(), Event: methodPanicked, Object: m.object, Method: m.name, Error: p.Error(), Who: "whoever wrote the object", Fix: "see the daemon's log for the stack"}.of(c.peer))
		c.log.LogAttrs(ctx, slog.LevelError, methodPanicked, slog.String("incident", incident), slog.String("object", m.object), slog.String("method", m.name),
			slog.String("identity", c.peer.Identity.Name), slog.String("panic", p.Error()), slog.String("stack", string(p.stack)))
		return &wire.ErrorBody{Kind: wire.KindInternal, Incident: incident}
	case errors.As(err, &uncarried):
		incident := newIncident()
		c.host.noted(Incident{ID: incident, Time: time.Now().UTC(), Event: resultUncarried, Object: m.object, Method: m.name, Error: uncarried.Error(), Who: "whoever wrote the object"}.of(c.peer))
		c.log.LogAttrs(ctx, slog.LevelError, resultUncarried, slog.String("incident", incident), slog.String("object", m.object), slog.String("method", m.name), slog.Any("error", uncarried.err))
		return &wire.ErrorBody{Kind: wire.KindInternal, Incident: incident}
	}
	return c.errors.body(err)
}

// refusal is an error that an interceptor or the broker itself made for the caller.
type refusal struct{ body *wire.ErrorBody }

func (r *refusal) Error() string {
	return fmt.Sprintf("broker: %v: %s", Kind(r.body.Kind), r.body.Message)
}

// Is matches the Kind.
func (r *refusal) Is(target error) bool { return target == Kind(r.body.Kind) }

// tooLarge is the answer when the caller accepts no message of that size.
func tooLarge(m *method, size int) *wire.ErrorBody {
	return &wire.ErrorBody{Kind: wire.KindTooLarge, Message: fmt.Sprintf("the result of %s.%s, %d bytes, is larger than the caller accepts", m.object, m.name, size)}
}
