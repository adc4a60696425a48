// Command client reads a passphrase and calls the object of a server that asks for one.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

func main() {
	log.SetFlags(0)
	uri := flag.String("uri", "PYROSSL://localhost:7766/authentication", "URI of the object")
	flag.Parse()
	ctx := context.Background()

	mine, err := certs.Load("pki/alice@bank.example.crt", "pki/alice@bank.example.key", "pki/ca.crt")
	check(err)
	client, err := broker.NewClient(broker.ClientConfig{Certs: certs.Static(mine), ConnectTimeout: time.Minute})
	check(err)
	defer client.Close()

	fmt.Println("The passphrase, please:")
	input := bufio.NewScanner(os.Stdin)
	input.Scan()
	tester, err := client.Proxy(ctx, *uri, broker.WithIdentification(validator.Passphrase(input.Text())))
	check(err)

	var result string
	err = tester.Call(ctx, "Method", &result)
	var denied *broker.ConnectionDeniedError
	if errors.As(err, &denied) {
		log.Fatalf("Denied for %v. %v", denied.Code, denied)
	}
	check(err)
	fmt.Println(result)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
