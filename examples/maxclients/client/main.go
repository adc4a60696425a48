// Command client connects to the desk that server exports more often than the server
// allows, and closes its oldest connection when the server is too busy.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
)

func main() {
	log.SetFlags(0)
	uri := flag.String("uri", "PYROSSL://localhost:7766/desk", "URI of the desk")
	visitors := flag.Int("visitors", 12, "how many connections to make")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	mine, err := certs.Load("pki/alice@bank.example.crt", "pki/alice@bank.example.key", "pki/ca.crt")
	check(err)

	// Proxies of one client share a connection. Here each visitor is a client.
	var waiting []*visitor
	for n := 1; n <= *visitors; n++ {
		v := newVisitor(ctx, n, certs.Static(mine), *uri)
		err := v.arrive(ctx)
		if denied, ok := errors.AsType[*broker.ConnectionDeniedError](err); ok && denied.Temporary() && len(waiting) > 0 {
			fmt.Printf("visitor %d: %v: visitor %d leaves\n", n, denied.Code, waiting[0].n)
			check(waiting[0].client.Close())
			waiting = waiting[1:]
			err = v.insist(ctx)
		}
		check(err)
		waiting = append(waiting, v)
		fmt.Printf("visitor %d: is in\n", n)
	}
	fmt.Println("still in at the end:", len(waiting))
	for _, v := range waiting {
		check(v.desk.Call(ctx, "Number", nil))
		check(v.client.Close())
	}
}

type visitor struct {
	n      int
	client *broker.Client
	desk   *broker.Proxy
}

func newVisitor(ctx context.Context, n int, mine certs.Source, uri string) *visitor {
	client, err := broker.NewClient(broker.ClientConfig{Certs: mine})
	check(err)
	desk, err := client.Proxy(ctx, uri)
	check(err)
	return &visitor{n, client, desk}
}

func (v *visitor) arrive(ctx context.Context) error {
	return v.desk.Call(ctx, "Number", nil)
}

// insist tries again for as long as the server is too busy: it may not have noticed yet
// that somebody has left. How long to wait is the server's advice.
func (v *visitor) insist(ctx context.Context) error {
	for {
		err := v.arrive(ctx)
		denied, ok := errors.AsType[*broker.ConnectionDeniedError](err)
		if !ok || !denied.Temporary() {
			return err
		}
		select {
		case <-time.After(denied.RetryAfter):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
