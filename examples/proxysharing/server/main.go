// Command server exports a meeting point: whoever comes waits until all are there.
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

// Meeting is called by many at a time: what its methods share they guard.
type Meeting struct {
	mu       sync.Mutex
	here     int
	complete chan struct{} // closed when all are there
	sessions map[string]bool
	greeted  int
}

// Wait returns when so many calls of it run at the same time.
func (m *Meeting) Wait(ctx context.Context, all int) error {
	m.mu.Lock()
	if m.here++; m.here == all {
		close(m.complete)
		m.here, m.complete = 0, make(chan struct{})
		m.mu.Unlock()
		return nil
	}
	complete := m.complete
	m.mu.Unlock()
	select {
	case <-complete:
		return nil
	case <-ctx.Done():
		m.mu.Lock()
		defer m.mu.Unlock()
		if complete == m.complete {
			m.here--
		}
		return ctx.Err()
	}
}

// Greet gives the name back, so that the caller sees that the answer is his own.
func (m *Meeting) Greet(ctx context.Context, name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sessions[broker.Caller(ctx).Session] = true
	m.greeted++
	return "hello " + name
}

// Greeted tells how often, and over how many connections.
func (m *Meeting) Greeted() []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return []int{m.greeted, len(m.sessions)}
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
		Name: "alice-may-meet", Effect: validator.Allow, Identities: []string{"email:alice@bank.example"},
		Objects: []string{"meeting"}, Methods: []string{"Wait", "Greet", "Greeted"},
	})
	check(err)
	daemon, err := broker.NewDaemon(broker.Config{Addr: *addr, PublishHost: "localhost", Certs: mine, Validator: who, Authorizer: rules})
	check(err)
	uri, err := daemon.Register("meeting", &Meeting{complete: make(chan struct{}), sessions: make(map[string]bool)})
	check(err)
	fmt.Println(uri)
	check(daemon.Serve(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
