// Command client calls the object that server exports.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
)

func main() {
	mine, err := certs.Load("pki/alice@bank.example.crt", "pki/alice@bank.example.key", "pki/ca.crt")
	check(err)
	client, err := broker.NewClient(broker.ClientConfig{Certs: certs.Static(mine)})
	check(err)
	greeter, err := client.Proxy(context.Background(), "PYROSSL://localhost:7766/greeter")
	check(err)
	var greeting string
	check(greeter.Call(context.Background(), "Hello", &greeting, "the README"))
	fmt.Println(greeting)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
