package bank_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/pyrossl/pyrossl/examples/bank"
)

func Example() {
	ctx := context.Background()
	b := bank.New("alice")
	balance, _ := b.Deposit(ctx, "alice", 100)
	fmt.Println(balance)

	_, err := b.Withdraw(ctx, "alice", 250)
	if over, ok := errors.AsType[*bank.OverdrawnError](err); ok {
		fmt.Println("short by", over.Wanted-over.Balance)
	}
	_, err = b.Balance("bob")
	fmt.Println(errors.Is(err, bank.ErrNoAccount), err)
	// Output:
	// 100
	// short by 150
	// true bank: no such account: "bob"
}
