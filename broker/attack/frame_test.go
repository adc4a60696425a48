package attack

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// fate is what docs/protocol.md says of a frame.
type fate string

const (
	ends   fate = "ends the connection"
	lives  fate = "is skipped, or answered"
	either fate = "may do both"
)

// named are the types of docs/protocol.md §3.2, and the flags that each may carry, §3.3.
var named = map[wire.Type]wire.Flags{
	wire.Challenge: 0, wire.Ident: 0, wire.Welcome: 0, wire.Deny: 0, wire.Hello: 0,
	wire.Call: wire.More | wire.Oneway | wire.Retry | wire.Sends | wire.Wants | wire.Batch, wire.Result: wire.More, wire.Error: 0,
	wire.Data: wire.More, wire.Cancel: 0, wire.Item: wire.More, wire.Credit: 0, wire.End: 0, wire.Ping: 0, wire.GoAway: 0,
}

// fateOf says what must become of a frame whose payload is zeros, after the verdict. It
// comes from side, and its id is in no use. It is written from the document, not from
// the code.
func fateOf(h wire.Header, side wire.Side, slots int) fate {
	flags, known := named[h.Type]
	mine := wire.SideOf(h.ID) == side // the sender's own call
	more := h.Flags&wire.More != 0
	switch {
	case h.Length > wire.MaxPayload:
		return ends // §3.1
	case h.Type >= wire.Optional:
		return lives // §3.2
	case !known, h.Flags&^flags != 0:
		return ends // §3.2, §3.3
	case h.Type <= wire.Hello:
		return ends // §3.2: after the verdict; hello, §4.6: once
	}
	switch h.Type {
	case wire.Ping, wire.Cancel:
		return lives // §6.1, §5.5
	case wire.GoAway:
		return ends // no map
	case wire.Credit: // §5.8; a credit of 0 for a stream that is over
		if h.Length == wire.CreditSize {
			return lives
		}
		return ends
	case wire.End:
		if h.Length == 0 && mine {
			return lives // §5.8: what comes for a call that has been answered
		}
		return ends
	case wire.Call:
		if !mine || wire.Slot(h.ID) >= slots {
			return ends // §3.4
		}
		if more {
			return ends // §3.5: the length of the whole message is 0
		}
		return lives // answered with an error
	case wire.Result, wire.Error:
		if mine {
			return ends // an answer to one's own call
		}
		if more {
			return either // §3.4 or §3.5: for an id that is not in use, or not adding up
		}
		return lives // §3.4
	}
	if more {
		return either // data and items for an id that is not in use, with fragments that do not add up
	}
	return lives
}

// extremes are the values of each field of a header.
var (
	extremeTypes = []wire.Type{0, 1, 2, 3, 4, 5, 6, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x1f, 0x20, 0x21, 0x22, 0x7f, 0x80, 0xfe, 0xff}
	extremeFlags = []wire.Flags{0, 1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80, 3, 0x2a, 0x3f, 0xff}
	extremeSizes = []int{0, 4, 1, 9, wire.MaxPayload, wire.MaxPayload - 1, wire.MaxPayload + 1, 1<<24 - 1}
	extremeIDs   = []uint32{0, 1, 1<<32 - 1, 1<<32 - 2, 1 << 31, 1<<14 - 2, 1<<14 - 1, wire.CallID(5, 1023, 0), wire.CallID(5, 1024, 0)}
)

// headers are all combinations, or those in which at most two fields are extreme.
func headers() (all []wire.Header) {
	for t := range extremeTypes {
		for f := range extremeFlags {
			for l := range extremeSizes {
				for i := range extremeIDs {
					if !soak() && min(f, 1)+min(l, 1)+min(i, 1) > 1 && (t*31+f*17+l*7+i)%29 != 0 {
						continue
					}
					all = append(all, wire.Header{Type: extremeTypes[t], Flags: extremeFlags[f], Length: extremeSizes[l], ID: extremeIDs[i]})
				}
			}
		}
	}
	return all
}

// hurled is a frame as it is sent: with zeros for a payload, or none if it declares too
// much.
func hurled(h wire.Header) []byte {
	frame := wire.AppendHeader(nil, h)
	if h.Length <= wire.MaxPayload {
		frame = append(frame, make([]byte, h.Length)...)
	}
	return frame
}

// TestExtremeFrames sends frames with every field at its extremes to a daemon that has
// accepted the client. Each does what the protocol says, runs nothing and harms nobody
// else.
func TestExtremeFrames(t *testing.T) {
	ca := testca.New(t)
	w := newWorld(t, ca, func(c *broker.Config) {
		c.Validator, c.ResumeSessions = admit(t, validator.Config{MaxConnections: 1000}), true
		c.MaxHandshakesPerAddress = 256
	})
	mallory := ca.Client(t, "mallory@bank.example")
	config := reckless(mallory)
	config.ClientSessionCache = tls.NewLRUClientSessionCache(0) // only to be quicker
	in := make(chan wire.Header)
	var wg sync.WaitGroup
	var ended, lived atomic.Int64
	for range 4 {
		wg.Go(func() {
			var c *raw
			for h := range in {
				if c == nil {
					c = w.session(config)
				}
				got := lives
				if g, err := hurl(c, h); err != nil {
					t.Errorf("%+v: %v", h, err)
					got = ends
				} else if g != nil {
					got = ends
					if g.Check != "protocol" && h.Type != wire.GoAway {
						t.Errorf("%+v: goaway with %+v, want check protocol", h, g)
					}
				}
				if want := fateOf(h, wire.ClientSide, broker.DefaultCallsInFlight); got != want && want != either {
					t.Errorf("%+v: %s, want: %s", h, got, want)
				}
				if got == lives {
					lived.Add(1)
					continue
				}
				ended.Add(1)
				c.NetConn().Close()
				c = nil
			}
			if c != nil {
				c.Close()
			}
		})
	}
	for _, h := range headers() {
		in <- h
	}
	close(in)
	wg.Wait()
	t.Logf("%d frames ended their connection, %d did not", ended.Load(), lived.Load())
	if ended.Load() < 100 || lived.Load() < 100 {
		t.Error("that cannot be all")
	}
	w.alive(ca.Client(t, "alice@bank.example"))
}

// session enters with the settings, and says hello.
func (w *world) session(config *tls.Config) *raw {
	t := w.tb
	t.Helper()
	c, err := w.attack(config)
	if err != nil {
		t.Errorf("handshake: %v", err)
		return c
	}
	if h, _, err := c.next(); err != nil || h.Type != wire.Welcome {
		t.Errorf("%v, %v, want the welcome", h.Type, err)
	}
	return c.hello()
}

// hurl sends a frame, and an honest call behind it. It returns the goaway frame with which
// the other side has ended the connection, nil if the call was answered.
func hurl(c *raw, h wire.Header) (*wire.GoAwayBody, error) {
	honest := wire.CallID(123, 777, wire.ClientSide)
	go c.send(append(hurled(h), frameOf(wire.Call, 0, honest, callTo("target", "Nothing"))...)) // ends with the connection
	got, p, err := c.until(func(got wire.Header) bool {
		return got.Type == wire.GoAway || got.Type == wire.Result && got.ID == honest
	})
	if err != nil || got.Type == wire.Result {
		return nil, err
	}
	body := new(wire.GoAwayBody)
	return body, wire.ParseControl(wire.GoAway, p, body)
}

// TestExtremeFramesToClient is the same from a daemon to a client of ours, before the
// verdict and after it.
func TestExtremeFramesToClient(t *testing.T) {
	ca := testca.New(t)
	w := &world{tb: t, roots: []*x509.Certificate{ca.RootCert()}}
	alice := ca.Client(t, "alice@bank.example")
	settings := serving(ca.Server(t, "localhost"))
	var next atomic.Pointer[wire.Header] // what the server sends next
	var early atomic.Bool                // instead of the verdict
	s := newServer(t, settings, func(n net.Conn) {
		c := &raw{n.(*tls.Conn), t}
		if early.Load() {
			c.send(hurled(*next.Load()))
			c.CloseWrite()
			c.Read(make([]byte, 1))
			return
		}
		c.send(welcome(t, nil))
		for {
			h, _, err := c.until(func(h wire.Header) bool { return h.Type == wire.Call || h.Type == wire.GoAway })
			if err != nil || h.Type == wire.GoAway {
				return
			}
			c.send(hurled(*next.Load())).frame(wire.Result, 0, h.ID, nil)
		}
	})
	all := headers()
	if !soak() {
		all = slices.DeleteFunc(all, func(h wire.Header) bool { return (int(h.Type)+int(h.Flags)+h.Length+int(h.ID>>3))%3 != 0 })
	}
	client := w.client(alice, nil)
	for _, h := range all {
		next.Store(&h)
		err := proxyOf(t, client, s.uri("x")).Call(t.Context(), "Anything", nil)
		got := lives
		if err != nil {
			got = ends
			client.Close()
			client = w.client(alice, nil)
		}
		if want := fateOf(h, wire.ServerSide, broker.DefaultCallsInFlight); got != want && want != either {
			t.Errorf("%+v: %s (%v), want: %s", h, got, err, want)
		}
	}
	client.Close()
	early.Store(true)
	for _, typ := range extremeTypes {
		for _, size := range []int{0, 1, wire.MaxHandshake, wire.MaxHandshake + 1, wire.MaxPayload + 1} {
			h := wire.Header{Type: typ, Length: size}
			next.Store(&h)
			client := w.client(alice, nil)
			_, err := proxyOf(t, client, s.uri("x")).Connect(t.Context())
			client.Close()
			if err == nil {
				t.Errorf("%+v instead of a verdict: connected", h)
				continue
			}
			printed.error(err)
			verdict := typ == wire.Challenge || typ == wire.Welcome || typ == wire.Deny
			if (!verdict || size > wire.MaxHandshake) && !strings.Contains(fmt.Sprint(err), "protocol") {
				t.Errorf("%+v instead of a verdict: %v, want check protocol", h, err)
			}
		}
	}
}

// TestExtremeFramesBeforeVerdict: a daemon that waits for an identification takes nothing
// else, and nothing long.
func TestExtremeFramesBeforeVerdict(t *testing.T) {
	ca := testca.New(t)
	v := admit(t, validator.Config{})
	if err := v.SetAllowedIdentifications([]validator.Identification{validator.Passphrase(canaries.passphrase("nobody will ever say this one"))}); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, ca, func(c *broker.Config) { c.Validator = v })
	mallory := ca.Client(t, "mallory@bank.example")
	for _, typ := range extremeTypes {
		for _, size := range []int{0, 9, wire.MaxHandshake, wire.MaxHandshake + 1, wire.MaxPayload, wire.MaxPayload + 1} {
			c, err := w.attack(reckless(mallory))
			if err != nil {
				t.Fatal(err)
			}
			if h, _, err := c.next(); err != nil || h.Type != wire.Challenge {
				t.Fatalf("%v, %v, want the challenge", h.Type, err)
			}
			h := wire.Header{Type: typ, Length: size}
			c.send(hurled(h))
			want := validator.CheckProtocol
			if typ == wire.Ident && size <= wire.MaxHandshake {
				want = validator.CheckIdentification
			}
			if d := c.denied(); d.Check != string(want) || d.Code != uint8(validator.DeniedSecurity) || d.Incident == "" {
				t.Errorf("%+v: denied with %+v, want check %s", h, d, want)
			}
			c.NetConn().Close()
		}
	}
}
