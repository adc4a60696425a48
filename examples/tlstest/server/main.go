// Command server keeps something for each connection: it is opened before the client is
// welcomed, is there in every call, and is closed when the client has gone.
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

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

// storage is what a connection has: a file here, that nobody else sees. Calls of one
// connection may run side by side.
type storage struct {
	file           *os.File
	calls, oneways atomic.Int32
}

// storageKey is the key of the storage among the values of a connection.
type storageKey struct{}

// opened is called by the daemon before a client is welcomed. Its error would refuse
// the client.
func opened(_ context.Context, client *broker.Peer) error {
	file, err := os.CreateTemp("", "tlstest-")
	if err != nil {
		return err
	}
	client.Set(storageKey{}, &storage{file: file})
	fmt.Println("Opened for", client.Identity.Name)
	return nil
}

// closed is called when the connection has ended and its calls have returned, whatever
// the reason.
func closed(client *broker.Peer, _ error) {
	value, ok := client.Get(storageKey{})
	if !ok {
		return
	}
	s := value.(*storage)
	check(s.file.Close())
	check(os.Remove(s.file.Name()))
	fmt.Println("Closed after", s.calls.Load(), "calls and", s.oneways.Load(), "oneway calls")
}

type Tester struct{}

// Ping writes to the connection's file.
func (Tester) Ping(ctx context.Context, text string) error {
	value, _ := broker.Caller(ctx).Get(storageKey{})
	s := value.(*storage)
	s.calls.Add(1)
	_, err := fmt.Fprintln(s.file, text)
	return err
}

// Notify is called without waiting for an answer. The caller is known all the same.
func (Tester) Notify(ctx context.Context) {
	value, _ := broker.Caller(ctx).Get(storageKey{})
	value.(*storage).oneways.Add(1)
}

// Written returns the size of the connection's file.
func (Tester) Written(ctx context.Context) (int64, error) {
	value, _ := broker.Caller(ctx).Get(storageKey{})
	info, err := value.(*storage).file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
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
		Objects: []string{"tlstest"}, Methods: []string{"*"},
	})
	check(err)
	daemon, err := broker.NewDaemon(broker.Config{
		Addr: *addr, PublishHost: "localhost", Certs: mine, Validator: who, Authorizer: rules,
		OnConnect: opened, OnDisconnect: closed,
	})
	check(err)
	uri, err := daemon.Register("tlstest", Tester{})
	check(err)
	fmt.Println(uri)
	check(daemon.Serve(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
