// Command server exports methods that do as good as nothing.
package main

import (
	"context"
	"flag"
	"fmt"
	"iter"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/examples/benchmark"
	"github.com/pyrossl/pyrossl/validator"
)

type Track struct{}

func (Track) Nothing()                                   {}
func (Track) Add(a, b int) int                           { return a + b }
func (Track) Text(s string) string                       { return s }
func (Track) Bytes(b []byte) []byte                      { return b }
func (Track) Record(r benchmark.Record) benchmark.Record { return r }
func (Track) Fail() error                                { return benchmark.ErrNo }

func (Track) Count() iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for n := 0; yield(n, nil); n++ {
		}
	}
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
	rules, err := validator.NewRules(validator.Rule{
		Name: "alice-may-run", Effect: validator.Allow, Identities: []string{"email:alice@bank.example"},
		Objects: []string{"track"}, Methods: []string{"*"},
	})
	check(err)
	daemon, err := broker.NewDaemon(broker.Config{
		Addr: *addr, PublishHost: "localhost", Certs: mine, Validator: who, Authorizer: rules,
		Errors: benchmark.Errors,
	})
	check(err)
	uri, err := daemon.Register("track", Track{})
	check(err)
	fmt.Println(uri)
	check(daemon.Serve(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
