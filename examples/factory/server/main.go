// Command server exports a factory, whose products are objects of their own: each is
// its buyer's alone.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/examples/factory"
	"github.com/pyrossl/pyrossl/validator"
)

type Factory struct{}

// Create makes a car. What the caller gets is a proxy for it, which works over the
// caller's connection and no other.
func (Factory) Create(ctx context.Context, brand string) (*broker.Local, error) {
	if !slices.Contains([]string{"Ford", "Honda", "Opel"}, brand) {
		return nil, fmt.Errorf("%w: %q", factory.ErrUnknownBrand, brand)
	}
	return broker.Export(ctx, "car", &Car{brand: brand})
}

func (Factory) Process() int { return os.Getpid() }

type Car struct {
	brand string
	mu    sync.Mutex
	km    int
}

// Drive drives on, and returns how far the car has come.
func (c *Car) Drive(km int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.km += km
	return fmt.Sprintf("%s has come %d km", c.brand, c.km)
}

func (c *Car) Process() int { return os.Getpid() }

// Released is called when nobody can drive the car any more. It is no method that
// clients could call.
func (c *Car) Released(reason string) {
	fmt.Println("A car comes back:", reason)
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
	// Cars are known to the rules by their kind, the "car" of Export.
	rules, err := validator.NewRules(validator.Rule{
		Name: "drivers", Effect: validator.Allow, Identities: []string{"email:*"},
		Objects: []string{"factory", "car"}, Methods: []string{"*"},
	})
	check(err)
	daemon, err := broker.NewDaemon(broker.Config{
		Addr: *addr, PublishHost: "localhost", Certs: mine, Validator: who, Authorizer: rules, Errors: factory.Errors,
	})
	check(err)
	uri, err := daemon.Register("factory", Factory{})
	check(err)
	fmt.Println(uri)
	check(daemon.Serve(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
