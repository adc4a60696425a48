// Command server takes the settings of Pyro's environment variables, of which
// PYRO_MAXCONNECTIONS matters here; without it there may be ten connections.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/pyroenv"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

type Desk struct{}

// Number is the id of the connection that the call came on: each client has its own.
func (Desk) Number(ctx context.Context) string { return broker.Caller(ctx).Session }

func main() {
	addr := flag.String("addr", "localhost:7766", "address to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	settings, err := pyroenv.Parse(os.Environ())
	check(err)

	mine, err := certs.Files(certs.FilesConfig{Cert: "pki/localhost.crt", Key: "pki/localhost.key", CA: "pki/ca.crt"})
	check(err)
	who, err := validator.New(validator.Config{
		Admit: []validator.Peer{validator.AnyIdentity()},
		// Only connections that got through every check count: strangers cannot fill
		// the places. MaxPerIdentity and MaxPerAddress would keep one client from it.
		MaxConnections: cmp.Or(settings.MaxConnections, 10),
	})
	check(err)
	rules, err := validator.NewRules(validator.Rule{
		Name: "alice-may-take-a-number", Effect: validator.Allow, Identities: []string{"email:alice@bank.example"},
		Objects: []string{"desk"}, Methods: []string{"Number"},
	})
	check(err)
	daemon, err := broker.NewDaemon(broker.Config{Addr: *addr, PublishHost: "localhost", Certs: mine, Validator: who, Authorizer: rules})
	check(err)
	uri, err := daemon.Register("desk", Desk{})
	check(err)
	fmt.Println(uri)
	check(daemon.Serve(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
