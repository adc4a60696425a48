// Command client counts how often it can call the methods that server exports.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/examples/benchmark"
)

// shape is a kind of call. do makes some, and says how many.
type shape struct {
	name string
	do   func(ctx context.Context) (calls int, err error)
}

func main() {
	log.SetFlags(0)
	uri := flag.String("uri", "PYROSSL://localhost:7766/track", "URI of the methods")
	long := flag.Duration("for", time.Second, "how long to call each")
	flag.Parse()
	ctx := context.Background()

	mine, err := certs.Load("pki/alice@bank.example.crt", "pki/alice@bank.example.key", "pki/ca.crt")
	check(err)
	config := broker.ClientConfig{Certs: certs.Static(mine), Errors: benchmark.Errors}
	client, err := broker.NewClient(config)
	check(err)
	track, err := client.Proxy(ctx, *uri)
	check(err)

	for _, s := range append(shapes(track), connecting(config, *uri)...) {
		calls, rate, err := measure(ctx, s, *long)
		if err != nil {
			log.Fatalf("%s: %v", s.name, err)
		}
		fmt.Printf("%-28s %9.0f/s %9d calls\n", s.name, rate, calls)
	}
}

func measure(ctx context.Context, s shape, long time.Duration) (calls int, rate float64, err error) {
	begun := time.Now()
	for time.Since(begun) < long {
		n, err := s.do(ctx)
		if err != nil {
			return calls, 0, err
		}
		calls += n
	}
	return calls, float64(calls) / time.Since(begun).Seconds(), nil
}

func shapes(track *broker.Proxy) []shape {
	var sum int
	var text string
	var bytes []byte
	var record benchmark.Record
	kib := make([]byte, 1<<10)
	mib := make([]byte, 1<<20)
	some := benchmark.Record{Name: "some", Numbers: []int{1, 2, 3, 4, 5, 6, 7, 8}, Nested: map[string]int{"a": 1, "b": 2}}
	call := func(method string, result any, args ...any) func(context.Context) (int, error) {
		return func(ctx context.Context) (int, error) { return 1, track.Call(ctx, method, result, args...) }
	}
	return []shape{
		{"no argument, no result", call("Nothing", nil)},
		{"two integers", call("Add", &sum, 40, 2)},
		{"a text", call("Text", &text, "hello")},
		{"1 KiB", call("Bytes", &bytes, kib)},
		{"1 MiB", call("Bytes", &bytes, mib)},
		{"a struct", call("Record", &record, some)},
		{"an error", func(ctx context.Context) (int, error) { return fail(ctx, track) }},
		{"oneway", func(ctx context.Context) (int, error) { return oneway(ctx, track) }},
		{"batches of 100", func(ctx context.Context) (int, error) { return batch(ctx, track) }},
		{"items of a stream", func(ctx context.Context) (int, error) { return stream(ctx, track) }},
		{"64 goroutines, one proxy", func(ctx context.Context) (int, error) { return many(ctx, track) }},
	}
}

func fail(ctx context.Context, track *broker.Proxy) (int, error) {
	if err := track.Call(ctx, "Fail", nil); !errors.Is(err, benchmark.ErrNo) {
		return 0, fmt.Errorf("got %v, want %v", err, benchmark.ErrNo)
	}
	return 1, nil
}

// oneway makes an ordinary call in the end, so that the others have been taken.
func oneway(ctx context.Context, track *broker.Proxy) (int, error) {
	for range 100 {
		if err := track.Oneway(ctx, "Nothing"); err != nil {
			return 0, err
		}
	}
	return 101, track.Call(ctx, "Nothing", nil)
}

func batch(ctx context.Context, track *broker.Proxy) (int, error) {
	b := track.Batch()
	for n := range 100 {
		b.Call("Add", n, 1)
	}
	return 100, b.Run(ctx)
}

func stream(ctx context.Context, track *broker.Proxy) (int, error) {
	items := 0
	for _, err := range broker.Stream[int](ctx, track, "Count") {
		if items++; err != nil || items == 1000 {
			return items, err
		}
	}
	return items, errors.New("the stream has an end")
}

func many(ctx context.Context, track *broker.Proxy) (int, error) {
	const goroutines, each = 64, 20
	var all sync.WaitGroup
	var failed atomic.Pointer[error]
	for range goroutines {
		all.Go(func() {
			for range each {
				if err := track.Call(ctx, "Nothing", nil); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return goroutines * each, nil
}

// connecting are calls that need a connection of their own.
func connecting(config broker.ClientConfig, uri string) []shape {
	fresh := func(ctx context.Context) (int, error) {
		client, err := broker.NewClient(config)
		if err != nil {
			return 0, err
		}
		defer client.Close()
		track, err := client.Proxy(ctx, uri)
		if err != nil {
			return 0, err
		}
		return 1, track.Call(ctx, "Nothing", nil)
	}
	return []shape{{"a new connection each", fresh}}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
