package pool_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/pool"
	"github.com/pyrossl/pyrossl/certs"
)

// A client of three daemons that serve the same object.
func Example() {
	src, err := certs.Files(certs.FilesConfig{Cert: "pki/alice.crt", Key: "pki/alice.key", CA: "pki/ca.crt"})
	if err != nil {
		log.Fatal(err)
	}
	defer src.Close()
	client, err := broker.NewClient(broker.ClientConfig{Certs: src})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	bank, err := pool.New(client, pool.Config{
		Daemons: []string{
			"PYROSSL://bank-1.example:7766/bank",
			"PYROSSL://bank-2.example:7766/bank",
			"PYROSSL://bank-3.example:7766/bank",
		},
		Idempotent: []string{"Balance"},
		MaxAge:     time.Hour,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer bank.Close()
	var balance int64
	var down *pool.DownError
	switch err := bank.Call(context.Background(), "Balance", &balance, "alice"); {
	case errors.As(err, &down):
		for _, m := range down.Members {
			fmt.Println(m.URI, m.Err)
		}
	case err != nil:
		log.Fatal(err)
	}
}

// Calls that belong together go to one daemon.
func ExamplePool_Pick() {
	w := newExampleWorld()
	defer w.close()
	p := w.pool(nil)
	defer p.Close()
	proxy, done, err := p.Pick(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	var first, second string
	b := proxy.Batch()
	one, two := b.Call("Who"), b.Call("Who")
	err = b.Run(context.Background())
	done(err)
	fmt.Println(err, one.Into(&first), two.Into(&second), first == second)
	// Output: <nil> <nil> <nil> true
}

// A pool whose daemons are found while it runs, with a typed proxy.
func ExampleConfig() {
	w := newExampleWorld()
	defer w.close()
	p, err := pool.New(w.client, pool.Config{
		Resolve: func(ctx context.Context, update func([]string)) error {
			update([]string{w.nodes[0].uri()}) // and again, whenever there are others
			<-ctx.Done()
			return nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	var node struct {
		Who func(context.Context) (string, error)
	}
	if err := broker.Bind(p, &node); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(node.Who(context.Background()))
	// Output: n0.example <nil>
}

func newExampleWorld() *world { return newWorld(new(testing.T), 2) }
