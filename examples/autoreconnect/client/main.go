// Command client looks at the clock that server exports and makes it tick, both at once,
// and goes on when the server is killed and started again.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"math"
	"sync"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/examples/autoreconnect"
)

func main() {
	log.SetFlags(0)
	uri := flag.String("uri", "PYROSSL://localhost:7766/clock", "URI of the clock")
	rounds := flag.Int("rounds", math.MaxInt, "how often to call each method")
	flag.Parse()
	ctx := context.Background()

	mine, err := certs.Load("pki/alice@bank.example.crt", "pki/alice@bank.example.key", "pki/ca.crt")
	check(err)
	client, err := broker.NewClient(broker.ClientConfig{Certs: certs.Static(mine), Timeout: time.Minute})
	check(err)
	defer client.Close()
	// Look is called again by itself: the server says too that it may be.
	clock, err := client.Proxy(ctx, *uri, broker.Idempotent("Look"))
	check(err)
	_, err = clock.Connect(ctx) // who was never there is not waited for
	check(err)

	var both sync.WaitGroup
	both.Go(func() { call(ctx, clock, "Look", *rounds) })
	both.Go(func() { call(ctx, clock, "Tick", *rounds) })
	both.Wait()
}

func call(ctx context.Context, clock *broker.Proxy, method string, rounds int) {
	for n := 1; n <= rounds; n++ {
		var state autoreconnect.State
		err := clock.Call(ctx, method, &state)
		for errors.Is(err, broker.KindUnreachable) {
			// After some seconds without a server the proxy gives up. The next call
			// connects again: there is no proxy to be made anew.
			err = clock.Call(ctx, method, &state)
		}
		switch failed, _ := errors.AsType[*broker.Error](err); {
		case err == nil:
			fmt.Printf("%s %d: server %d shows %d\n", method, n, state.Process, state.Ticks)
		case failed != nil && failed.Kind == broker.KindLost && failed.MayHaveRun:
			// Nobody can know whether it ticked, so nobody lets it tick again.
			fmt.Printf("%s %d: connection lost, it may have run: not called again\n", method, n)
		default:
			log.Fatal(err)
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
