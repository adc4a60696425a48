package attack

import (
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/internal/testca"
)

// library gives out what is larger than the question.
type library struct{ given atomic.Int64 }

const book = 256 << 10

func (l *library) Book() []byte {
	l.given.Add(1)
	return make([]byte, book)
}

// heapPeak runs f and returns by how much the heap in use grew in the meantime, as far
// as a look every few milliseconds sees it.
func heapPeak(f func()) int {
	defer debug.SetGCPercent(debug.SetGCPercent(20)) // so that garbage counts little
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before, most := m.HeapAlloc, m.HeapAlloc
	done := make(chan struct{})
	go func() { // ends with f
		defer close(done)
		f()
	}()
	for {
		select {
		case <-done:
			return int(most - before)
		case <-time.After(5 * time.Millisecond):
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
		}
	}
}

// greedy enters, and announces that it takes anything.
func (w *world) greedy(p testca.Pair) *raw {
	c := w.enter(p)
	f, err := wire.AppendControl(nil, wire.Hello, 0, &wire.HelloBody{Limits: wire.Limits{Calls: 1024, Message: 1<<31 - 1, Window: 1<<31 - 1, IdleSeconds: 3600}})
	if err != nil {
		w.tb.Fatal(err)
	}
	return c.send(f)
}

// appetite is what broker.Limits say that one connection can make the daemon hold: its
// windows, and less than 1 MiB of frames. As much again is for the collector.
const appetite = 2 * (2*broker.DefaultWindowBytes + 1<<20)

// TestBatchOfLargeResults asks, in one small message, for results that together are much
// larger than a message may be.
func TestBatchOfLargeResults(t *testing.T) {
	ca := testca.New(t)
	w := newWorld(t, ca, nil)
	if _, err := w.daemon.Register("library", new(library)); err != nil {
		t.Fatal(err)
	}
	c := w.greedy(ca.Client(t, "mallory@bank.example"))
	const books = 800
	args := []byte{1}
	for range books {
		args = append(append(append(args, 0x82, 0x64), "Book"...), 0xf6)
	}
	id := wire.CallID(1, 0, wire.ClientSide)
	grew := heapPeak(func() {
		c.frame(wire.Call, wire.Batch, id, callTo("library", "batch", args...))
		if h, _, err := c.until(func(h wire.Header) bool { return h.ID == id }); err != nil {
			t.Errorf("%v, %v", h.Type, err)
		}
	})
	t.Logf("a batch of %d bytes for %d results of %d bytes: the heap grew by %d MiB", len(args), books, book, grew>>20)
	if grew > appetite {
		t.Errorf("the heap grew by %d MiB, want at most %d", grew>>20, appetite>>20)
	}
}

// TestResultsThatNobodyReads asks for large results in many calls and reads none: most
// of the calls are not run until it does.
func TestResultsThatNobodyReads(t *testing.T) {
	ca := testca.New(t)
	w := newWorld(t, ca, nil)
	l := new(library)
	if _, err := w.daemon.Register("library", l); err != nil {
		t.Fatal(err)
	}
	c := w.greedy(ca.Client(t, "mallory@bank.example"))
	const calls = 1000
	grew := heapPeak(func() {
		for i := range calls {
			c.frame(wire.Call, 0, wire.CallID(1, i, wire.ClientSide), callTo("library", "Book"))
		}
		settled(&l.given)
	})
	t.Logf("%d calls for results of %d bytes, none of which is read: %d were run, the heap grew by %d MiB", calls, book, l.given.Load(), grew>>20)
	// Those that were begun before the first result had to wait are run to their end.
	if n := l.given.Load(); n > calls/2 {
		t.Errorf("%d of %d calls were run for a peer that does not read", n, calls)
	}
	for answered := 0; answered < calls; { // whoever reads gets everything
		h, _, err := c.next()
		if err != nil {
			t.Fatalf("after %d answers: %v", answered, err)
		}
		if h.Type != wire.Credit && h.Flags&wire.More == 0 {
			answered++
		}
	}
	w.alive(ca.Client(t, "alice@bank.example"))
}

// settled waits until a number has grown and then stayed for a while.
func settled(n *atomic.Int64) {
	for last, since := int64(0), time.Now(); last == 0 || time.Since(since) < 300*time.Millisecond; time.Sleep(time.Millisecond) {
		if now := n.Load(); now != last {
			last, since = now, time.Now()
		}
	}
}
