// Command server exports a method that takes its time, so that nobody likes to wait
// for it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

// Oven bakes one thing for each log that is burnt.
type Oven struct {
	logs  chan bool
	shelf chan string
}

func (o *Oven) Bake(ctx context.Context, what string) error {
	if what == "stone" {
		return errors.New("a stone cannot be baked")
	}
	select {
	case <-o.logs:
	case <-ctx.Done(): // The caller has gone.
		return ctx.Err()
	}
	// The caller of a oneway call is known as that of any other.
	o.shelf <- what + " for " + broker.Caller(ctx).Identity.Name
	return nil
}

func (o *Oven) Heat() { o.logs <- true }

// Ready counts what nobody has collected.
func (o *Oven) Ready() int { return len(o.shelf) }

func (o *Oven) Collect() string { return <-o.shelf }

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
		Name: "bakers", Effect: validator.Allow, Identities: []string{"email:*"},
		Objects: []string{"oven"}, Methods: []string{"*"},
	})
	check(err)
	daemon, err := broker.NewDaemon(broker.Config{Addr: *addr, PublishHost: "localhost", Certs: mine, Validator: who, Authorizer: rules})
	check(err)
	uri, err := daemon.Register("oven", &Oven{logs: make(chan bool, 10), shelf: make(chan string, 10)})
	check(err)
	fmt.Println(uri)
	check(daemon.Serve(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
