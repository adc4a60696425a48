// Command server exports the files of a directory, and takes new ones.
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
	"github.com/pyrossl/pyrossl/examples/filetransfer"
	"github.com/pyrossl/pyrossl/validator"
)

func main() {
	addr := flag.String("addr", "localhost:7766", "address to listen on")
	dir := flag.String("dir", "files", "directory with the files")
	largest := flag.Int64("largest", 1<<30, "bytes of the largest file to take")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	root, err := os.OpenRoot(*dir)
	check(err)
	mine, err := certs.Files(certs.FilesConfig{Cert: "pki/localhost.crt", Key: "pki/localhost.key", CA: "pki/ca.crt"})
	check(err)
	who, err := validator.New(validator.Config{Admit: []validator.Peer{validator.AnyIdentity()}})
	check(err)
	rules, err := validator.NewRules(
		validator.Rule{
			Name: "read", Effect: validator.Allow, Identities: []string{"email:alice@bank.example", "email:bob@bank.example"},
			Objects: []string{"store"}, Methods: []string{"List", "Stat", "Get"},
		},
		validator.Rule{
			Name: "write", Effect: validator.Allow, Identities: []string{"email:alice@bank.example"},
			Objects: []string{"store"}, Methods: []string{"Have", "Put"},
		})
	check(err)
	daemon, err := broker.NewDaemon(broker.Config{
		Addr: *addr, PublishHost: "localhost", Certs: mine, Validator: who, Authorizer: rules,
		Errors: filetransfer.Errors,
	})
	check(err)
	store := &Store{root: root, largest: *largest, coming: make(map[string]bool)}
	uri, err := daemon.Register("store", store, broker.IdempotentMethods("List", "Stat", "Have"))
	check(err)
	fmt.Println(uri)
	check(daemon.Serve(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
