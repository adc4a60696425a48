// Command server exports a calculator whose methods fail in different ways.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"os/signal"
	"syscall"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/examples/exceptions"
	"github.com/pyrossl/pyrossl/validator"
)

type Calculator struct{ memory map[string]float64 }

// Divide returns a sentinel, with more text around it.
func (*Calculator) Divide(a, b int) (int, error) {
	if b == 0 {
		return 0, fmt.Errorf("%w: %d / %d", exceptions.ErrDivideByZero, a, b)
	}
	return a / b, nil
}

// Root returns an error with fields.
func (*Calculator) Root(x float64) (float64, error) {
	if x < 0 {
		return 0, &exceptions.DomainError{Got: x, Least: 0}
	}
	return math.Sqrt(x), nil
}

// Print returns an error that nobody needs to tell from others.
func (*Calculator) Print() error { return errors.New("the printer is out of paper") }

// Keep panics: nobody has made the map. The caller learns that something inside went
// wrong, and an incident id; the panic and its stack are in the log of this program.
func (c *Calculator) Keep(name string, x float64) { c.memory[name] = x }

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
		Name: "alice-may-calculate", Effect: validator.Allow, Identities: []string{"email:alice@bank.example"},
		Objects: []string{"calculator"}, Methods: []string{"Divide", "Root", "Print", "Keep", "Integrate"},
	})
	check(err)
	daemon, err := broker.NewDaemon(broker.Config{
		Addr: *addr, PublishHost: "localhost", Certs: mine, Validator: who, Authorizer: rules,
		Errors: exceptions.Errors,
	})
	check(err)
	uri, err := daemon.Register("calculator", &Calculator{})
	check(err)
	fmt.Println(uri)
	check(daemon.Serve(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
