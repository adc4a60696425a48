// Command client has cars made, and drives them where they were made: in the server.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/examples/factory"
)

func main() {
	log.SetFlags(0)
	uri := flag.String("uri", "PYROSSL://localhost:7766/factory", "URI of the factory")
	flag.Parse()
	ctx := context.Background()

	mine, err := certs.Load("pki/alice@bank.example.crt", "pki/alice@bank.example.key", "pki/ca.crt")
	check(err)
	client, err := broker.NewClient(broker.ClientConfig{Certs: certs.Static(mine), Errors: factory.Errors})
	check(err)
	defer client.Close()
	maker, err := client.Proxy(ctx, *uri)
	check(err)
	var there int
	check(maker.Call(ctx, "Process", &there))

	for i, brand := range []string{"Ford", "Honda", "Opel", "Trabant"} {
		var car *broker.Proxy
		err := maker.Call(ctx, "Create", &car, brand)
		if errors.Is(err, factory.ErrUnknownBrand) {
			fmt.Println("No such car:", err)
			continue
		}
		check(err)
		var process int
		check(car.Call(ctx, "Process", &process))
		var answer string
		for range i + 1 {
			check(car.Call(ctx, "Drive", &answer, 10))
		}
		fmt.Println(answer+", in the server's process:", process == there)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
