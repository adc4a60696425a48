package certs_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

var (
	serverAuth = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	clientAuth = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
)

// outcome is how a connection went on both sides.
type outcome struct {
	client, server           error // of the handshake, or of the first read after it
	clientState, serverState tls.ConnectionState
}

// connect runs one connection over loopback TCP: handshake, one byte from the server
// to the client and one back.
func connect(t testing.TB, server, client *tls.Config) outcome {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var o outcome
	done := make(chan struct{})
	go func() {
		defer close(done)
		raw, err := l.Accept()
		if err != nil {
			o.server = err
			return
		}
		defer raw.Close()
		raw.SetDeadline(time.Now().Add(10 * time.Second))
		conn := tls.Server(raw, server)
		if o.server = conn.HandshakeContext(ctx); o.server != nil {
			drain(raw)
			return
		}
		o.serverState = conn.ConnectionState()
		conn.Write([]byte("w"))
		_, o.server = io.ReadFull(conn, make([]byte, 1))
		conn.Close()
	}()
	o.clientState, o.client = dial(ctx, t, l.Addr().String(), client)
	<-done
	return o
}

// drain reads what a refused client still sends, so that closing the socket does not
// take the alert back with a reset.
func drain(raw net.Conn) {
	raw.(*net.TCPConn).CloseWrite()
	raw.SetReadDeadline(time.Now().Add(time.Second))
	io.Copy(io.Discard, raw)
}

// dial is the client's half: it reads before it writes, as a Pyrossl client does.
func dial(ctx context.Context, t testing.TB, addr string, config *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(10 * time.Second))
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return tls.ConnectionState{}, err
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		return conn.ConnectionState(), err
	}
	conn.Write([]byte("c"))
	return conn.ConnectionState(), nil
}

func serverConfig(t testing.TB, m *certs.Material) *tls.Config {
	t.Helper()
	config, err := certs.ServerConfig(certs.Static(m))
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func clientConfig(t testing.TB, m *certs.Material, expect certs.Expect) *tls.Config {
	t.Helper()
	config, err := certs.ClientConfig(certs.Static(m), expect)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// plainClient is a client that is not ours: it sends what it is told to.
func plainClient(pair testca.Pair, trust *testca.CA, host string) *tls.Config {
	cert := pair.TLS()
	return &tls.Config{
		RootCAs: trust.Pool(), ServerName: host, NextProtos: []string{certs.ALPN},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil },
	}
}

// plainServer is a server that is not ours.
func plainServer(pair testca.Pair, trust *testca.CA) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{pair.TLS()}, NextProtos: []string{certs.ALPN},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: trust.Pool(),
	}
}

// refused checks a denial's check and that its text has all the words.
func refused(t testing.TB, name string, d *validator.Denial, check validator.Check, words ...string) {
	t.Helper()
	if d == nil {
		t.Errorf("%s: no denial, want check %q", name, check)
		return
	}
	text := d.Got + " | " + d.Want
	if d.Check != check {
		t.Errorf("%s: check is %q, want %q: %s", name, d.Check, check, text)
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%s: no %q in %q", name, w, text)
		}
	}
	if d.Got == "" || d.Want == "" || strings.ContainsAny(text, "\n\x00\x1b") {
		t.Errorf("%s: got %q, want %q", name, d.Got, d.Want)
	}
}
