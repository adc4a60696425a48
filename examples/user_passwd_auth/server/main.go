// Command server asks its clients for a name and a passphrase, besides their
// certificates. It knows no passphrase, only the keys in a file that adduser writes.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

type Tester struct{}

func (Tester) WhoAmI(ctx context.Context) string {
	return fmt.Sprintf("You are %q and you were allowed to connect.", broker.Caller(ctx).User)
}

// loginPrinter is a validator that does what validator.Default does, and says so.
type loginPrinter struct{ *validator.Default }

func (p loginPrinter) AcceptIdentification(ctx context.Context, ex *validator.Exchange, token []byte) (reply []byte, done bool, err error) {
	reply, done, err = p.Default.AcceptIdentification(ctx, ex, token)
	switch {
	case err != nil:
		fmt.Println("DENIED", ex.Identity.Name)
	case done:
		fmt.Println("ALLOWED", ex.User, "with the certificate of", ex.Identity.Name)
	}
	return reply, done, err
}

// readUsers reads lines of a name and its keys.
func readUsers(file string) (users []validator.Identification, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		name, keys, _ := strings.Cut(strings.TrimSpace(line), " ")
		user, err := validator.ParseStoredIdent(name, keys)
		if err != nil {
			return nil, err
		}
		users = append(users, user)
	}
	return users, nil
}

func main() {
	addr := flag.String("addr", "localhost:7766", "address to listen on")
	file := flag.String("users", "pki/users.txt", "file that adduser has written")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	mine, err := certs.Files(certs.FilesConfig{Cert: "pki/localhost.crt", Key: "pki/localhost.key", CA: "pki/ca.crt"})
	check(err)
	who, err := validator.New(validator.Config{Admit: []validator.Peer{validator.AnyIdentity()}})
	check(err)
	users, err := readUsers(*file)
	check(err)
	check(who.SetAllowedIdentifications(users))
	rules, err := validator.NewRules(validator.Rule{
		Name: "clients", Effect: validator.Allow, Identities: []string{"email:*"},
		Objects: []string{"users"}, Methods: []string{"WhoAmI"},
	})
	check(err)
	daemon, err := broker.NewDaemon(broker.Config{
		Addr: *addr, PublishHost: "localhost", Certs: mine, Validator: loginPrinter{who}, Authorizer: rules,
		// Clients compute with the passphrase while they connect. That takes time on
		// purpose, and small machines take longer than the usual 5 s.
		HandshakeTimeout: time.Minute,
	})
	check(err)
	uri, err := daemon.Register("users", Tester{})
	check(err)
	fmt.Println(uri)
	check(daemon.Serve(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
