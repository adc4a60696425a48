// Command client storms the adder that server exports, and then compares what it has sent
// with what has arrived. It is the adder's only client.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/examples/stresstest"
)

func main() {
	log.SetFlags(0)
	uri := flag.String("uri", "PYROSSL://localhost:7766/adder", "URI of the adder")
	clients := flag.Int("clients", 8, "connections that stay open")
	goroutines := flag.Int("goroutines", 8, "goroutines for each of them")
	long := flag.Duration("for", 10*time.Second, "how long")
	seed := flag.Uint64("seed", rand.Uint64(), "for the choice of calls")
	flag.Parse()
	ctx := context.Background()

	mine, err := certs.Load("pki/alice@bank.example.crt", "pki/alice@bank.example.key", "pki/ca.crt")
	check(err)
	connect := func() (*broker.Client, *broker.Proxy) {
		client, err := broker.NewClient(broker.ClientConfig{Certs: certs.Static(mine)})
		check(err)
		adder, err := client.Proxy(ctx, *uri)
		check(err)
		return client, adder
	}
	observer, adder := connect()
	defer observer.Close()
	var before stresstest.State
	check(adder.Call(ctx, "State", &before))

	sums := new(sums)
	end := time.Now().Add(*long)
	var all sync.WaitGroup
	for c := range *clients {
		client, adder := connect()
		defer client.Close()
		for g := range *goroutines {
			w := &worker{adder: adder, connect: connect, sums: sums, rand: rand.New(rand.NewPCG(*seed, uint64(c)<<32|uint64(g)))}
			all.Go(func() { w.storm(ctx, end) })
		}
	}
	all.Wait()

	fmt.Printf("%d clients with %d goroutines each, for %v, seed %d\n", *clients, *goroutines, *long, *seed)
	fmt.Printf("%9d calls answered\n", sums.answered.Load())
	fmt.Printf("%9d calls given up\n", sums.givenUp.Load())
	fmt.Printf("%9d calls without an answer\n", sums.oneway.Load())
	fmt.Printf("%9d calls refused\n", sums.refused.Load())
	fmt.Printf("%9d streams\n", sums.streams.Load())
	fmt.Printf("%9d more connections\n", sums.connections.Load())
	compare(ctx, adder, before, sums)
}

// compare waits until all that was sent has arrived and all that was given up has ended.
func compare(ctx context.Context, adder *broker.Proxy, before stresstest.State, sums *sums) {
	sure, maybe := sums.sure.Load(), sums.maybe.Load()
	var now stresstest.State
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		check(adder.Call(ctx, "State", &now))
		if now.Total-before.Total >= sure && now.Running == 0 {
			break
		}
		if time.Now().After(deadline) {
			log.Fatalf("LOST: added %d, of which %d have arrived; %d calls still run", sure, now.Total-before.Total, now.Running)
		}
	}
	more := now.Total - before.Total - sure
	if more > maybe {
		log.Fatalf("TOO MUCH: added %d and at most %d more, and %d have arrived", sure, maybe, sure+more)
	}
	fmt.Printf("added %d, and %d of the %d whose calls were given up: nothing lost, nothing twice, nothing left running\n", sure, more, maybe)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
