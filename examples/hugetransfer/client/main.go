// Command client sends much to the depot that server exports and fetches as much from
// it, and goes on calling it meanwhile, over the same connection.
package main

import (
	"context"
	"flag"
	"fmt"
	"hash/crc32"
	"log"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/examples/hugetransfer"
)

func main() {
	log.SetFlags(0)
	uri := flag.String("uri", "PYROSSL://localhost:7766/depot", "URI of the depot")
	mib := flag.Int64("mib", 1024, "MiB to send, and to fetch")
	flag.Parse()
	ctx := context.Background()
	peak := hugetransfer.Watch()

	mine, err := certs.Load("pki/alice@bank.example.crt", "pki/alice@bank.example.key", "pki/ca.crt")
	check(err)
	client, err := broker.NewClient(broker.ClientConfig{Certs: certs.Static(mine)})
	check(err)
	defer client.Close()
	depot, err := client.Proxy(ctx, *uri)
	check(err)

	size := *mib << 20
	beside(ctx, depot, "sent", *mib, func() { put(ctx, depot, size) })
	beside(ctx, depot, "fetched", *mib, func() { get(ctx, depot, size) })

	var servers uint64
	check(depot.Call(ctx, "Peak", &servers))
	fmt.Printf("most memory: client %d MiB, server %d MiB\n", peak.Most()>>20, servers>>20)
}

// put sends, and compares what the depot says has arrived.
func put(ctx context.Context, depot *broker.Proxy, size int64) {
	want := hugetransfer.Receipt{Bytes: size}
	for chunk := range hugetransfer.Content(size) {
		want.Sum = crc32.Update(want.Sum, crc32.IEEETable, chunk)
	}
	var got hugetransfer.Receipt
	check(depot.Call(ctx, "Put", &got, hugetransfer.Content(size)))
	if got != want {
		log.Fatalf("the depot got %+v, want %+v", got, want)
	}
}

// get fetches, and compares.
func get(ctx context.Context, depot *broker.Proxy, size int64) {
	var got, want uint32
	for chunk := range hugetransfer.Content(size) {
		want = crc32.Update(want, crc32.IEEETable, chunk)
	}
	for chunk, err := range broker.Stream[[]byte](ctx, depot, "Get", size) {
		check(err)
		size -= int64(len(chunk))
		got = crc32.Update(got, crc32.IEEETable, chunk)
	}
	if got != want || size != 0 {
		log.Fatalf("got the sum %x and %d bytes too few, want %x", got, size, want)
	}
}

// beside makes small calls until a transfer is done.
func beside(ctx context.Context, depot *broker.Proxy, what string, mib int64, transfer func()) {
	begun, done := time.Now(), make(chan struct{})
	go func() { transfer(); close(done) }()
	calls, longest := 0, time.Duration(0)
	for {
		select {
		case <-done:
			took := time.Since(begun)
			fmt.Printf("%s %d MiB, %.0f MiB/s, beside %d small calls, the longest of %v\n",
				what, mib, float64(mib)/took.Seconds(), calls, longest.Round(time.Microsecond))
			return
		default:
		}
		var text string
		called := time.Now()
		check(depot.Call(ctx, "Small", &text, "still there?"))
		calls++
		longest = max(longest, time.Since(called))
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
