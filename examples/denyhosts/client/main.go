// Command client calls a server that may not like where it comes from.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
)

func main() {
	log.SetFlags(0)
	uri := flag.String("uri", "PYROSSL://localhost:7766/denyhosts", "URI of the object")
	flag.Parse()
	ctx := context.Background()

	mine, err := certs.Load("pki/alice@bank.example.crt", "pki/alice@bank.example.key", "pki/ca.crt")
	check(err)
	client, err := broker.NewClient(broker.ClientConfig{Certs: certs.Static(mine)})
	check(err)
	defer client.Close()
	tester, err := client.Proxy(ctx, *uri)
	check(err)
	for i := range 3 {
		var result int
		check(tester.Call(ctx, "Method", &result, i))
		fmt.Printf("Result %d = %d\n", i+1, result)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
