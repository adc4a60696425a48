// Command client reads and sets the thermostat that server exports, as alice, who may
// do both, and as bob, who may read.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/examples/attributes"
)

func main() {
	log.SetFlags(0)
	uri := flag.String("uri", "PYROSSL://localhost:7766/thermostat", "URI of the thermostat")
	flag.Parse()
	ctx := context.Background()
	alice, bob := proxy(ctx, *uri, "alice@bank.example"), proxy(ctx, *uri, "bob@bank.example")

	var room string
	check(alice.Get(ctx, "Room", &room))
	var target float64
	check(alice.Get(ctx, "Target", &target))
	fmt.Printf("%s: %v degrees\n", room, target)

	check(alice.Set(ctx, "Target", 21.5))
	check(bob.Get(ctx, "Target", &target))
	fmt.Printf("bob reads what alice has set: %v degrees\n", target)

	fmt.Println("alice sets 80: too hot:", errors.Is(alice.Set(ctx, "Target", 80.0), attributes.ErrTooHot))
	fmt.Println("alice sets the room: no such method:", errors.Is(alice.Set(ctx, "Room", "bath"), broker.KindNoMethod))
	fmt.Println("bob sets 5: denied:", errors.Is(bob.Set(ctx, "Target", 5.0), broker.KindDenied))
}

func proxy(ctx context.Context, uri, name string) *broker.Proxy {
	mine, err := certs.Load("pki/"+name+".crt", "pki/"+name+".key", "pki/ca.crt")
	check(err)
	client, err := broker.NewClient(broker.ClientConfig{
		Certs: certs.Static(mine), Errors: broker.Errors{"thermostat.too-hot": attributes.ErrTooHot},
	})
	check(err)
	p, err := client.Proxy(ctx, uri)
	check(err)
	return p
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
