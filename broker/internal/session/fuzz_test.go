package session

import (
	"fmt"
	"testing"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/internal/memnet"
)

// serveAnything takes what streams there are, and echoes.
func serveAnything(in *Incoming) {
	if in.In == nil {
		echo(in)
		return
	}
	in.Release()
	for {
		item, ok, err := in.In.Next(in.Context())
		if !ok || in.Out != nil && in.Out.Send(in.Context(), nil, item) != nil {
			in.Fail(&wire.ErrorBody{Kind: wire.KindApplication, Message: fmt.Sprint(err)})
			return
		}
	}
}

// FuzzSession feeds a session arbitrary bytes after the verdict. It must end
// when the peer closes, without a panic, and with its tables empty.
func FuzzSession(f *testing.F) {
	hello, _ := wire.AppendControl(nil, wire.Hello, 0, &wire.HelloBody{Limits: testLimits})
	payload := callPayload([]byte("args"))
	call := append(wire.AppendHeader(nil, wire.Header{Length: len(payload), Type: wire.Call, ID: wire.CallID(1, 0, 0)}), payload...)
	f.Add(hello)
	f.Add(append(append([]byte{}, hello...), call...))
	f.Add(append(append(append([]byte{}, hello...), call...), wire.AppendHeader(nil, wire.Header{Type: wire.Cancel, ID: wire.CallID(1, 0, 0)})...))
	f.Add(append(append([]byte{}, hello...), wire.AppendHeader(nil, wire.Header{Type: wire.Ping})...))
	flow := append(append([]byte{}, hello...), wire.AppendHeader(nil, wire.Header{Length: len(payload), Type: wire.Call, Flags: wire.Sends | wire.Wants, ID: wire.CallID(1, 0, 0)})...)
	flow = append(append(flow, payload...), wire.AppendHeader(nil, wire.Header{Length: 1, Type: wire.Item, ID: wire.CallID(1, 0, 0)})...)
	flow = wire.AppendCredit(append(flow, 7), wire.CallID(1, 0, 0), 100)
	f.Add(wire.AppendHeader(flow, wire.Header{Type: wire.End, ID: wire.CallID(1, 0, 0)}))
	f.Fuzz(func(t *testing.T, input []byte) {
		a, b := memnet.Pipe()
		c, s, _, sc := handshake(t, a, b)
		server := New(Config{TLS: s, Conn: sc, Side: wire.ServerSide, Local: testLimits, Handler: serveAnything, Inline: true})
		done := make(chan struct{})
		go func() {
			server.Run()
			close(done)
		}()
		go func() { // what the session answers is not looked at
			p := make([]byte, 4096)
			for {
				if _, err := c.Read(p); err != nil {
					return
				}
			}
		}()
		c.Write(input)
		c.CloseWrite()
		a.Close()
		<-done
		server.Close()
		server.Wait()
		if n := server.partial.Load(); n != 0 {
			t.Errorf("%d bytes of items counted after the end", n)
		}
		if n := server.busy.Load(); n != 0 {
			t.Errorf("%d calls left after the end", n)
		}
	})
}
