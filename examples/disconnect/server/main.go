// Command server exports four lamps, and a switch that takes them away.
package main

import (
	"context"
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

type Lamp struct{ name string }

func (l *Lamp) Shine() string { return l.name + " shines" }

// Released is called by the daemon when nobody can call the lamp any more. It is never
// exposed.
func (l *Lamp) Released(reason string) { fmt.Println(l.name, "is off:", reason) }

// Switch lets callers do what a server usually does for reasons of its own.
type Switch struct{ daemon *broker.Daemon }

// Off takes an object away. Calls that run on it finish.
func (s *Switch) Off(name string) error { return s.daemon.Unregister(name) }

func main() {
	addr := flag.String("addr", "localhost:7766", "address to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	mine, err := certs.Files(certs.FilesConfig{Cert: "pki/localhost.crt", Key: "pki/localhost.key", CA: "pki/ca.crt"})
	check(err)
	who, err := validator.New(validator.Config{Admit: []validator.Peer{validator.AnyIdentity()}})
	check(err)
	alice := []string{"email:alice@bank.example"}
	rules, err := validator.NewRules(
		validator.Rule{Name: "lamps", Effect: validator.Allow, Identities: alice, Objects: []string{"north", "east", "south", "west"}, Methods: []string{"Shine"}},
		validator.Rule{Name: "switch", Effect: validator.Allow, Identities: alice, Objects: []string{"switch"}, Methods: []string{"Off"}},
		// Every daemon has this object. To list the others is a right like any other.
		validator.Rule{Name: "list", Effect: validator.Allow, Identities: alice, Objects: []string{broker.SelfName}, Methods: []string{"Registered"}},
	)
	check(err)
	daemon, err := broker.NewDaemon(broker.Config{Addr: *addr, PublishHost: "localhost", Certs: mine, Validator: who, Authorizer: rules})
	check(err)
	for _, name := range []string{"north", "east", "south", "west"} {
		_, err := daemon.Register(name, &Lamp{name})
		check(err)
	}
	uri, err := daemon.Register("switch", &Switch{daemon})
	check(err)
	fmt.Println(uri)
	check(daemon.Serve(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
