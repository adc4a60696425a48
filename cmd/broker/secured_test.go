package main

import (
	"context"
	"io"
	"log/slog"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

// Claims is an object that answers with the metadata of the call.
type Claims struct{}

func (Claims) Mine(ctx context.Context) map[string]string { return broker.Metadata(ctx) }

// Odd is an object with results that JSON has no form of its own for, and a fault.
type Odd struct{}

func (Odd) Bytes() []byte { return []byte{1, 2, 3} }
func (Odd) Panic()        { panic("a secret of the service") }
func (Odd) Wait(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// cmdSecured runs "secured NAME DIR": a daemon in this process, with the certificates
// of pki DIR, that asks for a second factor: the passphrase "open sesame", or that
// of alice, "alice's own". $NAME is set as by start.
func cmdSecured(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: secured NAME DIR")
	}
	dir := ts.MkAbs(args[1])
	material, err := certs.Load(dir+"/server.crt", dir+"/server.key", dir+"/ca.crt")
	ts.Check(err)
	v, err := validator.New(validator.Config{Admit: []validator.Peer{validator.AnyIdentity()}, Iterations: 4096})
	ts.Check(err)
	ts.Check(v.SetAllowedIdentifications([]validator.Identification{
		validator.Passphrase("open sesame"), validator.Login{Name: "alice", Passphrase: validator.Passphrase("alice's own")},
	}))
	rules, err := validator.NewRules(validator.Rule{Name: "all", Effect: validator.Allow, Identities: []string{"*"}, Objects: []string{"*"}, Methods: []string{"*"}})
	ts.Check(err)
	d, err := broker.NewDaemon(broker.Config{
		Addr: "127.0.0.1:0", PublishHost: "localhost", Certs: certs.Static(material), Validator: v, Authorizer: rules,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	ts.Check(err)
	_, err = d.Register("claims", Claims{})
	ts.Check(err)
	uri, err := d.Register("odd", Odd{})
	ts.Check(err)
	ended := make(chan error, 1)
	go func() { ended <- d.Serve(context.Background()) }() // ends with the script
	ts.Defer(func() {
		d.Close()
		<-ended
	})
	ts.Setenv(args[0], "PYROSSL://"+uri.Address())
}
