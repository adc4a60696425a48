// Command client counts over one connection that five goroutines share, and over five
// connections.
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

func main() {
	log.SetFlags(0)
	uri := flag.String("uri", "PYROSSL://localhost:7766/session", "URI of the object")
	name := flag.String("name", "alice@bank.example", "whose certificate in pki is used")
	flag.Parse()
	ctx := context.Background()
	mine, err := certs.Load("pki/"+*name+".crt", "pki/"+*name+".key", "pki/ca.crt")
	check(err)
	// connect makes a client, which keeps one connection to a daemon, however many proxies
	// and goroutines use it.
	connect := func() (*broker.Client, *broker.Proxy) {
		client, err := broker.NewClient(broker.ClientConfig{Certs: certs.Static(mine)})
		check(err)
		proxy, err := client.Proxy(ctx, *uri)
		check(err)
		return client, proxy
	}

	var five sync.WaitGroup
	client, shared := connect()
	for range 5 {
		five.Go(func() { add(ctx, shared, 10) })
	}
	five.Wait()
	fmt.Println("Five goroutines in one session have come to", count(ctx, shared))

	var totals [5]int64
	for i := range totals {
		five.Go(func() {
			client, own := connect()
			defer client.Close()
			add(ctx, own, 10)
			totals[i] = count(ctx, own)
		})
	}
	five.Wait()
	fmt.Println("Five goroutines in five sessions have come to", totals)

	write(ctx, shared, "over the first connection")
	client.Close()
	client, another := connect()
	defer client.Close()
	write(ctx, another, "over another one")
}

// add adds 1 to the session's counter n times.
func add(ctx context.Context, session *broker.Proxy, n int) {
	for range n {
		check(session.Call(ctx, "Add", nil))
	}
}

func count(ctx context.Context, session *broker.Proxy) (n int64) {
	check(session.Call(ctx, "Count", &n))
	return n
}

func write(ctx context.Context, session *broker.Proxy, text string) {
	var answer string
	check(session.Call(ctx, "Write", &answer, text))
	fmt.Println(answer)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
