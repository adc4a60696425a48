package broker_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// The benchmarks have both ends in one process, and beside each figure that of
// raw TLS with the same settings: only the ratio means anything.

type order struct {
	ID       int64
	Customer string
	Lines    []string
	Total    float64
	Paid     bool
	At       time.Time
	Tags     map[string]string
	Note     []byte
}

type work struct{}

func (work) Echo(p []byte) []byte { return p }
func (work) Order(o order) order  { return o }
func (work) Add(a, b int64) int64 { return a + b }
func (work) Nothing()             {}
func (work) Text(s string) string { return s }
func (work) Large(p []byte) int   { return len(p) }
func (work) Fetch(n int) []byte   { return make([]byte, n) }

func benchWorld(b *testing.B) (*world, *broker.Proxy) {
	v, err := validator.New(validator.Config{Admit: []validator.Peer{validator.AnyIdentity()}, MaxConnections: 10_000})
	if err != nil {
		b.Fatal(err)
	}
	rules, err := validator.NewRules(validator.Rule{Name: "all", Effect: validator.Allow, Identities: []string{"*"}, Objects: []string{"*"}, Methods: []string{"*"}})
	if err != nil {
		b.Fatal(err)
	}
	w := newWorld(b, func(c *broker.Config) { c.Logger, c.Validator, c.Authorizer = newLogger(io.Discard), v, rules })
	return w, w.register("work", work{})
}

// rawEcho returns a TLS connection to an echo, with the settings of this module.
func rawEcho(b *testing.B, ca *testca.CA) *tls.Conn {
	b.Helper()
	server, err := certs.ServerConfig(source(b, ca, ca.Server(b, "localhost")))
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				t := tls.Server(c, server)
				io.Copy(t, t)
			}()
		}
	}()
	return rawDial(b, ca, l.Addr().String())
}

func rawDial(b *testing.B, ca *testca.CA, addr string) *tls.Conn {
	b.Helper()
	client, err := certs.ClientConfig(source(b, ca, ca.Client(b, "alice@bank.example")), certs.Expect{Host: "localhost"})
	if err != nil {
		b.Fatal(err)
	}
	c, err := tls.Dial("tcp", addr, client)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c
}

func roundTrip(b *testing.B, c *tls.Conn, out, in []byte) {
	if len(out) > 32<<10 { // both directions at once, or the buffers fill up
		done := make(chan error, 1)
		go func() { _, err := c.Write(out); done <- err }()
		defer func() {
			if err := <-done; err != nil {
				b.Error(err)
			}
		}()
	} else if _, err := c.Write(out); err != nil {
		b.Error(err)
		return
	}
	if _, err := io.ReadFull(c, in); err != nil {
		b.Error(err)
	}
}

// BenchmarkLatency is one caller, 64 bytes (W1), and 1 MiB (W5 with one).
func BenchmarkLatency(b *testing.B) {
	for _, size := range []int{64, 1 << 20} {
		b.Run(fmt.Sprintf("raw/%d", size), func(b *testing.B) {
			c := rawEcho(b, testca.New(b))
			out, in := make([]byte, size), make([]byte, size)
			b.SetBytes(int64(size))
			for b.Loop() {
				roundTrip(b, c, out, in)
			}
		})
		b.Run(fmt.Sprintf("call/%d", size), func(b *testing.B) {
			_, p := benchWorld(b)
			out := make([]byte, size)
			var in []byte
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Call(b.Context(), "Echo", &in, out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCallers is 1 to 1,024 callers on one connection, 64 bytes (W2, W11).
func BenchmarkCallers(b *testing.B) {
	b.Run("raw/64-connections", func(b *testing.B) {
		ca := testca.New(b)
		first := rawEcho(b, ca)
		addr := first.RemoteAddr().String()
		b.SetParallelism(64 / runtime.GOMAXPROCS(0))
		b.RunParallel(func(pb *testing.PB) {
			c := rawDial(b, ca, addr)
			out, in := make([]byte, 64), make([]byte, 64)
			for pb.Next() {
				roundTrip(b, c, out, in)
			}
		})
	})
	for _, callers := range []int{1, 16, 64, 256, 1024} {
		b.Run(fmt.Sprintf("call/%d", callers), func(b *testing.B) {
			_, p := benchWorld(b)
			b.ReportAllocs()
			parallel(b, callers, func() error {
				var in []byte
				return p.Call(b.Context(), "Echo", &in, payload64)
			})
		})
	}
	b.Run("structured/64", func(b *testing.B) {
		_, p := benchWorld(b)
		o := order{7, "alice", []string{"apples", "pears"}, 12.5, true, time.Now(), map[string]string{"a": "1"}, []byte("note")}
		b.ReportAllocs()
		parallel(b, 64, func() error {
			var in order
			return p.Call(b.Context(), "Order", &in, o)
		})
	})
	b.Run("add/64", func(b *testing.B) {
		_, p := benchWorld(b)
		b.ReportAllocs()
		parallel(b, 64, func() error {
			var sum int64
			return p.Call(b.Context(), "Add", &sum, int64(1), int64(2))
		})
	})
}

var payload64 = make([]byte, 64)

// parallel runs f in n goroutines, b.N times in all.
func parallel(b *testing.B, n int, f func() error) {
	per := make(chan int, n)
	for i := range n {
		share := b.N / n
		if i < b.N%n {
			share++
		}
		per <- share
	}
	close(per)
	b.ResetTimer()
	done := make(chan error, n)
	for share := range per {
		go func() {
			var err error
			for range share {
				if err = f(); err != nil {
					break
				}
			}
			done <- err
		}()
	}
	for range n {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}

// BenchmarkBulk is 1 MiB with four callers, on one connection (W5).
func BenchmarkBulk(b *testing.B) {
	const size = 1 << 20
	b.Run("raw/4-connections", func(b *testing.B) {
		ca := testca.New(b)
		conns := make(chan *tls.Conn, 4)
		first := rawEcho(b, ca)
		conns <- first
		for range 3 {
			conns <- rawDial(b, ca, first.RemoteAddr().String())
		}
		b.SetBytes(size)
		out := make([]byte, size)
		parallel(b, 4, func() error {
			c := <-conns
			roundTrip(b, c, out, make([]byte, size))
			conns <- c
			return nil
		})
	})
	b.Run("call/4", func(b *testing.B) {
		_, p := benchWorld(b)
		out := make([]byte, size)
		b.SetBytes(size)
		b.ReportAllocs()
		parallel(b, 4, func() error {
			var in []byte
			return p.Call(b.Context(), "Echo", &in, out)
		})
	})
}

// BenchmarkConnect is a full handshake, the verdict and one call (W7).
func BenchmarkConnect(b *testing.B) {
	b.Run("raw", func(b *testing.B) {
		ca := testca.New(b)
		addr := rawEcho(b, ca).RemoteAddr().String()
		client, err := certs.ClientConfig(source(b, ca, ca.Client(b, "alice@bank.example")), certs.Expect{Host: "localhost"})
		if err != nil {
			b.Fatal(err)
		}
		out, in := make([]byte, 64), make([]byte, 64)
		for b.Loop() {
			c, err := tls.Dial("tcp", addr, client)
			if err != nil {
				b.Fatal(err)
			}
			roundTrip(b, c, out, in)
			c.Close()
		}
	})
	b.Run("call", func(b *testing.B) {
		w, p := benchWorld(b)
		src := source(b, w.ca, w.ca.Client(b, "alice@bank.example"))
		for b.Loop() {
			c, err := broker.NewClient(broker.ClientConfig{Certs: src})
			if err != nil {
				b.Fatal(err)
			}
			q, err := c.Proxy(b.Context(), p.URI().String())
			if err != nil {
				b.Fatal(err)
			}
			if err := q.Call(b.Context(), "Nothing", nil); err != nil {
				b.Fatal(err)
			}
			c.Close()
		}
	})
}

// BenchmarkIdle holds connections that have made one call and reports what each
// costs both ends together: the process has both (W8).
func BenchmarkIdle(b *testing.B) {
	for _, raw := range []bool{true, false} {
		b.Run(map[bool]string{true: "raw", false: "call"}[raw], func(b *testing.B) {
			const connections = 500
			w, p := benchWorld(b)
			src := source(b, w.ca, w.ca.Client(b, "alice@bank.example"))
			addr := rawEcho(b, w.ca).RemoteAddr().String()
			for b.Loop() {
				before := memory()
				clients := make([]io.Closer, connections)
				for i := range clients {
					if raw {
						c := rawDial(b, w.ca, addr)
						roundTrip(b, c, payload64, make([]byte, 64))
						clients[i] = c
						continue
					}
					c, err := broker.NewClient(broker.ClientConfig{Certs: src})
					if err != nil {
						b.Fatal(err)
					}
					q, _ := c.Proxy(b.Context(), p.URI().String())
					if err := q.Call(b.Context(), "Nothing", nil); err != nil {
						b.Fatal(err)
					}
					clients[i] = c
				}
				b.ReportMetric(float64(memory()-before)/connections/1024, "KiB/connection-both-ends")
				for _, c := range clients {
					c.Close()
				}
			}
		})
	}
}

// memory is what is in use after collection, stacks included.
func memory() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
