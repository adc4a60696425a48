// Command server keeps some things for each connection of a client, and others for each
// client, however many connections it has.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

// Session is made anew for each connection. The calls of one client may run side by
// side.
type Session struct {
	count atomic.Int64
	notes *Notes
}

func (s *Session) Add() { s.count.Add(1) }

func (s *Session) Count() int64 { return s.count.Load() }

func (s *Session) Write(ctx context.Context, text string) string {
	// Who calls is known from the certificate: nobody can say to be another.
	return s.notes.write(broker.Caller(ctx).Identity.Name, text)
}

// Released is called when the connection has ended.
func (s *Session) Released(string) { fmt.Println("A session has counted to", s.count.Load()) }

// Notes are what all sessions share.
type Notes struct {
	mu    sync.Mutex
	lines map[string]int // by who wrote them
}

func (n *Notes) write(who, text string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines[who]++
	return fmt.Sprintf("Line %d by %s: %s", n.lines[who], who, text)
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
		Objects: []string{"session"}, Methods: []string{"*"},
	})
	check(err)
	daemon, err := broker.NewDaemon(broker.Config{Addr: *addr, PublishHost: "localhost", Certs: mine, Validator: who, Authorizer: rules})
	check(err)

	notes := &Notes{lines: make(map[string]int)}
	uri, err := daemon.Register("session", broker.PerSession(func(context.Context) (*Session, error) {
		return &Session{notes: notes}, nil
	}))
	check(err)
	fmt.Println(uri)
	check(daemon.Serve(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
