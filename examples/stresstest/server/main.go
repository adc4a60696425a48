// Command server exports an adder, and methods to be given up.
package main

import (
	"context"
	"flag"
	"fmt"
	"iter"
	"log"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/examples/stresstest"
	"github.com/pyrossl/pyrossl/validator"
)

type Adder struct{ total, running atomic.Int64 }

func (a *Adder) Add(n int64)             { a.total.Add(n) }
func (a *Adder) Echo(text string) string { return text }

// Wait ends when the caller has enough.
func (a *Adder) Wait(ctx context.Context) error {
	a.running.Add(1)
	defer a.running.Add(-1)
	<-ctx.Done()
	return ctx.Err()
}

// Count yields numbers for as long as somebody takes them.
func (a *Adder) Count() iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		a.running.Add(1)
		defer a.running.Add(-1)
		for n := 0; yield(n, nil); n++ {
		}
	}
}

// Sum adds up a stream.
func (a *Adder) Sum(numbers iter.Seq2[int, error]) (sum int, err error) {
	a.running.Add(1)
	defer a.running.Add(-1)
	for n, err := range numbers {
		if err != nil {
			return sum, err
		}
		sum += n
	}
	return sum, nil
}

func (a *Adder) State() stresstest.State {
	return stresstest.State{Total: a.total.Load(), Running: a.running.Load()}
}

func main() {
	addr := flag.String("addr", "localhost:7766", "address to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	mine, err := certs.Files(certs.FilesConfig{Cert: "pki/localhost.crt", Key: "pki/localhost.key", CA: "pki/ca.crt"})
	check(err)
	who, err := validator.New(validator.Config{Admit: []validator.Peer{validator.AnyIdentity()}})
	check(err)
	rules, err := validator.NewRules(validator.Rule{
		Name: "alice-may-storm", Effect: validator.Allow, Identities: []string{"email:alice@bank.example"},
		Objects: []string{"adder"}, Methods: []string{"*"},
	})
	check(err)
	daemon, err := broker.NewDaemon(broker.Config{
		Addr: *addr, PublishHost: "localhost", Certs: mine, Validator: who, Authorizer: rules,
		MaxHandshakesPerAddress: 256, // all clients are at one address here
	})
	check(err)
	uri, err := daemon.Register("adder", &Adder{})
	check(err)
	fmt.Println(uri)
	check(daemon.Serve(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
