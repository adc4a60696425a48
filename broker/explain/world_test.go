package explain_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/explain"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/leakcheck"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// host is what the certificates of the worlds' servers are for; it resolves to loopback.
const host = "bank.example"

var (
	serverAuth = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	clientAuth = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
)

// world is an authority and a directory with a client's files.
type world struct {
	*testing.T
	ca  *testca.CA
	dir string
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, ca: testca.New(t), dir: t.TempDir()}
	w.write("ca.crt", w.ca.RootPEM())
	w.client(w.ca.Client(t, "alice@bank.example"))
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(name string, data []byte) {
	w.Helper()
	if err := os.WriteFile(w.path(name), data, 0o600); err != nil {
		w.Fatal(err)
	}
}

// client replaces the client's certificate.
func (w *world) client(p testca.Pair) { p.WriteFiles(w, w.dir, "client") }

// options explain a URI with the client's files.
func (w *world) options(uri string) explain.Options {
	return explain.Options{
		URI: uri, Cert: w.path("client.crt"), Key: w.path("client.key"), CA: w.path("ca.crt"),
		Resolver: loopback{}, Timeout: 20 * time.Second,
	}
}

// at explains host at a port.
func (w *world) at(addr net.Addr) explain.Options {
	return w.options(fmt.Sprintf("PYROSSL://%s:%s/bank", host, port(addr)))
}

func port(a net.Addr) string {
	_, p, _ := net.SplitHostPort(a.String())
	return p
}

// loopback is a resolver by which every host is this machine.
type loopback struct{}

func (loopback) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

func (w *world) material(p testca.Pair) *certs.Material {
	w.Helper()
	key, err := certs.NewPrivateKey(p.Key)
	if err != nil {
		w.Fatal(err)
	}
	m, err := certs.NewMaterial(p.Chain, key, []*x509.Certificate{w.ca.RootCert()})
	if err != nil {
		w.Fatal(err)
	}
	return m
}

// Bank is the object of the daemons.
type Bank struct{ ran func(method string) }

func (b *Bank) Deposit(account string, amount int64) int64 { b.ran("Deposit"); return amount }
func (b *Bank) Close()                                     { b.ran("Close") }
func (b *Bank) Note(anything ...any)                       { b.ran("Note") }

// daemon serves a bank to everyone in this world, and only alice may call it.
func (w *world) daemon(change func(*broker.Config), register ...func(*broker.Daemon) error) net.Addr {
	w.Helper()
	rules, err := validator.NewRules(
		validator.Rule{Name: "alice", Effect: validator.Allow, Identities: []string{"email:alice@bank.example"}, Objects: []string{"*"}, Methods: []string{"*"}},
	)
	if err != nil {
		w.Fatal(err)
	}
	c := broker.Config{
		Addr: "127.0.0.1:0", PublishHost: host, Certs: certs.Static(w.material(w.ca.Server(w, host, "127.0.0.1"))),
		Validator: w.validator(validator.Config{}), Authorizer: rules,
		Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&c)
	}
	d, err := broker.NewDaemon(c)
	if err != nil {
		w.Fatal(err)
	}
	bank := &Bank{ran: func(method string) { w.Errorf("%s has run", method) }}
	if _, err := d.Register("bank", bank); err != nil {
		w.Fatal(err)
	}
	for _, r := range register {
		if err := r(d); err != nil {
			w.Fatal(err)
		}
	}
	served := make(chan error, 1)
	go func() { served <- d.Serve(context.Background()) }() // ends with Close
	w.Cleanup(func() {
		d.Close()
		if err := <-served; err != nil {
			w.Errorf("Serve: %v", err)
		}
	})
	return d.Addr()
}

// validator admits everybody, unless c says otherwise.
func (w *world) validator(c validator.Config) *validator.Default {
	w.Helper()
	if c.Admit == nil {
		c.Admit = []validator.Peer{validator.AnyIdentity()}
	}
	c.Iterations = 4096
	v, err := validator.New(c)
	if err != nil {
		w.Fatal(err)
	}
	return v
}

// listen serves each connection with f, until the test ends.
func (w *world) listen(f func(net.Conn)) net.Addr {
	w.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	done := make(chan struct{})
	stop := make(chan struct{})
	go func() { // ends with the test
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // ends when f does, at the latest with the test
				defer c.Close()
				go func() {
					<-stop
					c.Close()
				}()
				f(c)
			}()
		}
	}()
	w.Cleanup(func() {
		l.Close()
		close(stop)
		<-done
	})
	return l.Addr()
}

// tls serves TLS as a daemon does, but for what change makes of it, with any certificate.
func (w *world) tls(p testca.Pair, change func(*tls.Config)) net.Addr {
	w.Helper()
	config := &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{p.TLS()}, NextProtos: []string{certs.ALPN},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: w.ca.Pool(), SessionTicketsDisabled: true,
	}
	if change != nil {
		change(config)
	}
	return w.listen(func(c net.Conn) {
		t := tls.Server(c, config)
		if t.Handshake() == nil {
			w.Errorf("a client got through the handshake of a server that is to be refused")
		}
		io.Copy(io.Discard, c)
	})
}

// sabotage is a set-up that does not work, and what must be found out about it.
type sabotage struct {
	name  string
	world func(w *world) explain.Options
	step  string // that fails, or warns
	who   explain.Side
	texts []string // essentials, in what is printed of the step
	warns bool     // it is a warning, before anything fails
	want  explain.Outcome
}

func (s sabotage) run(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := s.world(w)
	report := explain.Run(t.Context(), o)
	var printed bytes.Buffer
	if err := report.WriteText(&printed); err != nil {
		t.Fatal(err)
	}
	state := explain.Fail
	if s.warns {
		state = explain.Warn
	}
	i := slices.IndexFunc(report.Steps, func(step explain.Step) bool { return step.State == state })
	if i < 0 || report.Steps[i].Name != s.step {
		t.Fatalf("want %s at step %s\n%s", state, s.step, printed.String())
	}
	step := report.Steps[i]
	if len(step.Fixes) == 0 || step.Fixes[0].Who != s.who || step.Got == "" || state == explain.Fail && step.Want == "" {
		t.Errorf("want the %s to change something, and what was seen and wanted, at %s\n%s", s.who, s.step, printed.String())
	}
	text := fmt.Sprintf("%s\n%s\n%s\n%s\n", step.Got, step.Want, strings.Join(step.Facts, "\n"), step.Incident)
	for _, f := range step.Fixes {
		text += fmt.Sprintf("%s: %s\n", f.Who, f.What)
	}
	for _, want := range s.texts {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not said at %s:\n%s", want, s.step, printed.String())
		}
	}
	if report.Outcome != s.want {
		t.Errorf("outcome %s, want %s\n%s", report.Outcome, s.want, printed.String())
	}
	s.sound(w, o, report, printed.Bytes())
}

// sound checks what holds for every report: it has all steps, is JSON, and tells no
// secrets.
func (s sabotage) sound(w *world, o explain.Options, report *explain.Report, printed []byte) {
	var document bytes.Buffer
	var again explain.Report
	if err := report.WriteJSON(&document); err != nil {
		w.Fatal(err)
	}
	if err := json.Unmarshal(document.Bytes(), &again); err != nil || len(again.Steps) != len(report.Steps) || again.Outcome != report.Outcome {
		w.Errorf("%v, %d of %d steps, in %s", err, len(again.Steps), len(report.Steps), document.Bytes())
	}
	if len(report.Steps) != steps {
		w.Errorf("%d steps, want %d\n%s", len(report.Steps), steps, printed)
	}
	key, err := os.ReadFile(o.Key)
	if err != nil {
		w.Fatal(err)
	}
	for line := range strings.Lines(string(key)) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-----") && (bytes.Contains(printed, []byte(line)) || strings.Contains(document.String(), line)) {
			w.Errorf("a line of the key is in the report")
		}
	}
	for _, secret := range []string{passphrase, wrongPassphrase} {
		if bytes.Contains(printed, []byte(secret)) || strings.Contains(document.String(), secret) {
			w.Errorf("a passphrase is in the report")
		}
	}
}

// steps is how many each report has.
const steps = 17

const (
	passphrase      = "open sesame of the vault"
	wrongPassphrase = "open barley of the vault"
)
