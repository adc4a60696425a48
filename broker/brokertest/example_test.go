package brokertest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/pyrossl/pyrossl/broker/brokertest"
)

type Bank struct{ balance int64 }

func (b *Bank) Deposit(amount int64) int64 { b.balance += amount; return b.balance }

// A test of an object as its callers see it, over mutual TLS. In a test function,
// t is its argument.
func ExampleNew() {
	t := new(testing.T)
	w := brokertest.New(t, brokertest.Config{Objects: map[string]any{"bank": &Bank{}}, InMemory: true})
	defer w.Close()
	var balance int64
	err := w.Proxy("alice", "bank").Call(context.Background(), "Deposit", &balance, 100)
	fmt.Println(balance, err)
	// Output: 100 <nil>
}
