// Command client shows what becomes of the errors of the calculator that server exports.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/examples/exceptions"
)

func main() {
	log.SetFlags(0)
	uri := flag.String("uri", "PYROSSL://localhost:7766/calculator", "URI of the calculator")
	flag.Parse()
	ctx := context.Background()

	mine, err := certs.Load("pki/alice@bank.example.crt", "pki/alice@bank.example.key", "pki/ca.crt")
	check(err)
	client, err := broker.NewClient(broker.ClientConfig{Certs: certs.Static(mine), Errors: exceptions.Errors})
	check(err)
	defer client.Close()
	calculator, err := client.Proxy(ctx, *uri)
	check(err)

	var quotient int
	check(calculator.Call(ctx, "Divide", &quotient, 84, 2))
	fmt.Println("84 / 2 =", quotient)

	err = calculator.Call(ctx, "Divide", &quotient, 84, 0)
	fmt.Println("84 / 0 is ErrDivideByZero:", errors.Is(err, exceptions.ErrDivideByZero))

	err = calculator.Call(ctx, "Root", nil, -2.25)
	if domain, ok := errors.AsType[*exceptions.DomainError](err); ok {
		fmt.Printf("the root of %v is a DomainError: %v\n", domain.Got, domain)
	}

	// Everything else is told apart by its kind. A *broker.Error also knows whether the
	// method may have run, and by what id the server's log can be searched for more.
	show("Print", calculator.Call(ctx, "Print", nil))
	show("Keep", calculator.Call(ctx, "Keep", nil, "pi", 3.14))
	show("Divide", calculator.Call(ctx, "Divide", nil, "eighty-four", 2))
	show("Integrate", calculator.Call(ctx, "Integrate", nil))
	show("Explode", calculator.Call(ctx, "Explode", nil))
}

func show(what string, err error) {
	failed, ok := errors.AsType[*broker.Error](err)
	if !ok {
		log.Fatalf("%s: got %v, want a *broker.Error", what, err)
	}
	fmt.Printf("%s: %s: %q", what, failed.Kind.String(), failed.Message)
	if failed.MayHaveRun {
		fmt.Print(", may have run")
	}
	if failed.Incident != "" {
		fmt.Print(", incident ", failed.Incident)
	}
	fmt.Println()
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
