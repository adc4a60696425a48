package session

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
)

// rawClient talks to a session in frames of its own making.
type rawClient struct {
	tb  testing.TB
	tls *tls.Conn
	s   *Session
}

func newRawClient(tb testing.TB, handler func(*Incoming), limits wire.Limits) *rawClient {
	tb.Helper()
	c, s, _, sc := tlsPair(tb)
	server := New(Config{TLS: s, Conn: sc, Side: wire.ServerSide, Local: limits, Handler: handler, Inline: true})
	var wg sync.WaitGroup
	wg.Go(func() { server.Run() })
	tb.Cleanup(func() {
		c.NetConn().Close()
		server.Close()
		wg.Wait()
		server.Wait()
	})
	return &rawClient{tb, c, server}
}

func (c *rawClient) hello() *rawClient {
	f, _ := wire.AppendControl(nil, wire.Hello, 0, &wire.HelloBody{Limits: testLimits})
	return c.write(f)
}

func (c *rawClient) write(b []byte) *rawClient {
	c.tls.Write(b) // it may fail: the session may have ended before
	return c
}

func (c *rawClient) frame(t wire.Type, f wire.Flags, id uint32, payload []byte) *rawClient {
	return c.write(append(wire.AppendHeader(nil, wire.Header{Length: len(payload), Type: t, Flags: f, ID: id}), payload...))
}

// next reads a frame.
func (c *rawClient) next() (wire.Header, []byte, error) {
	c.tls.SetReadDeadline(time.Now().Add(10 * time.Second))
	var head [wire.HeaderSize]byte
	if _, err := io.ReadFull(c.tls, head[:]); err != nil {
		return wire.Header{}, nil, err
	}
	h, err := wire.ParseHeader(head[:])
	if err != nil {
		return h, nil, err
	}
	p := make([]byte, h.Length)
	_, err = io.ReadFull(c.tls, p)
	return h, p, err
}

func callPayload(args []byte) []byte {
	p, _ := wire.AppendCallHead(nil, "obj", "m", nil, 0)
	return append(p, args...)
}

func firstFragment(total int) []byte {
	p := wire.AppendTotal(nil, total)
	return append(p, make([]byte, wire.MaxPayload-len(p))...)
}

// TestProtocolErrors sends what docs/protocol.md forbids. The session must end,
// say why in a goaway frame, and run nothing.
func TestProtocolErrors(t *testing.T) {
	good := wire.CallID(1, 0, wire.ClientSide)
	full := make([]byte, wire.MaxPayload)
	limits := testLimits
	limits.Calls = 4
	tests := []struct {
		name string
		send func(c *rawClient)
		want string
	}{
		{"call before hello", func(c *rawClient) { c.frame(wire.Call, 0, good, callPayload(nil)) }, "want hello first"},
		{"second hello", func(c *rawClient) { c.hello().hello() }, "want it once"},
		{"hello that is no map", func(c *rawClient) { c.frame(wire.Hello, 0, 0, []byte{0x01}) }, "hello"},
		{"hello without calls", func(c *rawClient) {
			f, _ := wire.AppendControl(nil, wire.Hello, 0, &wire.HelloBody{})
			c.write(f)
		}, "calls in flight"},
		{"unknown type", func(c *rawClient) { c.hello().frame(0x7f, 0, 0, nil) }, "unknown frame type 0x7f"},
		{"unknown flag", func(c *rawClient) { c.hello().frame(wire.Call, 0x40, good, callPayload(nil)) }, "unknown flags 0x40"},
		{"flag on ping", func(c *rawClient) { c.hello().frame(wire.Ping, wire.More, 0, nil) }, "unknown flags"},
		{"frame too long", func(c *rawClient) {
			c.hello().write(wire.AppendHeader(nil, wire.Header{Length: 1<<24 - 1, Type: wire.Call, ID: good}))
		}, "16777215 bytes"},
		{"verdict after the verdict", func(c *rawClient) { c.hello().frame(wire.Welcome, 0, 0, nil) }, "after the verdict"},
		{"wrong side", func(c *rawClient) { c.hello().frame(wire.Call, 0, good|1, callPayload(nil)) }, "wrong side"},
		{"slot beyond the limit", func(c *rawClient) {
			c.hello().frame(wire.Call, 0, wire.CallID(1, 4, wire.ClientSide), callPayload(nil))
		}, "the limit is 4"},
		{"id in use", func(c *rawClient) {
			c.hello().frame(wire.Call, wire.More, good, firstFragment(1<<20)).frame(wire.Call, 0, good, callPayload(nil))
		}, "no answer yet"},
		{"slot in use by another generation", func(c *rawClient) {
			c.hello().frame(wire.Call, wire.More, good, firstFragment(1<<20)).frame(wire.Call, 0, wire.CallID(2, 0, wire.ClientSide), callPayload(nil))
		}, "no answer yet"},
		{"short first fragment", func(c *rawClient) {
			c.hello().frame(wire.Call, wire.More, good, wire.AppendTotal(nil, 1<<20))
		}, "first fragment of 4 bytes"},
		{"total less than the first fragment", func(c *rawClient) {
			c.hello().frame(wire.Call, wire.More, good, firstFragment(10))
		}, "10 bytes in all"},
		{"total of 4 GiB", func(c *rawClient) {
			c.hello().frame(wire.Call, wire.More, good, append([]byte{0xff, 0xff, 0xff, 0xff}, full[4:]...))
		}, "4294967295 bytes in all"},
		{"short fragment in the middle", func(c *rawClient) {
			c.hello().frame(wire.Call, wire.More, good, firstFragment(1<<20)).frame(wire.Data, wire.More, good, full[:100])
		}, "before the last one"},
		{"more than declared", func(c *rawClient) {
			c.hello().frame(wire.Call, wire.More, good, firstFragment(wire.MaxPayload+10)).frame(wire.Data, 0, good, full[:100])
		}, "do not add up"},
		{"less than declared", func(c *rawClient) {
			c.hello().frame(wire.Call, wire.More, good, firstFragment(wire.MaxPayload+10)).frame(wire.Data, 0, good, full[:1])
		}, "do not add up"},
		{"window exceeded", func(c *rawClient) {
			c.hello()
			for i := range 4 {
				c.frame(wire.Call, wire.More, wire.CallID(1, i, wire.ClientSide), firstFragment(4<<20))
			}
		}, "window has only"},
		{"item without a stream", func(c *rawClient) {
			c.hello().frame(wire.Call, wire.More, good, firstFragment(1<<20)).frame(wire.Item, 0, good, nil)
		}, "no stream in this direction"},
		{"item in the middle of its call", func(c *rawClient) {
			c.hello().frame(wire.Call, wire.More|wire.Sends, good, firstFragment(1<<20)).frame(wire.Item, 0, good, nil)
		}, "before the message before it was complete"},
		{"credit without a stream", func(c *rawClient) {
			c.hello().frame(wire.Call, wire.More, good, firstFragment(1<<20)).frame(wire.Credit, 0, good, []byte{0, 0, 0, 1})
		}, "no stream in this direction"},
		{"credit of three bytes", func(c *rawClient) { c.hello().frame(wire.Credit, 0, good, []byte{0, 0, 1}) }, "credit of 3 bytes"},
		{"credit of 4 GiB", func(c *rawClient) { c.hello().frame(wire.Credit, 0, good, []byte{255, 255, 255, 255}) }, "credit for 4294967295 bytes"},
		{"end without a stream", func(c *rawClient) {
			c.hello().frame(wire.Call, wire.More, good, firstFragment(1<<20)).frame(wire.End, 0, good, nil)
		}, "no stream from the caller"},
		{"end of the daemon's own call", func(c *rawClient) { c.hello().frame(wire.End, 0, good|1, nil) }, "from the caller only"},
		{"end that is no map", func(c *rawClient) { c.hello().frame(wire.End, 0, good, []byte{1}) }, "end"},
		{"flags on an item", func(c *rawClient) { c.hello().frame(wire.Item, wire.Oneway, good, nil) }, "unknown flags"},
		{"result for the daemon's own id", func(c *rawClient) { c.hello().frame(wire.Result, 0, good, nil) }, "peer's own"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newRawClient(t, func(in *Incoming) { t.Error("a method was run"); echo(in) }, limits)
			test.send(c)
			for {
				h, p, err := c.next()
				if err != nil {
					t.Fatalf("no goaway: %v", err)
				}
				if h.Type != wire.GoAway {
					continue
				}
				var body wire.GoAwayBody
				if err := wire.ParseControl(h.Type, p, &body); err != nil {
					t.Fatal(err)
				}
				if body.Check != "protocol" || !strings.Contains(body.Reason, test.want) {
					t.Errorf("goaway %+v, want a reason with %q", body, test.want)
				}
				break
			}
			c.tls.NetConn().Close()
			<-c.s.Done()
			var bad *ProtocolError
			if !errors.As(c.s.Err(), &bad) || !strings.Contains(bad.Reason, test.want) {
				t.Errorf("session ended with %v, want %q", c.s.Err(), test.want)
			}
		})
	}
}

// TestHarmless sends what must be skipped, and sees that the next call is served.
func TestHarmless(t *testing.T) {
	good := wire.CallID(1, 0, wire.ClientSide)
	daemons := wire.CallID(9, 3, wire.ServerSide)
	full := make([]byte, wire.MaxPayload)
	tests := []struct {
		name string
		send func(c *rawClient)
	}{
		{"optional type", func(c *rawClient) { c.frame(0xfe, 0xff, 77, full) }},
		{"ping with a payload", func(c *rawClient) { c.frame(wire.Ping, 0, 5, full) }},
		{"result nobody asked for", func(c *rawClient) { c.frame(wire.Result, 0, daemons, full) }},
		{"error nobody asked for", func(c *rawClient) { c.frame(wire.Error, 0, daemons, []byte{0xff}) }},
		{"large result nobody asked for", func(c *rawClient) {
			c.frame(wire.Result, wire.More, daemons, firstFragment(1<<20)).frame(wire.Data, wire.More, daemons, full)
		}},
		{"data for no call", func(c *rawClient) { c.frame(wire.Data, 0, wire.CallID(7, 7, wire.ClientSide), full[:9]) }},
		{"cancel for no call", func(c *rawClient) { c.frame(wire.Cancel, 0, wire.CallID(7, 7, wire.ClientSide), nil) }},
		{"cancel of a call half sent", func(c *rawClient) {
			c.frame(wire.Call, wire.More, good, firstFragment(1<<20)).frame(wire.Cancel, 0, good, nil).frame(wire.Data, wire.More, good, full)
		}},
		{"call too large", func(c *rawClient) {
			c.frame(wire.Call, wire.More, good, firstFragment(1<<30)).frame(wire.Data, wire.More, good, full)
		}},
		{"envelope that is no CBOR", func(c *rawClient) { c.frame(wire.Call, 0, good, []byte{0xff, 0xff}) }},
		{"empty call", func(c *rawClient) { c.frame(wire.Call, 0, good, nil) }},
		{"item for no call", func(c *rawClient) { c.frame(wire.Item, 0, good, full) }},
		{"large item for no call", func(c *rawClient) {
			c.frame(wire.Item, wire.More, good, firstFragment(1<<20)).frame(wire.Data, wire.More, good, full)
		}},
		{"credit for no call", func(c *rawClient) { c.frame(wire.Credit, 0, daemons, []byte{0, 0, 0, 0}) }},
		{"end for no call", func(c *rawClient) { c.frame(wire.End, 0, good, nil) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newRawClient(t, echo, testLimits).hello()
			test.send(c)
			id := wire.CallID(5, 1, wire.ClientSide)
			c.frame(wire.Call, 0, id, callPayload([]byte("alive")))
			for {
				h, p, err := c.next()
				if err != nil {
					t.Fatal(err)
				}
				if h.ID == id {
					if h.Type != wire.Result || string(p) != "alive" {
						t.Errorf("got %v %q", h.Type, p)
					}
					return
				}
			}
		})
	}
}

// TestStreamProtocolErrors sends what is forbidden while a method reads a stream.
func TestStreamProtocolErrors(t *testing.T) {
	id := wire.CallID(1, 0, wire.ClientSide)
	full := make([]byte, wire.MaxPayload)
	tests := []struct {
		name string
		send func(c *rawClient)
		want string
	}{
		{"no credit left", func(c *rawClient) {
			for range 4 {
				c.frame(wire.Item, 0, id, full)
			}
		}, "no credit left"},
		{"many empty items", func(c *rawClient) {
			for range wire.FirstCredit/wire.ItemCost + 1 {
				c.frame(wire.Item, 0, id, nil)
			}
		}, "no credit left"},
		{"an item larger than a message may be", func(c *rawClient) {
			c.frame(wire.Item, wire.More, id, firstFragment(5<<20))
		}, "at most 4194304 are accepted"},
		{"an item inside another", func(c *rawClient) {
			c.frame(wire.Item, wire.More, id, firstFragment(1<<20)).frame(wire.Item, 0, id, nil)
		}, "before the message before it was complete"},
		{"an item that is too short", func(c *rawClient) {
			c.frame(wire.Item, wire.More, id, firstFragment(wire.MaxPayload+10)).frame(wire.Data, 0, id, full[:1])
		}, "do not add up"},
		{"end inside an item", func(c *rawClient) {
			c.frame(wire.Item, wire.More, id, firstFragment(1<<20)).frame(wire.End, 0, id, nil)
		}, "in the middle of an item"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newRawClient(t, func(in *Incoming) {
				in.Release()
				<-in.Context().Done()
				in.Fail(&wire.ErrorBody{Kind: wire.KindCanceled})
			}, testLimits).hello()
			c.frame(wire.Call, wire.Sends, id, callPayload(nil))
			test.send(c)
			for {
				h, p, err := c.next()
				if err != nil {
					t.Fatalf("no goaway: %v", err)
				}
				var body wire.GoAwayBody
				if h.Type != wire.GoAway || wire.ParseControl(h.Type, p, &body) != nil {
					continue
				}
				if !strings.Contains(body.Reason, test.want) {
					t.Errorf("goaway %+v, want a reason with %q", body, test.want)
				}
				break
			}
			c.tls.NetConn().Close()
			<-c.s.Done()
		})
	}
}

// TestOneByteAtATime cuts a valid exchange into single bytes.
func TestOneByteAtATime(t *testing.T) {
	c := newRawClient(t, echo, testLimits)
	f, _ := wire.AppendControl(nil, wire.Hello, 0, &wire.HelloBody{Limits: testLimits})
	p := callPayload([]byte("slowly"))
	f = append(wire.AppendHeader(f, wire.Header{Length: len(p), Type: wire.Call, ID: wire.CallID(1, 0, 0)}), p...)
	for i := range f {
		c.write(f[i : i+1])
	}
	if h, p, err := c.next(); err != nil || h.Type != wire.Result || string(p) != "slowly" {
		t.Errorf("got %v %q %v", h.Type, p, err)
	}
}

// TestDeclaredLengthTakesNoMemory declares much and sends little.
func TestDeclaredLengthTakesNoMemory(t *testing.T) {
	a := newAssembly(4<<20, false)
	room, ok := a.room(wire.MaxPayload - wire.TotalSize)
	if !ok || len(room) != wire.MaxPayload-wire.TotalSize {
		t.Fatal("no room for the first fragment")
	}
	if cap(a.buf) > 2*aheadFactor*wire.MaxPayload {
		t.Errorf("%d bytes taken after %d had come", cap(a.buf), wire.MaxPayload)
	}
	for a.got < a.total {
		room, ok := a.room(min(wire.MaxPayload, a.total-a.got))
		if !ok {
			t.Fatal("refused")
		}
		copy(room, bytes.Repeat([]byte{7}, len(room)))
	}
	if len(a.buf) != a.total || !a.complete() {
		t.Errorf("assembled %d of %d", len(a.buf), a.total)
	}
	if _, ok := a.room(1); ok {
		t.Error("more than declared was accepted")
	}
}
