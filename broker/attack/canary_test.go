package attack

import (
	"context"
	"crypto/ecdsa"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
	"github.com/pyrossl/pyrossl/validator/rulefile"
)

// Every world of this package is searched for the keys and passphrases in it when it
// ends: its log, audit log, incidents, metrics, and errors. Here is what nobody prints in
// a refusal: values of all exported types that come near a secret, key files that cannot
// be used, and dumps of the process.

// TestCanary prints whatever has or had a secret.
func TestCanary(t *testing.T) {
	ca := newPKI(t, "ours")
	pass := validator.Passphrase(canaries.passphrase("what is printed nowhere"))
	login := validator.Login{Name: "alice", Passphrase: pass}
	stored, err := validator.Munge(4096, pass, login)
	if err != nil {
		t.Fatal(err)
	}
	v := admit(t, validator.Config{})
	if err := v.SetAllowedIdentifications([]validator.Identification{login}); err != nil {
		t.Fatal(err)
	}
	var seen []any // by daemon and client on the way
	server := new(swapped)
	server.p.Store(material(t, ca.Server(t, "localhost"), ca.root))
	config := broker.Config{}
	w := newWorld(t, ca, func(c *broker.Config) {
		c.Validator, c.Certs = nosy{v, &seen}, server
		c.OnConnect = func(_ context.Context, p *broker.Peer) error { seen = append(seen, p); return nil }
		config = *c
	})
	for _, key := range []string{"EC", "RSA", "ED25519"} {
		alice := ca.clientWith(t, key)
		private, err := certs.NewPrivateKey(alice.Key)
		if err != nil {
			t.Fatal(err)
		}
		m := material(t, alice, ca.root)
		clientConfig := broker.ClientConfig{Certs: certs.Static(m), Validator: nosy{new(validator.Default), &seen}, Identification: login, Dial: from("127.0.0.2")}
		client, err := broker.NewClient(clientConfig)
		if err != nil {
			t.Fatal(err)
		}
		printed.value(client) // before anything runs in it
		p := w.proxy(client, "target", broker.WithIdentification(login))
		if err := p.Call(t.Context(), "Nothing", nil); err != nil {
			t.Fatal(err)
		}
		info, err := p.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		printed.dump()
		self := w.proxy(client, broker.SelfName)
		for method, into := range map[string]any{
			"Status": new(broker.Status), "Who": new([]broker.LiveConnection), "Metrics": new(string), "Info": new(broker.Info), "Registered": new([]string),
		} {
			if err := self.Call(t.Context(), method, into); err != nil {
				t.Errorf("%s: %v", method, err)
			}
			printed.value(reflect.ValueOf(into).Elem().Interface())
		}
		client.Close()
		seen = append(seen, private, *private, m, *m, clientConfig, info, clientConfig.Certs, clientConfig.Certs.Status())
	}
	ca.testKeyFiles(t)
	printed.dump()
	w.close() // what is printed from here on is in use nowhere
	config.Record = ""
	idle, err := broker.NewDaemon(config)
	if err != nil {
		t.Fatal(err)
	}
	printed.value(idle)
	idle.Close()
	seen = append(seen, login, pass, stored, v, config, server.Current(), server.Status())
	for _, value := range seen {
		printed.value(value)
		printed.value(&value)
		printed.value([]any{value})
		printed.value(map[string]any{"it": value})
	}
	canaries.search(t)
	t.Logf("%d values; in all %d MiB were searched for %d secrets", len(seen), printed.bytes>>20, len(canaries.secrets))
	if len(seen) < 40 {
		t.Error("that cannot be all")
	}
}

// nosy is a validator that keeps what it sees.
type nosy struct {
	*validator.Default
	seen *[]any
}

func (n nosy) CreateAuthChallenge(ctx context.Context, ex *validator.Exchange) ([]byte, error) {
	b, err := n.Default.CreateAuthChallenge(ctx, ex)
	*n.seen = append(*n.seen, *ex, ex, b)
	return b, err
}

func (n nosy) CreateAuthToken(ctx context.Context, ex *validator.Exchange, challenge []byte) ([]byte, error) {
	b, err := n.Default.CreateAuthToken(ctx, ex, challenge)
	*n.seen = append(*n.seen, *ex, ex, b)
	return b, err
}

func (n nosy) AcceptIdentification(ctx context.Context, ex *validator.Exchange, token []byte) ([]byte, bool, error) {
	b, done, err := n.Default.AcceptIdentification(ctx, ex, token)
	*n.seen = append(*n.seen, *ex, ex, b)
	return b, done, err
}

// clientWith issues a client's certificate for a key of that algorithm.
func (p *pki) clientWith(t *testing.T, algorithm string) testca.Pair {
	t.Helper()
	args := map[string][]string{"EC": {"-pkeyopt", "ec_paramgen_curve:P-256"}, "RSA": {"-pkeyopt", "rsa_keygen_bits:2048"}}[algorithm]
	p.run(t, append([]string{"genpkey", "-algorithm", algorithm, "-out", algorithm + ".key"}, args...)...)
	return p.pair(t, request{key: algorithm, subject: "/CN=alice@bank.example", extensions: clientExtensions("alice@bank.example")})
}

// testKeyFiles reads key files that cannot be used, and keeps the errors.
func (p *pki) testKeyFiles(t *testing.T) {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(p.dir, "leaf.key"))
	if err != nil {
		t.Fatal(err)
	}
	canaries.addSigner(t, p.signerOf(t, "leaf"))
	canaries.addSigner(t, p.signerOf(t, "signer"))
	if _, ok := p.signerOf(t, "leaf").(*ecdsa.PrivateKey); !ok {
		t.Fatal("the leaf's key is no EC key")
	}
	pass := canaries.passphrase("of a key file")
	p.run(t, "pkcs8", "-topk8", "-in", "leaf.key", "-out", "encrypted.key", "-passout", "pass:"+pass)
	p.Client(t, "alice@bank.example")
	text := string(key)
	lines := strings.Split(text, "\n")
	for name, content := range map[string]string{
		"cut.key":        text[:len(text)/2],
		"damaged.key":    strings.Replace(text, lines[1], "!"+lines[1], 1),
		"turned.key":     strings.Join([]string{lines[0], lines[2], lines[1]}, "\n") + "\n" + strings.Join(lines[3:], "\n"),
		"headless.key":   strings.Join(lines[1:], "\n"),
		"certificate":    strings.ReplaceAll(text, "PRIVATE KEY", "CERTIFICATE"),
		"renamed.key":    strings.ReplaceAll(text, "PRIVATE", "EC PRIVATE"),
		"twice.key":      text + text,
		"with words.key": "the passphrase is: " + pass + "\n" + text + "and so on",
	} {
		p.write(t, name, content)
	}
	at := func(name string) string { return filepath.Join(p.dir, name) }
	failed := 0
	for _, name := range []string{"cut.key", "damaged.key", "turned.key", "headless.key", "certificate", "renamed.key", "twice.key", "with words.key", "encrypted.key", "signer.key"} {
		for _, files := range [][3]string{{"signer.crt", name, "root.crt"}, {name, "leaf.key", "root.crt"}, {"signer.crt", "signer.key", name}} {
			if _, err := certs.Load(at(files[0]), at(files[1]), at(files[2])); err != nil {
				failed++
				printed.error(err)
				printed.value(err)
			}
			source, err := certs.Files(certs.FilesConfig{Cert: at(files[0]), Key: at(files[1]), CA: at(files[2])})
			if err != nil {
				printed.error(err)
				continue
			}
			printed.value(source)
			source.Close()
		}
		data, err := os.ReadFile(at(name))
		if err != nil {
			t.Fatal(err)
		}
		for _, parse := range []func([]byte) error{
			func(b []byte) error { _, err := certs.ParseKey(b); return err },
			func(b []byte) error { _, err := certs.ParseCertificates(b); return err },
			func(b []byte) error { _, err := certs.ParseCRLs(b); return err },
			func(b []byte) error { _, err := certs.ParseDenyList(b); return err },
			func(b []byte) error { _, err := rulefile.ParseRules(b); return err },
			func(b []byte) error { _, err := rulefile.ParseIdentities(b); return err },
			func(b []byte) error { _, err := validator.ParseStoredIdent("alice", string(b)); return err },
		} {
			if err := parse(data); err != nil {
				printed.error(err)
			}
		}
	}
	if failed < 20 {
		t.Errorf("%d files could not be used, want more of them", failed)
	}
}
