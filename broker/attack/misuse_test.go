package attack

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/codec"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// errorOf reads the answer to a call, which must be an error.
func (c *raw) errorOf(id uint32) (body wire.ErrorBody) {
	c.tb.Helper()
	h, p, err := c.until(func(h wire.Header) bool { return h.ID == id || h.Type == wire.GoAway })
	if err != nil || h.Type != wire.Error {
		c.tb.Errorf("%v %.80q, %v, want an error", h.Type, p, err)
		return body
	}
	if err := wire.ParseControl(h.Type, p, &body); err != nil {
		c.tb.Error(err)
	}
	return body
}

// TestNamesOfMethods calls what an object has but does not expose, and what it never had.
func TestNamesOfMethods(t *testing.T) {
	ca := testca.New(t)
	w := newWorld(t, ca, func(c *broker.Config) { c.Authorizer = mayAll{} })
	if _, err := w.daemon.Register("narrow", w.object, broker.Expose("Nothing")); err != nil {
		t.Fatal(err)
	}
	c := w.enter(ca.Client(t, "mallory@bank.example")).hello()
	slot := 0
	call := func(object, method string) wire.ErrorBody {
		t.Helper()
		slot = (slot + 1) % 1000
		id := wire.CallID(1, slot, wire.ClientSide)
		return c.frame(wire.Call, 0, id, callTo(object, method)).errorOf(id)
	}
	for _, method := range []string{"hidden", "Hidden", "hidden\x00", "Nothing\x00", " Nothing", "nothing", "NOTHING", "Nothing()", "target.Nothing", "*target.Nothing",
		"(*target).hidden", "object.runs", "runs", "get:runs", "set:runs", "get:Nothing", "batch", "String", "Error", "Finalize", "__init__", "../Nothing", "Nothing\n", "Nothing\u200b"} {
		if body := call("target", method); body.Kind != wire.KindNoMethod {
			t.Errorf("target.%q: %+v, want no such method", method, body)
		}
	}
	for _, method := range []string{"Guarded", "Wait", "Echo"} {
		if body := call("narrow", method); body.Kind != wire.KindNoMethod {
			t.Errorf("narrow.%s: %+v, want no such method", method, body)
		}
	}
	for _, object := range []string{"Target", "target\x00", "target/", "./target", "PYROSSL://localhost/target", "PYROPEER:target", " ", "daemon", "Pyro.NameServer"} {
		if body := call(object, "Nothing"); body.Kind != wire.KindNoObject {
			t.Errorf("%q: %+v, want no such object", object, body)
		}
	}
	for _, method := range []string{"daemon", "Close", "Shutdown", "Register", "Unregister", "stopAccepting"} {
		if body := call(broker.SelfName, method); body.Kind != wire.KindNoMethod {
			t.Errorf("%s.%s: %+v, want no such method", broker.SelfName, method, body)
		}
	}
	c.served(0)
}

// mayAll is an authorizer that makes no difference, so that what protects is the export.
type mayAll struct{}

func (mayAll) Authorize(context.Context, validator.Request) validator.Decision {
	return validator.Decision{Allowed: true}
}

// TestRejectedAgain: who was refused once is refused every time, in whatever form it
// asks, each time with an incident of its own.
func TestRejectedAgain(t *testing.T) {
	ca := testca.New(t)
	w := newWorld(t, ca, func(c *broker.Config) {
		c.Validator = admit(t, validator.Config{Admit: []validator.Peer{validator.Named("email:mallory@bank.example")}})
	})
	// Refused at the door.
	p := w.proxy(w.client(ca.Client(t, "bob@bank.example"), nil), "target")
	ids := make(map[string]bool)
	for range 5 {
		d := deniedOf(t, p.Call(t.Context(), "Nothing", nil))
		if d.Check != validator.CheckAdmission || ids[d.Incident] {
			t.Errorf("got %v", d)
		}
		ids[d.Incident] = true
	}
	// Refused at a method.
	c := w.enter(ca.Client(t, "mallory@bank.example")).hello()
	args := []byte{0xf6}
	entry := append([]byte{0x83, 0x67}, "Guarded"...)
	batch := append([]byte{0x01}, append(append(entry, 0xf6), args...)...)
	for i, f := range []wire.Flags{0, 0, wire.Oneway, wire.Retry, wire.Sends, wire.Wants, wire.Sends | wire.Wants, wire.Oneway | wire.Retry, 0} {
		id := wire.CallID(uint32(i), 3, wire.ClientSide)
		if body := c.frame(wire.Call, f, id, callTo("target", "Guarded", args...)).errorOf(id); body.Kind != wire.KindDenied || ids[body.Incident] || body.Incident == "" {
			t.Errorf("flags %#x: %+v, want another denial", f, body)
		} else {
			ids[body.Incident] = true
		}
	}
	id := wire.CallID(99, 3, wire.ClientSide)
	c.frame(wire.Call, wire.Batch, id, callTo("target", "batch", batch...))
	h, answer, err := c.until(func(h wire.Header) bool { return h.ID == id })
	var denials []wire.ErrorBody
	if err != nil || h.Type != wire.Result || codec.Unmarshal(answer, &denials) != nil || len(denials) != 1 || denials[0].Kind != wire.KindDenied {
		t.Errorf("in a batch: %v %x, %v", h.Type, answer, err)
	}
	if got := w.incidents(15); len(got) != 15 {
		t.Errorf("%d incidents, want 15", len(got))
	}
	c.served(0)
}

// TestDuplicateIDs: a second call under an id ends the connection, and the first call with
// it; a second answer reaches nobody.
func TestDuplicateIDs(t *testing.T) {
	ca := testca.New(t)
	w := newWorld(t, ca, nil)
	alice, mallory := ca.Client(t, "alice@bank.example"), ca.Client(t, "mallory@bank.example")
	id := wire.CallID(1, 0, wire.ClientSide)
	for name, again := range map[string][]byte{
		"the same id":            frameOf(wire.Call, 0, id, callTo("target", "Nothing")),
		"the same slot":          frameOf(wire.Call, 0, wire.CallID(2, 0, wire.ClientSide), callTo("target", "Nothing")),
		"the same id, oneway":    frameOf(wire.Call, wire.Oneway, id, callTo("target", "Nothing")),
		"the same id, too large": append(wire.AppendHeader(nil, wire.Header{Type: wire.Call, Flags: wire.More, Length: wire.MaxPayload, ID: id}), append([]byte{0x7f, 0xff, 0xff, 0xff}, make([]byte, wire.MaxPayload-4)...)...),
	} {
		c := w.enter(mallory).hello()
		c.frame(wire.Call, 0, id, callTo("target", "Wait")).send(again)
		if body, err := c.goaway(); err != nil || body.Check != "protocol" {
			t.Errorf("%s: %+v, %v", name, body, err)
		}
	}
	s := newServer(t, serving(ca.Server(t, "localhost")), func(n net.Conn) {
		c := &raw{n.(*tls.Conn), t}
		c.send(welcome(t, nil))
		var last uint32
		for {
			h, _, err := c.until(func(h wire.Header) bool { return h.Type == wire.Call })
			if err != nil {
				return
			}
			for i := range uint32(8) { // answers to every slot and generation but the right one
				c.frame(wire.Result, 0, h.ID^(1<<(14+i)), []byte{0x00}).frame(wire.Error, 0, h.ID^(2<<i), []byte{0xa1, 1, 1})
			}
			if last != 0 {
				c.frame(wire.Result, 0, last, []byte{0x00})
			}
			c.frame(wire.Result, 0, h.ID, []byte{0x01}).frame(wire.Result, 0, h.ID, []byte{0x00}).frame(wire.Error, 0, h.ID, []byte{0xa1, 1, 1})
			last = h.ID
		}
	})
	c := w.client(alice, nil)
	p := proxyOf(t, c, s.uri("x"))
	for i := range 200 {
		var n int
		if err := p.Call(t.Context(), "Answer", &n); err != nil || n != 1 {
			t.Fatalf("call %d: %d, %v, want 1", i, n, err)
		}
	}
	c.Close()
	w.alive(alice)
}

// caller has a method that calls its caller back.
type caller struct{}

func (o *caller) Back(ctx context.Context, cb *broker.Proxy) (n int, err error) {
	return n, cb.Call(ctx, "Answer", &n)
}

type answerer struct{ under, release chan struct{} }

func (a *answerer) Answer() int {
	close(a.under)
	<-a.release
	return 42
}

// TestUnaskedAnswers: while the daemon calls alice back, mallory answers in her place,
// with every id there is, over a connection of her own.
func TestUnaskedAnswers(t *testing.T) {
	ca := testca.New(t)
	w := newWorld(t, ca, nil)
	if _, err := w.daemon.Register("caller", new(caller)); err != nil {
		t.Fatal(err)
	}
	a := &answerer{make(chan struct{}), make(chan struct{})}
	p := w.proxy(w.client(ca.Client(t, "alice@bank.example"), nil), "caller")
	answer := make(chan error, 1)
	var n int
	go func() { answer <- p.Call(t.Context(), "Back", &n, broker.Callback("answerer", a)) }() // ends below
	<-a.under
	c := w.enter(ca.Client(t, "mallory@bank.example")).hello()
	for generation := range uint32(50) {
		for slot := range 4 {
			id := wire.CallID(generation, slot, wire.ServerSide)
			c.frame(wire.Result, 0, id, []byte{0x07}).frame(wire.Error, 0, id, []byte{0xa1, 1, 1})
		}
	}
	c.served(0)
	close(a.release)
	if err := <-answer; err != nil || n != 42 {
		t.Errorf("alice's answer: %d, %v, want 42", n, err)
	}
}

// TestUninvitedCalls: a daemon calls a client that has exported nothing to it, or another
// object than that.
func TestUninvitedCalls(t *testing.T) {
	ca := testca.New(t)
	w := &world{tb: t, roots: []*x509.Certificate{ca.RootCert()}}
	var kinds [2]atomic.Uint32
	s := newServer(t, serving(ca.Server(t, "localhost")), accepting(t, func(c *raw, id uint32) {
		for i, object := range []string{"answerer.0", broker.SelfName} {
			mine := wire.CallID(1, i, wire.ServerSide)
			kinds[i].Store(uint32(c.frame(wire.Call, 0, mine, callTo(object, "Answer")).errorOf(mine).Kind))
		}
		c.frame(wire.Result, 0, id, nil)
		io.Copy(io.Discard, c)
	}))
	client := w.client(ca.Client(t, "alice@bank.example"), nil)
	if err := proxyOf(t, client, s.uri("x")).Call(t.Context(), "Anything", nil); err != nil {
		t.Error(err)
	}
	for i := range kinds {
		if k := wire.Kind(kinds[i].Load()); k != wire.KindNoObject {
			t.Errorf("call %d of the daemon: kind %d, want no such object", i, k)
		}
	}
	client.Close()
}
