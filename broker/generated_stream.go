package broker

import (
	"context"

	"github.com/pyrossl/pyrossl/broker/internal/session"
	"github.com/pyrossl/pyrossl/codec"
)

// Streams without reflection, for the code that broker gen writes. read reads an item,
// add appends one.

// ReadStream is the stream that came with a call, for its method. It may be ranged over
// once; what is left when the loop ends is not wanted.
func ReadStream[T any](ctx context.Context, in *Invocation, read func(*codec.Decoder) T) func(yield func(T, error) bool) {
	from := in.in.In
	return func(yield func(T, error) bool) {
		defer from.Stop()
		items := itemReader[T]{read: read}
		for {
			raw, ok, err := from.Next(ctx)
			var v T
			if ok {
				v, err = items.next(raw)
			} else if err == nil {
				return
			}
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}

// WriteStream sends what a method yields. Its error is the method's.
func WriteStream[T any](ctx context.Context, in *Invocation, seq func(yield func(T, error) bool), add func([]byte, T) ([]byte, error)) error {
	if seq == nil {
		return nil
	}
	return yielded(sendAll(ctx, in.in.Out, seq, add))
}

// SendStream adds the stream that is among the arguments of a call. It is pulled when
// the call is made.
func SendStream[T any](r *Request, seq func(yield func(T, error) bool), add func([]byte, T) ([]byte, error)) {
	if seq == nil {
		if r.bad == nil {
			r.bad = errNilStream
		}
		return
	}
	r.push = func(ctx context.Context, out *session.Outbound) (broken, err error) {
		return sendAll(ctx, out, seq, add)
	}
}

// ReceiveStream ranges over what a method yields, like [Stream]. request makes the call,
// for each range anew.
func ReceiveStream[T any](ctx context.Context, request func() *Request, read func(*codec.Decoder) T) func(yield func(T, error) bool) {
	return func(yield func(T, error) bool) {
		r := request()
		items := itemReader[T]{read: read}
		err := r.each(ctx, func(raw []byte) (bool, error) {
			v, err := items.next(raw)
			if err != nil {
				return false, err
			}
			return yield(v, nil), nil
		})
		if err != nil {
			var zero T
			yield(zero, err)
		}
	}
}

// each makes a call that yields a stream, and closes the request, also when take panics.
func (r *Request) each(ctx context.Context, take func([]byte) (bool, error)) error {
	defer r.Close(nil)
	if r.bad != nil {
		return r.proxy.failure(KindArguments, r.method, r.bad, false)
	}
	return r.proxy.each(ctx, r.method, payload{request: r}, r.push, take)
}

// itemReader decodes the items of a stream.
type itemReader[T any] struct {
	read    func(*codec.Decoder) T
	decoder codec.Decoder
}

// next decodes an item, whose bytes are its own.
func (i *itemReader[T]) next(raw []byte) (v T, err error) {
	if i.decoder, err = codec.NewDecoder(raw); err != nil {
		return v, err
	}
	i.decoder.Own()
	v = i.read(&i.decoder)
	if err = i.decoder.Err(); err != nil {
		var zero T
		return zero, err
	}
	return v, nil
}

// sendAll is a pusher.
func sendAll[T any](ctx context.Context, out *session.Outbound, seq func(yield func(T, error) bool), add func([]byte, T) ([]byte, error)) (broken, err error) {
	s := newSender(ctx, out)
	defer s.free()
	for v, e := range seq {
		if broken = e; broken != nil {
			break
		}
		if b, ok := any(&v).(*[]byte); ok {
			if !s.bytes(*b) {
				break
			}
		} else if !s.item(add(s.buf[:0], v)) {
			break
		}
	}
	return broken, s.err
}
