// Command server exports a kitchen that takes as long as it is told.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

type Kitchen struct{ cooking atomic.Int64 }

// Cook takes its time. Its context ends when the caller's does, over there: whoever
// waits for anything waits for that too, or the work outlives its caller.
func (k *Kitchen) Cook(ctx context.Context, dish string, takes time.Duration) (string, error) {
	k.cooking.Add(1)
	defer k.cooking.Add(-1)
	select {
	case <-time.After(takes):
		return dish + " is served", nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// Cooking is how many dishes are on the stove.
func (k *Kitchen) Cooking() int64 { return k.cooking.Load() }

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
		Name: "alice-may-eat", Effect: validator.Allow, Identities: []string{"email:alice@bank.example"},
		Objects: []string{"kitchen"}, Methods: []string{"Cook", "Cooking"},
	})
	check(err)
	daemon, err := broker.NewDaemon(broker.Config{Addr: *addr, PublishHost: "localhost", Certs: mine, Validator: who, Authorizer: rules})
	check(err)
	uri, err := daemon.Register("kitchen", &Kitchen{})
	check(err)
	fmt.Println(uri)
	check(daemon.Serve(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
