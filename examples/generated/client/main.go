// Command client posts to the ledger that server exports, and shows what it holds.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/examples/generated"
)

func main() {
	uri := flag.String("uri", "PYROSSL://localhost:7766/ledger", "URI of the ledger")
	name := flag.String("name", "alice@bank.example", "whose certificate in pki is used")
	flag.Parse()
	ctx := context.Background()

	mine, err := certs.Load("pki/"+*name+".crt", "pki/"+*name+".key", "pki/ca.crt")
	check(err)
	client, err := broker.NewClient(broker.ClientConfig{Certs: certs.Static(mine)})
	check(err)
	proxy, err := client.Proxy(ctx, *uri, generated.LedgerIdempotent())
	check(err)
	var ledger generated.Ledger = generated.NewLedgerProxy(proxy)

	for _, cents := range []int64{10000, -2550} {
		balance, err := ledger.Post(ctx, generated.Entry{Account: "household", Cents: cents, Time: time.Now()})
		check(err)
		fmt.Println("posted", cents, "and now there are", balance)
	}
	entries, err := ledger.Entries(ctx, "household", 10)
	check(err)
	fmt.Println(len(entries), "entries, the last of them", entries[0].Cents)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
