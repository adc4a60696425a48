package main

import (
	"context"
	"fmt"
	"iter"
	"os"
	"strings"
	"time"
)

// bar shows on stderr how far a transfer is, and keeps it from being faster than allowed.
type bar struct {
	done, total, before int64 // bytes; before were there when it began
	limit               int
	begun, shown        time.Time
}

func begin(done, total int64, limit int) *bar {
	if done > 0 {
		fmt.Printf("going on at %d of %d bytes\n", done, total)
	}
	return &bar{done: done, total: total, before: done, limit: limit, begun: time.Now()}
}

// count passes chunks on and counts them.
func (b *bar) count(ctx context.Context, chunks iter.Seq2[[]byte, error]) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		defer func() { b.show(); fmt.Fprintln(os.Stderr) }()
		for chunk, err := range chunks {
			if err == nil {
				err = b.wait(ctx)
			}
			if !yield(chunk, err) || err != nil {
				return
			}
			b.done += int64(len(chunk))
			if time.Since(b.shown) > 100*time.Millisecond {
				b.show()
			}
		}
	}
}

func (b *bar) wait(ctx context.Context) error {
	if b.limit == 0 {
		return nil
	}
	due := time.Duration(float64(b.done-b.before) / float64(b.limit) * float64(time.Second))
	select {
	case <-time.After(due - time.Since(b.begun)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

const width = 40

func (b *bar) show() {
	b.shown = time.Now()
	full := width
	if b.total > 0 {
		full = int(min(b.done, b.total) * width / b.total)
	}
	mib := func(n int64) float64 { return float64(n) / (1 << 20) }
	fmt.Fprintf(os.Stderr, "\r[%s%s] %.1f of %.1f MiB, %.1f MiB/s ", strings.Repeat("=", full), strings.Repeat(" ", width-full),
		mib(b.done), mib(b.total), mib(b.done-b.before)/max(time.Since(b.begun).Seconds(), 0.001))
}
