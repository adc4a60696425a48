package broker

import (
	"context"
	"errors"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
)

// CallInfo is what an interceptor is told of a call.
type CallInfo struct {
	Object string // its name; of an object that was exported to one caller, its kind
	Method string
	// Peer is who calls, on the side of the object. It is nil on the side of the
	// caller, where URI says who is called.
	Peer     *Peer
	URI      string
	Oneway   bool
	Incoming bool // this is the side of the object
}

// Kind is what the caller is told that became of a call when it ended with err: on the
// side of the object by the daemon that asks, on the caller's side by what came. It is 0
// when err is nil, and for what is no failure of a call: a *ConnectionDeniedError, or an
// error that an interceptor of the caller's made.
func (c *CallInfo) Kind(err error) Kind {
	var refused *refusal
	if err == nil {
		return 0
	}
	if errors.As(err, &refused) {
		return Kind(refused.body.Kind)
	}
	if !c.Incoming {
		var e *Error
		if errors.As(err, &e) {
			return e.Kind
		}
		return 0
	}
	var bad *argumentError
	var p *panicked
	var uncarried *resultError
	switch {
	case errors.As(err, &bad):
		return KindArguments
	case errors.As(err, &p), errors.As(err, &uncarried):
		return KindInternal
	case errors.Is(err, context.Canceled):
		return KindCanceled
	case errors.Is(err, context.DeadlineExceeded):
		return KindDeadline
	}
	return KindApplication
}

// Interceptor stands around every call of a daemon or client. next goes on with the
// call, with a context that may carry more; without next the method is not called and
// the interceptor's error is the answer. It returns next's error, or another. It sees
// neither arguments nor results, and on a daemon it runs after the call was
// authorized: it can narrow what is allowed, never widen it.
//
// Interceptors run side by side and must be quick: they are part of every call.
type Interceptor func(ctx context.Context, call *CallInfo, next func(context.Context) error) error

// chain makes one interceptor of many, the first one outermost; nil of none.
func chain(all []Interceptor) Interceptor {
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	first, rest := all[0], chain(all[1:])
	return func(ctx context.Context, call *CallInfo, next func(context.Context) error) error {
		return first(ctx, call, func(ctx context.Context) error { return rest(ctx, call, next) })
	}
}

// Refuse makes the error of an interceptor that refuses a call instead of going on: the
// caller gets KindBusy or KindDenied, and this message.
func Refuse(kind Kind, message string) error {
	if kind != KindBusy && kind != KindDenied {
		panic("broker: Refuse takes KindBusy or KindDenied")
	}
	return &refusal{&wire.ErrorBody{Kind: wire.Kind(kind), Message: message}}
}
