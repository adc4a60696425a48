// Command client calls the object that server exports.
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
	uri := flag.String("uri", "PYROSSL://localhost:7766/quickstart", "URI of the object")
	flag.Parse()
	ctx := context.Background()

	mine, err := certs.Load("pki/alice@bank.example.crt", "pki/alice@bank.example.key", "pki/ca.crt")
	check(err)
	client, err := broker.NewClient(broker.ClientConfig{Certs: certs.Static(mine)})
	check(err)
	defer client.Close()
	tester, err := client.Proxy(ctx, *uri)
	check(err)

	var length int
	check(tester.Call(ctx, "Length", &length, "Monty!"))
	fmt.Println("Your string length is:", length)
	var square int64
	check(tester.Call(ctx, "Square", &square, 42))
	fmt.Println("The square of your number is:", square)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
