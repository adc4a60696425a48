// Command client makes two connections, of which each has its own storage in the
// server.
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
	uri := flag.String("uri", "PYROSSL://localhost:7766/tlstest", "URI of the object")
	flag.Parse()
	ctx := context.Background()
	mine, err := certs.Load("pki/alice@bank.example.crt", "pki/alice@bank.example.key", "pki/ca.crt")
	check(err)

	// Each client has a connection of its own.
	var testers [2]*broker.Proxy
	for i := range testers {
		client, err := broker.NewClient(broker.ClientConfig{Certs: certs.Static(mine)})
		check(err)
		defer client.Close()
		testers[i], err = client.Proxy(ctx, *uri)
		check(err)
	}

	for i, text := range []string{"one", "two", "three", "four"} {
		check(testers[i%2].Call(ctx, "Ping", nil, text))
		check(testers[i%2].Oneway(ctx, "Notify"))
	}
	for i, tester := range testers {
		var size int64
		check(tester.Call(ctx, "Written", &size))
		fmt.Println("Connection", i+1, "has written", size, "bytes")
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
