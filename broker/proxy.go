package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/session"
	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/broker/uri"
	"github.com/pyrossl/pyrossl/codec"
)

// Proxy calls one object. It is safe for concurrent use.
type Proxy struct {
	uri        uri.URI
	address    string // of the other side, for errors
	client     *Client
	link       *link   // nil for a name
	name       *name   // that says where the object is
	peer       *callee // instead of client and link: the connection whose peer exports the object
	side       *caller
	ident      any
	timeout    time.Duration
	idempotent map[string]bool
}

// caller is what calls need of the client or daemon that makes them.
type caller struct {
	errors    *errorTable
	log       *slog.Logger
	intercept Interceptor // nil for none
}

// URI is what the proxy was made from. For an object that the other side exports over
// its own connection it has nothing but the object.
func (p *Proxy) URI() uri.URI { return p.uri }

// Connect connects, if there is no connection yet, and returns how the daemon
// sees this client. The error is a *ConnectionDeniedError, or an *Error of
// KindUnreachable.
func (p *Proxy) Connect(ctx context.Context) (Connection, error) {
	if p.peer != nil {
		return Connection{}, fmt.Errorf("broker: %s is exported over its peer's own connection, which is there already or never again", p.uri.Object)
	}
	w, err := p.way(ctx)
	if err != nil {
		return Connection{}, p.contextual(err, "")
	}
	d, err := w.link.get(ctx)
	if err != nil {
		p.missed(w, err)
		return Connection{}, err
	}
	return d.info, nil
}

// Call calls a method and waits for its result, which is decoded into result, a
// pointer; nil drops it. The arguments may be anything that the codec carries;
// they must not be changed until Call returns. One of them may be an
// iter.Seq2[T, error], if the method takes a stream: it is run by this goroutine, and
// the call ends only after it has returned. A *Proxy and an [Local] object travel as
// references, and a result that is one is decoded into a *Proxy.
//
// The method runs at most once. Only if the connection was lost and the method
// is declared idempotent on both sides, or has certainly not run, is it called
// again, on a new connection, until the time is up or the daemon could not be reached
// for some seconds.
//
// The error is an *Error, or a *ConnectionDeniedError.
func (p *Proxy) Call(ctx context.Context, method string, result any, args ...any) error {
	if p.side.intercept == nil {
		return p.plainCall(ctx, method, result, args)
	}
	info := p.info(method, false)
	return p.side.intercept(ctx, &info, func(ctx context.Context) error { return p.plainCall(ctx, method, result, args) })
}

func (p *Proxy) info(method string, oneway bool) CallInfo {
	return CallInfo{Object: p.uri.Object, Method: method, URI: p.where(), Oneway: oneway}
}

// where is the URI as text, also of an object that the peer exports.
func (p *Proxy) where() string {
	if p.peer != nil {
		return peerScheme + p.uri.Object
	}
	return p.uri.String()
}

func (p *Proxy) plainCall(ctx context.Context, method string, result any, args []any) error {
	if slices.ContainsFunc(args, isStream) {
		plain, push, err := splitStream(args)
		if err != nil {
			return p.failure(KindArguments, method, err, false)
		}
		resp, c, err := p.send(ctx, method, payload{args: plain}, push)
		if err != nil {
			return err
		}
		return p.result(method, result, resp, c)
	}
	resp, c, err := p.call(ctx, method, 0, nil, payload{args: args})
	if err != nil {
		return err
	}
	if resp.Type == wire.Error {
		defer resp.Release()
		return p.remoteError(method, resp.Payload)
	}
	return p.result(method, result, resp, c)
}

// result decodes the result of a call.
func (p *Proxy) result(method string, result any, resp session.Response, c *callee) error {
	defer resp.Release()
	if err := c.decodeResult(resp, result); err != nil {
		return p.failure(KindResult, method, err, true)
	}
	return nil
}

// Oneway calls a method and returns when the call is queued for sending.
// Whatever becomes of it, nobody is told but the logger. It runs at most once.
func (p *Proxy) Oneway(ctx context.Context, method string, args ...any) error {
	if p.side.intercept == nil {
		return p.plainOneway(ctx, method, args)
	}
	info := p.info(method, true)
	return p.side.intercept(ctx, &info, func(ctx context.Context) error { return p.plainOneway(ctx, method, args) })
}

func (p *Proxy) plainOneway(ctx context.Context, method string, args []any) error {
	_, _, err := p.call(ctx, method, wire.Oneway, p.unanswered(method), payload{args: args})
	return err
}

// deadline is how long a call may take: the time that ctx leaves, or else the
// given default. 0 means that the time is up, less than that that there is no limit.
func deadline(ctx context.Context, otherwise time.Duration) time.Duration {
	if end, ok := ctx.Deadline(); ok {
		return max(0, time.Until(end))
	}
	return otherwise
}

// call sends a call, again where that is safe, and returns the answer and the
// connection that it came on.
func (p *Proxy) call(ctx context.Context, method string, flags wire.Flags, after func(*session.Response), args payload) (session.Response, *callee, error) {
	timeout := deadline(ctx, p.timeout)
	if timeout == 0 {
		return session.Response{}, nil, p.failure(KindDeadline, method, context.DeadlineExceeded, false)
	}
	started := time.Now()
	for n := 0; ; n++ {
		left := timeout
		if n > 0 && timeout > 0 {
			left = timeout - time.Since(started)
		}
		resp, c, err := p.once(ctx, method, flags, after, args, left)
		if err == nil {
			return resp, c, nil
		}
		retry, mayHaveRun := p.again(err, n, method, flags)
		if mayHaveRun {
			flags |= wire.Retry
		}
		if wait := backoff(n); !retry || timeout > 0 && timeout-time.Since(started) <= wait || !sleep(ctx, wait) {
			return resp, nil, everRun(err, flags)
		}
	}
}

// sleep reports false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// everRun makes the last error of a call that was repeated tell about all
// attempts.
func everRun(err error, flags wire.Flags) error {
	var e *Error
	if flags&wire.Retry != 0 && errors.As(err, &e) && !e.MayHaveRun {
		of := *e
		of.MayHaveRun = true
		return &of
	}
	return err
}

// maxReconnects is how often a lost connection is dialled again for one call: for
// about four seconds.
const maxReconnects = 6

// again reports whether a call whose nth attempt ended with err may be sent once
// more, and whether it may have run.
func (p *Proxy) again(err error, n int, method string, flags wire.Flags) (retry, repeated bool) {
	var e *Error
	if !errors.As(err, &e) || p.peer != nil {
		return false, false
	}
	switch e.Kind {
	case KindUnreachable:
		// A daemon that was never reached may not exist; one that was comes back.
		return p.known() && n < maxReconnects, false
	case KindDraining:
		return true, false
	case KindLost:
		return !e.MayHaveRun || p.idempotent[method] && flags&wire.Oneway == 0, e.MayHaveRun
	}
	return false, false
}

// once sends a call once. A refusal to take it is an error here, so that call
// can try another connection.
func (p *Proxy) once(ctx context.Context, method string, flags wire.Flags, after func(*session.Response), args payload, timeout time.Duration) (session.Response, *callee, error) {
	c, w, err := p.connection(ctx, timeout)
	if err != nil {
		return session.Response{}, nil, p.contextual(err, method)
	}
	head, body, err := p.encode(ctx, c, session.GetBuffer(), w.object, method, args, timeout)
	if err != nil {
		session.PutBuffer(head)
		return session.Response{}, nil, p.failure(KindArguments, method, err, false)
	}
	resp, err := c.session.Call(ctx, &session.Request{Flags: flags, Head: head, Body: body, Timeout: max(timeout, 0), After: after})
	session.PutBuffer(head)
	if err == nil && resp.Type == wire.Error && drainingError(resp.Payload) {
		err = p.remoteError(method, resp.Payload)
		resp.Release()
		p.missed(w, err)
		return session.Response{}, nil, err
	}
	if err != nil {
		err = p.lost(err, method)
		p.missed(w, err)
		return session.Response{}, nil, err
	}
	return resp, c, nil
}

// way is where a call goes.
type way struct {
	link   *link
	object string
}

// way finds out where the object is.
func (p *Proxy) way(ctx context.Context) (way, error) {
	if p.name != nil {
		return p.name.way(ctx)
	}
	return way{p.link, p.uri.Object}, nil
}

// missed notes that a call did not arrive: the name may lead elsewhere.
func (p *Proxy) missed(w way, err error) {
	if p.name != nil {
		p.name.missed(w, err)
	}
}

// known reports whether the object could be reached once.
func (p *Proxy) known() bool {
	if p.name != nil {
		return p.name.found.Load()
	}
	return p.link.connected.Load()
}

// connection is a live one, made if there is none within the call's timeout.
func (p *Proxy) connection(ctx context.Context, timeout time.Duration) (*callee, way, error) {
	if p.peer != nil {
		return p.peer, way{object: p.uri.Object}, nil
	}
	if p.link != nil {
		if d := p.link.alive(); d != nil {
			return &d.callee, way{p.link, p.uri.Object}, nil
		}
	}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	w, err := p.way(ctx)
	if err != nil {
		return nil, w, err
	}
	d, err := w.link.get(ctx)
	if err != nil {
		p.missed(w, err)
		return nil, w, err
	}
	return &d.callee, w, nil
}

// payload are the arguments of a call: values, or what generated code has encoded.
type payload struct {
	args    []any
	request *Request
}

// encode writes the envelope and the arguments. A large last []byte is sent from
// where it lies.
func (p *Proxy) encode(ctx context.Context, c *callee, buf []byte, object, method string, args payload, timeout time.Duration) (head, body []byte, err error) {
	var millis uint64
	if timeout > 0 {
		millis = max(1, uint64(timeout/time.Millisecond))
	}
	if head, err = wire.AppendCallHead(buf, object, method, OutgoingMetadata(ctx), millis); err != nil {
		return buf, nil, err
	}
	if args.request != nil {
		return args.request.encode(c, head)
	}
	for i, arg := range args.args {
		if b, ok := arg.([]byte); ok && i == len(args.args)-1 && len(b) >= inlineBytes {
			return wire.AppendBytesHead(head, len(b)), b, nil
		}
		if head, err = c.appendArgument(head, arg); err != nil {
			return head, nil, fmt.Errorf("argument %d: %s", i+1, withoutPrefix(err))
		}
	}
	return head, nil, nil
}

// appendArgument encodes an argument, or a reference to it.
func (c *callee) appendArgument(dst []byte, arg any) ([]byte, error) {
	switch v := arg.(type) {
	case *Batch:
		return v.encode(c, dst)
	case *Pending:
		return dst, errors.New("the result of a call of a batch has a meaning in that batch only")
	case Referable:
		return v.appendReference(dst, c)
	}
	return codec.Append(dst, arg)
}

// ErrNoResult is why a call failed whose method ran and returns no value, although
// the caller wants one.
var ErrNoResult = errors.New("the method returns no value; pass nil")

func (c *callee) decodeResult(resp session.Response, result any) error {
	if result == nil {
		return nil
	}
	if len(resp.Payload) == 0 {
		return ErrNoResult
	}
	if p, ok := result.(**Proxy); ok && p != nil {
		var text string
		if err := codec.Unmarshal(resp.Payload, &text); err != nil {
			return err
		}
		made, err := c.referred(text)
		*p = made
		return err
	}
	if p, ok := result.(*[]byte); ok && resp.Owned {
		if content, ok := wire.BytesItem(resp.Payload); ok {
			*p = content[:len(content):len(content)]
			return nil
		}
	}
	return codec.Unmarshal(resp.Payload, result)
}

func drainingError(payload []byte) bool {
	var body wire.ErrorBody
	return wire.ParseControl(wire.Error, payload, &body) == nil && body.Kind == wire.KindDraining
}

// remoteError makes an error of what came in an Error frame.
func (p *Proxy) remoteError(method string, payload []byte) error {
	var body wire.ErrorBody
	if err := wire.ParseControl(wire.Error, payload, &body); err != nil {
		return p.failure(KindResult, method, err, true)
	}
	e := &Error{
		Kind: Kind(body.Kind), Object: p.uri.Object, Method: method, Peer: p.address,
		Message: body.Message, Incident: body.Incident, name: body.Name, data: body.Data, table: p.side.errors,
	}
	switch body.Kind {
	case wire.KindApplication, wire.KindInternal, wire.KindCanceled, wire.KindDeadline, wire.KindTooLarge:
		e.MayHaveRun = true
	}
	return e
}

// failure is an error of this side.
func (p *Proxy) failure(kind Kind, method string, err error, mayHaveRun bool) *Error {
	e := &Error{Kind: kind, Object: p.uri.Object, Method: method, Peer: p.address, Err: err, MayHaveRun: mayHaveRun}
	if err != nil && err != context.Canceled && err != context.DeadlineExceeded {
		e.Message = withoutPrefix(err)
	}
	return e
}

// withoutPrefix is the text of an error of this module, to stand in a sentence.
func withoutPrefix(err error) string {
	text := err.Error()
	for _, prefix := range []string{"broker: ", "session: ", "wire: ", "codec: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return text
}

// contextual tells which call an error of connecting belongs to.
func (p *Proxy) contextual(err error, method string) error {
	var e *Error
	switch {
	case errors.As(err, &e):
		of := *e
		of.Object, of.Method = p.uri.Object, method
		return &of
	case errors.Is(err, context.Canceled):
		return p.failure(KindCanceled, method, err, false)
	case errors.Is(err, context.DeadlineExceeded):
		return p.failure(KindDeadline, method, err, false)
	}
	return err
}

// lost gives an error of the session its kind.
func (p *Proxy) lost(err error, method string) error {
	var unanswered *session.NotAnswered
	var ended *session.Ended
	switch {
	case err == session.ErrTooLarge:
		return p.failure(KindTooLarge, method, errors.New("the arguments exceed the daemon's limit for a message"), false)
	case err == session.ErrDraining:
		return p.failure(KindDraining, method, nil, false)
	case errors.As(err, &unanswered):
		e := p.failure(KindLost, method, unanswered.Err, unanswered.Sent)
		if errors.As(err, &ended) {
			e.Message, e.Incident = "the daemon ended the session: "+ended.Reason, ended.Incident
		}
		return e
	case err == context.Canceled:
		return p.failure(KindCanceled, method, err, true)
	case err == context.DeadlineExceeded:
		return p.failure(KindDeadline, method, err, true)
	}
	return p.failure(KindLost, method, err, true)
}

// jitter spreads retries, so that clients do not come back all at once.
func jitter(d time.Duration) time.Duration { return rand.N(d + 1) }
