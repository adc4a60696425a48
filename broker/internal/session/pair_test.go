package session

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/internal/leakcheck"
)

// The tests of this package need encryption, not trust: one self-signed
// certificate for all.
// It is valid for the clock of a synctest bubble too.
var testConfig = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"test"}, NotAfter: time.Now().AddDate(100, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}},
		RootCAs:      roots, ServerName: "test", MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true,
	}
})

var testLimits = wire.Limits{Calls: 1024, Message: 4 << 20, Window: 8 << 20, IdleSeconds: 60}

// tlsPair connects two ends over the loopback interface.
func tlsPair(tb testing.TB) (client, server *tls.Conn, clientConn, serverConn *Conn) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			close(accepted)
			return
		}
		accepted <- c
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	other, ok := <-accepted
	if !ok {
		tb.Fatal("accept failed")
	}
	return handshake(tb, raw, other)
}

func handshake(tb testing.TB, raw, other net.Conn) (client, server *tls.Conn, clientConn, serverConn *Conn) {
	tb.Helper()
	clientConn, serverConn = NewConn(raw), NewConn(other)
	client, server = tls.Client(clientConn, testConfig()), tls.Server(serverConn, testConfig())
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if err := client.Handshake(); err != nil {
		tb.Fatal(err)
	}
	if err := <-done; err != nil {
		tb.Fatal(err)
	}
	return client, server, clientConn, serverConn
}

// pair is two sessions that talk to each other.
type pair struct {
	client, server *Session
	clientErr      error
	serverErr      error
	wg             sync.WaitGroup
}

func newPair(tb testing.TB, handler func(*Incoming), limits wire.Limits) *pair {
	tb.Helper()
	c, s, cc, sc := tlsPair(tb)
	return startPair(tb, c, s, cc, sc, handler, limits)
}

func startPair(tb testing.TB, c, s *tls.Conn, cc, sc *Conn, handler func(*Incoming), limits wire.Limits) *pair {
	tb.Helper()
	p := &pair{
		client: New(Config{TLS: c, Conn: cc, Side: wire.ClientSide, Local: limits, Remote: limits}),
		server: New(Config{TLS: s, Conn: sc, Side: wire.ServerSide, Local: limits, Handler: handler, Inline: true}),
	}
	p.wg.Go(func() { p.clientErr = p.client.Run() })
	p.wg.Go(func() { p.serverErr = p.server.Run() })
	tb.Cleanup(p.close)
	return p
}

// close ends both ends and waits for all that they started.
func (p *pair) close() {
	p.client.Close()
	p.server.Close()
	p.wg.Wait()
	p.server.Wait()
	p.client.Wait()
}

// echo answers with the arguments.
func echo(in *Incoming) {
	args := append([]byte(nil), in.Args...)
	in.Release()
	if err := in.Reply(args, nil); err != nil {
		in.Fail(&wire.ErrorBody{Kind: wire.KindTooLarge, Message: err.Error()})
	}
}

func request(tb testing.TB, method string, args []byte) *Request {
	tb.Helper()
	head, err := wire.AppendCallHead(nil, "obj", method, nil, 0)
	if err != nil {
		tb.Fatal(err)
	}
	return &Request{Head: head, Body: args}
}

func invoke(tb testing.TB, s *Session, method string, args []byte) (string, error) {
	tb.Helper()
	resp, err := s.Call(tb.Context(), request(tb, method, args))
	if err != nil {
		return "", err
	}
	defer resp.Release()
	if resp.Type == wire.Error {
		var body wire.ErrorBody
		if err := wire.ParseControl(wire.Error, resp.Payload, &body); err != nil {
			return "", err
		}
		return "", remote{body}
	}
	return string(resp.Payload), nil
}

type remote struct{ wire.ErrorBody }

func (r remote) Error() string { return r.Message }

// eventually waits until ok holds.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	tb.Fatalf("not within 10 s: %s", what)
}

func TestMain(m *testing.M) { leakcheck.Main(m) }

var background = context.Background()
