// Command server decides by address who may connect, before anything else is known of
// a client.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

type Tester struct{}

func (Tester) Method(number int) int { return number + 41 }

// hostChecker is a validator that does what validator.Default does, and one thing more:
// it sees the addresses that are not denied by then. An error would refuse them too.
type hostChecker struct{ *validator.Default }

func (hostChecker) AcceptHost(_ context.Context, addr netip.Addr) error {
	fmt.Println("New connection from", addr)
	return nil
}

func main() {
	addr := flag.String("addr", "localhost:7766", "address to listen on")
	deny := flag.String("deny", "", "addresses, networks and host names to refuse, separated by commas")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	mine, err := certs.Files(certs.FilesConfig{Cert: "pki/localhost.crt", Key: "pki/localhost.key", CA: "pki/ca.crt"})
	check(err)
	config := validator.Config{Admit: []validator.Peer{validator.AnyIdentity()}}
	if *deny != "" {
		config.DenyHosts = strings.Split(*deny, ",")
	}
	who, err := validator.New(config)
	check(err)
	rules, err := validator.NewRules(validator.Rule{
		Name: "clients", Effect: validator.Allow, Identities: []string{"email:*"},
		Objects: []string{"denyhosts"}, Methods: []string{"Method"},
	})
	check(err)
	daemon, err := broker.NewDaemon(broker.Config{Addr: *addr, PublishHost: "localhost", Certs: mine, Validator: hostChecker{who}, Authorizer: rules})
	check(err)
	uri, err := daemon.Register("denyhosts", Tester{})
	check(err)
	fmt.Println(uri)
	check(daemon.Serve(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
