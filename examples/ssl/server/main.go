// Command server shows the certificates of its clients. It takes Pyro's environment
// variables, so that the same program runs with any certificate, anywhere.
package main

import (
	"context"
	"crypto/x509"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/pyroenv"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

type Tester struct{}

func (Tester) Answer(to string) string {
	fmt.Println("Somebody says:", to)
	return "Elvis Presley isn't dead, he just went home"
}

// printCert is a validator that does what validator.Default does, and one thing more.
// Certificates that come here are good: signed by an authority that we trust, for a
// client, and not out of date. An error would refuse the client all the same.
type printCert struct{ *validator.Default }

func (printCert) CheckCertificate(_ context.Context, id validator.Identity, leaf *x509.Certificate) error {
	fmt.Println("Client's certificate:")
	fmt.Println("  issuer:    ", leaf.Issuer)
	fmt.Println("  subject:   ", leaf.Subject)
	fmt.Println("  not before:", leaf.NotBefore.Format(time.DateTime))
	fmt.Println("  not after: ", leaf.NotAfter.Format(time.DateTime))
	fmt.Println("  identity:  ", id.Name)
	return nil
}

func main() {
	addr := flag.String("addr", "localhost:7766", "address to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	env, err := pyroenv.Parse(os.Environ())
	check(err)
	mine, err := certs.Files(certs.FilesConfig{Cert: env.Cert, Key: env.Key, CA: env.CA})
	check(err)
	who, err := validator.New(validator.Config{Admit: []validator.Peer{validator.Named("email:alice@bank.example")}})
	check(err)
	rules, err := validator.NewRules(validator.Rule{
		Name: "alice", Effect: validator.Allow, Identities: []string{"email:alice@bank.example"},
		Objects: []string{"ssl"}, Methods: []string{"Answer"},
	})
	check(err)
	daemon, err := broker.NewDaemon(broker.Config{Addr: *addr, PublishHost: "localhost", Certs: mine, Validator: printCert{who}, Authorizer: rules})
	check(err)
	uri, err := daemon.Register("ssl", Tester{})
	check(err)
	fmt.Println(uri)
	check(daemon.Serve(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
