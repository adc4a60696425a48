// Command client calls an object by the address of its daemon and the name that it is
// registered under there, and reads and writes its attributes.
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
	uri := flag.String("uri", "PYROLOCSSL://localhost:9123/quickstart", "URI of the object")
	flag.Parse()
	ctx := context.Background()

	mine, err := certs.Load("pki/alice@bank.example.crt", "pki/alice@bank.example.key", "pki/ca.crt")
	check(err)
	client, err := broker.NewClient(broker.ClientConfig{Certs: certs.Static(mine)})
	check(err)
	defer client.Close()
	tester, err := client.Proxy(ctx, *uri)
	check(err)

	var answer, before string
	check(tester.Call(ctx, "Square", &answer, 42))
	fmt.Println(answer)

	check(tester.Get(ctx, "Prefix", &before))
	check(tester.Set(ctx, "Prefix", "And that of the next number:"))
	check(tester.Call(ctx, "Square", &answer, 43))
	fmt.Println(answer)
	check(tester.Set(ctx, "Prefix", before))

	fmt.Println("Writing what can only be read:", tester.Set(ctx, "Calls", 0))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
