package broker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/session"
	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/broker/uri"
	"github.com/pyrossl/pyrossl/codec"
)

// Proxy calls one object. It is safe for concurrent use.
type Proxy struct {
	client     *Client
	uri        uri.URI
	link       *link
	ident      any
	timeout    time.Duration
	idempotent map[string]bool
}

// URI is what the proxy was made from.
func (p *Proxy) URI() uri.URI { return p.uri }

// Connect connects, if there is no connection yet, and returns how the daemon
// sees this client. The error is a *ConnectionDeniedError, or an *Error of
// KindUnreachable.
func (p *Proxy) Connect(ctx context.Context) (Connection, error) {
	d, err := p.link.get(ctx)
	if err != nil {
		return Connection{}, err
	}
	return d.info, nil
}

// Call calls a method and waits for its result, which is decoded into result, a
// pointer; nil drops it. The arguments may be anything that the codec carries;
// they must not be changed until Call returns.
//
// The method runs at most once. Only if the connection was lost and the method
// is declared idempotent on both sides, or has certainly not run, is it called
// again, on a new connection, until the time is up.
//
// The error is an *Error, or a *ConnectionDeniedError.
func (p *Proxy) Call(ctx context.Context, method string, result any, args ...any) error {
	resp, err := p.call(ctx, method, 0, nil, args)
	if err != nil {
		return err
	}
	defer resp.Release()
	if resp.Type == wire.Error {
		return p.remoteError(method, resp.Payload)
	}
	if err := decodeResult(resp, result); err != nil {
		return p.failure(KindResult, method, err, true)
	}
	return nil
}

// Oneway calls a method and returns when the call is queued for sending.
// Whatever becomes of it, nobody is told but the client's logger. It runs at
// most once.
func (p *Proxy) Oneway(ctx context.Context, method string, args ...any) error {
	after := func(resp *session.Response) {
		var err error
		switch {
		case resp == nil:
			err = p.failure(KindLost, method, nil, true)
		case resp.Type == wire.Error:
			err = p.remoteError(method, resp.Payload)
		default:
			return
		}
		p.client.log.Warn("oneway call failed", "error", err)
	}
	_, err := p.call(ctx, method, wire.Oneway, after, args)
	return err
}

// call sends a call, again where that is safe, and returns the answer.
func (p *Proxy) call(ctx context.Context, method string, flags wire.Flags, after func(*session.Response), args []any) (session.Response, error) {
	timeout := p.timeout
	if end, ok := ctx.Deadline(); ok {
		timeout = time.Until(end)
		if timeout <= 0 {
			return session.Response{}, p.failure(KindDeadline, method, context.DeadlineExceeded, false)
		}
	}
	started := time.Now()
	for n := 0; ; n++ {
		left := timeout
		if n > 0 && timeout > 0 {
			left = timeout - time.Since(started)
		}
		resp, err := p.once(ctx, method, flags, after, args, left)
		if err == nil {
			return resp, nil
		}
		retry, mayHaveRun := p.again(err, n, method, flags)
		if mayHaveRun {
			flags |= wire.Retry
		}
		if wait := backoff(n); !retry || timeout > 0 && timeout-time.Since(started) <= wait || !sleep(ctx, wait) {
			return resp, everRun(err, flags)
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
	if !errors.As(err, &e) {
		return false, false
	}
	switch e.Kind {
	case KindUnreachable:
		// A daemon that was never reached may not exist; one that was comes back.
		return p.link.connected.Load() && n < maxReconnects, false
	case KindDraining:
		return true, false
	case KindLost:
		return !e.MayHaveRun || p.idempotent[method] && flags&wire.Oneway == 0, e.MayHaveRun
	}
	return false, false
}

// once sends a call once. A refusal to take it is an error here, so that call
// can try another connection.
func (p *Proxy) once(ctx context.Context, method string, flags wire.Flags, after func(*session.Response), args []any, timeout time.Duration) (session.Response, error) {
	d, err := p.connection(ctx, timeout)
	if err != nil {
		return session.Response{}, p.contextual(err, method)
	}
	buf := session.GetBuffer()
	head, body, err := p.encode(ctx, buf, method, args, timeout)
	if err != nil {
		session.PutBuffer(buf)
		return session.Response{}, p.failure(KindArguments, method, err, false)
	}
	resp, err := d.session.Call(ctx, &session.Request{Flags: flags, Head: head, Body: body, Timeout: max(timeout, 0), After: after})
	session.PutBuffer(head)
	if err == nil && resp.Type == wire.Error && drainingError(resp.Payload) {
		err = p.remoteError(method, resp.Payload)
		resp.Release()
		return session.Response{}, err
	}
	if err != nil {
		return session.Response{}, p.lost(err, method)
	}
	return resp, nil
}

// connection is p.link.get, bounded by the call's timeout.
func (p *Proxy) connection(ctx context.Context, timeout time.Duration) (*dialed, error) {
	if d := p.link.alive(); d != nil {
		return d, nil
	}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	return p.link.get(ctx)
}

// encode writes the envelope and the arguments. A large last []byte is sent from
// where it lies.
func (p *Proxy) encode(ctx context.Context, buf []byte, method string, args []any, timeout time.Duration) (head, body []byte, err error) {
	var millis uint64
	if timeout > 0 {
		millis = max(1, uint64(timeout/time.Millisecond))
	}
	metadata, _ := ctx.Value(outgoingMetadataKey{}).(map[string]string)
	if head, err = wire.AppendCallHead(buf, p.uri.Object, method, metadata, millis); err != nil {
		return buf, nil, err
	}
	for i, arg := range args {
		if b, ok := arg.([]byte); ok && i == len(args)-1 && len(b) >= inlineBytes {
			return wire.AppendBytesHead(head, len(b)), b, nil
		}
		if head, err = codec.Append(head, arg); err != nil {
			return buf, nil, fmt.Errorf("argument %d: %s", i+1, withoutPrefix(err))
		}
	}
	return head, nil, nil
}

// ErrNoResult is why a call failed whose method ran and returns no value, although
// the caller wants one.
var ErrNoResult = errors.New("the method returns no value; pass nil")

func decodeResult(resp session.Response, result any) error {
	if result == nil {
		return nil
	}
	if len(resp.Payload) == 0 {
		return ErrNoResult
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
		Kind: Kind(body.Kind), Object: p.uri.Object, Method: method, Peer: p.uri.Address(),
		Message: body.Message, Incident: body.Incident, name: body.Name, data: body.Data, table: p.client.errors,
	}
	switch body.Kind {
	case wire.KindApplication, wire.KindInternal, wire.KindCanceled, wire.KindDeadline, wire.KindTooLarge:
		e.MayHaveRun = true
	}
	return e
}

// failure is an error of this side.
func (p *Proxy) failure(kind Kind, method string, err error, mayHaveRun bool) *Error {
	e := &Error{Kind: kind, Object: p.uri.Object, Method: method, Peer: p.uri.Address(), Err: err, MayHaveRun: mayHaveRun}
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
