// Command server calls its clients back, over the connections that they have made.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"maps"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/examples/callback"
	"github.com/pyrossl/pyrossl/validator"
)

// Hall is where clients listen and shout.
type Hall struct {
	mu        sync.Mutex
	listeners map[string]*broker.Proxy // by the name of who listens
}

// Listen keeps the proxy of a client's object. It is of use as long as the client's
// connection.
func (h *Hall) Listen(ctx context.Context, listener *broker.Proxy) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listeners[broker.Caller(ctx).Identity.Name] = listener
}

// Shout tells everybody, and returns how many have heard it and one of their complaints,
// if there are any.
func (h *Hall) Shout(ctx context.Context, text string) (heard int, complaint error) {
	for name, listener := range h.all() {
		err := listener.Call(ctx, "Hear", nil, broker.Caller(ctx).Identity.Name, text)
		switch {
		case err == nil:
			heard++
		case errors.Is(err, callback.ErrTooLoud):
			complaint = fmt.Errorf("%s complains: %w", name, err)
		default:
			fmt.Println(name, "does not listen any more")
			h.drop(name, listener)
		}
	}
	return heard, complaint
}

// all copies the list: nobody holds a lock while a client takes its time.
func (h *Hall) all() map[string]*broker.Proxy {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.listeners)
}

func (h *Hall) drop(name string, listener *broker.Proxy) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.listeners[name] == listener {
		delete(h.listeners, name)
	}
}

// Bounce begins a conversation with a client's bouncer, and returns how many of the
// calls came here.
func (h *Hall) Bounce(ctx context.Context, partner *broker.Proxy) (int, error) {
	mine := new(callback.Bouncer)
	err := mine.Bounce(ctx, 1, partner)
	return int(mine.Count.Load()), err
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
		Name: "clients", Effect: validator.Allow, Identities: []string{"email:*"},
		Objects: []string{"hall", "bouncer"}, Methods: []string{"*"},
	})
	check(err)
	daemon, err := broker.NewDaemon(broker.Config{
		Addr: *addr, PublishHost: "localhost", Certs: mine, Validator: who, Authorizer: rules, Errors: callback.Errors,
	})
	check(err)
	uri, err := daemon.Register("hall", &Hall{listeners: make(map[string]*broker.Proxy)})
	check(err)
	fmt.Println(uri)
	check(daemon.Serve(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
