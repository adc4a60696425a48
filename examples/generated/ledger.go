// Package generated is a service with generated code: callers and the daemon use the
// methods of the interface Ledger itself, typed, and no call needs reflection.
//
//	go generate ./examples/generated
//
// writes ledger_broker.go, and policy.yaml when there is none. The policy is edited by
// hand after that: here it lets alice post and everybody look. To try it, make
// certificates and start one program in each of two shells:
//
//	go run ./cmd/mkcerts issue localhost
//	go run ./cmd/mkcerts issue alice@bank.example
//	go run ./examples/generated/server
//	go run ./examples/generated/client
package generated

import (
	"context"
	"errors"
	"sync"
	"time"
)

//go:generate go run github.com/pyrossl/pyrossl/cmd/broker gen --interface Ledger --policy policy.yaml

// Ledger keeps entries, in cents.
type Ledger interface {
	// Post adds an entry and returns the account's balance.
	Post(ctx context.Context, e Entry) (int64, error)

	// Balance returns an account's balance.
	//
	//pyrossl:idempotent
	Balance(ctx context.Context, account string) (int64, error)

	// Entries returns the last entries of an account, the newest first.
	//
	//pyrossl:idempotent
	Entries(ctx context.Context, account string, most int) ([]Entry, error)
}

// Entry is one line of a Ledger.
type Entry struct {
	Account string    `cbor:"account"`
	Cents   int64     `cbor:"cents"`
	Text    string    `cbor:"text,omitempty"`
	Time    time.Time `cbor:"time"`
}

// MaxEntries is how many entries a Book holds.
const MaxEntries = 1000

// Book is a Ledger in memory.
type Book struct {
	mu      sync.Mutex
	entries []Entry
}

var _ Ledger = (*Book)(nil)

// Post implements Ledger.
func (b *Book) Post(ctx context.Context, e Entry) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.entries) == MaxEntries {
		return 0, errors.New("ledger: full")
	}
	b.entries = append(b.entries, e)
	return b.balance(e.Account), nil
}

// Balance implements Ledger.
func (b *Book) Balance(_ context.Context, account string) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.balance(account), nil
}

func (b *Book) balance(account string) (sum int64) {
	for _, e := range b.entries {
		if e.Account == account {
			sum += e.Cents
		}
	}
	return sum
}

// Entries implements Ledger.
func (b *Book) Entries(_ context.Context, account string, most int) ([]Entry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := []Entry{}
	for i := len(b.entries) - 1; i >= 0 && len(found) < most; i-- {
		if b.entries[i].Account == account {
			found = append(found, b.entries[i])
		}
	}
	return found, nil
}
