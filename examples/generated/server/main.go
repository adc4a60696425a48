// Command server exports a ledger through its generated code.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/examples/generated"
	"github.com/pyrossl/pyrossl/validator"
	"github.com/pyrossl/pyrossl/validator/rulefile"
)

func main() {
	addr := flag.String("addr", "localhost:7766", "address to listen on")
	policy := flag.String("policy", "examples/generated/policy.yaml", "rules of who may call what")
	flag.Parse()

	source, err := certs.Files(certs.FilesConfig{Cert: "pki/localhost.crt", Key: "pki/localhost.key", CA: "pki/ca.crt"})
	check(err)
	who, err := validator.New(validator.Config{Admit: []validator.Peer{validator.AnyIdentity()}})
	check(err)
	read, err := rulefile.LoadRules(*policy)
	check(err)
	rules, err := validator.NewRules(read...)
	check(err)
	d, err := broker.NewDaemon(broker.Config{Addr: *addr, PublishHost: "localhost", Certs: source, Validator: who, Authorizer: rules})
	check(err)
	uri, err := d.Register("ledger", generated.ExportLedger(new(generated.Book)))
	check(err)
	fmt.Println(uri)
	check(d.Serve(context.Background()))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
