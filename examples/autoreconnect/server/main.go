// Command server exports a clock that somebody else has to drive. Kill it while client
// runs, and start it again.
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
	"github.com/pyrossl/pyrossl/examples/autoreconnect"
	"github.com/pyrossl/pyrossl/validator"
)

type Clock struct {
	pace  time.Duration
	ticks atomic.Int64
}

// Look may run twice without harm.
func (c *Clock) Look(ctx context.Context) (autoreconnect.State, error) {
	err := c.think(ctx, "Look")
	return c.state(), err
}

// Tick may not: two ticks are one too many.
func (c *Clock) Tick(ctx context.Context) (autoreconnect.State, error) {
	if err := c.think(ctx, "Tick"); err != nil {
		return autoreconnect.State{}, err
	}
	c.ticks.Add(1)
	return c.state(), nil
}

func (c *Clock) state() autoreconnect.State {
	return autoreconnect.State{Process: os.Getpid(), Ticks: int(c.ticks.Load())}
}

// think leaves time to kill the server in the middle of a call.
func (c *Clock) think(ctx context.Context, method string) error {
	fmt.Println(method, "begins")
	select {
	case <-time.After(c.pace):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func main() {
	addr := flag.String("addr", "localhost:7766", "address to listen on")
	pace := flag.Duration("pace", time.Second, "what each call takes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	mine, err := certs.Files(certs.FilesConfig{Cert: "pki/localhost.crt", Key: "pki/localhost.key", CA: "pki/ca.crt"})
	check(err)
	who, err := validator.New(validator.Config{Admit: []validator.Peer{validator.AnyIdentity()}})
	check(err)
	rules, err := validator.NewRules(validator.Rule{
		Name: "alice-drives-the-clock", Effect: validator.Allow, Identities: []string{"email:alice@bank.example"},
		Objects: []string{"clock"}, Methods: []string{"Look", "Tick"},
	})
	check(err)
	daemon, err := broker.NewDaemon(broker.Config{Addr: *addr, PublishHost: "localhost", Certs: mine, Validator: who, Authorizer: rules})
	check(err)
	uri, err := daemon.Register("clock", &Clock{pace: *pace}, broker.IdempotentMethods("Look"))
	check(err)
	fmt.Println(uri)
	check(daemon.Serve(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
