package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/session"
	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/validator"
)

// callee answers the calls that come in on one connection: a client's calls at the
// daemon, and the daemon's callbacks at a client.
type callee struct {
	peer      *Peer
	session   *session.Session
	host      host
	errors    *errorTable
	log       *slog.Logger
	intercept Interceptor // nil for none
	decisions decisionCache
	tally     tally

	mu        sync.Mutex
	own       map[string]*object // what this connection alone may call
	instances map[*object]any    // of objects with an instance for each connection
	given     bool               // the peer has exported something to this end
	closed    bool
}

// host is what a callee needs of the daemon or client that it belongs to.
type host interface {
	// find returns an object that every connection sees, or nil.
	find(name []byte) *object
	// authorizer decides calls; nil lets the peer call what was exported to it.
	authorizer() (validator.Authorizer, validator.Versioned)
	// counted counts a call that came.
	counted(c *callee)
	// noted keeps an incident.
	noted(i Incident)
	// audited notes a decision about a call.
	audited(c *callee, object, method string, kind validator.CallKind, d validator.Decision)
	// follow makes a proxy of a URI that came from the peer.
	follow(c *callee, uri string) (*Proxy, error)
	// peerProxy makes a proxy of an object that the peer exports.
	peerProxy(c *callee, name string) *Proxy
	// reference returns the URI of a registered value, or "".
	reference(value any) string
	// table returns the table of a kind of object that is exported to single
	// connections.
	table(kind string, value any, opts []RegisterOption) (*table, *registration, error)
	// holders counts those connections.
	holders() *holders
}

// serve takes one call from its frames to its answer: find, authorize, decode,
// run, reply. It is the only way to an object. Methods that have been slow are run in
// a goroutine of their own, the others by the one that reads.
func (c *callee) serve(in *session.Incoming) {
	if in.Batch() {
		c.serveBatch(in)
		return
	}
	kind := validator.KindCall
	if in.Oneway() {
		kind = validator.KindOneway
	}
	o, m, refused := c.admit(in.Context(), in.Head.Object, in.Head.Method, kind)
	if refused == nil {
		refused = fits(in, m)
	}
	switch {
	case refused != nil:
		in.Release()
		in.Fail(refused)
	case in.Inline() && m.pace.slow():
		in.Go(func() { c.perform(in, o, m, kind) })
	default:
		c.perform(in, o, m, kind)
	}
}

// perform runs a call that was admitted, and answers it.
func (c *callee) perform(in *session.Incoming, o *object, m *method, kind validator.CallKind) {
	ctx := in.Context()
	if in.Head.Metadata != nil {
		ctx = context.WithValue(ctx, metadataKey{}, in.Head.Metadata)
	}
	inv := newInvocation(c, in)
	defer inv.free()
	in.Mark(&m.running[kind])
	watch := m.pace.begin()
	err := c.invoke(ctx, o, m, inv, kind)
	watch.end(&m.pace)
	if err != nil {
		in.Release()
		in.Fail(c.failure(ctx, m, err))
		if o.failed != nil {
			o.failed(m.name, err)
		}
		return
	}
	if err := in.Reply(inv.head, inv.body); errors.Is(err, session.ErrTooLarge) {
		in.Fail(tooLarge(m, len(inv.head)+len(inv.body)))
	}
}

// invoke runs a method that has been admitted, inside the interceptors.
func (c *callee) invoke(ctx context.Context, o *object, m *method, inv *Invocation, kind validator.CallKind) error {
	o.used()
	if c.intercept == nil {
		return inv.run(ctx, o, m)
	}
	call := &CallInfo{Object: m.object, Method: m.name, Peer: c.peer, Oneway: kind == validator.KindOneway, Incoming: true}
	return contained(func() error {
		return c.intercept(ctx, call, func(ctx context.Context) error { return inv.run(ctx, o, m) })
	})
}

// contained turns a panic of an interceptor into an error of the call.
func contained(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicked{p, debug.Stack()}
		}
	}()
	return f()
}

// fits refuses calls that are not made the way the method wants.
func fits(in *session.Incoming, m *method) *wire.ErrorBody {
	wrong := func(format string, args ...any) *wire.ErrorBody {
		return &wire.ErrorBody{Kind: wire.KindArguments, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case in.Retry() && !m.idempotent:
		return &wire.ErrorBody{Kind: wire.KindRetry, Message: fmt.Sprintf("%s.%s is not declared idempotent, so a call that may have run is not run again", m.object, m.name)}
	case m.sends && in.In == nil:
		return wrong("no stream came along, want %s", m.signature)
	case !m.sends && in.In != nil:
		return wrong("a stream came along, want %s", m.signature)
	case m.wants && in.Out == nil:
		return wrong("%s yields a stream, which is taken with broker.Stream", m.signature)
	case !m.wants && in.Out != nil:
		return wrong("%s yields no stream", m.signature)
	}
	return nil
}

// admit finds a method and decides whether the peer may call it.
func (c *callee) admit(ctx context.Context, name, methodName []byte, kind validator.CallKind) (*object, *method, *wire.ErrorBody) {
	o := c.find(name)
	var m *method
	if o != nil {
		m = o.table.methods[string(methodName)]
	}
	if refused := c.authorize(ctx, o, m, name, methodName, kind); refused != nil {
		return nil, nil, refused
	}
	if m == nil {
		return nil, nil, missing(o, name, methodName)
	}
	return o, m, nil
}

// find returns the object of that name that the peer can see, or nil.
func (c *callee) find(name []byte) *object {
	if o := c.host.find(name); o != nil {
		return o
	}
	return c.ownObject(name)
}

// missing says what there is instead, to a peer who may call it.
func missing(o *object, name, method []byte) *wire.ErrorBody {
	if o == nil {
		return &wire.ErrorBody{Kind: wire.KindNoObject, Message: fmt.Sprintf("no object %q here", name)}
	}
	return &wire.ErrorBody{Kind: wire.KindNoMethod, Message: fmt.Sprintf("object %q exposes no method %q, only %q", name, method, o.table.names())}
}

// authorize is the one step in front of every call. It returns why the call is
// refused. Objects and methods that do not exist pass it too, so that only who
// may call them learns that.
func (c *callee) authorize(ctx context.Context, o *object, m *method, name, methodName []byte, kind validator.CallKind) *wire.ErrorBody {
	c.host.counted(c)
	authorizer, versioned := c.host.authorizer()
	if authorizer == nil {
		return nil // a client's own objects are for the daemon that was given them
	}
	var decision validator.Decision
	switch {
	case m != nil:
		decision = c.decide(authorizer, versioned, m, kind)
	case o != nil:
		decision = c.ask(ctx, authorizer, o.table.kind, string(methodName), kind)
	default:
		decision = c.ask(ctx, authorizer, string(name), string(methodName), kind)
	}
	if decision.Allowed {
		return nil
	}
	return c.denied(ctx, string(name), string(methodName), decision)
}

// denied notes a call that is refused, and is what its caller is told.
func (c *callee) denied(ctx context.Context, object, method string, decision validator.Decision) *wire.ErrorBody {
	incident := newIncident()
	c.host.noted(Incident{
		ID: incident, Time: time.Now().UTC(), Event: callDenied, Object: object, Method: method, Got: decision.Reason, Rule: decision.Rule,
		Who: "the daemon's operator", Fix: "add a rule that allows it, if it should be allowed",
	}.of(c.peer))
	c.tally.lastDenial.Store(&incident)
	c.log.LogAttrs(ctx, slog.LevelWarn, "call denied",
		slog.String("incident", incident), slog.String("session", c.peer.Session),
		slog.String("identity", c.peer.Identity.Name), slog.String("principal", c.peer.Identity.Principal.String()),
		slog.String("object", object), slog.String("method", method),
		slog.String("rule", decision.Rule), slog.String("reason", decision.Reason))
	return &wire.ErrorBody{Kind: wire.KindDenied, Message: decision.Reason, Incident: incident}
}

// ask puts the question to the authorizer, and notes what it has decided.
func (c *callee) ask(ctx context.Context, authorizer validator.Authorizer, object, method string, kind validator.CallKind) validator.Decision {
	d := c.consult(ctx, authorizer, object, method, kind)
	c.host.audited(c, object, method, kind, d)
	return d
}

// consult asks an authorizer. Whatever goes wrong there denies.
func (c *callee) consult(ctx context.Context, authorizer validator.Authorizer, object, method string, kind validator.CallKind) (d validator.Decision) {
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("authorizer panicked", "panic", p, "object", object, "method", method, "stack", string(debug.Stack()))
			d = validator.Decision{Rule: "panic", Reason: "the daemon's authorizer failed"}
		}
	}()
	return authorizer.Authorize(ctx, validator.Request{Identity: &c.peer.Identity, Object: object, Method: method, Kind: kind})
}

// decisions are what an authorizer with a version has decided for one
// connection. They are replaced whole, and void when the version has moved on.
type decisions struct {
	version uint64
	of      map[decisionKey]validator.Decision
}

type decisionKey struct {
	method *method
	kind   validator.CallKind
}

type decisionCache struct{ p atomic.Pointer[decisions] }

// decide answers from the cache when the authorizer's version allows it. The
// version is read before the question, so that an answer from before a change
// is never kept as one from after it.
func (c *callee) decide(authorizer validator.Authorizer, versioned validator.Versioned, m *method, kind validator.CallKind) validator.Decision {
	if versioned == nil {
		return c.ask(context.Background(), authorizer, m.object, m.name, kind)
	}
	version := versioned.Version()
	key := decisionKey{m, kind}
	known := c.decisions.p.Load()
	if known != nil && known.version == version {
		if d, ok := known.of[key]; ok {
			return d
		}
	}
	d := c.ask(context.Background(), authorizer, m.object, m.name, kind)
	next := &decisions{version: version, of: map[decisionKey]validator.Decision{key: d}}
	if known != nil && known.version == version {
		maps.Copy(next.of, known.of)
	}
	c.decisions.p.CompareAndSwap(known, next)
	return d
}
