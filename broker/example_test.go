package broker_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"testing"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/brokertest"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

// Account is an object: its exported methods can be called.
type Account struct{ cents int64 }

// ErrNotEnough keeps its meaning across the wire.
var ErrNotEnough = errors.New("not enough on the account")

var accountErrors = broker.Errors{"account.not-enough": ErrNotEnough}

func (a *Account) Withdraw(cents int64) (int64, error) {
	if cents > a.cents {
		return a.cents, ErrNotEnough
	}
	a.cents -= cents
	return a.cents, nil
}

func (a *Account) Owner(ctx context.Context) string { return broker.Caller(ctx).Identity.Name }

// A server: it exports one object, to tellers only.
func ExampleDaemon() {
	src, err := certs.Files(certs.FilesConfig{Cert: "pki/bank.crt", Key: "pki/bank.key", CA: "pki/ca.crt"})
	if err != nil {
		log.Fatal(err)
	}
	defer src.Close()
	v, err := validator.New(validator.Config{Admit: []validator.Peer{validator.AnyIdentity()}})
	if err != nil {
		log.Fatal(err)
	}
	rules, err := validator.NewRules(validator.Rule{
		Name: "tellers", Effect: validator.Allow, Identities: []string{"email:alice@bank.example"}, Objects: []string{"account"}, Methods: []string{"*"},
	})
	if err != nil {
		log.Fatal(err)
	}
	d, err := broker.NewDaemon(broker.Config{PublishHost: "bank.example", Certs: src, Validator: v, Authorizer: rules, Errors: accountErrors})
	if err != nil {
		log.Fatal(err)
	}
	uri, err := d.Register("account", &Account{cents: 1000})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("serving", uri)
	log.Fatal(d.Serve(context.Background()))
}

// A client of that server.
func ExampleClient() {
	src, err := certs.Files(certs.FilesConfig{Cert: "pki/alice.crt", Key: "pki/alice.key", CA: "pki/ca.crt"})
	if err != nil {
		log.Fatal(err)
	}
	defer src.Close()
	c, err := broker.NewClient(broker.ClientConfig{Certs: src, Errors: accountErrors})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	account, err := c.Proxy(context.Background(), "PYROSSL://bank.example:7766/account")
	if err != nil {
		log.Fatal(err)
	}
	var left int64
	switch err := account.Call(context.Background(), "Withdraw", &left, 250); {
	case errors.Is(err, ErrNotEnough):
		fmt.Println("too much")
	case err != nil:
		log.Fatal(err)
	default:
		fmt.Println("left:", left)
	}
}

// A call, and an error that keeps its meaning.
func ExampleProxy_Call() {
	w := brokertest.New(new(testing.T), brokertest.Config{
		Objects: map[string]any{"account": &Account{cents: 1000}},
		Daemon:  func(c *broker.Config) { c.Errors = accountErrors },
		Client:  func(_ string, c *broker.ClientConfig) { c.Errors = accountErrors },
	})
	defer w.Close()
	ctx := context.Background()
	account := w.Proxy("alice", "account")

	var left int64
	err := account.Call(ctx, "Withdraw", &left, 250)
	fmt.Println(left, err)
	err = account.Call(ctx, "Withdraw", &left, 5000)
	fmt.Println(errors.Is(err, ErrNotEnough))
	var owner string
	err = account.Call(ctx, "Owner", &owner)
	fmt.Println(owner, err)
	// Output:
	// 750 <nil>
	// true
	// alice <nil>
}

// A call that no rule allows.
func ExampleError() {
	w := brokertest.New(new(testing.T), brokertest.Config{
		Objects: map[string]any{"account": &Account{cents: 1000}},
		Rules:   []validator.Rule{{Name: "alice", Effect: validator.Allow, Identities: []string{"alice"}, Objects: []string{"account"}, Methods: []string{"*"}}},
	})
	defer w.Close()
	err := w.Proxy("mallory", "account").Call(context.Background(), "Withdraw", nil, 250)
	var e *broker.Error
	fmt.Println(errors.As(err, &e), e.Kind.String(), e.MayHaveRun)
	fmt.Println(e.Message)
	// Output:
	// true denied false
	// no policy lets mallory call account.Withdraw
}
