package attack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/internal/testca"
)

// These tests need many addresses of the loopback network, and Linux has them all.

// flood is how many sockets are opened to a daemon and left alone.
type flood struct {
	name             string
	silent, halfOpen int           // the latter have sent a ClientHello and read nothing
	addresses        int           // from which they come
	places, each     int           // MaxHandshakes and MaxHandshakesPerAddress
	time             time.Duration // from accept to verdict
	memory           int           // by how much it may grow, on both sides together
}

// TestFlood: while all those sockets are open, honest clients connect, memory stays within
// its bound, and after the time of a handshake every socket is gone. The default budget
// holds few of them at all, and so its bound does not depend on how many come. The wide
// one holds every one, at the price of a goroutine and the beginning of a TLS connection.
func TestFlood(t *testing.T) {
	silent, halfOpen := scaled(300, 5000), scaled(30, 500)
	for _, f := range []flood{
		{"default budget", silent, halfOpen, 14, 256, 16, 5 * time.Second, 64 << 20},
		{"wide budget", silent, halfOpen, 14, 6000, 512, time.Duration(scaled(2, 5)) * time.Second, 16<<20 + (silent+halfOpen)*32<<10},
	} {
		t.Run(f.name, f.test)
	}
}

func (f flood) test(t *testing.T) {
	needFiles(t, 2*(f.silent+f.halfOpen)+500)
	ca := testca.New(t)
	w := newWorld(t, ca, func(c *broker.Config) {
		c.MaxHandshakes, c.MaxHandshakesPerAddress, c.HandshakeTimeout = f.places, f.each, f.time
		c.Logger, c.Audit = slog.New(slog.NewJSONHandler(io.Discard, nil)), nil // what a test keeps of it is not the daemon's memory
	})
	alice := ca.Client(t, "alice@bank.example")
	w.alive(alice)
	files := openFiles(t)
	before := memory()
	sockets := make([]net.Conn, 0, f.silent+f.halfOpen)
	defer func() {
		for _, c := range sockets {
			c.Close()
		}
	}()
	stop, honest := w.honest(alice)
	begin := time.Now()
	hello := clientHello()
	for i := range f.silent + f.halfOpen {
		c := w.silent(i % f.addresses)
		sockets = append(sockets, c)
		if i >= f.silent {
			c.Write(hello) // whoever had no place has been closed already
		}
	}
	opened := time.Now()
	most := memory() - before
	held := w.metric("handshakes")
	eventually(t, "no handshake is left", func() bool {
		most = max(most, memory()-before)
		return time.Since(begin) > f.time/2 && w.metric("handshakes") <= "1" // an honest one may be under way
	})
	last := time.Since(opened)
	stop()
	latencies := honest()
	for i, c := range sockets {
		if err := ended(c); err != nil {
			t.Fatalf("socket %d: %v", i, err)
		}
		c.Close()
	}
	sockets = nil
	t.Logf("%d silent and %d half-open sockets, opened in %v, %s held; dropped at once: %s; the last was gone %v after that; memory of both sides at most +%.1f MiB; %d honest connects, p50 %v, p99 %v",
		f.silent, f.halfOpen, opened.Sub(begin).Round(time.Millisecond), held, w.metric("connections_dropped_total"), last.Round(time.Millisecond), float64(most)/(1<<20),
		len(latencies), quantile(latencies, 0.5), quantile(latencies, 0.99))
	if most > f.memory {
		t.Errorf("memory grew by %d MiB, want at most %d", most>>20, f.memory>>20)
	}
	if len(latencies) == 0 {
		t.Error("no honest client has connected")
	}
	w.alive(alice)
	eventually(t, "every file is closed", func() bool { return openFiles(t) <= files })
}

// honest connects and calls again and again. stop ends it, and the result returns how long
// each took.
func (w *world) honest(p testca.Pair) (stop context.CancelFunc, result func() []time.Duration) {
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var all []time.Duration
	client := func() { // a function of its own, to be closed each time
		c := w.client(p, func(c *broker.ClientConfig) { c.Dial = from("127.0.0.9") })
		defer c.Close()
		begin := time.Now()
		if err := w.proxy(c, "target").Call(context.Background(), "Nothing", nil); err != nil {
			w.tb.Errorf("an honest client: %v", err)
		}
		all = append(all, time.Since(begin))
	}
	wg.Go(func() { // ends with stop
		for ctx.Err() == nil {
			client()
		}
	})
	return stop, func() []time.Duration { wg.Wait(); return all }
}

// silent opens a socket from one of many addresses.
func (w *world) silent(address int) net.Conn {
	c, err := from(fmt.Sprintf("127.0.1.%d", address+1))(w.tb.Context(), "tcp", w.daemon.Addr().String())
	if err != nil {
		w.tb.Fatal(err)
	}
	return c
}

// ended reports whether the other side has closed, after whatever it said before.
func ended(c net.Conn) error {
	c.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("it is still open: %w", err)
	}
	return nil
}

// memory is what the process uses now: heap and stacks, after a collection.
func memory() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse + m.StackInuse)
}

// needFiles raises the limit of open files as far as is allowed.
func needFiles(t *testing.T, n int) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur >= uint64(n) {
		return
	}
	limit.Cur = limit.Max
	if limit.Max < uint64(n) {
		t.Fatalf("%d files may be open, this test needs %d: ulimit -n %d", limit.Max, n, n)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
