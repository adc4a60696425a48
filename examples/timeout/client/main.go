// Command client orders from the kitchen that server exports, and does not wait for ever.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
)

func main() {
	log.SetFlags(0)
	uri := flag.String("uri", "PYROSSL://localhost:7766/kitchen", "URI of the kitchen")
	flag.Parse()
	ctx := context.Background()

	mine, err := certs.Load("pki/alice@bank.example.crt", "pki/alice@bank.example.key", "pki/ca.crt")
	check(err)
	client, err := broker.NewClient(broker.ClientConfig{Certs: certs.Static(mine)})
	check(err)
	defer client.Close()

	// A call takes as long as its context allows, and 30 seconds if that says nothing.
	kitchen, err := client.Proxy(ctx, *uri)
	check(err)
	var answer string
	check(kitchen.Call(ctx, "Cook", &answer, "toast", 10*time.Millisecond))
	fmt.Println(answer)

	soon, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	err = kitchen.Call(soon, "Cook", &answer, "stew", time.Hour)
	cancel()
	fmt.Println("stew: deadline exceeded:", errors.Is(err, context.DeadlineExceeded))

	// A proxy may have a bound of its own, for calls whose context has none.
	impatient, err := client.Proxy(ctx, *uri, broker.WithTimeout(200*time.Millisecond))
	check(err)
	err = impatient.Call(ctx, "Cook", &answer, "roast", time.Hour)
	fmt.Println("roast: deadline exceeded:", errors.Is(err, broker.KindDeadline))

	// Who changes his mind cancels.
	changed, cancel := context.WithCancel(ctx)
	time.AfterFunc(200*time.Millisecond, cancel)
	err = kitchen.Call(changed, "Cook", &answer, "soup", time.Hour)
	fmt.Println("soup: canceled:", errors.Is(err, context.Canceled))

	// The cook learns of it each time, and has nothing left to do at last.
	for cooking := int64(1); cooking > 0; {
		check(kitchen.Call(ctx, "Cooking", &cooking))
	}
	fmt.Println("nothing is on the stove")

	// A host that takes connections and says nothing is given up after ConnectTimeout, 10
	// seconds unless said.
	hasty, err := broker.NewClient(broker.ClientConfig{Certs: certs.Static(mine), ConnectTimeout: time.Second})
	check(err)
	defer hasty.Close()
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	nobody, err := hasty.Proxy(ctx, fmt.Sprintf("PYROSSL://localhost:%d/kitchen", mute.Addr().(*net.TCPAddr).Port))
	check(err)
	err = nobody.Call(ctx, "Cook", &answer, "toast", time.Millisecond)
	fmt.Println("nobody answers: unreachable:", errors.Is(err, broker.KindUnreachable))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
