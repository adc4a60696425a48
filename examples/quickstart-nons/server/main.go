// Command server exports an object with attributes: values that are read and written
// by name.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

// Tester says how many calls there were, with a text that callers may change. Calls
// run side by side: what they share they guard.
type Tester struct {
	mu     sync.Mutex
	prefix string
	calls  int
}

func (t *Tester) Square(number int64) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls++
	return fmt.Sprint(t.prefix, " ", number*number)
}

func (t *Tester) getPrefix(context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.prefix, nil
}

func (t *Tester) setPrefix(_ context.Context, prefix string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.prefix = prefix
	return nil
}

func (t *Tester) getCalls(context.Context) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.calls, nil
}

func main() {
	addr := flag.String("addr", "localhost:9123", "address to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	mine, err := certs.Files(certs.FilesConfig{Cert: "pki/localhost.crt", Key: "pki/localhost.key", CA: "pki/ca.crt"})
	check(err)
	who, err := validator.New(validator.Config{Admit: []validator.Peer{validator.AnyIdentity()}})
	check(err)
	// Reading an attribute is the method get:NAME to the rules, writing it set:NAME.
	rules, err := validator.NewRules(validator.Rule{
		Name: "alice", Effect: validator.Allow, Identities: []string{"email:alice@bank.example"},
		Objects: []string{"quickstart"}, Methods: []string{"Square", "get:*", "set:*"},
	})
	check(err)
	daemon, err := broker.NewDaemon(broker.Config{Addr: *addr, PublishHost: "localhost", Certs: mine, Validator: who, Authorizer: rules})
	check(err)

	tester := &Tester{prefix: "The square is:"}
	uri, err := daemon.Register("quickstart", tester,
		broker.Attribute("Prefix", tester.getPrefix, tester.setPrefix),
		broker.Attribute("Calls", tester.getCalls, nil)) // nobody can write it
	check(err)
	fmt.Println(uri)
	check(daemon.Serve(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
