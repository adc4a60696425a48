package nameserver_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker/engine"
	"github.com/pyrossl/pyrossl/broker/names"
	"github.com/pyrossl/pyrossl/broker/names/nameserver"
)

// BenchmarkNames registers names with a name server over mutual TLS, by 64 callers over one
// connection, and looks them up again. With NAMES=100000 in the environment they are so
// many. It reports registrations and lookups per second, how long a name server that
// starts with all of them takes to be ready, and the memory that it takes for each.
func BenchmarkNames(b *testing.B) {
	n, err := strconv.Atoi(os.Getenv("NAMES"))
	if err != nil {
		n = 2000
	}
	for b.Loop() {
		w := newWorld(b)
		ns, err := names.Connect(b.Context(), w.client("alice.example"))
		if err != nil {
			b.Fatal(err)
		}
		name := func(i int) string { return fmt.Sprintf("bank.n%d.account%d", i%100, i) }
		b.ReportMetric(rate(b, n, func(i int) error {
			_, err := ns.Register(b.Context(), names.Registration{Name: name(i), URI: "PYROSSL://alice.example/x", Tags: []string{"bench"}})
			return err
		}), "registrations/s")
		b.ReportMetric(rate(b, n, func(i int) error {
			_, err := ns.Lookup(b.Context(), name(i))
			return err
		}), "lookups/s")
		w.restart(b, n)
	}
}

// rate does something n times, by 64 goroutines, and returns how often in a second.
func rate(b *testing.B, n int, do func(i int) error) float64 {
	b.Helper()
	begun := time.Now()
	var wg sync.WaitGroup
	for from := range 64 {
		wg.Go(func() {
			for i := from; i < n; i += 64 {
				if err := do(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return float64(n) / time.Since(begun).Seconds()
}

// restart starts the name server anew, with n names.
func (w *world) restart(b *testing.B, n int) {
	b.Helper()
	w.stop()
	quiet := slog.New(slog.DiscardHandler)
	begun := time.Now()
	e, err := engine.Open(context.Background(), engine.Config{Dir: w.dir, Sync: engine.Sync(time.Second), Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	before := heap()
	s, err := nameserver.New(context.Background(), nameserver.Config{Engine: e, Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.ReportMetric(float64(time.Since(begun))/1e6, "ms-to-ready")
	b.ReportMetric((heap()-before)/float64(n), "B/name")
	runtime.KeepAlive(s)
}

// heap is the memory in use, in bytes.
func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
