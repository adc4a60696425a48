package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
)

// streamer is an object with streams.
type streamer struct {
	running atomic.Int32
	ended   chan error // what the context of an endless stream ended with
}

func (c *streamer) Count(ctx context.Context, n int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
	}
}

func (c *streamer) Endless(ctx context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		c.running.Add(1)
		defer c.running.Add(-1)
		for yield(make([]byte, 1000), nil) {
		}
		c.ended <- ctx.Err()
	}
}

func (c *streamer) Sum(numbers iter.Seq2[int, error]) (sum int, err error) {
	for n, err := range numbers {
		if err != nil {
			return sum, err
		}
		sum += n
	}
	return sum, nil
}

func (c *streamer) First(ctx context.Context, numbers iter.Seq2[int, error]) (int, error) {
	for n, err := range numbers {
		return n, err
	}
	return 0, errors.New("empty")
}

func (c *streamer) Double(ctx context.Context, factor int, numbers iter.Seq2[int, error]) (iter.Seq2[string, error], error) {
	if factor == 0 {
		return nil, fs.ErrInvalid
	}
	return func(yield func(string, error) bool) {
		for n, err := range numbers {
			if err != nil {
				yield("", err)
				return
			}
			if !yield(fmt.Sprint(factor*n), nil) {
				return
			}
		}
	}, nil
}

func (c *streamer) Fails(n int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			yield(i, nil)
		}
		yield(0, fs.ErrNotExist)
	}
}

func (c *streamer) Panics() iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		yield(1, nil)
		panic("in the middle")
	}
}

func (c *streamer) Blocks(size, n int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for i := range n {
			if !yield(bytes.Repeat([]byte{byte(i)}, size), nil) {
				return
			}
		}
	}
}

func (c *streamer) Nil() iter.Seq2[int, error] { return nil }
func (c *streamer) Plain() int                 { return 1 }

func numbers(n int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
	}
}

func collect[T any](seq iter.Seq2[T, error]) (all []T, err error) {
	for v, e := range seq {
		if e != nil {
			return all, e
		}
		all = append(all, v)
	}
	return all, nil
}

func TestStreams(t *testing.T) {
	w := newWorld(t, func(c *broker.Config) { c.Errors = broker.Errors{"gone": fs.ErrNotExist} })
	c := &streamer{ended: make(chan error, 10)}
	w.register("counter", c)
	client := w.client("bob@bank.example", func(c *broker.ClientConfig) { c.Errors = broker.Errors{"gone": fs.ErrNotExist} })
	p := w.proxy(client, w.uri("counter"))
	ctx := t.Context()

	for _, n := range []int{0, 1, 10, 20_000} {
		all, err := collect(broker.Stream[int](ctx, p, "Count", n))
		if err != nil || len(all) != n || n > 0 && all[n-1] != n-1 {
			t.Errorf("Count(%d): %d items, %v", n, len(all), err)
		}
		var sum int
		if err := p.Call(ctx, "Sum", &sum, numbers(n)); err != nil || sum != n*(n-1)/2 {
			t.Errorf("Sum of %d: %d, %v", n, sum, err)
		}
		doubled, err := collect(broker.Stream[string](ctx, p, "Double", 2, numbers(n)))
		if err != nil || len(doubled) != n || n > 0 && doubled[n-1] != fmt.Sprint(2*(n-1)) {
			t.Errorf("Double of %d: %d items, %v", n, len(doubled), err)
		}
	}
	// The same iterator value is a call of its own each time.
	seq := broker.Stream[int](ctx, p, "Count", 3)
	for range 2 {
		if all, err := collect(seq); err != nil || len(all) != 3 {
			t.Errorf("got %v, %v", all, err)
		}
	}
	// Large items, and the bytes in them.
	blocks, err := collect(broker.Stream[[]byte](ctx, p, "Blocks", 300_000, 20))
	if err != nil || len(blocks) != 20 || !bytes.Equal(blocks[19], bytes.Repeat([]byte{19}, 300_000)) {
		t.Errorf("%d blocks, %v", len(blocks), err)
	}
	// A method may stop reading, and answer.
	var first int
	if err := p.Call(ctx, "First", &first, numbers(1_000_000)); err != nil || first != 0 {
		t.Errorf("First: %d, %v", first, err)
	}
	if all, err := collect(broker.Stream[int](ctx, p, "Nil")); err != nil || len(all) != 0 {
		t.Errorf("Nil: %v, %v", all, err)
	}

	// Errors: of the iterator, before it, a panic, and of the argument's iterator.
	if all, err := collect(broker.Stream[int](ctx, p, "Fails", 5)); len(all) != 5 || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Fails: %d items, %v", len(all), err)
	}
	if _, err := collect(broker.Stream[string](ctx, p, "Double", 0, numbers(10))); kindOf(t, err) != broker.KindApplication {
		t.Errorf("Double by 0: %v", err)
	}
	if all, err := collect(broker.Stream[int](ctx, p, "Panics")); len(all) != 1 || kindOf(t, err) != broker.KindInternal {
		t.Errorf("Panics: %d items, %v", len(all), err)
	}
	broken := errors.New("the disk is gone")
	var sum int
	err = p.Call(ctx, "Sum", &sum, iter.Seq2[int, error](func(yield func(int, error) bool) {
		yield(1, nil)
		yield(0, broken)
	}))
	if kindOf(t, err) != broker.KindApplication || !errors.Is(err, broken) {
		t.Errorf("Sum of a broken stream: %v", err)
	}
	for _, wrong := range []error{
		p.Call(ctx, "Count", nil, 5),
		p.Call(ctx, "Sum", nil),
		p.Call(ctx, "Sum", nil, 5),
		p.Call(ctx, "Plain", nil, numbers(1)),
		p.Call(ctx, "Sum", nil, numbers(1), numbers(1)),
		p.Call(ctx, "Sum", nil, iter.Seq2[int, error](nil)),
		p.Call(ctx, "Sum", nil, iter.Seq2[string, error](func(yield func(string, error) bool) { yield("x", nil) })),
		func() error { _, err := collect(broker.Stream[int](ctx, p, "Plain")); return err }(),
	} {
		if k := kindOf(t, wrong); k != broker.KindArguments && k != broker.KindApplication {
			t.Errorf("got %v, want wrong arguments", wrong)
		}
	}
	if _, err := collect(broker.Stream[string](ctx, p, "Count", 1)); kindOf(t, err) != broker.KindResult {
		t.Errorf("numbers as text: %v", err)
	}
	if err := p.Call(ctx, "Plain", nil); err != nil {
		t.Errorf("the connection did not survive: %v", err)
	}
}

// TestStreamEnds: both ends of a stream end when the loop does, with the context, at
// the deadline, and with the connection.
func TestStreamEnds(t *testing.T) {
	tests := []struct {
		name string
		run  func(t *testing.T, w *world, p *broker.Proxy) error
		want broker.Kind // 0: no error
	}{
		{"break", func(t *testing.T, w *world, p *broker.Proxy) error {
			for _, err := range broker.Stream[[]byte](t.Context(), p, "Endless") {
				return err
			}
			return nil
		}, 0},
		{"cancel", func(t *testing.T, w *world, p *broker.Proxy) error {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			for _, err := range broker.Stream[[]byte](ctx, p, "Endless") {
				if err != nil {
					return err
				}
				cancel()
			}
			return nil
		}, broker.KindCanceled},
		{"deadline", func(t *testing.T, w *world, p *broker.Proxy) error {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err := collect(broker.Stream[[]byte](ctx, p, "Endless"))
			return err
		}, broker.KindDeadline},
		{"daemon closes", func(t *testing.T, w *world, p *broker.Proxy) error {
			for _, err := range broker.Stream[[]byte](t.Context(), p, "Endless") {
				if err != nil {
					return err
				}
				w.daemon.Close()
			}
			return nil
		}, broker.KindLost},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, nil)
			c := &streamer{ended: make(chan error, 10)}
			p := w.register("counter", c)
			err := test.run(t, w, p)
			// A daemon that closes cancels what runs, and that may be told before the end.
			if test.want == broker.KindLost && errors.Is(err, broker.KindCanceled) {
				err = nil
				test.want = 0
			}
			if test.want == 0 && err != nil || test.want != 0 && kindOf(t, err) != test.want {
				t.Errorf("the caller got %v", err)
			}
			if err := <-c.ended; err == nil {
				t.Error("the method's context did not end")
			}
			eventually(t, "the method has ended", func() bool { return c.running.Load() == 0 })
		})
	}
}

// TestStreamIsAuthorized: a stream passes the same step as a call.
func TestStreamIsAuthorized(t *testing.T) {
	w := newWorld(t, nil)
	w.register("counter", &streamer{})
	p := w.proxy(w.client("mallory@bank.example", nil), w.uri("counter"))
	if _, err := collect(broker.Stream[int](t.Context(), p, "Count", 1)); kindOf(t, err) != broker.KindDenied {
		t.Errorf("Count: %v", err)
	}
	if err := p.Call(t.Context(), "Sum", nil, numbers(100_000)); kindOf(t, err) != broker.KindDenied {
		t.Errorf("Sum: %v", err)
	}
}
