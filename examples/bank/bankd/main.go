// Command bankd serves a bank over mutual TLS. It is a whole service in one
// function, serve; the rest reads flags.
//
//	bankd --listen :7766 --publish bank.example:7766 \
//	    --cert pki/bank.example.crt --key pki/bank.example.key --ca pki/ca.crt --rules rules.yaml
//
// SIGINT and SIGTERM finish the calls in flight.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/examples/bank"
	"github.com/pyrossl/pyrossl/validator"
	"github.com/pyrossl/pyrossl/validator/rulefile"
)

// options are the flags.
type options struct{ listen, publish, cert, key, ca, rules string }

func main() {
	var o options
	flag.StringVar(&o.listen, "listen", ":7766", "`HOST:PORT` to listen on")
	flag.StringVar(&o.publish, "publish", "", "`HOST[:PORT]` for the bank's URI, if clients reach it by another")
	flag.StringVar(&o.cert, "cert", "pki/server.crt", "certificate `FILE`")
	flag.StringVar(&o.key, "key", "pki/server.key", "private key `FILE`")
	flag.StringVar(&o.ca, "ca", "pki/ca.crt", "`FILE` with the CA whose clients may connect")
	flag.StringVar(&o.rules, "rules", "rules.yaml", "`FILE` that says who is who and who may call what")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "bankd: error: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, os.Stdout, o); err != nil {
		fmt.Fprintln(os.Stderr, "bankd: error:", err)
		os.Exit(1)
	}
}

// serve runs the bank until ctx ends and the calls in flight are answered.
func serve(ctx context.Context, out io.Writer, o options) error {
	source, err := certs.Files(certs.FilesConfig{Cert: o.cert, Key: o.key, CA: o.ca, Purpose: certs.ServerAuth})
	if err != nil {
		return err
	}
	defer source.Close()
	who, mayCall, err := readRules(o.rules)
	if err != nil {
		return err
	}
	host, port, err := splitPublish(o.publish)
	if err != nil {
		return err
	}
	d, err := broker.NewDaemon(broker.Config{
		Addr: o.listen, PublishHost: host, PublishPort: port,
		Certs: source, Validator: who, Authorizer: mayCall, Errors: bank.Errors,
	})
	if err != nil {
		return err
	}
	defer d.Close()
	uri, err := d.Register("bank", bank.New("alice", "bob"), broker.IdempotentMethods(bank.Idempotent...))
	if err != nil {
		return err
	}
	fmt.Fprintln(out, uri)
	return d.Serve(ctx)
}

// readRules reads one file with both lists: identities, who may connect and what
// they are called, and rules, what they may call.
func readRules(path string) (*validator.Default, *validator.Rules, error) {
	identities, err := rulefile.LoadIdentities(path)
	if err != nil {
		return nil, nil, err
	}
	mapper, err := validator.NewMapper(identities...)
	if err != nil {
		return nil, nil, err
	}
	who, err := validator.New(validator.Config{Identities: mapper, Admit: []validator.Peer{validator.AnyIdentity()}})
	if err != nil {
		return nil, nil, err
	}
	rules, err := rulefile.LoadRules(path)
	if err != nil {
		return nil, nil, err
	}
	mayCall, err := validator.NewRules(rules...)
	return who, mayCall, err
}

// splitPublish takes HOST:PORT, or HOST for the port that is listened on.
func splitPublish(s string) (host string, port int, err error) {
	host, digits, err := net.SplitHostPort(s)
	if err != nil {
		return s, 0, nil
	}
	if port, err = strconv.Atoi(digits); err != nil {
		return "", 0, fmt.Errorf("port %q in --publish is not a number", digits)
	}
	return host, port, nil
}
