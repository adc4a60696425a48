// Command server exports an object: two methods of a type that knows nothing of
// networks.
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

type Tester struct{}

func (Tester) Length(text string) int    { return len(text) }
func (Tester) Square(number int64) int64 { return number * number }

func main() {
	addr := flag.String("addr", "localhost:7766", "address to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	// Who this program is, and which authority it trusts.
	mine, err := certs.Files(certs.FilesConfig{Cert: "pki/localhost.crt", Key: "pki/localhost.key", CA: "pki/ca.crt"})
	check(err)
	// Who may connect: everybody for whom that authority vouches.
	who, err := validator.New(validator.Config{Admit: []validator.Peer{validator.AnyIdentity()}})
	check(err)
	// Who may call what: what no rule allows is denied.
	rules, err := validator.NewRules(validator.Rule{
		Name: "alice-may-test", Effect: validator.Allow,
		Identities: []string{"email:alice@bank.example"}, Objects: []string{"quickstart"}, Methods: []string{"*"},
	})
	check(err)

	daemon, err := broker.NewDaemon(broker.Config{Addr: *addr, PublishHost: "localhost", Certs: mine, Validator: who, Authorizer: rules})
	check(err)
	uri, err := daemon.Register("quickstart", Tester{})
	check(err)
	fmt.Println(uri)
	check(daemon.Serve(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
