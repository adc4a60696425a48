package pool

import (
	"context"
	"errors"
	"iter"
	"reflect"
	"slices"
	"sync"

	"github.com/pyrossl/pyrossl/broker"
)

// Call calls a method on one of the daemons: see [broker.Proxy.Call]. On another one it
// is called again only if it has certainly not run, or if it is idempotent. A stream among
// the arguments is not sent twice in any case.
//
// The error is what broker.Proxy.Call returns. If no daemon could be called it is a
// *broker.Error of KindUnreachable, in which there is a [DownError]. ErrClosed is one
// of its own.
func (p *Pool) Call(ctx context.Context, method string, result any, args ...any) error {
	t := p.try(ctx)
	defer t.end()
	streams := slices.ContainsFunc(args, isFunc)
	for {
		h, err := t.acquire()
		if err != nil {
			return t.failure(method, err)
		}
		if streams {
			return h.send(t.ctx, method, result, args)
		}
		err = h.call(t.ctx, t.mayHaveRun, method, result, args)
		if err == nil || !t.again(h.member, err, p.idempotent[method]) {
			return err
		}
	}
}

// isFunc recognizes streams: the codec carries no other function.
func isFunc(arg any) bool { return arg != nil && reflect.TypeOf(arg).Kind() == reflect.Func }

// errUnfinished is what a call ends with that panicked.
var errUnfinished = errors.New("pool: the call has not returned")

func (h held) call(ctx context.Context, again bool, method string, result any, args []any) error {
	err := errUnfinished
	defer func() { h.end(err) }()
	err = h.proxy.CallOnce(ctx, again, method, result, args...)
	return err
}

func (h held) send(ctx context.Context, method string, result any, args []any) error {
	err := errUnfinished
	defer func() { h.end(err) }()
	err = h.proxy.Call(ctx, method, result, args...)
	return err
}

// Oneway calls a method on one of the daemons and returns when the call is queued for
// sending. It runs at most once.
func (p *Pool) Oneway(ctx context.Context, method string, args ...any) error {
	t := p.try(ctx)
	defer t.end()
	for {
		h, err := t.acquire()
		if err != nil {
			return t.failure(method, err)
		}
		err = h.oneway(t.ctx, method, args)
		if err == nil || !t.again(h.member, err, false) {
			return err
		}
	}
}

func (h held) oneway(ctx context.Context, method string, args []any) error {
	err := errUnfinished
	defer func() { h.end(err) }()
	err = h.proxy.OnewayOnce(ctx, method, args...)
	return err
}

// Pick returns a proxy for one of the daemons, to which there is a connection, for what
// belongs together: a batch, streams, callbacks, calls that depend on each other. It
// counts as one call until done is called, once, with the error of what was done, or nil.
// A proxy that was picked has the retries of a proxy, on its own daemon.
func (p *Pool) Pick(ctx context.Context) (proxy *broker.Proxy, done func(error), err error) {
	t := p.try(ctx)
	defer t.end()
	h, err := t.acquire()
	if err != nil {
		return nil, nil, t.failure("", err)
	}
	var once sync.Once
	return h.proxy, func(err error) { once.Do(func() { h.end(err) }) }, nil
}

// Stream calls a method that yields a stream on one of the daemons: see [broker.Stream].
// Another one is tried only before the stream has begun. A stream counts as a call for as
// long as it flows.
func Stream[T any](ctx context.Context, p *Pool, method string, args ...any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		t := p.try(ctx)
		defer t.end()
		for {
			h, err := t.acquire()
			if err != nil {
				yield(zero, t.failure(method, err))
				return
			}
			begun, err := flow(ctx, h, method, args, yield)
			if err == nil {
				return
			}
			if begun || slices.ContainsFunc(args, isFunc) || !t.again(h.member, err, false) {
				yield(zero, err)
				return
			}
		}
	}
}

// flow ranges over a stream. It returns an error, which is not yielded, and whether
// anything was before.
func flow[T any](ctx context.Context, h held, method string, args []any, yield func(T, error) bool) (begun bool, err error) {
	end := errUnfinished
	defer func() { h.end(end) }()
	for item, err := range broker.Stream[T](ctx, h.proxy, method, args...) {
		if err != nil {
			end = err
			return begun, err
		}
		begun = true
		if !yield(item, nil) {
			break
		}
	}
	end = nil
	return begun, nil
}
