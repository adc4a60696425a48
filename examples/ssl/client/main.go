// Command client calls the object that server exports, with the certificate that
// Pyro's environment variables name.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/pyroenv"
	"github.com/pyrossl/pyrossl/certs"
)

func main() {
	log.SetFlags(0)
	uri := flag.String("uri", "PYROSSL://localhost:7766/ssl", "URI of the object")
	flag.Parse()
	ctx := context.Background()

	env, err := pyroenv.Parse(os.Environ())
	check(err)
	mine, err := certs.Load(env.Cert, env.Key, env.CA)
	check(err)
	client, err := broker.NewClient(broker.ClientConfig{Certs: certs.Static(mine)})
	check(err)
	defer client.Close()
	tester, err := client.Proxy(ctx, *uri)
	check(err)

	// What the two sides know of each other now.
	connection, err := tester.Connect(ctx)
	check(err)
	fmt.Println("I am", connection.Name, "to", connection.Server)

	var answer string
	check(tester.Call(ctx, "Answer", &answer, "Irmen de Jong is a space alien"))
	fmt.Println(answer)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
