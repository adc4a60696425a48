// Command server exports a thermostat. Its fields are not exposed by being there: each
// attribute is declared, with a function to read it and perhaps one to write it.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/examples/attributes"
	"github.com/pyrossl/pyrossl/validator"
)

type Thermostat struct {
	mu     sync.Mutex
	target float64 // degrees Celsius
}

func (t *Thermostat) getTarget(context.Context) (float64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.target, nil
}

// setTarget takes nothing that it has not looked at, as a method would.
func (t *Thermostat) setTarget(_ context.Context, degrees float64) error {
	if !(degrees <= 25) {
		return fmt.Errorf("%w: got %v, want at most 25", attributes.ErrTooHot, degrees)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.target = degrees
	return nil
}

func room(context.Context) (string, error) { return "vault", nil }

func main() {
	addr := flag.String("addr", "localhost:7766", "address to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	mine, err := certs.Files(certs.FilesConfig{Cert: "pki/localhost.crt", Key: "pki/localhost.key", CA: "pki/ca.crt"})
	check(err)
	who, err := validator.New(validator.Config{Admit: []validator.Peer{validator.AnyIdentity()}})
	check(err)
	// In rules, reading and writing are methods.
	rules, err := validator.NewRules(
		validator.Rule{
			Name: "all-may-read", Effect: validator.Allow, Identities: []string{"email:alice@bank.example", "email:bob@bank.example"},
			Objects: []string{"thermostat"}, Methods: []string{"get:Room", "get:Target"},
		},
		validator.Rule{
			Name: "alice-may-write", Effect: validator.Allow, Identities: []string{"email:alice@bank.example"},
			Objects: []string{"thermostat"}, Methods: []string{"set:*"},
		})
	check(err)
	daemon, err := broker.NewDaemon(broker.Config{
		Addr: *addr, PublishHost: "localhost", Certs: mine, Validator: who, Authorizer: rules,
		Errors: broker.Errors{"thermostat.too-hot": attributes.ErrTooHot},
	})
	check(err)
	t := &Thermostat{target: 19}
	uri, err := daemon.Register("thermostat", t,
		broker.Attribute("Room", room, nil), // nobody writes it
		broker.Attribute("Target", t.getTarget, t.setTarget))
	check(err)
	fmt.Println(uri)
	check(daemon.Serve(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
