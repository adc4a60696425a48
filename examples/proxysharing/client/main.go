// Command client uses one proxy for the meeting point that server exports from many
// goroutines at once.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"sync"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
)

const goroutines, greetings = 20, 100

func main() {
	log.SetFlags(0)
	uri := flag.String("uri", "PYROSSL://localhost:7766/meeting", "URI of the meeting point")
	flag.Parse()
	ctx := context.Background()

	mine, err := certs.Load("pki/alice@bank.example.crt", "pki/alice@bank.example.key", "pki/ca.crt")
	check(err)
	client, err := broker.NewClient(broker.ClientConfig{Certs: certs.Static(mine)})
	check(err)
	defer client.Close()
	meeting, err := client.Proxy(ctx, *uri)
	check(err)

	// There is no lock here, and no proxy for each goroutine.
	var all sync.WaitGroup
	for n := range goroutines {
		all.Go(func() {
			check(meeting.Call(ctx, "Wait", nil, goroutines))
			for i := range greetings {
				var answer string
				name := fmt.Sprintf("%d of goroutine %d", i, n)
				check(meeting.Call(ctx, "Greet", &answer, name))
				if answer != "hello "+name {
					log.Fatalf("got %q, which is another's answer, want %q", answer, "hello "+name)
				}
			}
		})
	}
	all.Wait()
	fmt.Println(goroutines, "goroutines have met, each waiting in a call of the same proxy")

	var greeted []int
	check(meeting.Call(ctx, "Greeted", &greeted))
	fmt.Println(greeted[0], "calls came over", greeted[1], "connection, and each got its own answer")
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
