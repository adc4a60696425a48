package attack

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"iter"
	"math/big"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// bomb is CBOR that would cost its reader much more than its sender.
type bomb struct {
	name string
	data []byte
}

// bombs are deep, wide, long in what they claim, or large in what they become.
func bombs() []bomb {
	repeat := func(s string, n int) []byte { return bytes.Repeat([]byte(s), n) }
	return []bomb{
		{"17 arrays", append(repeat("\x81", 17), 0)},
		{"60,000 arrays", append(repeat("\x81", 60_000), 0)},
		{"60,000 maps", append(repeat("\xa1\x00", 60_000), 0)},
		{"60,000 tags", append(repeat("\xc2", 60_000), 0x40)},
		{"arrays in keys", append(repeat("\xa1\x81", 20_000), 0, 0)},
		{"arrays that never end", repeat("\x9f", 60_000)},
		{"2^64-1 items", []byte("\x9b\xff\xff\xff\xff\xff\xff\xff\xff\x00")},
		{"2^32-1 items", []byte("\x9a\xff\xff\xff\xff\x00")},
		{"2^63 pairs", []byte("\xbb\x80\x00\x00\x00\x00\x00\x00\x00\x00")},
		{"2^32-1 pairs", []byte("\xba\xff\xff\xff\xff\x00")},
		{"65,536 items and the array", append([]byte("\x9a\x00\x01\x00\x00"), repeat("\x00", 65_536)...)},
		{"50,000 empty maps", append([]byte("\x99\xc3\x50"), repeat("\xa0", 50_000)...)},
		{"30,000 maps of one", append([]byte("\x99\x75\x30"), repeat("\xa1\x60\x00", 30_000)...)},
		{"2^64-1 bytes", []byte("\x5b\xff\xff\xff\xff\xff\xff\xff\xff\x00")},
		{"2^63-1 bytes", []byte("\x5b\x7f\xff\xff\xff\xff\xff\xff\xff\x00")},
		{"4 GiB of text", []byte("\x7a\xff\xff\xff\xff\x00")},
		{"text that never ends", repeat("\x7f\x60", 30_000)},
		{"a number of 60,000 bytes", append([]byte("\xc2\x59\xea\x60"), repeat("\xff", 60_000)...)},
		{"the same key twice", []byte("\xa2\x00\x00\x00\x00")},
		{"keys out of order", []byte("\xa2\x01\x00\x00\x00")},
		{"a long head", []byte("\x1b\x00\x00\x00\x00\x00\x00\x00\x01")},
		{"a reserved head", []byte("\x1c")},
		{"a break", []byte("\xff")},
		{"nothing", nil},
	}
}

// drawer takes whatever it is given, as methods do that declare little.
type drawer struct{ took atomic.Int64 }

type record struct {
	Names []string
	Of    map[string]*record
	Sum   *big.Int
}

func (d *drawer) Any(any)                        { d.took.Add(1) }
func (d *drawer) Map(map[string]any)             { d.took.Add(1) }
func (d *drawer) Lists([][]string)               { d.took.Add(1) }
func (d *drawer) Record(*record)                 { d.took.Add(1) }
func (d *drawer) Number(*big.Int)                { d.took.Add(1) }
func (d *drawer) Bytes([]byte)                   { d.took.Add(1) }
func (d *drawer) Many(...map[string]map[int]int) { d.took.Add(1) }
func (d *drawer) Items(_ context.Context, in iter.Seq2[any, error]) error {
	for _, err := range in {
		if err != nil {
			return err
		}
		d.took.Add(1)
	}
	return nil
}

var drawers = []string{"Any", "Map", "Lists", "Record", "Number", "Bytes", "Many"}

// cost runs f and returns how many bytes of memory it took in all.
func cost(f func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}

// worth is how much memory a message may cost both sides together: the codec's bound is
// 32 bytes for each byte, and text about it is made on the way.
func worth(message int) int { return 1<<20 + 64*message }

// TestBombsInCalls sends bombs in every part of a call, to methods that take anything.
func TestBombsInCalls(t *testing.T) {
	ca := testca.New(t)
	w := newWorld(t, ca, nil)
	if _, err := w.daemon.Register("drawer", new(drawer)); err != nil {
		t.Fatal(err)
	}
	c := w.enter(ca.Client(t, "mallory@bank.example")).hello()
	var generation uint32
	send := func(name string, flags wire.Flags, payload []byte) {
		t.Helper()
		generation++
		id := wire.CallID(generation, 0, wire.ClientSide)
		var h wire.Header
		var p []byte
		var err error
		took := cost(func() {
			c.message(wire.Call, flags, id, payload)
			h, p, err = c.until(func(h wire.Header) bool { return h.ID == id || h.Type == wire.GoAway })
		})
		if err != nil || h.Type != wire.Error && h.Type != wire.Result {
			t.Fatalf("%s: %v %.200q, %v, want an answer", name, h.Type, p, err)
		}
		var body wire.ErrorBody
		if h.Type == wire.Error && (wire.ParseControl(h.Type, p, &body) != nil || body.Kind != wire.KindArguments) {
			t.Errorf("%s: %+v, want wrong arguments", name, body)
		}
		if len(p) > 4<<10 {
			t.Errorf("%s: an answer of %d bytes", name, len(p))
		}
		if took > worth(len(payload)) {
			t.Errorf("%s: %d bytes cost %d", name, len(payload), took)
		}
	}
	envelope := func(parts ...string) []byte { return []byte("\x84" + strings.Join(parts, "")) }
	const object, method, null, zero = "\x66drawer", "\x63Any", "\xf6", "\x00"
	for _, b := range bombs() {
		s := string(b.data)
		for _, m := range drawers {
			send(b.name+" to "+m, 0, callTo("drawer", m, b.data...))
		}
		send(b.name+" as the envelope", 0, b.data)
		send(b.name+" as the object", 0, envelope(s, method, null, zero, null))
		send(b.name+" as the method", 0, envelope(object, s, null, zero, null))
		send(b.name+" as the metadata", 0, envelope(object, method, s, zero, null))
		send(b.name+" in the metadata", 0, envelope(object, method, "\xa1\x61k", s, zero, null))
		send(b.name+" as the timeout", 0, envelope(object, method, null, s, null))
		send(b.name+" as a batch", wire.Batch, callTo("drawer", "batch", b.data...))
		send(b.name+" as a call of a batch", wire.Batch, callTo("drawer", "batch", append([]byte{1}, b.data...)...))
		send(b.name+" as the uses of a batch", wire.Batch, callTo("drawer", "batch", append([]byte("\x01\x83"+method), append(b.data, 0xf6)...)...))
	}
	c.served(1)
	for _, b := range bombs() {
		generation++
		id := wire.CallID(generation, 0, wire.ClientSide)
		var body wire.ErrorBody
		took := cost(func() {
			c.frame(wire.Call, wire.Sends, id, callTo("drawer", "Items")).message(wire.Item, 0, id, b.data).frame(wire.End, 0, id, nil)
			h, p, err := c.until(func(h wire.Header) bool { return h.ID == id && h.Type != wire.Credit || h.Type == wire.GoAway })
			if err != nil || h.Type == wire.GoAway {
				t.Fatalf("%s in a stream: %v %.200q, %v, want an answer", b.name, h.Type, p, err)
			}
			if h.Type == wire.Error && wire.ParseControl(h.Type, p, &body) != nil {
				t.Errorf("%s in a stream: %x", b.name, p)
			}
		})
		if took > worth(len(b.data)) {
			t.Errorf("%s in a stream: %d bytes cost %d", b.name, len(b.data), took)
		}
	}
	c.served(1)
}

// message sends a message in as many frames as it needs.
func (c *raw) message(t wire.Type, f wire.Flags, id uint32, payload []byte) *raw {
	if len(payload) <= wire.MaxPayload {
		return c.frame(t, f, id, payload)
	}
	first := append(wire.AppendTotal(nil, len(payload)), payload[:wire.MaxPayload-wire.TotalSize]...)
	c.frame(t, f|wire.More, id, first)
	for payload = payload[wire.MaxPayload-wire.TotalSize:]; len(payload) > wire.MaxPayload; payload = payload[wire.MaxPayload:] {
		c.frame(wire.Data, wire.More, id, payload[:wire.MaxPayload])
	}
	return c.frame(wire.Data, 0, id, payload)
}

// TestBombsInControl sends bombs where the protocol itself is read: they end the
// connection with a reason, and cost no more there.
func TestBombsInControl(t *testing.T) {
	ca := testca.New(t)
	w := newWorld(t, ca, nil)
	v := admit(t, validator.Config{})
	if err := v.SetAllowedIdentifications([]validator.Identification{validator.Passphrase(canaries.passphrase("the bombs do not know it"))}); err != nil {
		t.Fatal(err)
	}
	asking := newWorld(t, ca, func(c *broker.Config) { c.Validator = v })
	mallory := ca.Client(t, "mallory@bank.example")
	for _, b := range bombs() {
		short := b.data[:min(len(b.data), wire.MaxHandshake)]
		took := cost(func() {
			c := asking.challenged(mallory)
			c.frame(wire.Ident, 0, 0, short)
			if d := c.denied(); d.Check != string(validator.CheckIdentification) {
				t.Errorf("%s as an identification: %+v", b.name, d)
			}
			c.NetConn().Close()
			for _, typ := range []wire.Type{wire.Hello, wire.GoAway, wire.End} {
				if typ == wire.End && b.name == "nothing" {
					continue // which is how a stream ends
				}
				c := w.enter(mallory)
				if typ != wire.Hello {
					c.hello()
				}
				c.frame(typ, 0, 0, b.data[:min(len(b.data), wire.MaxPayload)])
				if body, err := c.goaway(); err != nil || body.Check != "protocol" || len(body.Reason) > 1000 {
					t.Errorf("%s as %v: %+v, %v", b.name, typ, body, err)
				}
				c.NetConn().Close()
			}
		})
		if took > worth(4*len(b.data)) {
			t.Errorf("%s: %d bytes cost %d", b.name, len(b.data), took)
		}
	}
	w.alive(ca.Client(t, "alice@bank.example"))
}

// challenged connects as p and reads up to the first challenge.
func (w *world) challenged(p testca.Pair) *raw {
	w.tb.Helper()
	c, err := w.attack(reckless(p))
	if err != nil {
		w.tb.Fatal(err)
	}
	if h, _, err := c.next(); err != nil || h.Type != wire.Challenge {
		w.tb.Fatalf("%v, %v, want the challenge", h.Type, err)
	}
	return c
}

// TestBombsForClients: a daemon sends them, as a verdict, a result, an error, an item.
func TestBombsForClients(t *testing.T) {
	ca := testca.New(t)
	w := &world{tb: t, roots: []*x509.Certificate{ca.RootCert()}}
	alice := ca.Client(t, "alice@bank.example")
	settings := serving(ca.Server(t, "localhost"))
	var data atomic.Pointer[[]byte]
	for _, verdict := range []wire.Type{wire.Welcome, wire.Deny, wire.Challenge} {
		s := newServer(t, settings, func(n net.Conn) {
			c := &raw{n.(*tls.Conn), t}
			p := *data.Load()
			c.frame(verdict, 0, 0, p[:min(len(p), wire.MaxHandshake)])
			c.until(func(wire.Header) bool { return false })
		})
		for _, b := range bombs() {
			data.Store(&b.data)
			client := w.client(alice, func(c *broker.ClientConfig) { c.ConnectTimeout = 5 * time.Second })
			took := cost(func() {
				begin := time.Now()
				_, err := proxyOf(t, client, s.uri("x")).Connect(t.Context())
				if err == nil || time.Since(begin) > 4*time.Second {
					t.Errorf("%s as %v: %v after %v", b.name, verdict, err, time.Since(begin))
				}
				printed.error(err)
			})
			client.Close()
			if took > worth(wire.MaxHandshake) {
				t.Errorf("%s as %v cost %d", b.name, verdict, took)
			}
		}
	}
	// After the verdict the client goes on.
	var as atomic.Uint32
	s := newServer(t, settings, func(n net.Conn) {
		c := &raw{n.(*tls.Conn), t}
		c.send(welcome(t, nil))
		for {
			h, _, err := c.until(func(h wire.Header) bool { return h.Type == wire.Call })
			if err != nil {
				return
			}
			switch typ := wire.Type(as.Load()); typ {
			case wire.Item:
				c.message(wire.Item, 0, h.ID, *data.Load()).frame(wire.Result, 0, h.ID, nil)
			case wire.Error:
				p := *data.Load()
				c.frame(wire.Error, 0, h.ID, p[:min(len(p), wire.MaxPayload)])
			default:
				c.message(typ, 0, h.ID, *data.Load())
			}
		}
	})
	client := w.client(alice, nil)
	p := proxyOf(t, client, s.uri("x"))
	for _, b := range bombs() {
		data.Store(&b.data)
		for name, into := range map[string]func() any{
			"any": func() any { return new(any) }, "map": func() any { return new(map[string]any) }, "record": func() any { return new(record) },
			"number": func() any { return new(big.Int) }, "reference": func() any { return new(*broker.Proxy) }, "bytes": func() any { return new([]byte) },
		} {
			as.Store(uint32(wire.Result))
			took := cost(func() { check(t, b.name+" into "+name, p.Call(t.Context(), "Anything", into())) })
			if took > worth(len(b.data)) {
				t.Errorf("%s into %s cost %d", b.name, name, took)
			}
		}
		as.Store(uint32(wire.Error))
		if took := cost(func() { check(t, b.name+" as an error", p.Call(t.Context(), "Anything", nil)) }); took > worth(len(b.data)) {
			t.Errorf("%s as an error cost %d", b.name, took)
		}
		as.Store(uint32(wire.Item))
		took := cost(func() {
			for _, err := range broker.Stream[any](t.Context(), p, "Anything") {
				check(t, b.name+" as an item", err)
			}
		})
		if took > worth(len(b.data)) {
			t.Errorf("%s as an item cost %d", b.name, took)
		}
	}
	client.Close()
}

// check fails the test if an error is anything but a result that does not fit: the
// connection must have lived.
func check(t *testing.T, what string, err error) {
	t.Helper()
	var e *broker.Error
	if err != nil && (!errors.As(err, &e) || e.Kind != broker.KindResult) {
		t.Errorf("%s: %v, want a result that does not fit", what, err)
	}
	if err != nil {
		printed.error(err)
	}
}
