// Command minclient is the smallest client there is: it calls one method of one
// object. Its size and what it links are held by tests.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
)

func main() {
	if err := run(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, uri string) error {
	material, err := certs.Load("client.crt", "client.key", "ca.crt")
	if err != nil {
		return err
	}
	client, err := broker.NewClient(broker.ClientConfig{Certs: certs.Static(material)})
	if err != nil {
		return err
	}
	defer client.Close()
	bank, err := client.Proxy(ctx, uri)
	if err != nil {
		return err
	}
	var balance int64
	if err := bank.Call(ctx, "Balance", &balance, "alice"); err != nil {
		return err
	}
	fmt.Println(balance)
	return nil
}
