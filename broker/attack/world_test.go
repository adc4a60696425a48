package attack

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// soak reports whether the long forms are to be run.
func soak() bool { return os.Getenv("SOAK") != "" }

// scaled is a number of the long form, or of the short one.
func scaled(short, long int) int {
	if soak() {
		return long
	}
	return short
}

// world is a daemon on the loopback interface, with all that it has said.
type world struct {
	tb     testing.TB
	roots  []*x509.Certificate // whom daemon and clients trust
	daemon *broker.Daemon
	log    *recorder
	record string // the file of incidents
	served chan error
	object *target
}

// target is what attackers would like to reach.
type target struct {
	runs atomic.Int64 // of methods that only hostile tests call
}

func (o *target) Nothing() {}

// Guarded must never run.
func (o *target) Guarded(any) { o.runs.Add(1) }

// Wait ends with its call.
func (o *target) Wait(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func (o *target) Echo(v any) any { return v }

// hidden would be called by its name, if names were all that it takes.
func (o *target) hidden() { o.runs.Add(1) }

var _ = (*target).hidden

// newWorld makes a daemon with a certificate for localhost by ca.
func newWorld(tb testing.TB, ca authority, change func(*broker.Config)) *world {
	tb.Helper()
	w := &world{tb: tb, roots: []*x509.Certificate{ca.RootCert()}, log: newRecorder(), served: make(chan error, 1),
		record: filepath.Join(tb.TempDir(), "incidents"), object: new(target)}
	c := broker.Config{
		Addr: "127.0.0.1:0", PublishHost: "localhost",
		Certs: certs.Static(material(tb, ca.Server(tb, "localhost"), w.roots...)), Validator: admit(tb, validator.Config{}),
		Authorizer: rules(tb, allow("*")), Logger: slog.New(w.log), Audit: slog.New(slog.NewJSONHandler(&printed, nil)), Record: w.record,
	}
	if change != nil {
		change(&c)
	}
	var err error
	if w.daemon, err = broker.NewDaemon(c); err != nil {
		tb.Fatal(err)
	}
	go func() { w.served <- w.daemon.Serve(context.Background()) }() // ends with close
	tb.Cleanup(w.close)
	if _, err := w.daemon.Register("target", w.object); err != nil {
		tb.Fatal(err)
	}
	return w
}

func (w *world) close() {
	if w.served == nil {
		return
	}
	w.daemon.Close()
	if err := <-w.served; err != nil {
		w.tb.Errorf("Serve: %v", err)
	}
	w.served = nil
	w.daemon.WriteMetrics(&printed)
	if data, err := os.ReadFile(w.record); err == nil {
		printed.Write(data)
	}
	canaries.search(w.tb)
	if w.object.runs.Load() != 0 {
		w.tb.Error("a method ran that nobody may run")
	}
}

// authority issues what is good; the hostile tests have more words for what is not.
type authority interface {
	RootCert() *x509.Certificate
	Server(tb testing.TB, names ...string) testca.Pair
	Client(tb testing.TB, name string) testca.Pair
}

func material(tb testing.TB, p testca.Pair, roots ...*x509.Certificate) *certs.Material {
	tb.Helper()
	key, err := certs.NewPrivateKey(p.Key)
	if err != nil {
		tb.Fatal(err)
	}
	m, err := certs.NewMaterial(p.Chain, key, roots)
	if err != nil {
		tb.Fatal(err)
	}
	canaries.addSigner(tb, p.Key)
	return m
}

// swapped is a source whose material the test replaces.
type swapped struct {
	p atomic.Pointer[certs.Material]
}

func (s *swapped) Current() *certs.Material { return s.p.Load() }
func (s *swapped) Status() certs.Status     { return certs.Status{NotAfter: s.Current().Leaf().NotAfter} }

// admit makes a validator that lets everybody in, unless the configuration says whom.
func admit(tb testing.TB, c validator.Config) *validator.Default {
	tb.Helper()
	if c.Admit == nil {
		c.Admit = []validator.Peer{validator.AnyIdentity()}
	}
	if c.Iterations == 0 {
		c.Iterations = 4096
	}
	c.Logger = quiet
	v, err := validator.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func allow(identities ...string) validator.Rule {
	return validator.Rule{Name: "all", Effect: validator.Allow, Identities: identities, Objects: []string{"*"}, Methods: []string{"*"}}
}

// never is the rule of worlds in which hostile tests look for methods that run.
var never = validator.Rule{Name: "never", Effect: validator.Deny, Identities: []string{"*"}, Objects: []string{"*"}, Methods: []string{"Guarded"}}

func rules(tb testing.TB, r ...validator.Rule) *validator.Rules {
	tb.Helper()
	all, err := validator.NewRules(append(r, never)...)
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

// client makes a client of the pair.
func (w *world) client(p testca.Pair, change func(*broker.ClientConfig)) *broker.Client {
	w.tb.Helper()
	c := broker.ClientConfig{Logger: quiet}
	if change != nil {
		change(&c)
	}
	if c.Certs == nil {
		c.Certs = certs.Static(material(w.tb, p, w.roots...))
	}
	client, err := broker.NewClient(c)
	if err != nil {
		w.tb.Fatal(err)
	}
	w.tb.Cleanup(func() { client.Close() })
	return client
}

func (w *world) port() string {
	_, port, _ := net.SplitHostPort(w.daemon.Addr().String())
	return port
}

func (w *world) uri(object string) string { return "PYROSSL://localhost:" + w.port() + "/" + object }

// proxy returns a proxy of a client for an object.
func (w *world) proxy(c *broker.Client, object string, opts ...broker.ProxyOption) *broker.Proxy {
	w.tb.Helper()
	return proxyOf(w.tb, c, w.uri(object), opts...)
}

func proxyOf(tb testing.TB, c *broker.Client, uri string, opts ...broker.ProxyOption) *broker.Proxy {
	tb.Helper()
	p, err := c.Proxy(tb.Context(), uri, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// quiet is the log of clients, which is searched for secrets.
var quiet = slog.New(slog.NewJSONHandler(&printed, nil))

// metric is a figure of the daemon's, as it prints it; "" if it has none of that name.
func (w *world) metric(name string) string {
	w.tb.Helper()
	var b strings.Builder
	if err := w.daemon.WriteMetrics(&b); err != nil {
		w.tb.Fatal(err)
	}
	for l := range strings.Lines(b.String()) {
		if value, ok := strings.CutPrefix(l, "pyrossl_"+name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// from makes a Dial whose connections come from an address of the loopback network.
func from(address string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	return d.DialContext
}

// incidents reads the daemon's file of incidents, once it has as many as that. Call it
// when no more will come.
func (w *world) incidents(least int) []broker.Incident {
	w.tb.Helper()
	var all []broker.Incident
	eventually(w.tb, fmt.Sprintf("%d incidents are in the file", least), func() bool {
		data, err := os.ReadFile(w.record)
		if err != nil {
			w.tb.Fatal(err)
		}
		all = all[:0]
		for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
			var i broker.Incident
			if json.Unmarshal(lines.Bytes(), &i) == nil {
				all = append(all, i)
			}
		}
		return len(all) >= least
	})
	return all
}

// line is one record of a log.
type line struct {
	level   slog.Level
	message string
	attrs   map[string]string
}

func (l line) String() string { return fmt.Sprint(l.level, " ", l.message, " ", l.attrs) }

// recorder keeps the lines of a log, and has them searched for secrets.
type recorder struct {
	mu    *sync.Mutex
	lines *[]line
	text  slog.Handler
	with  []slog.Attr
}

func newRecorder() *recorder {
	return &recorder{mu: new(sync.Mutex), lines: new([]line), text: slog.NewJSONHandler(&printed, &slog.HandlerOptions{Level: slog.LevelDebug})}
}

func (r *recorder) Enabled(context.Context, slog.Level) bool { return true }

func (r *recorder) Handle(ctx context.Context, rec slog.Record) error {
	l := line{rec.Level, rec.Message, make(map[string]string)}
	add := func(a slog.Attr) bool { l.attrs[a.Key] = a.Value.Resolve().String(); return true }
	for _, a := range r.with {
		add(a)
	}
	rec.Attrs(add)
	r.mu.Lock()
	*r.lines = append(*r.lines, l)
	r.mu.Unlock()
	return r.text.Handle(ctx, rec)
}

func (r *recorder) WithAttrs(as []slog.Attr) slog.Handler {
	return &recorder{r.mu, r.lines, r.text.WithAttrs(as), append(r.with[:len(r.with):len(r.with)], as...)}
}

func (r *recorder) WithGroup(name string) slog.Handler {
	return &recorder{r.mu, r.lines, r.text.WithGroup(name), r.with}
}

// find returns the lines for which ok holds.
func (r *recorder) find(ok func(line) bool) []line {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []line
	for _, l := range *r.lines {
		if ok(l) {
			found = append(found, l)
		}
	}
	return found
}

func (r *recorder) String() string {
	var b strings.Builder
	for _, l := range r.find(func(line) bool { return true }) {
		fmt.Fprintln(&b, l)
	}
	return b.String()
}

// refusals are the lines about connections that were refused or ended for a reason.
func (r *recorder) refusals() []line {
	return r.find(func(l line) bool { return l.attrs["incident"] != "" })
}

// deniedOf returns the refusal in err, and has its text searched for secrets.
func deniedOf(tb testing.TB, err error) *broker.ConnectionDeniedError {
	tb.Helper()
	var d *broker.ConnectionDeniedError
	if !errors.As(err, &d) {
		tb.Fatalf("got %T %v, want a *broker.ConnectionDeniedError", err, err)
	}
	printed.error(err)
	return d
}

func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	tb.Fatalf("not within 10 s: %s", what)
}

// quantile of durations, 0 of none.
func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	all = slices.Clone(all)
	slices.Sort(all)
	return all[int(q*float64(len(all)-1))].Round(10 * time.Microsecond)
}

// alive fails the test unless a client of the pair is served.
func (w *world) alive(p testca.Pair) {
	w.tb.Helper()
	c := w.client(p, func(c *broker.ClientConfig) { c.Dial = from("127.0.0.9") })
	defer c.Close()
	if err := w.proxy(c, "target").Call(w.tb.Context(), "Nothing", nil); err != nil {
		w.tb.Errorf("an honest client: %v", err)
	}
}
