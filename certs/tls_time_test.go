package certs_test

import (
	"crypto/tls"
	"io"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/memnet"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// meet runs one connection in memory, on the clock of the bubble around it.
func meet(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	a, b := memnet.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn := tls.Server(a, server)
		defer conn.Close()
		if serverErr = conn.Handshake(); serverErr == nil {
			_, serverErr = conn.Write([]byte("w"))
		}
	}()
	conn := tls.Client(b, client)
	if clientErr = conn.Handshake(); clientErr == nil {
		_, clientErr = io.ReadFull(conn, make([]byte, 1))
	}
	b.Close()
	<-done
	return serverErr, clientErr
}

// TestDatesAreThoseOfTheMoment lets time pass under configs that were made before:
// what was good at the start is refused once it has expired, and again good after a
// reload.
func TestDatesAreThoseOfTheMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, dir := testca.New(t), t.TempDir()
		brief := func(eku testca.Leaf) testca.Leaf {
			eku.DNS, eku.NotBefore, eku.NotAfter = []string{"bank.example"}, time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
			return eku
		}
		cert, key := ca.Issue(t, brief(testca.Leaf{EKU: serverAuth})).WriteFiles(t, dir, "bank")
		root := write(t, filepath.Join(dir, "ca.crt"), ca.RootPEM(), 0o644)
		src, err := certs.Files(certs.FilesConfig{Cert: cert, Key: key, CA: root, Purpose: certs.ServerAuth})
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		server, err := certs.ServerConfig(src)
		if err != nil {
			t.Fatal(err)
		}
		alice, bob := material(t, ca.Client(t, "alice@a.example"), ca), material(t, ca.Issue(t, brief(testca.Leaf{EKU: clientAuth})), ca)
		expect := certs.Expect{Host: "bank.example"}
		asAlice, asBob := clientConfig(t, alice, expect), clientConfig(t, bob, expect)
		pinned := clientConfig(t, alice, certs.Expect{ID: "dns:bank.example"})
		for _, client := range []*tls.Config{asAlice, asBob, pinned} {
			if s, c := meet(t, server, client); s != nil || c != nil {
				t.Fatalf("at the start: server %v, client %v", s, c)
			}
		}

		time.Sleep(time.Hour + time.Second)
		for _, client := range []*tls.Config{asAlice, pinned} {
			_, c := meet(t, server, client)
			refused(t, "server's certificate expired", certs.Refusal(c, alice, expect), validator.CheckDates, "server certificate for dns:bank.example: it expired on 2000-01-01 01:00 UTC")
		}
		if _, err := certs.ServerConfig(src); err == nil {
			t.Error("a new server starts with an expired certificate")
		}

		next := ca.Server(t, "bank.example")
		rename(t, cert, next.CertPEM(), 0o644)
		rename(t, key, next.KeyPEM(), 0o600)
		time.Sleep(time.Second)
		synctest.Wait()
		for _, client := range []*tls.Config{asAlice, pinned} {
			if s, c := meet(t, server, client); s != nil || c != nil {
				t.Errorf("after the reload: server %v, client %v", s, c)
			}
		}
		s, c := meet(t, server, asBob)
		refused(t, "client's certificate expired", certs.Refusal(c, bob, expect), validator.CheckDates, "the server refused our certificate for dns:bank.example: it expired on")
		refused(t, "in the server's log", certs.ServerRefusal(s, nil), validator.CheckDates, "client certificate for dns:bank.example: it expired on")
		if _, err := certs.ClientConfig(certs.Static(bob), expect); err == nil {
			t.Error("an expired client dials")
		}
	})
}
