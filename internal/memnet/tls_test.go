package memnet_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyrossl/pyrossl/internal/memnet"
	"github.com/pyrossl/pyrossl/internal/testca"
)

func tlsConfigs(t *testing.T, ca *testca.CA, client testca.Pair) (forClient, forServer *tls.Config) {
	t.Helper()
	cert := client.TLS()
	return &tls.Config{
			RootCAs: ca.Pool(), ServerName: "bank.example", MinVersion: tls.VersionTLS13,
			// Certificates would send nothing that the server does not ask for.
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil },
		}, &tls.Config{
			Certificates: []tls.Certificate{ca.Server(t, "bank.example").TLS()}, MinVersion: tls.VersionTLS13,
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool(),
		}
}

func TestTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := testca.New(t)
		forClient, forServer := tlsConfigs(t, ca, ca.Client(t, "alice@bank.example"))
		n := memnet.New()
		l := tls.NewListener(listen(t, n, "bank.example:7766"), forServer)
		data := bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // 1 MiB: many buffers
		served := make(chan error, 1)
		go func() {
			c, err := l.Accept()
			if err != nil {
				served <- err
				return
			}
			_, err = io.Copy(c, io.LimitReader(c, int64(len(data))))
			served <- errors.Join(err, c.Close())
		}()

		raw, err := n.Dial(t.Context(), "tcp", "bank.example:7766")
		if err != nil {
			t.Fatal(err)
		}
		c := tls.Client(raw, forClient)
		defer c.Close()
		if err := c.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		go c.Write(data)
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("echo gave %d bytes, %v, want %d", len(got), err, len(data))
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// TestTLSRefusal is a handshake that fails while both sides may be writing,
// which deadlocks over net.Pipe.
func TestTLSRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := testca.New(t)
		forClient, forServer := tlsConfigs(t, ca, testca.New(t).Client(t, "mallory@bank.example"))
		a, b := memnet.Pipe()
		served := make(chan error, 1)
		go func() {
			served <- tls.Server(b, forServer).Handshake()
			b.Close()
		}()
		c := tls.Client(a, forClient)
		defer c.Close()
		if err := c.Handshake(); err != nil {
			t.Fatalf("the client's half of the handshake: %v", err)
		}
		var alert *net.OpError
		if _, err := c.Read(make([]byte, 1)); !errors.As(err, &alert) || alert.Op != "remote error" {
			t.Errorf("client got %v, want the server's alert", err)
		}
		if err := <-served; err == nil {
			t.Error("the server took a certificate of another authority")
		}
	})
}

// TestTLSHalfOpen is a peer that goes silent in the handshake.
func TestTLSHalfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := testca.New(t)
		forClient, _ := tlsConfigs(t, ca, ca.Client(t, "alice@bank.example"))
		a, b := memnet.Pipe()
		defer b.Close()
		a.(*memnet.Conn).Stall()
		c := tls.Client(a, forClient)
		defer c.Close()
		start := time.Now()
		c.SetDeadline(start.Add(5 * time.Second))
		err := c.Handshake()
		var netErr net.Error
		if !errors.As(err, &netErr) || !netErr.Timeout() || time.Since(start) != 5*time.Second {
			t.Errorf("got %v after %v, want a timeout after 5s", err, time.Since(start))
		}
	})
}
