package broker

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/pyrossl/pyrossl/broker/internal/session"
	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/codec"
)

// What follows is for the code that broker gen writes: methods and calls without
// reflection. It has the same meaning, and the same bytes on the wire, as what Register
// and Proxy.Call do by themselves.

// Exported is an object whose methods need no reflection. [Daemon.Register] takes a
// pointer to one like any object; it exposes these methods and no others.
type Exported struct {
	Value     any    // what the methods are called on
	Interface string // what it implements, for messages
	Methods   []ExportedMethod
}

// ExportedMethod is a method of an Exported.
type ExportedMethod struct {
	Name       string
	Signature  string // as Pyro.Daemon.Methods shows it
	Idempotent bool
	Sends      int  // which argument is a stream, from 1; 0 for none
	Wants      bool // it yields a stream
	// Call reads the arguments, calls the method and writes its result. Its error is the
	// method's, or what Decoded or Fail returned.
	Call func(ctx context.Context, in *Invocation) error
}

// newExportedTable lists what e exposes.
func newExportedTable(kind string, e *Exported, reg *registration) (*table, error) {
	if len(reg.expose) > 0 || reg.iface != nil {
		return nil, fmt.Errorf("broker: object %q: Expose and ExposeAs are for objects that are called by reflection; generated code exposes %s", kind, e.Interface)
	}
	t := &table{kind: kind, typ: reflect.TypeOf(e.Value), methods: make(map[string]*method, len(e.Methods))}
	for i := range e.Methods {
		of := &e.Methods[i]
		if of.Call == nil || of.Name == "" || t.methods[of.Name] != nil {
			return nil, fmt.Errorf("broker: object %q: method %d of its table, %q, has no name, no function, or the name of another", kind, i+1, of.Name)
		}
		t.methods[of.Name] = &method{
			object: kind, name: of.Name, signature: of.Signature, idempotent: of.Idempotent,
			sends: of.Sends > 0, stream: of.Sends, wants: of.Wants,
			run: func(ctx context.Context, o *object, inv *Invocation) error {
				return o.generated.Methods[i].Call(ctx, inv)
			},
		}
	}
	return t, reg.complete(t)
}

// Args reads the arguments, in order. What it returns is valid until Decoded.
func (inv *Invocation) Args() *codec.Decoder {
	var seq codec.Sequence
	seq, inv.badArgs = codec.NewSequence(inv.args)
	inv.decoder, inv.items = seq.Decoder(), seq.Len()
	if inv.owned {
		inv.decoder.Own()
	}
	return &inv.decoder
}

// Decoded must be called after the last argument was read, and before the method. It
// fails if an argument did not fit, or if some are left; the method must not be called
// then.
func (inv *Invocation) Decoded() error {
	d := &inv.decoder
	err := inv.badArgs
	if err == nil {
		d.Expect(0, 0)
		err = d.Err()
	}
	inv.release()
	switch {
	case err == nil && inv.badReference == nil:
		return nil
	case inv.badReference != nil:
		return inv.badReference
	case inv.badArgs != nil:
		return &argumentError{fmt.Errorf("arguments: %s", withoutPrefix(err))}
	case errors.Is(err, codec.ErrCount):
		return &argumentError{fmt.Errorf("%d arguments, want %s", inv.items, inv.method.signature)}
	}
	item, as := d.Failed()
	if stream := inv.method.stream; stream > 0 && item+1 >= stream {
		item++ // the stream is no item
	}
	return &argumentError{fmt.Errorf("argument %d, %v: %s", item+1, as, withoutPrefix(err))}
}

// Reference reads the argument with this number, from 1, as a reference. What is wrong
// with it is for Decoded to say.
func (inv *Invocation) Reference(argument int) *Proxy {
	d := &inv.decoder
	if d.Err() != nil || inv.badReference != nil || inv.badArgs != nil {
		return nil // which Decoded says
	}
	text, err := d.Text(), d.Err()
	var p *Proxy
	if err == nil {
		p, err = inv.callee.follow(text)
	}
	if err != nil {
		inv.badReference = &argumentError{fmt.Errorf("argument %d, reference: %s", argument, withoutPrefix(err))}
	}
	return p
}

// ReturnReference returns an object by reference: a *Proxy, what Export made, or what is
// registered. Its error is the method's.
func (inv *Invocation) ReturnReference(object any) error {
	text, err := inv.callee.reference(object)
	if err != nil {
		return &resultError{err}
	}
	inv.head, err = codec.AppendString(inv.head, text)
	return err
}

// Buffer is where the result is to be appended to.
func (inv *Invocation) Buffer() []byte { return inv.head }

// Return takes the encoded result, made in Buffer.
func (inv *Invocation) Return(encoded []byte) { inv.head = encoded }

// ReturnBytes returns a byte string, which is sent from where it lies if it is large.
func (inv *Invocation) ReturnBytes(b []byte) {
	if len(b) >= inlineBytes {
		inv.head, inv.body = wire.AppendBytesHead(inv.head, len(b)), b
		return
	}
	inv.head = codec.AppendBytes(inv.head, b)
}

// Fail returns the error of a method whose result cannot be carried.
func (inv *Invocation) Fail(err error) error { return &resultError{err} }

// Request is a call without reflection. It is for one goroutine, and over with Close.
type Request struct {
	// Args are the encoded arguments, one behind the other.
	Args []byte

	proxy   *Proxy
	method  string
	body    []byte // a last argument, from where it lies
	refs    []referenceAt
	push    pusher // the stream among the arguments, or nil
	callee  *callee
	bad     error
	resp    session.Response
	decoder codec.Decoder
	came    bool // there is an answer
	empty   bool // it has no result
}

var requests = sync.Pool{New: func() any { return new(Request) }}

// Request begins a call.
func (p *Proxy) Request(method string) *Request {
	r := requests.Get().(*Request)
	*r = Request{proxy: p, method: method, Args: session.GetBuffer()}
	return r
}

// Bytes adds a byte string as the last argument. It is sent from where it lies if it is
// large, and must not change until Call returns.
func (r *Request) Bytes(b []byte) {
	if len(b) >= inlineBytes {
		r.Args, r.body = wire.AppendBytesHead(r.Args, len(b)), b
		return
	}
	r.Args = codec.AppendBytes(r.Args, b)
}

// Fail says that the argument with this number, from 1, cannot be carried.
func (r *Request) Fail(argument int, err error) {
	if r.bad == nil {
		r.bad = fmt.Errorf("argument %d: %s", argument, withoutPrefix(err))
	}
}

// Reference adds a reference as the next argument, which has this number, from 1.
func (r *Request) Reference(argument int, v Referable) {
	r.refs = append(r.refs, referenceAt{len(r.Args), argument, v})
}

// referenceAt is an argument that is encoded for each connection that the request is
// sent on: a callback has another name on each.
type referenceAt struct {
	at       int // in Args
	argument int
	v        Referable
}

// encode writes the arguments behind head.
func (r *Request) encode(c *callee, head []byte) (_, body []byte, err error) {
	switch {
	case r.bad != nil:
		return head, nil, r.bad
	case r.refs == nil && r.body == nil:
		return head, r.Args, nil
	}
	from := 0
	for _, ref := range r.refs {
		head = append(head, r.Args[from:ref.at]...)
		from = ref.at
		if ref.v == nil {
			head, err = codec.AppendString(head, "")
		} else {
			head, err = ref.v.appendReference(head, c)
		}
		if err != nil {
			return head, nil, fmt.Errorf("argument %d: %s", ref.argument, withoutPrefix(err))
		}
	}
	return append(head, r.Args[from:]...), r.body, nil
}

// Call sends the call and waits for its result, which is read from the decoder.
func (r *Request) Call(ctx context.Context) (*codec.Decoder, error) {
	if r.proxy.side.intercept == nil {
		return &r.decoder, r.call(ctx)
	}
	info := r.proxy.info(r.method, false)
	return &r.decoder, r.proxy.side.intercept(ctx, &info, r.call)
}

func (r *Request) call(ctx context.Context) error {
	p := r.proxy
	if r.bad != nil {
		return p.failure(KindArguments, r.method, r.bad, false)
	}
	var resp session.Response
	var err error
	if r.push != nil {
		resp, r.callee, err = p.send(ctx, r.method, payload{request: r}, r.push)
	} else {
		resp, r.callee, err = p.call(ctx, r.method, 0, nil, payload{request: r})
	}
	if err != nil {
		return err
	}
	if resp.Type == wire.Error {
		defer resp.Release()
		return p.remoteError(r.method, resp.Payload)
	}
	r.resp, r.came = resp, true
	if r.empty = len(resp.Payload) == 0; r.empty {
		return nil
	}
	r.decoder, _ = codec.NewDecoder(resp.Payload) // its error sticks
	if resp.Owned {
		r.decoder.Own()
	}
	return nil
}

// Proxy reads the result as a reference.
func (r *Request) Proxy() (*Proxy, error) {
	text := r.decoder.Text()
	if err := r.decoder.Err(); err != nil {
		return nil, err
	}
	return r.callee.referred(text)
}

// Close gives everything back. It takes what Call or the decoder said, and returns
// the error of the whole call.
func (r *Request) Close(err error) error {
	p, method, came, empty := r.proxy, r.method, r.came, r.empty
	session.PutBuffer(r.Args)
	if came {
		r.resp.Release()
	}
	*r = Request{}
	requests.Put(r)
	if err == nil || !came {
		return err
	}
	var already *Error
	switch {
	case errors.As(err, &already):
		return err
	case empty:
		err = ErrNoResult
	}
	return p.failure(KindResult, method, err, true)
}
