// Package bank is a small demo service: accounts that hold an amount of cents. It
// shows what a service brings along to be exported by a daemon. Its methods are
// ordinary Go, its errors keep their type across the wire, and the methods that may
// run twice without harm are declared:
//
//	d.Register("bank", bank.New("alice", "bob"), broker.IdempotentMethods(bank.Idempotent...))
//
// The table [Errors] goes into the configuration of the daemon and of its clients,
// so that errors.Is(err, bank.ErrNoAccount) holds on either side. Directory bankd
// is a server, directory client a client of it.
//
// Nothing is kept on disk, and whoever may call Withdraw may empty any account: who
// that is, the daemon's rules decide.
package bank

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/pyrossl/pyrossl/broker"
)

// What a bank holds at most: callers decide how many accounts there are and how
// they are named, so both are bounded.
const (
	MaxAccounts = 10_000
	MaxName     = 64 // bytes
)

// Errors that callers tell apart.
var (
	ErrNoAccount     = errors.New("bank: no such account")
	ErrAccountExists = errors.New("bank: account exists")
	ErrName          = errors.New("bank: not an account name")
	ErrAmount        = errors.New("bank: not an amount")
	ErrFull          = errors.New("bank: takes no more accounts")
)

// OverdrawnError is returned by Withdraw when the balance is too small.
type OverdrawnError struct {
	Account string `json:"account"`
	Balance int64  `json:"balance"`
	Wanted  int64  `json:"wanted"`
}

func (e *OverdrawnError) Error() string {
	return fmt.Sprintf("bank: account %q holds %d, want %d", e.Account, e.Balance, e.Wanted)
}

// Errors is the table that the daemon and its clients share.
var Errors = broker.Errors{
	"bank.no-account":     ErrNoAccount,
	"bank.account-exists": ErrAccountExists,
	"bank.name":           ErrName,
	"bank.amount":         ErrAmount,
	"bank.full":           ErrFull,
	"bank.overdrawn":      (*OverdrawnError)(nil),
}

// Idempotent are the methods that may run twice without harm. Deposit and Withdraw
// are not among them: a call whose answer was lost may have moved the money.
var Idempotent = []string{"Accounts", "Balance"}

// Bank holds accounts. Amounts are whole cents. It is safe for concurrent use.
type Bank struct {
	mu       sync.Mutex
	accounts map[string]int64
}

// New returns a bank with these accounts, all empty. It panics when one of them is
// not an account name: they are constants of the program.
func New(accounts ...string) *Bank {
	b := &Bank{accounts: make(map[string]int64)}
	for _, a := range accounts {
		if err := b.Open(context.Background(), a); err != nil {
			panic(err)
		}
	}
	return b
}

// Open adds an empty account.
func (b *Bank) Open(ctx context.Context, account string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !validName(account) {
		return fmt.Errorf("%w: %q, want 1 to %d of a-z, 0-9, dot and hyphen", ErrName, clip(account), MaxName)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.accounts[account]; ok {
		return fmt.Errorf("%w: %q", ErrAccountExists, account)
	}
	if len(b.accounts) >= MaxAccounts {
		return fmt.Errorf("%w: it has %d", ErrFull, MaxAccounts)
	}
	b.accounts[account] = 0
	return nil
}

// Deposit adds an amount and returns the new balance.
func (b *Bank) Deposit(ctx context.Context, account string, amount int64) (int64, error) {
	return b.move(ctx, account, amount, func(balance int64) (int64, error) {
		if amount > math.MaxInt64-balance {
			return 0, fmt.Errorf("%w: %d on top of %d is more than an account can hold", ErrAmount, amount, balance)
		}
		return balance + amount, nil
	})
}

// Withdraw takes an amount and returns the new balance.
func (b *Bank) Withdraw(ctx context.Context, account string, amount int64) (int64, error) {
	return b.move(ctx, account, amount, func(balance int64) (int64, error) {
		if amount > balance {
			return 0, &OverdrawnError{Account: account, Balance: balance, Wanted: amount}
		}
		return balance - amount, nil
	})
}

// move replaces the balance of an account, or leaves it alone when there is an
// error. A call that its caller has given up moves nothing.
func (b *Bank) move(ctx context.Context, account string, amount int64, next func(balance int64) (int64, error)) (int64, error) {
	if amount <= 0 {
		return 0, fmt.Errorf("%w: %d, want at least 1", ErrAmount, amount)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	balance, ok := b.accounts[account]
	if !ok {
		return 0, noAccount(account)
	}
	balance, err := next(balance)
	if err != nil {
		return 0, err
	}
	b.accounts[account] = balance
	return balance, nil
}

// Balance returns what an account holds.
func (b *Bank) Balance(account string) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	balance, ok := b.accounts[account]
	if !ok {
		return 0, noAccount(account)
	}
	return balance, nil
}

// Accounts lists the names of all accounts, in order.
func (b *Bank) Accounts() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	names := slices.AppendSeq(make([]string, 0, len(b.accounts)), maps.Keys(b.accounts))
	slices.Sort(names)
	return names
}

func noAccount(account string) error {
	return fmt.Errorf("%w: %q", ErrNoAccount, clip(account))
}

// clip keeps errors short whatever a caller sends as a name.
func clip(name string) string {
	if len(name) > MaxName {
		return name[:MaxName] + "…"
	}
	return name
}

func validName(name string) bool {
	return name != "" && len(name) <= MaxName && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == ""
}
