package main

import (
	"context"
	"errors"
	"iter"
	"log"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pyrossl/pyrossl/broker"
)

// sums are what all goroutines have done together.
type sums struct {
	answered, givenUp, oneway, refused, streams, connections atomic.Int64

	sure, maybe atomic.Int64 // what was added, and what may have been
}

// worker is one goroutine.
type worker struct {
	adder   *broker.Proxy
	connect func() (*broker.Client, *broker.Proxy)
	sums    *sums
	rand    *rand.Rand
}

// storm makes calls of all sorts until the time is up. Any answer that it has not
// reckoned with ends the program.
func (w *worker) storm(ctx context.Context, end time.Time) {
	sorts := []func(context.Context) error{w.add, w.add, w.echo, w.oneway, w.batch, w.hurry, w.giveUp, w.count, w.sum, w.wrong}
	for time.Now().Before(end) {
		sort := sorts[w.rand.IntN(len(sorts))]
		if w.rand.IntN(200) == 0 {
			sort = w.visit // a handshake costs as much as hundreds of calls
		}
		check(sort(ctx))
	}
}

func (w *worker) amount() int64 { return 1 + w.rand.Int64N(9) }

func (w *worker) soon() time.Duration {
	return time.Duration(w.rand.Int64N(int64(3 * time.Millisecond)))
}

func (w *worker) add(ctx context.Context) error {
	n := w.amount()
	w.sums.answered.Add(1)
	w.sums.sure.Add(n)
	return w.adder.Call(ctx, "Add", nil, n)
}

func (w *worker) echo(ctx context.Context) error {
	text, back := strings.Repeat("x", w.rand.IntN(200_000)), ""
	w.sums.answered.Add(1)
	if err := w.adder.Call(ctx, "Echo", &back, text); err != nil {
		return err
	}
	if back != text {
		return errors.New("got another text than was sent")
	}
	return nil
}

func (w *worker) oneway(ctx context.Context) error {
	n := w.amount()
	w.sums.oneway.Add(1)
	w.sums.sure.Add(n)
	return w.adder.Oneway(ctx, "Add", n)
}

func (w *worker) batch(ctx context.Context) error {
	b := w.adder.Batch()
	for range 10 {
		n := w.amount()
		w.sums.answered.Add(1)
		w.sums.sure.Add(n)
		b.Call("Add", n)
	}
	return b.Run(ctx)
}

// hurry leaves so little time that nobody can say whether the call will be made. The error
// knows whether it may have been.
func (w *worker) hurry(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.soon()/3)
	defer cancel()
	n := w.amount()
	err := w.adder.Call(ctx, "Add", nil, n)
	failed, ok := errors.AsType[*broker.Error](err)
	switch {
	case err == nil:
		w.sums.answered.Add(1)
		w.sums.sure.Add(n)
	case !ok || failed.Kind != broker.KindDeadline:
		return err
	default:
		w.sums.givenUp.Add(1)
		if failed.MayHaveRun {
			w.sums.maybe.Add(n)
		}
	}
	return nil
}

func (w *worker) giveUp(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	time.AfterFunc(w.soon(), cancel)
	w.sums.givenUp.Add(1)
	if err := w.adder.Call(ctx, "Wait", nil); !errors.Is(err, context.Canceled) {
		return errors.Join(errors.New("a call that was given up did not end as such"), err)
	}
	return nil
}

func (w *worker) count(ctx context.Context) error {
	enough, got := w.rand.IntN(2000), 0
	w.sums.streams.Add(1)
	for n, err := range broker.Stream[int](ctx, w.adder, "Count") {
		if err != nil {
			return err
		}
		if n != got {
			log.Fatalf("item %d of the stream is %d", got, n)
		}
		if got++; got > enough {
			break
		}
	}
	return nil
}

func (w *worker) sum(ctx context.Context) error {
	numbers := w.rand.IntN(2000)
	var stream iter.Seq2[int, error] = func(yield func(int, error) bool) {
		for n := range numbers {
			if !yield(n, nil) {
				return
			}
		}
	}
	w.sums.streams.Add(1)
	var got int
	if err := w.adder.Call(ctx, "Sum", &got, stream); err != nil {
		return err
	}
	if want := numbers * (numbers - 1) / 2; got != want {
		log.Fatalf("the sum is %d, want %d", got, want)
	}
	return nil
}

func (w *worker) wrong(ctx context.Context) error {
	w.sums.refused.Add(1)
	if err := w.adder.Call(ctx, "Subtract", nil, 1); !errors.Is(err, broker.KindNoMethod) {
		return errors.Join(errors.New("a method that is none was not refused as such"), err)
	}
	return nil
}

// visit connects anew, calls, and leaves.
func (w *worker) visit(ctx context.Context) error {
	client, adder := w.connect()
	defer client.Close()
	n := w.amount()
	w.sums.connections.Add(1)
	w.sums.answered.Add(1)
	w.sums.sure.Add(n)
	return adder.Call(ctx, "Add", nil, n)
}
