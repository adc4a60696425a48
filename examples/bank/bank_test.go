package bank

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestMoves(t *testing.T) {
	const deposit, withdraw = "deposit", "withdraw"
	tests := []struct {
		name    string
		start   int64
		op      string
		account string
		amount  int64
		want    int64
		err     error
	}{
		{"deposit", 5, deposit, "alice", 100, 105, nil},
		{"withdraw", 100, withdraw, "alice", 40, 60, nil},
		{"withdraw all", 100, withdraw, "alice", 100, 0, nil},
		{"deposit up to the brim", 1, deposit, "alice", math.MaxInt64 - 1, math.MaxInt64, nil},
		{"deposit overflows", 1, deposit, "alice", math.MaxInt64, 1, ErrAmount},
		{"deposit nothing", 5, deposit, "alice", 0, 5, ErrAmount},
		{"deposit less than nothing", 5, deposit, "alice", -1, 5, ErrAmount},
		{"withdraw less than nothing", 5, withdraw, "alice", math.MinInt64, 5, ErrAmount},
		{"deposit for a stranger", 5, deposit, "mallory", 1, 5, ErrNoAccount},
		{"withdraw from a stranger", 5, withdraw, "mallory", 1, 5, ErrNoAccount},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := New("alice")
			b.accounts["alice"] = test.start
			op := b.Deposit
			if test.op == withdraw {
				op = b.Withdraw
			}
			got, err := op(t.Context(), test.account, test.amount)
			if !errors.Is(err, test.err) {
				t.Errorf("error is %v, want %v", err, test.err)
			}
			if err == nil && got != test.want {
				t.Errorf("it returned %d, want %d", got, test.want)
			}
			if left, err := b.Balance("alice"); left != test.want || err != nil {
				t.Errorf("the account holds %d (%v), want %d", left, err, test.want)
			}
		})
	}
}

func TestOverdrawn(t *testing.T) {
	b := New("alice")
	b.accounts["alice"] = 30
	_, err := b.Withdraw(t.Context(), "alice", 31)
	var over *OverdrawnError
	if !errors.As(err, &over) {
		t.Fatalf("error is %v, want an OverdrawnError", err)
	}
	if want := (OverdrawnError{"alice", 30, 31}); *over != want {
		t.Errorf("got %+v, want %+v", *over, want)
	}
	if want := `bank: account "alice" holds 30, want 31`; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	if left, _ := b.Balance("alice"); left != 30 {
		t.Errorf("the account holds %d, want 30", left)
	}
}

func TestOpen(t *testing.T) {
	tests := []struct {
		account string
		err     error
	}{
		{"bob", nil},
		{"bob-2.savings", nil},
		{strings.Repeat("x", MaxName), nil},
		{"alice", ErrAccountExists},
		{"", ErrName},
		{"Bob", ErrName},
		{"bob smith", ErrName},
		{"bob\x00", ErrName},
		{"b\u00f6b", ErrName},
		{strings.Repeat("x", MaxName+1), ErrName},
	}
	for _, test := range tests {
		b := New("alice")
		if err := b.Open(t.Context(), test.account); !errors.Is(err, test.err) {
			t.Errorf("Open(%q): error is %v, want %v", test.account, err, test.err)
		}
		if got := slices.Contains(b.Accounts(), test.account); got != (test.err == nil || test.account == "alice") {
			t.Errorf("Open(%q): listed is %v", test.account, got)
		}
	}
}

func TestOpenIsBounded(t *testing.T) {
	b := New()
	for i := range MaxAccounts {
		if err := b.Open(t.Context(), fmt.Sprint("account-", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Open(t.Context(), "one-more"); !errors.Is(err, ErrFull) {
		t.Errorf("error is %v, want %v", err, ErrFull)
	}
}

func TestErrorsAreShort(t *testing.T) {
	if _, err := New().Balance(strings.Repeat("x", 1<<20)); err == nil || len(err.Error()) > 200 {
		t.Errorf("the error for a long name has %d bytes, want at most 200", len(fmt.Sprint(err)))
	}
}

func TestAccountsIsSorted(t *testing.T) {
	if got := New().Accounts(); got == nil || len(got) != 0 {
		t.Errorf("an empty bank lists %#v, want an empty list", got)
	}
	if got, want := New("carol", "alice", "bob").Accounts(), []string{"alice", "bob", "carol"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A call that was given up while it waited must not move money afterwards.
func TestCanceledCallsMoveNothing(t *testing.T) {
	b := New("alice")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Deposit(ctx, "alice", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Deposit: error is %v, want %v", err, context.Canceled)
	}
	if err := b.Open(ctx, "bob"); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: error is %v, want %v", err, context.Canceled)
	}
	if left, _ := b.Balance("alice"); left != 0 || len(b.Accounts()) != 1 {
		t.Errorf("alice holds %d and the accounts are %q, want 0 and one", left, b.Accounts())
	}
}

func TestNoMoneyIsLostOrMade(t *testing.T) {
	b := New("alice", "bob")
	b.accounts["alice"], b.accounts["bob"] = 1000, 1000
	var wg sync.WaitGroup
	for i := range 8 {
		from, to := "alice", "bob"
		if i%2 == 1 {
			from, to = to, from
		}
		wg.Go(func() {
			for n := range int64(200) {
				if _, err := b.Withdraw(t.Context(), from, n%7+1); err != nil {
					continue
				}
				if _, err := b.Deposit(t.Context(), to, n%7+1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	alice, _ := b.Balance("alice")
	bob, _ := b.Balance("bob")
	if alice+bob != 2000 || alice < 0 || bob < 0 {
		t.Errorf("alice holds %d and bob %d, want 2000 together", alice, bob)
	}
}

func TestNewRefusesWrongNames(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("New took a name that is none")
		}
	}()
	New("not a name")
}
