// Command client calls the bank of bankd: it deposits an amount, prints the balance,
// and then asks for more than there is, to show that the error keeps its type.
//
//	client --cert pki/teller.crt --key pki/teller.key --ca pki/ca.crt PYROSSL://localhost:7766/bank
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/examples/bank"
)

func main() {
	cert := flag.String("cert", "pki/client.crt", "certificate `FILE`")
	key := flag.String("key", "pki/client.key", "private key `FILE`")
	ca := flag.String("ca", "pki/ca.crt", "`FILE` with the CA of the bank")
	account := flag.String("account", "alice", "account to use")
	amount := flag.Int64("amount", 100, "cents to deposit")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: client [flags] URI")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	material, err := certs.Load(*cert, *key, *ca)
	if err == nil {
		err = run(ctx, os.Stdout, certs.Static(material), flag.Arg(0), *account, *amount)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "client: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, src certs.Source, uri, account string, amount int64) error {
	client, err := broker.NewClient(broker.ClientConfig{Certs: src, Errors: bank.Errors})
	if err != nil {
		return err
	}
	defer client.Close()
	remote, err := client.Proxy(ctx, uri, broker.Idempotent(bank.Idempotent...))
	if err != nil {
		return err
	}
	var balance int64
	if err := remote.Call(ctx, "Deposit", &balance, account, amount); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s has %d\n", account, balance)

	err = remote.Call(ctx, "Withdraw", &balance, account, balance+1)
	var overdrawn *bank.OverdrawnError
	if !errors.As(err, &overdrawn) {
		return fmt.Errorf("withdrawing more than there is: got %v, want an error of type %T", err, overdrawn)
	}
	fmt.Fprintf(out, "%s cannot withdraw %d: %v\n", account, overdrawn.Wanted, overdrawn)
	return nil
}
