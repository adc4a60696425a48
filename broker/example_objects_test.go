package broker_test

import (
	"context"
	"fmt"
	"iter"
	"log"
	"testing"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/brokertest"
)

// Prices yields as long as somebody takes, and adds up what it is sent.
type Prices struct{}

func (Prices) Watch(ctx context.Context, symbol string) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for price := 100; yield(price, nil); price++ {
		}
	}
}

func (Prices) Total(prices iter.Seq2[int, error]) (sum int, err error) {
	for p, err := range prices {
		if err != nil {
			return sum, err
		}
		sum += p
	}
	return sum, nil
}

// A method that yields a stream, and one that takes it.
func ExampleStream() {
	w := brokertest.New(new(testing.T), brokertest.Config{Objects: map[string]any{"prices": Prices{}}})
	defer w.Close()
	ctx, prices := context.Background(), w.Proxy("alice", "prices")
	for price, err := range broker.Stream[int](ctx, prices, "Watch", "ACME") {
		fmt.Println(price, err)
		if price == 101 {
			break // ends the method too
		}
	}
	three := func(yield func(int, error) bool) {
		for n := range 3 {
			if !yield(n, nil) {
				return
			}
		}
	}
	var total int
	fmt.Println(prices.Call(ctx, "Total", &total, iter.Seq2[int, error](three)), total)
	// Output:
	// 100 <nil>
	// 101 <nil>
	// <nil> 3
}

// Downloader calls its caller back.
type Downloader struct{}

func (Downloader) Get(ctx context.Context, name string, progress *broker.Proxy) error {
	for _, percent := range []int{50, 100} {
		if err := progress.Call(ctx, "Done", nil, name, percent); err != nil {
			return err
		}
	}
	return nil
}

// Progress is a client's object.
type Progress struct{}

func (Progress) Done(name string, percent int) { fmt.Println(name, percent, "%") }

// The daemon calls an object of the client, over the client's own connection.
func ExampleCallback() {
	w := brokertest.New(new(testing.T), brokertest.Config{Objects: map[string]any{"files": Downloader{}}})
	defer w.Close()
	files := w.Proxy("alice", "files")
	fmt.Println(files.Call(context.Background(), "Get", nil, "report.pdf", broker.Callback("progress", Progress{})))
	// Output:
	// report.pdf 50 %
	// report.pdf 100 %
	// <nil>
}

// Shop makes a cart for each caller that asks for one.
type Shop struct{}

func (Shop) Cart(ctx context.Context) (*broker.Local, error) {
	return broker.Export(ctx, "cart", new(Cart))
}

// Cart is one caller's own.
type Cart struct{ items []string }

func (c *Cart) Add(item string) int {
	c.items = append(c.items, item)
	return len(c.items)
}

// An object that only the caller's connection can call, and that ends with it.
func ExampleExport() {
	w := brokertest.New(new(testing.T), brokertest.Config{Objects: map[string]any{"shop": Shop{}}})
	defer w.Close()
	ctx := context.Background()
	var cart *broker.Proxy
	if err := w.Proxy("alice", "shop").Call(ctx, "Cart", &cart); err != nil {
		log.Fatal(err)
	}
	var items int
	fmt.Println(cart.Call(ctx, "Add", &items, "tea"), items)
	// Output: <nil> 1
}

// One instance for each connection, instead of one for all.
func ExamplePerSession() {
	newCart := func(context.Context) (*Cart, error) { return new(Cart), nil }
	w := brokertest.New(new(testing.T), brokertest.Config{Objects: map[string]any{"cart": broker.PerSession(newCart)}})
	defer w.Close()
	ctx := context.Background()
	for _, who := range []string{"alice", "alice", "bob"} {
		var items int
		if err := w.Proxy(who, "cart").Call(ctx, "Add", &items, "tea"); err != nil {
			log.Fatal(err)
		}
		fmt.Println(who, items)
	}
	// Output:
	// alice 1
	// alice 2
	// bob 1
}

// Three calls in one round trip, of which the second uses what the first returned.
func ExampleProxy_Batch() {
	w := brokertest.New(new(testing.T), brokertest.Config{Objects: map[string]any{"account": &Account{cents: 1000}}})
	defer w.Close()
	b := w.Proxy("alice", "account").Batch()
	rest := b.Call("Withdraw", 900)
	last := b.Call("Withdraw", rest)
	b.Call("Owner")
	err := b.Run(context.Background())
	var cents int64
	fmt.Println(err, last.Into(&cents), cents)
	// Output: <nil> <nil> 0
}

// A value that may be read, and one that may be written too.
func ExampleAttribute() {
	w := brokertest.New(new(testing.T), brokertest.Config{})
	defer w.Close()
	limit := 10
	_, err := w.Daemon.Register("account", &Account{},
		broker.Attribute("Currency", func(context.Context) (string, error) { return "EUR", nil }, nil),
		broker.Attribute("Limit",
			func(context.Context) (int, error) { return limit, nil },
			func(_ context.Context, n int) error { limit = n; return nil }))
	if err != nil {
		log.Fatal(err)
	}
	ctx, account := context.Background(), w.Proxy("alice", "account")
	var currency string
	fmt.Println(account.Get(ctx, "Currency", &currency), currency)
	fmt.Println(account.Set(ctx, "Limit", 20), limit)
	fmt.Println(account.Set(ctx, "Currency", "USD") != nil)
	// Output:
	// <nil> EUR
	// <nil> 20
	// true
}
