package broker_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// scraped is a daemon that serves its figures.
type scraped struct {
	*world
	url    string
	addr   string
	source *swapped
	pair   testca.Pair // of the daemon
}

func newScraped(t *testing.T, change func(*broker.Config)) *scraped {
	t.Helper()
	s := &scraped{source: new(swapped)}
	ca := testca.New(t)
	s.pair = ca.Server(t, "localhost", "127.0.0.1")
	s.source.p.Store(materialOf(t, s.pair, ca.RootCert()))
	s.world = newWorld(t, func(c *broker.Config) {
		c.Certs = s.source
		if change != nil {
			change(c)
		}
	})
	s.ca = ca
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.daemon.ServeMetrics(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("ServeMetrics: %v", err)
		}
	})
	s.addr = l.Addr().String()
	s.url = "https://" + s.addr + "/metrics"
	return s
}

// scraper is an HTTP client with a certificate, nil for none.
func (s *scraped) scraper(p *testca.Pair, change func(*tls.Config)) *http.Client {
	s.tb.Helper()
	config := &tls.Config{RootCAs: s.ca.Pool(), ServerName: "localhost"}
	if p != nil {
		config.Certificates = []tls.Certificate{p.TLS()}
	}
	if change != nil {
		change(config)
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: config.NextProtos == nil}
	s.tb.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

func (s *scraped) client(name string) *http.Client {
	pair := s.ca.Client(s.tb, name)
	return s.scraper(&pair, nil)
}

// get fetches the figures.
func (s *scraped) get(c *http.Client) (status int, body string) {
	s.tb.Helper()
	r, err := c.Get(s.url)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		s.tb.Fatal(err)
	}
	return r.StatusCode, string(data)
}

var toldIncident = regexp.MustCompile(`  \[incident ([0-9A-Z]{4}-[0-9A-Z]{4})\]\n$`)

// refused wants a refusal, whose incident the daemon keeps.
func (s *scraped) refused(c *http.Client, want string) broker.Incident {
	s.tb.Helper()
	status, body := s.get(c)
	id := toldIncident.FindStringSubmatch(body)
	if status != http.StatusForbidden || id == nil || !strings.Contains(body, want) {
		s.tb.Fatalf("got %d %q, want 403 with %q and an incident", status, body, want)
	}
	i, err := s.daemon.Incident(id[1])
	if err != nil {
		s.tb.Fatal(err)
	}
	return i
}

func TestMetricsOverHTTPS(t *testing.T) {
	s := newScraped(t, nil)
	alice := s.client("alice@bank.example")
	for _, version := range []string{"HTTP/2.0", "HTTP/1.1"} {
		c := alice
		if version == "HTTP/1.1" {
			pair := s.ca.Client(t, "alice@bank.example")
			c = s.scraper(&pair, func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} })
		}
		r, err := c.Get(s.url)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if r.StatusCode != 200 || r.Proto != version || r.TLS.Version != tls.VersionTLS13 || r.Header.Get("Content-Type") != "text/plain; version=0.0.4; charset=utf-8" ||
			!strings.Contains(string(body), "\npyrossl_calls_total ") {
			t.Errorf("%s: got %s %s %v\n%s", version, r.Proto, r.Status, r.Header, body)
		}
	}
	// It is a call of Pyro.Daemon.Metrics, for the rules and for what they note.
	i := s.refused(s.client("mallory@bank.example"), "no policy lets email:mallory@bank.example call Pyro.Daemon.Metrics")
	if i.Event != "call denied" || i.Identity != "email:mallory@bank.example" || i.Object != broker.SelfName || i.Method != "Metrics" || i.Rule != "default" {
		t.Errorf("the incident is %+v", i)
	}
	for _, test := range []struct {
		method, path string
		status       int
	}{{"GET", "/", 404}, {"GET", "/metrics/", 404}, {"POST", "/metrics", 405}, {"HEAD", "/metrics", 200}} {
		r, err := http.NewRequest(test.method, "https://"+s.addr+test.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := alice.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		got.Body.Close()
		if got.StatusCode != test.status {
			t.Errorf("%s %s: got %d, want %d", test.method, test.path, got.StatusCode, test.status)
		}
	}
}

// TestMetricsForStrangers: nobody gets as far as HTTP without what a daemon asks for.
func TestMetricsForStrangers(t *testing.T) {
	s := newScraped(t, nil)
	alice := s.ca.Client(t, "alice@bank.example")
	server := s.ca.Server(t, "localhost")
	foreign := testca.New(t).Client(t, "alice@bank.example")
	for _, test := range []struct {
		name   string
		pair   *testca.Pair
		change func(*tls.Config)
	}{
		{"no certificate", nil, nil},
		{"other authority", &foreign, nil},
		{"a server's certificate", &server, nil},
		{"TLS 1.2", &alice, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }},
		{"no ALPN", &alice, func(c *tls.Config) { c.NextProtos = []string{} }},
	} {
		if r, err := s.scraper(test.pair, test.change).Get(s.url); err == nil {
			r.Body.Close()
			t.Errorf("%s: got %s", test.name, r.Status)
		}
	}
	c, err := tls.Dial("tcp", s.addr, &tls.Config{RootCAs: s.ca.Pool(), ServerName: "localhost", Certificates: []tls.Certificate{alice.TLS()}, NextProtos: []string{certs.ALPN}})
	if err == nil {
		c.Close()
		t.Error("a connection for pyrossl/1 was taken")
	}
	eventually(t, "the log says why", func() bool { return strings.Count(s.log.String(), "metrics connection refused") >= 6 })
}

// TestMetricsFollowReasons: each request is judged by what holds now, also on a
// connection that is open.
func TestMetricsFollowReasons(t *testing.T) {
	s := newScraped(t, nil)
	pair := s.ca.Client(t, "alice@bank.example")
	c := s.scraper(&pair, nil)
	if status, body := s.get(c); status != 200 {
		t.Fatal(status, body)
	}
	deny, err := certs.ParseDenyList(fmt.Appendf(nil, "number 1\nserial %x\n", pair.Chain[0].SerialNumber))
	if err != nil {
		t.Fatal(err)
	}
	r, err := certs.NewRevocations(certs.RevocationConfig{Deny: deny})
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.source.Current().WithRevocations(r)
	if err != nil {
		t.Fatal(err)
	}
	s.source.p.Store(m)
	if i := s.refused(c, "denied: revocation: "); i.Event != "connection denied" || i.Check != "revocation" || i.Serial != pair.Chain[0].SerialNumber.Text(16) {
		t.Errorf("the incident is %+v", i)
	}
	// A handshake gets through, so that the peer can be told.
	s.refused(s.scraper(&pair, nil), "denied: revocation: ")
	s.source.p.Store(materialOf(t, s.pair, testca.New(t).RootCert()))
	s.refused(c, "denied: chain: ")
}

// TestMetricsPassEveryStep of the daemon.
func TestMetricsPassEveryStep(t *testing.T) {
	v := anyone(t)
	blocked, err := validator.New(validator.Config{Admit: []validator.Peer{validator.AnyIdentity()}, DenyHosts: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	known, err := validator.New(validator.Config{Admit: []validator.Peer{validator.Named("email:bob@bank.example")}})
	if err != nil {
		t.Fatal(err)
	}
	second, err := validator.New(validator.Config{Admit: []validator.Peer{validator.AnyIdentity()}, Iterations: 4096})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.SetAllowedIdentifications([]validator.Identification{validator.Passphrase("open sesame")}); err != nil {
		t.Fatal(err)
	}
	var connected, gone, called atomic.Int64
	for _, test := range []struct {
		name   string
		change func(*broker.Config)
		want   string
	}{
		{"host", func(c *broker.Config) { c.Validator = blocked }, "denied: host: "},
		{"admission", func(c *broker.Config) { c.Validator = known }, "denied: admission: "},
		{"second factor", func(c *broker.Config) { c.Validator = second }, "denied: identification: "},
		{"hook", func(c *broker.Config) {
			c.Validator = v
			c.OnConnect = func(context.Context, *broker.Peer) error { return errors.New("a secret") }
		}, "denied: admission: "},
		{"interceptor", func(c *broker.Config) {
			c.OnConnect = func(context.Context, *broker.Peer) error { connected.Add(1); return nil }
			c.OnDisconnect = func(*broker.Peer, error) { gone.Add(1) }
			c.Interceptors = []broker.Interceptor{func(ctx context.Context, call *broker.CallInfo, next func(context.Context) error) error {
				if called.Add(1); call.Object == broker.SelfName && call.Method == "Metrics" && broker.Caller(ctx) == call.Peer {
					return broker.Refuse(broker.KindDenied, "not by me")
				}
				return next(ctx)
			}}
		}, "not by me"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScraped(t, test.change)
			status, body := s.get(s.client("alice@bank.example"))
			if status != 403 || !strings.HasPrefix(body, test.want) || strings.Contains(body, "secret") {
				t.Errorf("got %d %q, want 403 %q", status, body, test.want)
			}
		})
	}
	if connected.Load() != 1 || gone.Load() != 1 || called.Load() != 1 {
		t.Errorf("%d connected, %d gone, %d calls, want one each", connected.Load(), gone.Load(), called.Load())
	}
}

// TestMetricsPanic: an interceptor that fails tells no more than an incident.
func TestMetricsPanic(t *testing.T) {
	s := newScraped(t, func(c *broker.Config) {
		c.Interceptors = []broker.Interceptor{func(context.Context, *broker.CallInfo, func(context.Context) error) error { panic("a secret") }}
	})
	status, body := s.get(s.client("alice@bank.example"))
	if status != 500 || !toldIncident.MatchString(body) || strings.Contains(body, "secret") {
		t.Errorf("got %d %q, want 500 with an incident", status, body)
	}
}

// TestMetricsConnectionsAreBounded: one address gets so many, and again when it lets go.
func TestMetricsConnectionsAreBounded(t *testing.T) {
	s := newScraped(t, nil)
	var held []net.Conn
	for range broker.MaxScrapersPerAddress {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		held = append(held, c)
	}
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	var timeout net.Error
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("one too many: got %v, want it closed", err)
	}
	for _, c := range held {
		c.Close()
	}
	alice := s.client("alice@bank.example")
	eventually(t, "there is a place again", func() bool {
		r, err := alice.Get(s.url)
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == 200
	})
}

// TestMetricsEndWithTheDaemon, without anybody ending them.
func TestMetricsEndWithTheDaemon(t *testing.T) {
	w := newWorld(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- w.daemon.ServeMetrics(context.Background(), l) }()
	w.daemon.Close()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("metrics are served after the daemon's end")
	}
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("its listener is open")
	}
}

// TestMetricsForOpenSSL: a program that is not ours.
func TestMetricsForOpenSSL(t *testing.T) {
	audit := new(logBuffer)
	s := newScraped(t, func(c *broker.Config) { c.Audit = slog.New(slog.NewTextHandler(audit, nil)) })
	dir := t.TempDir()
	s.ca.Client(t, "alice@bank.example").WriteFiles(t, dir, "alice")
	s.ca.Client(t, "mallory@bank.example").WriteFiles(t, dir, "mallory")
	root := filepath.Join(dir, "ca.crt")
	if err := os.WriteFile(root, s.ca.RootPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ who, status, body string }{
		{"alice", "HTTP/1.1 200 OK", "# TYPE pyrossl_sessions gauge"}, {"mallory", "HTTP/1.1 403 Forbidden", "[incident "},
	} {
		chain := filepath.Join(dir, test.who+".crt")
		cmd := exec.CommandContext(t.Context(), "openssl", "s_client", "-connect", s.addr, "-servername", "localhost", "-CAfile", root, "-verify_return_error",
			"-cert", chain, "-cert_chain", chain, "-key", filepath.Join(dir, test.who+".key"), "-alpn", "http/1.1", "-quiet", "-ign_eof")
		cmd.Stdin = strings.NewReader("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		out, _ := cmd.CombinedOutput() // its exit code is about the end of the connection
		if !strings.Contains(string(out), test.body) || !strings.Contains(string(out), test.status) {
			t.Errorf("%s: got\n%s", test.who, out)
		}
	}
	if !strings.Contains(audit.String(), "allowed=false") || !strings.Contains(audit.String(), "method=Metrics") {
		t.Errorf("the audit log has\n%s", audit)
	}
}
