// Command client calls without waiting for an answer.
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
	uri := flag.String("uri", "PYROSSL://localhost:7766/oven", "URI of the object")
	flag.Parse()
	ctx := context.Background()

	mine, err := certs.Load("pki/alice@bank.example.crt", "pki/alice@bank.example.key", "pki/ca.crt")
	check(err)
	client, err := broker.NewClient(broker.ClientConfig{Certs: certs.Static(mine)})
	check(err)
	defer client.Close()
	oven, err := client.Proxy(ctx, *uri)
	check(err)

	// Nothing is baked while the oven is cold. These calls return all the same.
	for range 3 {
		check(oven.Oneway(ctx, "Bake", "bread"))
	}
	var ready int
	check(oven.Call(ctx, "Ready", &ready))
	fmt.Println("Asked for 3, ready:", ready)

	for range 3 {
		var bread string
		check(oven.Call(ctx, "Heat", nil))
		check(oven.Call(ctx, "Collect", &bread))
		fmt.Println("Collected", bread)
	}

	// What becomes of a oneway call, this program is not told: not even that it failed.
	// Its log is, before Close returns.
	fmt.Println("A stone, with an answer:", oven.Call(ctx, "Bake", nil, "stone"))
	fmt.Println("A stone, without one.")
	check(oven.Oneway(ctx, "Bake", "stone"))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
