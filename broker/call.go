package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"runtime/debug"
	"sync/atomic"

	"github.com/pyrossl/pyrossl/broker/internal/session"
	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/codec"
	"github.com/pyrossl/pyrossl/validator"
)

// serve takes one call from its frames to its answer: find, authorize, decode,
// run, reply. It is the only way to an object.
func (c *connection) serve(in *session.Incoming) {
	m := c.daemon.find(in.Head.Object, in.Head.Method)
	if refusal := c.authorize(m, in); refusal != nil {
		in.Release()
		in.Fail(refusal)
		return
	}
	if m == nil {
		refusal := c.daemon.missing(string(in.Head.Object), string(in.Head.Method))
		in.Release()
		in.Fail(refusal)
		return
	}
	if in.Retry() && !m.idempotent {
		in.Release()
		in.Fail(&wire.ErrorBody{Kind: wire.KindRetry, Message: fmt.Sprintf("%s.%s is not declared idempotent, so a call that may have run is not run again", m.object, m.name)})
		return
	}
	ctx := in.Context()
	if in.Head.Metadata != nil {
		ctx = context.WithValue(ctx, metadataKey{}, in.Head.Metadata)
	}
	args, err := m.arguments(ctx, in)
	in.Release()
	if err != nil {
		in.Fail(&wire.ErrorBody{Kind: wire.KindArguments, Message: err.Error()})
		return
	}
	result, err := c.invoke(m, args)
	if err != nil {
		c.fail(in, m, err)
		return
	}
	c.reply(in, m, result)
}

// authorize is the one step in front of every call. It returns why the call is
// refused. Objects and methods that do not exist pass it too, so that only who
// may call them learns that.
func (c *connection) authorize(m *method, in *session.Incoming) *wire.ErrorBody {
	kind := validator.KindCall
	if in.Oneway() {
		kind = validator.KindOneway
	}
	var decision validator.Decision
	if m != nil {
		decision = c.decide(m, kind)
	} else {
		decision = c.ask(in.Context(), string(in.Head.Object), string(in.Head.Method), kind)
	}
	if decision.Allowed {
		return nil
	}
	incident := newIncident()
	c.daemon.counters.callsDenied.Add(1)
	c.daemon.log.LogAttrs(in.Context(), slog.LevelWarn, "call denied",
		slog.String("incident", incident), slog.String("session", c.peer.Session),
		slog.String("identity", c.peer.Identity.Name), slog.String("principal", c.peer.Identity.Principal.String()),
		slog.String("object", string(in.Head.Object)), slog.String("method", string(in.Head.Method)),
		slog.String("rule", decision.Rule), slog.String("reason", decision.Reason))
	return &wire.ErrorBody{Kind: wire.KindDenied, Message: decision.Reason, Incident: incident}
}

// ask puts the question to the authorizer. Whatever goes wrong there denies.
func (c *connection) ask(ctx context.Context, object, method string, kind validator.CallKind) (d validator.Decision) {
	defer func() {
		if p := recover(); p != nil {
			c.daemon.log.Error("authorizer panicked", "panic", p, "object", object, "method", method, "stack", string(debug.Stack()))
			d = validator.Decision{Rule: "panic", Reason: "the daemon's authorizer failed"}
		}
	}()
	return c.daemon.config.Authorizer.Authorize(ctx, validator.Request{
		Identity: &c.peer.Identity, Object: object, Method: method, Kind: kind,
	})
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
func (c *connection) decide(m *method, kind validator.CallKind) validator.Decision {
	v := c.daemon.versioned
	if v == nil {
		return c.ask(context.Background(), m.object, m.name, kind)
	}
	version := v.Version()
	key := decisionKey{m, kind}
	known := c.decisions.p.Load()
	if known != nil && known.version == version {
		if d, ok := known.of[key]; ok {
			return d
		}
	}
	d := c.ask(context.Background(), m.object, m.name, kind)
	next := &decisions{version: version, of: map[decisionKey]validator.Decision{key: d}}
	if known != nil && known.version == version {
		maps.Copy(next.of, known.of)
	}
	c.decisions.p.CompareAndSwap(known, next)
	return d
}

// arguments decodes the arguments into the types that the method declares.
func (m *method) arguments(ctx context.Context, in *session.Incoming) ([]reflect.Value, error) {
	seq, err := codec.NewSequence(in.Args)
	if err != nil {
		return nil, fmt.Errorf("arguments: %s", withoutPrefix(err))
	}
	n := seq.Len()
	if n != len(m.in) && !(m.variadic && n >= len(m.in)-1) {
		return nil, fmt.Errorf("%d arguments, want %s", n, m.signature())
	}
	args := append(make([]reflect.Value, 0, n+2), m.receiver)
	if m.takesCtx {
		args = append(args, reflect.ValueOf(ctx))
	}
	for i := range n {
		t := m.in[min(i, len(m.in)-1)]
		if m.variadic && i >= len(m.in)-1 {
			t = t.Elem()
		}
		v, err := argument(&seq, t, in.Owned)
		if err != nil {
			return nil, fmt.Errorf("argument %d, %v: %s", i+1, t, withoutPrefix(err))
		}
		args = append(args, v)
	}
	return args, nil
}

var bytesType = reflect.TypeFor[[]byte]()

func argument(seq *codec.Sequence, t reflect.Type, owned bool) (reflect.Value, error) {
	if owned && t == bytesType {
		// The message is this call's alone: no copy of what may be megabytes.
		probe := *seq
		if raw, err := probe.Raw(); err == nil {
			if content, ok := wire.BytesItem(raw); ok {
				*seq = probe
				return reflect.ValueOf(content[:len(content):len(content)]), nil
			}
		}
	}
	p := reflect.New(t)
	if err := seq.Next(p.Interface()); err != nil {
		return reflect.Value{}, err
	}
	return p.Elem(), nil
}

// panicked is the error of a method that panicked.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprint(p.value) }

// invoke calls the method. A panic ends this call only.
func (c *connection) invoke(m *method, args []reflect.Value) (result reflect.Value, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicked{p, debug.Stack()}
		}
	}()
	out := m.fn.Call(args)
	if m.fails {
		if e, _ := out[len(out)-1].Interface().(error); e != nil {
			return result, e
		}
	}
	if m.out != nil {
		result = out[0]
	}
	return result, nil
}

// fail answers with the error of a method.
func (c *connection) fail(in *session.Incoming, m *method, err error) {
	var p *panicked
	if errors.As(err, &p) {
		incident := newIncident()
		c.daemon.log.Error("method panicked", "incident", incident, "object", m.object, "method", m.name,
			"identity", c.peer.Identity.Name, "panic", fmt.Sprint(p.value), "stack", string(p.stack))
		in.Fail(&wire.ErrorBody{Kind: wire.KindInternal, Incident: incident})
		return
	}
	in.Fail(c.daemon.errors.body(err))
}

// inlineBytes is the size from which a []byte result is sent from where it lies.
const inlineBytes = 16 << 10

// reply answers with a result.
func (c *connection) reply(in *session.Incoming, m *method, result reflect.Value) {
	buf := session.GetBuffer()
	head, body, err := encode(buf, m.out, result)
	if err == nil {
		err = in.Reply(head, body)
	}
	session.PutBuffer(head)
	switch {
	case err == nil:
	case errors.Is(err, session.ErrTooLarge):
		in.Fail(&wire.ErrorBody{Kind: wire.KindTooLarge, Message: fmt.Sprintf("the result of %s.%s, %d bytes, is larger than the caller accepts", m.object, m.name, len(head)+len(body))})
	default:
		incident := newIncident()
		c.daemon.log.Error("result cannot be carried", "incident", incident, "object", m.object, "method", m.name, "error", err)
		in.Fail(&wire.ErrorBody{Kind: wire.KindInternal, Incident: incident})
	}
}

func encode(buf []byte, t reflect.Type, v reflect.Value) (head, body []byte, err error) {
	if t == nil {
		return buf, nil, nil
	}
	if t == bytesType && v.Len() >= inlineBytes {
		return wire.AppendBytesHead(buf, v.Len()), v.Bytes(), nil
	}
	head, err = codec.Append(buf, v.Interface())
	return head, nil, err
}
