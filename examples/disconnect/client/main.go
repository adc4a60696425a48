// Command client takes away the lamps that server exports.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/uri"
	"github.com/pyrossl/pyrossl/certs"
)

func main() {
	log.SetFlags(0)
	where := flag.String("uri", "PYROSSL://localhost:7766/switch", "URI of the switch")
	flag.Parse()
	ctx := context.Background()

	mine, err := certs.Load("pki/alice@bank.example.crt", "pki/alice@bank.example.key", "pki/ca.crt")
	check(err)
	client, err := broker.NewClient(broker.ClientConfig{Certs: certs.Static(mine)})
	check(err)
	defer client.Close()
	u, err := uri.Parse(*where)
	check(err)
	// The other objects are at the same daemon, under other names.
	proxy := func(object string) *broker.Proxy {
		u := u
		u.Object = object
		p, err := client.Proxy(ctx, u.String())
		check(err)
		return p
	}
	lamps := proxy("switch")
	daemon := proxy(broker.SelfName)

	north := proxy("north")
	var text string
	check(north.Call(ctx, "Shine", &text))
	fmt.Println(text)
	check(lamps.Call(ctx, "Off", nil, "north"))
	err = north.Call(ctx, "Shine", &text)
	fmt.Println("north: no such object:", errors.Is(err, broker.KindNoObject))

	// One after the other, as the daemon lists them.
	var names []string
	check(daemon.Call(ctx, "Registered", &names))
	fmt.Println("left:", names)
	for _, name := range names {
		if name == "switch" {
			continue // or there would be none to take away the last
		}
		if err := lamps.Call(ctx, "Off", nil, name); err != nil {
			fmt.Println("off:", err.(*broker.Error).Message)
		}
	}
	check(daemon.Call(ctx, "Registered", &names))
	fmt.Println("left:", names)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
