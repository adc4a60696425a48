package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pyrossl/pyrossl/broker/internal/session"
	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/codec"
	"github.com/pyrossl/pyrossl/validator"
)

// A batch is one message with many calls of one object. PROTOCOL §5.9.

// batchMethod stands in the envelope of a batch.
const batchMethod = "batch"

// Batch collects calls of one object, which then cost one round trip together. They run
// one after the other, each authorized by itself. It is for one goroutine.
//
//	b := bank.Batch()
//	balance := b.Call("Deposit", "alice", 100)
//	b.Call("Report", balance) // what Deposit returned
//	err := b.Run(ctx)
type Batch struct {
	proxy *Proxy
	calls []*Pending
	all   bool
	ran   bool
}

// Batch begins a batch.
func (p *Proxy) Batch() *Batch { return &Batch{proxy: p} }

// Pending is a call of a batch. It may be an argument of a later call of the same
// batch, which then gets its result.
type Pending struct {
	batch  *Batch
	index  int
	method string
	args   []any

	done   bool
	result []byte // nil for none
	err    error
	callee *callee
}

// Call adds a call. It is sent by Run.
func (b *Batch) Call(method string, args ...any) *Pending {
	p := &Pending{batch: b, index: len(b.calls), method: method, args: args}
	b.calls = append(b.calls, p)
	return p
}

// ContinueOnError makes the batch run to its end although calls fail. Without it, the
// first call that fails is the last one that runs.
func (b *Batch) ContinueOnError() *Batch {
	b.all = true
	return b
}

// ErrNotRun is why a call of a batch has no result: one before it failed, or the batch
// was not sent.
var ErrNotRun = errors.New("broker: the call was not run: the batch ended before it")

// Run sends the batch and waits until it has run. It returns the error of the first
// call that failed, or why the batch could not be run; calls have errors of their own.
// A batch runs once.
func (b *Batch) Run(ctx context.Context) error {
	if b.ran {
		return errors.New("broker: the batch has run; make another one")
	}
	b.ran = true
	if len(b.calls) == 0 {
		return nil
	}
	if b.proxy.side.intercept == nil {
		return b.run(ctx)
	}
	info := b.proxy.info(batchMethod, false)
	return b.proxy.side.intercept(ctx, &info, b.run)
}

func (b *Batch) run(ctx context.Context) error {
	p := b.proxy
	resp, c, err := p.call(ctx, batchMethod, wire.Batch, nil, payload{args: []any{b}})
	if err != nil {
		return err
	}
	defer resp.Release()
	if resp.Type == wire.Error {
		return p.remoteError(batchMethod, resp.Payload)
	}
	if err := b.take(c, resp.Payload); err != nil {
		return p.failure(KindResult, batchMethod, err, true)
	}
	for _, call := range b.calls {
		if call.err != nil {
			return call.err
		}
	}
	return nil
}

// encode writes the arguments of the message.
func (b *Batch) encode(c *callee, dst []byte) ([]byte, error) {
	mode := byte(0)
	if b.all {
		mode = 1
	}
	dst = append(dst, mode)
	for _, call := range b.calls {
		var err error
		if dst, err = call.encode(c, dst); err != nil {
			return dst, fmt.Errorf("call %d of the batch, %s: %s", call.index+1, call.method, withoutPrefix(err))
		}
	}
	return dst, nil
}

func (p *Pending) encode(c *callee, dst []byte) ([]byte, error) {
	uses := make(map[uint64]uint64)
	for i, arg := range p.args {
		earlier, ok := arg.(*Pending)
		if !ok {
			continue
		}
		if earlier.batch != p.batch || earlier.index >= p.index {
			return dst, fmt.Errorf("argument %d is the result of a call that does not stand before it in the batch", i+1)
		}
		uses[uint64(i)] = uint64(earlier.index)
	}
	dst = wire.AppendArrayHead(dst, 2+len(p.args))
	dst, err := codec.Append(dst, p.method)
	if err != nil {
		return dst, err
	}
	if len(uses) == 0 {
		dst, err = codec.Append(dst, nil)
	} else {
		dst, err = codec.Append(dst, uses)
	}
	for i, arg := range p.args {
		if err != nil {
			return dst, err
		}
		if _, ok := arg.(*Pending); ok {
			arg = nil
		}
		if dst, err = c.appendArgument(dst, arg); err != nil {
			err = fmt.Errorf("argument %d: %s", i+1, withoutPrefix(err))
		}
	}
	return dst, err
}

// take hands the results out.
func (b *Batch) take(c *callee, payload []byte) error {
	n, content, ok := wire.ArrayItem(payload)
	if !ok || n > len(b.calls) {
		return fmt.Errorf("the answer to a batch of %d calls is not an array of as many results at most", len(b.calls))
	}
	seq, err := codec.NewSequence(content)
	if err != nil {
		return err
	}
	for _, call := range b.calls {
		call.err = ErrNotRun
	}
	for _, call := range b.calls[:n] {
		raw, err := seq.Raw()
		if err != nil {
			return err
		}
		call.callee = c
		if count, result, ok := wire.ArrayItem(raw); ok && count <= 1 {
			call.done, call.result, call.err = true, slices.Clone(result), nil
			continue
		}
		call.err = b.proxy.remoteError(call.method, raw)
	}
	return nil
}

// Into decodes the result into a pointer, after the batch has run. The error is that of
// the call, or of decoding.
func (p *Pending) Into(result any) error {
	switch {
	case p.err != nil:
		return p.err
	case !p.done:
		return ErrNotRun
	}
	if err := p.callee.decodeResult(session.Response{Payload: p.result}, result); err != nil {
		return p.batch.proxy.failure(KindResult, p.method, err, true)
	}
	return nil
}

// serveBatch runs the calls of a batch. Each goes the way of any other call.
func (c *callee) serveBatch(in *session.Incoming) {
	results, count, refused := c.runBatch(in)
	in.Release()
	if refused != nil {
		in.Fail(refused)
		return
	}
	head := wire.AppendArrayHead(session.GetBuffer(), count)
	defer session.PutBuffer(head)
	if err := in.Reply(head, results); errors.Is(err, session.ErrTooLarge) {
		in.Fail(&wire.ErrorBody{Kind: wire.KindTooLarge, Message: fmt.Sprintf("the results of the batch, %d bytes, are larger than the caller accepts", len(results))})
	}
}

// batchEntry is a call of a batch on its way in.
type batchEntry struct {
	method string
	uses   map[uint64]uint64
	args   codec.Sequence
	n      int
}

func (c *callee) runBatch(in *session.Incoming) (results []byte, count int, refused *wire.ErrorBody) {
	wrong := func(format string, args ...any) ([]byte, int, *wire.ErrorBody) {
		return nil, 0, &wire.ErrorBody{Kind: wire.KindArguments, Message: fmt.Sprintf(format, args...)}
	}
	if in.Oneway() || in.In != nil || in.Out != nil || string(in.Head.Method) != batchMethod {
		return wrong("a batch is called %q, has an answer, and no streams", batchMethod)
	}
	seq, err := codec.NewSequence(in.Args)
	if err != nil {
		return wrong("batch: %s", withoutPrefix(err))
	}
	var mode uint64
	if err := seq.Next(&mode); err != nil || mode > 1 {
		return wrong("batch: want 0 or 1 in front of the calls")
	}
	entries := make([]batchEntry, 0, min(seq.Len(), 64))
	for seq.Len() > 0 {
		raw, _ := seq.Raw()
		e, err := parseBatchEntry(raw, len(entries))
		if err != nil {
			return wrong("call %d of the batch: %s", len(entries)+1, withoutPrefix(err))
		}
		entries = append(entries, e)
	}
	ctx := in.Context()
	if in.Head.Metadata != nil {
		ctx = context.WithValue(ctx, metadataKey{}, in.Head.Metadata)
	}
	done := make([]span, 0, len(entries)) // where the results are, empty for none
	for i := range entries {
		result, body := c.runEntry(ctx, in, &entries[i], results, done)
		if body == nil {
			one := 0
			if len(result) > 0 {
				one = 1
			}
			results = append(wire.AppendArrayHead(results, one), result...)
		} else if results, err = codec.Append(results, body); err != nil {
			return nil, 0, &wire.ErrorBody{Kind: wire.KindInternal}
		}
		if most := in.Largest(); len(results) > most {
			return nil, 0, &wire.ErrorBody{Kind: wire.KindTooLarge, Message: fmt.Sprintf("the results of the first %d calls of the batch are larger than %d bytes, the smaller of both sides' limits of a message; the others were not run", i+1, most)}
		}
		done = append(done, span{len(results) - len(result), len(results)})
		if count++; body != nil && mode == 0 {
			break
		}
	}
	return results, count, nil
}

// parseBatchEntry reads `[method, uses, arguments...]`, the call with this index.
func parseBatchEntry(raw []byte, index int) (e batchEntry, err error) {
	n, content, ok := wire.ArrayItem(raw)
	if !ok || n < 2 {
		return e, errors.New("want [method, uses, arguments...]")
	}
	if e.args, err = codec.NewSequence(content); err != nil {
		return e, err
	}
	if err := e.args.Next(&e.method); err != nil {
		return e, err
	}
	if err := e.args.Next(&e.uses); err != nil {
		return e, err
	}
	e.n = n - 2
	for arg, call := range e.uses {
		if arg >= uint64(e.n) || call >= uint64(index) {
			return e, fmt.Errorf("argument %d is to be the result of call %d, want an argument that is there and a call before this one", arg, call)
		}
	}
	return e, nil
}

// span is a part of the results.
type span struct{ from, to int }

// runEntry runs one call, which may use the results of those before it, and returns its result or why there is none.
func (c *callee) runEntry(ctx context.Context, in *session.Incoming, e *batchEntry, results []byte, done []span) ([]byte, *wire.ErrorBody) {
	if err := ctx.Err(); err != nil {
		return nil, c.errors.body(err)
	}
	o, m, refused := c.admit(ctx, in.Head.Object, []byte(e.method), validator.KindCall)
	if refused != nil {
		return nil, refused
	}
	if refused := fits(in, m); refused != nil {
		return nil, refused
	}
	args := session.GetBuffer()
	defer func() { session.PutBuffer(args) }()
	for i := range e.n {
		raw, err := e.args.Raw()
		if err != nil {
			return nil, &wire.ErrorBody{Kind: wire.KindArguments, Message: withoutPrefix(err)}
		}
		if from, ok := e.uses[uint64(i)]; ok {
			if raw = results[done[from].from:done[from].to]; len(raw) == 0 {
				return nil, &wire.ErrorBody{Kind: wire.KindArguments, Message: fmt.Sprintf("argument %d: call %d of the batch has no result", i+1, from+1)}
			}
		}
		args = append(args, raw...)
	}
	inv := newInvocation(c, in)
	defer inv.free()
	inv.batch, inv.args, inv.owned = true, args, false
	in.Mark(&m.running[validator.KindCall])
	if err := c.invoke(ctx, o, m, inv, validator.KindCall); err != nil {
		if o.failed != nil {
			o.failed(m.name, err)
		}
		return nil, c.failure(ctx, m, err)
	}
	return slices.Concat(inv.head, inv.body), nil
}
