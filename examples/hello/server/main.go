// Command server exports one object, to one client.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

type Greeter struct{}

func (Greeter) Hello(ctx context.Context, from string) string {
	return fmt.Sprintf("hello %s from %s", broker.Caller(ctx).Identity.Name, from)
}

func main() {
	source, err := certs.Files(certs.FilesConfig{Cert: "pki/localhost.crt", Key: "pki/localhost.key", CA: "pki/ca.crt"})
	check(err)
	who, err := validator.New(validator.Config{Admit: []validator.Peer{validator.AnyIdentity()}})
	check(err)
	rules, err := validator.NewRules(validator.Rule{
		Name: "alice-may-greet", Effect: validator.Allow, Identities: []string{"email:alice@bank.example"},
		Objects: []string{"greeter"}, Methods: []string{"Hello"},
	})
	check(err)
	d, err := broker.NewDaemon(broker.Config{PublishHost: "localhost", Certs: source, Validator: who, Authorizer: rules})
	check(err)
	uri, err := d.Register("greeter", Greeter{})
	check(err)
	fmt.Println(uri)
	check(d.Serve(context.Background()))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
