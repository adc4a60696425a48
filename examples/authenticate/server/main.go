// Command server asks its clients for a passphrase, besides their certificates.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

type Tester struct{}

func (Tester) Method(ctx context.Context) string {
	return "An interesting result for " + broker.Caller(ctx).Identity.Name
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
	// The passphrase is not kept, only keys that were made of it; and it is never sent.
	// A program that shall not even contain it is user_passwd_auth.
	check(who.SetAllowedIdentifications([]validator.Identification{validator.Passphrase("s3cr3t")}))
	rules, err := validator.NewRules(validator.Rule{
		Name: "clients", Effect: validator.Allow, Identities: []string{"email:*"},
		Objects: []string{"authentication"}, Methods: []string{"Method"},
	})
	check(err)
	daemon, err := broker.NewDaemon(broker.Config{
		Addr: *addr, PublishHost: "localhost", Certs: mine, Validator: who, Authorizer: rules,
		// Clients compute with the passphrase while they connect. That takes time on
		// purpose, and small machines take longer than the usual 5 s.
		HandshakeTimeout: time.Minute,
	})
	check(err)
	uri, err := daemon.Register("authentication", Tester{})
	check(err)
	fmt.Println(uri)
	check(daemon.Serve(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
