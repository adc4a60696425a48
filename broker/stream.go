package broker

import (
	"context"
	"errors"
	"iter"
	"reflect"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/session"
	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/codec"
)

// Stream calls a method that yields a stream, and ranges over what it yields:
//
//	for price, err := range broker.Stream[Price](ctx, stock, "Watch", "ACME") {
//
// Each range is a call of its own, which ends when the loop does: breaking out
// cancels the method. The error comes last, with a zero item; it is what [Proxy.Call]
// would have returned. There is no time limit but ctx's, since a stream may go on for
// as long as its connection; it never outlives that, nor the right to call the method.
// A stream that was begun is not begun again elsewhere: where to resume is for the
// caller to know. What the loop does not take is not sent: at most 256 KiB are on
// their way beside the current item.
//
// One of the arguments may be an iter.Seq2[T, error] itself, if the method takes one. It
// is pulled by a goroutine of its own while the loop runs, and the loop ends only after
// that iterator has returned: one that waits for something should also heed ctx. An item
// has been taken when yield returns, here and in a method that yields, so that the next
// one may use the same memory.
func Stream[T any](ctx context.Context, p *Proxy, method string, args ...any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		plain, push, err := splitStream(args)
		if err == nil {
			err = p.each(ctx, method, payload{args: plain}, push, func(raw []byte) (bool, error) {
				var item T
				if err := decodeItem(raw, &item); err != nil {
					return false, err
				}
				return yield(item, nil), nil
			})
		} else {
			err = p.failure(KindArguments, method, err, false)
		}
		if err != nil {
			var zero T
			yield(zero, err)
		}
	}
}

// each calls a method that yields a stream, and gives its items to take until that wants
// no more. push, if there is one, sends the stream that is among the arguments.
func (p *Proxy) each(ctx context.Context, method string, args payload, push pusher, take func(raw []byte) (more bool, err error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	enough := false
	run := func(ctx context.Context) error {
		st, err := p.open(ctx, method, args, push)
		if err != nil {
			return err
		}
		defer st.end(cancel)
		for {
			raw, ok, err := st.In.Next(ctx)
			if err != nil || !ok {
				return st.answer(ctx, nil) // which says why
			}
			more, err := take(raw)
			if err != nil {
				return p.failure(KindResult, method, err, true)
			}
			if enough = !more; enough {
				return nil
			}
		}
	}
	var err error
	if p.side.intercept == nil {
		err = run(ctx)
	} else {
		info := p.info(method, false)
		err = p.side.intercept(ctx, &info, run)
	}
	if enough {
		return nil
	}
	return err
}

// decodeItem decodes an item, whose bytes are the caller's.
func decodeItem(raw []byte, item any) error {
	if p, ok := item.(*[]byte); ok {
		if content, ok := wire.BytesItem(raw); ok {
			*p = content[:len(content):len(content)]
			return nil
		}
	}
	return codec.Unmarshal(raw, item)
}

// streaming is a call with streams that has begun.
type streaming struct {
	*session.Stream
	proxy  *Proxy
	callee *callee
	method string
	pushed chan error // closed when the argument's iterator has returned; nil if there is none
	over   bool
}

// wait waits for the answer, and returns the error that it may be.
func (st *streaming) wait(ctx context.Context) (session.Response, error) {
	st.over = true
	resp, err := st.Wait(ctx)
	if err != nil {
		return resp, st.proxy.lost(err, st.method)
	}
	if resp.Type == wire.Error {
		defer resp.Release()
		return resp, st.proxy.remoteError(st.method, resp.Payload)
	}
	return resp, nil
}

// answer waits for the answer and decodes a result.
func (st *streaming) answer(ctx context.Context, result any) error {
	resp, err := st.wait(ctx)
	if err != nil {
		return err
	}
	defer resp.Release()
	if err := st.callee.decodeResult(resp, result); err != nil {
		return st.proxy.failure(KindResult, st.method, err, true)
	}
	return nil
}

// end gives a call up that nobody has waited for, and waits for the goroutine that
// pushes.
func (st *streaming) end(cancel func()) {
	if !st.over {
		cancel()
		canceled, stop := context.WithCancel(context.Background())
		stop()
		if resp, err := st.Wait(canceled); err == nil {
			resp.Release()
		}
	}
	if st.pushed != nil {
		<-st.pushed
	}
}

// open begins a call that yields a stream. It is sent again only where it has
// certainly not run.
func (p *Proxy) open(ctx context.Context, method string, args payload, push pusher) (*streaming, error) {
	flags := wire.Wants
	if push != nil {
		flags |= wire.Sends
	}
	st, err := p.begin(ctx, method, flags, args)
	if err == nil && push != nil {
		st.pushed = make(chan error, 1)
		go func() { // ends when the iterator has returned; end waits for it
			st.pushed <- pushAll(ctx, st.Out, push)
			close(st.pushed)
		}()
	}
	return st, err
}

// send calls a method that takes a stream and answers with one value.
func (p *Proxy) send(ctx context.Context, method string, args payload, push pusher) (resp session.Response, c *callee, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	st, err := p.begin(ctx, method, wire.Sends, args)
	if err != nil {
		return resp, nil, err
	}
	broken := pushAll(ctx, st.Out, push)
	resp, err = st.wait(ctx)
	var e *Error
	if broken != nil && errors.As(err, &e) && e.Kind == KindApplication {
		e.Err = broken // the iterator's own error, which the method had no reason to hide
	}
	return resp, st.callee, err
}

// begin opens a streaming call on a live connection.
func (p *Proxy) begin(ctx context.Context, method string, flags wire.Flags, args payload) (*streaming, error) {
	timeout := deadline(ctx, -1)
	if timeout == 0 {
		return nil, p.failure(KindDeadline, method, context.DeadlineExceeded, false)
	}
	for n := 0; ; n++ {
		st, err := p.beginOnce(ctx, method, flags, args, timeout)
		if err == nil {
			return st, nil
		}
		var e *Error
		if !errors.As(err, &e) || e.MayHaveRun {
			return nil, err
		}
		if retry, _ := p.again(err, n, method, flags); !retry || !sleep(ctx, backoff(n)) {
			return nil, err
		}
	}
}

func (p *Proxy) beginOnce(ctx context.Context, method string, flags wire.Flags, args payload, timeout time.Duration) (*streaming, error) {
	c, w, err := p.connection(ctx, timeout)
	if err != nil {
		return nil, p.contextual(err, method)
	}
	head, body, err := p.encode(ctx, c, session.GetBuffer(), w.object, method, args, timeout)
	defer session.PutBuffer(head)
	if err != nil {
		return nil, p.failure(KindArguments, method, err, false)
	}
	st, err := c.session.Open(ctx, &session.Request{Flags: flags, Head: head, Body: body, Timeout: max(timeout, 0)})
	if err != nil {
		err = p.lost(err, method)
		p.missed(w, err)
		return nil, err
	}
	return &streaming{Stream: st, proxy: p, callee: c, method: method}, nil
}

// streamOf returns the type of the items if t is an iter.Seq2[item, error].
func streamOf(t reflect.Type) (item reflect.Type, ok bool) {
	if t.Kind() != reflect.Func || t.NumIn() != 1 || t.NumOut() != 0 || t.IsVariadic() {
		return nil, false
	}
	yield := t.In(0)
	if yield.Kind() != reflect.Func || yield.NumIn() != 2 || yield.NumOut() != 1 || yield.IsVariadic() ||
		yield.In(1) != errorType || yield.Out(0).Kind() != reflect.Bool {
		return nil, false
	}
	return yield.In(0), true
}

// pusher sends what an iterator yields until it ends, its receiver wants no more, or
// ctx is done. broken is the error that the iterator yielded, err why no more could be
// sent.
type pusher func(ctx context.Context, out *session.Outbound) (broken, err error)

func isStream(arg any) bool {
	if arg == nil {
		return false
	}
	t := reflect.TypeOf(arg)
	if t.Kind() != reflect.Func {
		return false
	}
	_, ok := streamOf(t)
	return ok
}

var errNilStream = errors.New("the stream among the arguments is nil")

// splitStream takes the stream out of the arguments.
func splitStream(args []any) (plain []any, push pusher, err error) {
	at := -1
	for i, arg := range args {
		if !isStream(arg) {
			continue
		}
		if at >= 0 {
			return nil, nil, errors.New("two streams among the arguments, want at most one")
		}
		at = i
	}
	if at < 0 {
		return args, nil, nil
	}
	seq := reflect.ValueOf(args[at])
	if seq.IsNil() {
		return nil, nil, errNilStream
	}
	plain = append(append(plain, args[:at]...), args[at+1:]...)
	return plain, func(ctx context.Context, out *session.Outbound) (broken, err error) { return sendItems(ctx, out, seq) }, nil
}

// pushAll sends the caller's stream to its end, and returns the error that its iterator
// yielded.
func pushAll(ctx context.Context, out *session.Outbound, push pusher) error {
	broken, err := push(ctx, out)
	switch {
	case broken != nil:
		out.End(&wire.ErrorBody{Kind: wire.KindApplication, Message: broken.Error()})
	case err == nil || errors.Is(err, session.ErrStopped):
		out.End(nil)
	default: // the call is over, or given up, and its stream with it
		var r *resultError
		if errors.As(err, &r) {
			out.End(&wire.ErrorBody{Kind: wire.KindArguments, Message: "an item of the stream cannot be carried: " + withoutPrefix(r.err)})
		}
	}
	return broken
}

// sendItems is a pusher by reflection.
func sendItems(ctx context.Context, out *session.Outbound, seq reflect.Value) (broken, err error) {
	s := newSender(ctx, out)
	defer s.free()
	yield := reflect.MakeFunc(seq.Type().In(0), func(args []reflect.Value) []reflect.Value {
		if broken, _ = args[1].Interface().(error); broken != nil {
			return []reflect.Value{no}
		}
		if args[0].Type() == bytesType {
			return []reflect.Value{reflect.ValueOf(s.bytes(args[0].Bytes()))}
		}
		return []reflect.Value{reflect.ValueOf(s.item(codec.Append(s.buf[:0], args[0].Interface())))}
	})
	seq.Call([]reflect.Value{yield})
	return broken, s.err
}

// sender sends items one by one.
type sender struct {
	ctx context.Context
	out *session.Outbound
	buf []byte
	err error // why no more can be sent
}

func newSender(ctx context.Context, out *session.Outbound) *sender {
	return &sender{ctx: ctx, out: out, buf: session.GetBuffer()}
}

func (s *sender) free() { session.PutBuffer(s.buf) }

// item sends what was encoded into s.buf. It reports whether there may be more.
func (s *sender) item(encoded []byte, err error) bool {
	if s.buf = encoded; err != nil {
		s.err = &resultError{err}
		return false
	}
	s.err = s.out.Send(s.ctx, encoded, nil)
	return s.err == nil
}

// bytes sends a byte string, from where it lies if it is large.
func (s *sender) bytes(b []byte) bool {
	if len(b) < inlineBytes {
		return s.item(codec.AppendBytes(s.buf[:0], b), nil)
	}
	s.buf = wire.AppendBytesHead(s.buf[:0], len(b))
	s.err = s.out.Send(s.ctx, s.buf, b)
	return s.err == nil
}

var no = reflect.ValueOf(false)

// yield runs the iterator that a method returned.
func (inv *Invocation) yield(ctx context.Context, seq reflect.Value) error {
	if seq.IsNil() {
		return nil
	}
	return yielded(sendItems(ctx, inv.in.Out, seq))
}

// yielded is what a call ends with whose method has yielded a stream.
func yielded(broken, err error) error {
	switch {
	case broken != nil:
		return broken
	case errors.Is(err, session.ErrStopped):
		return nil // the caller has enough
	case errors.Is(err, session.ErrTooLarge):
		return &refusal{&wire.ErrorBody{Kind: wire.KindTooLarge, Message: "an item of the stream is larger than the caller accepts"}}
	}
	return err
}

// incoming makes the iterator that a method reads the caller's stream from. It may
// be ranged over once; what is left when the loop ends is not wanted.
func (inv *Invocation) incoming(ctx context.Context, t reflect.Type) reflect.Value {
	item := t.In(0).In(0)
	in, failed := inv.in.In, reflect.Zero(errorType)
	return reflect.MakeFunc(t, func(args []reflect.Value) []reflect.Value {
		defer in.Stop()
		yield := args[0]
		for {
			raw, ok, err := in.Next(ctx)
			v := reflect.New(item)
			if ok {
				err = decodeItem(raw, v.Interface())
			} else if err == nil {
				return nil
			}
			if err != nil {
				yield.Call([]reflect.Value{reflect.Zero(item), reflect.ValueOf(&err).Elem()})
				return nil
			}
			if !yield.Call([]reflect.Value{v.Elem(), failed})[0].Bool() {
				return nil
			}
		}
	})
}
