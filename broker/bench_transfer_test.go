package broker_test

import (
	"context"
	"iter"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
)

// depot sends and takes files of any size in pieces.
type depot struct{}

const piece = 64 << 10

func (depot) Get(ctx context.Context, n int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for p := make([]byte, piece); n > 0; n -= piece {
			if !yield(p, nil) {
				return
			}
		}
	}
}

func (depot) Put(pieces iter.Seq2[[]byte, error]) (n int, err error) {
	for p, err := range pieces {
		if err != nil {
			return n, err
		}
		n += len(p)
	}
	return n, nil
}

func (depot) Small(p []byte) []byte { return p }

// BenchmarkTransfer moves 64 MiB through a stream. It reports how much more memory is in
// use meanwhile, both ends together, and the 99th percentile of small calls on the same
// connection, as a multiple of what it is when nothing else goes on.
func BenchmarkTransfer(b *testing.B) {
	const size = 64 << 20
	for _, way := range []string{"get", "put"} {
		b.Run(way, func(b *testing.B) {
			w := newWorld(b, nil)
			p := w.register("depot", depot{})
			small := func() time.Duration {
				begun := time.Now()
				var got []byte
				if err := p.Call(b.Context(), "Small", &got, payload64); err != nil {
					b.Fatal(err)
				}
				return time.Since(begun)
			}
			transfer := func() error {
				if way == "get" {
					for _, err := range broker.Stream[[]byte](b.Context(), p, "Get", size) {
						if err != nil {
							return err
						}
					}
					return nil
				}
				var n int
				return p.Call(b.Context(), "Put", &n, iter.Seq2[[]byte, error](func(yield func([]byte, error) bool) {
					for p, n := make([]byte, piece), size; n > 0 && yield(p, nil); n -= piece {
					}
				}))
			}
			alone := make([]time.Duration, 500)
			for i := range alone {
				alone[i] = small()
			}
			before := memory()
			var most uint64
			var beside []time.Duration
			b.SetBytes(size)
			for b.Loop() {
				done := make(chan error, 1)
				go func() { done <- transfer() }()
				for over := false; !over; {
					select {
					case err := <-done:
						if err != nil {
							b.Fatal(err)
						}
						over = true
					default:
						beside = append(beside, small())
						if len(beside)%16 == 0 {
							var m runtime.MemStats
							runtime.ReadMemStats(&m)
							most = max(most, m.HeapInuse+m.StackInuse)
						}
					}
				}
			}
			p99 := func(d []time.Duration) time.Duration {
				slices.Sort(d)
				return d[len(d)*99/100]
			}
			b.ReportMetric(float64(int64(most)-before)/(1<<20), "MiB-more")
			b.ReportMetric(float64(p99(beside))/float64(p99(alone)), "x-small-call-p99")
			b.ReportMetric(float64(p99(beside).Microseconds()), "us-small-call-p99")
		})
	}
}
