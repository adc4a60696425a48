package broker_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/validator"
)

// TestIncidents: what a peer was told an id of is found by it, by those who may ask,
// also by a daemon that was started again, and with a file that was damaged.
func TestIncidents(t *testing.T) {
	file := filepath.Join(t.TempDir(), "incidents.json")
	audit := new(logBuffer)
	run := func() (*world, *broker.Proxy) {
		v, err := validator.New(validator.Config{Admit: []validator.Peer{validator.Named("email:alice@bank.example"), validator.Named("email:mallory@bank.example")}})
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, func(c *broker.Config) {
			c.Record, c.Validator, c.Audit = file, v, slog.New(slog.NewTextHandler(audit, nil))
		})
		w.register("bank", newBank())
		return w, w.proxy(w.client("alice@bank.example", nil), w.uri(broker.SelfName))
	}
	w, self := run()
	ctx := t.Context()
	mallory := w.proxy(w.client("mallory@bank.example", nil), w.uri("bank"))
	var e *broker.Error
	if err := mallory.Call(ctx, "Nothing", nil); !errors.As(err, &e) || e.Incident == "" {
		t.Fatal(err)
	}
	var denied *broker.ConnectionDeniedError
	if err := w.proxy(w.client("bob@bank.example", nil), w.uri("bank")).Call(ctx, "Nothing", nil); !errors.As(err, &denied) || denied.Incident == "" {
		t.Fatal(err)
	}
	panics := w.proxy(w.client("alice@bank.example", nil), w.uri("bank")).Call(ctx, "Panic", nil)
	var p *broker.Error
	errors.As(panics, &p)
	check := func(self *broker.Proxy) {
		t.Helper()
		for id, want := range map[string]broker.Incident{
			e.Incident:      {Event: "call denied", Identity: "email:mallory@bank.example", Object: "bank", Method: "Nothing", Rule: "default"},
			denied.Incident: {Event: "connection denied", Check: "admission", Code: "security reasons"},
			p.Incident:      {Event: "method panicked", Object: "bank", Method: "Panic", Error: "secret of the stack"},
		} {
			var got broker.Incident
			if err := self.Call(ctx, "Incident", &got, id); err != nil {
				t.Errorf("%s: %v", id, err)
				continue
			}
			if got.Event != want.Event || got.Object != want.Object || got.Method != want.Method || got.Rule != want.Rule ||
				want.Identity != "" && got.Identity != want.Identity || got.Check != want.Check || got.Code != want.Code || got.Error != want.Error {
				t.Errorf("%s: got %+v, want %+v", id, got, want)
			}
			if got.Address == "" || got.Subject == "" || got.Time.IsZero() || got.Who == "" {
				t.Errorf("%s: incomplete: %+v", id, got)
			}
		}
	}
	check(self)
	if err := self.Call(ctx, "Incident", nil, "0000-0000"); kindOf(t, err) != broker.KindApplication {
		t.Errorf("an unknown incident: %v", err)
	}
	if err := w.proxy(w.client("mallory@bank.example", nil), w.uri(broker.SelfName)).Call(ctx, "Incident", nil, e.Incident); kindOf(t, err) != broker.KindDenied {
		t.Errorf("mallory asks: %v", err)
	}
	for _, want := range []string{
		`msg=connection allowed=true session=\w+ address=\S+ identity=email:alice@bank.example`,
		`msg=connection allowed=false .*incident=` + denied.Incident + ` .*check=admission`,
		`msg=call allowed=false rule=default .*object=bank method=Nothing kind=call`,
		`msg=call allowed=true .*object=Pyro.Daemon method=Incident`,
	} {
		if !regexp.MustCompile(want).MatchString(audit.String()) {
			t.Errorf("the audit log has no line like %s:\n%s", want, audit)
		}
	}
	w.daemon.Close()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"id":"cut off`)
	f.Close()
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v, want mode 0600", info.Mode(), err)
	}
	second, self := run()
	check(self)
	second.daemon.Close()
	_, self = run()
	check(self)
}

// TestIncidentsAreBounded floods the record: memory and files stay bounded.
func TestIncidentsAreBounded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "incidents.json")
	w := newWorld(t, func(c *broker.Config) { c.Record = file })
	w.register("bank", newBank())
	p := w.proxy(w.client("mallory@bank.example", nil), w.uri("bank"))
	long := strings.Repeat("x", 255)
	for range 20_000 {
		if err := p.Call(t.Context(), long, nil); kindOf(t, err) != broker.KindDenied {
			t.Fatal(err)
		}
	}
	self := w.proxy(w.client("alice@bank.example", nil), w.uri(broker.SelfName))
	var latest []broker.Incident
	if err := self.Call(t.Context(), "Incidents", &latest, 1_000_000); err != nil || len(latest) != 500 {
		t.Errorf("%d incidents, %v", len(latest), err)
	}
	for i := 1; i < len(latest); i++ {
		if latest[i].Time.After(latest[i-1].Time) {
			t.Fatal("the latest is not the first")
		}
	}
	w.daemon.Close()
	for _, f := range []string{file, file + ".1"} {
		if info, err := os.Stat(f); err != nil || info.Size() > 5<<20 {
			t.Errorf("%s: %v, %v", f, info, err)
		}
	}
}

func TestWho(t *testing.T) {
	rules, err := validator.NewRules(everything("email:alice@bank.example"))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(c *broker.Config) { c.Authorizer = rules })
	w.register("bank", newBank())
	ctx := t.Context()
	alice := w.client("alice@bank.example", nil)
	bank, self := w.proxy(alice, w.uri("bank")), w.proxy(alice, w.uri(broker.SelfName))
	bob := w.proxy(w.client("bob@bank.example", nil), w.uri("bank"))
	if err := bank.Call(ctx, "Nothing", nil); err != nil {
		t.Fatal(err)
	}
	var e *broker.Error
	if err := bob.Call(ctx, "Nothing", nil); !errors.As(err, &e) {
		t.Fatal(err)
	}
	var who []broker.LiveConnection
	if err := self.Call(ctx, "Who", &who); err != nil || len(who) != 2 {
		t.Fatalf("%+v, %v", who, err)
	}
	a, b := who[0], who[1]
	if a.Identity != "email:alice@bank.example" || a.Serial == "" || a.Issuer == "" || a.NotAfter.IsZero() || a.KeyExchange != "X25519MLKEM768" ||
		a.Received == 0 || a.Sent == 0 || a.Calls != 2 || a.InFlight != 1 || fmt.Sprint(a.Used) != "[Pyro.Daemon.Who bank.Nothing]" {
		t.Errorf("alice: %+v", a)
	}
	if b.Identity != "email:bob@bank.example" || len(b.Used) != 0 || b.LastDenial != e.Incident {
		t.Errorf("bob: %+v", b)
	}
}

// TestMetrics reads the figures as a Prometheus server does, and looks for labels that a
// peer could have chosen.
func TestMetrics(t *testing.T) {
	w := newWorld(t, nil)
	w.register("bank", newBank())
	ctx := context.Background()
	p := w.proxy(w.client("alice@bank.example", nil), w.uri("bank"))
	p.Call(ctx, "Nothing", nil)
	w.proxy(w.client("mallory-the-chosen@bank.example", nil), w.uri("bank")).Call(ctx, "chosen", nil)
	other := w.client("x@bank.example", func(c *broker.ClientConfig) {
		c.Certs = source(t, w.ca, w.ca.Issue(t, clientLeaf("", 1e12)))
	})
	w.proxy(other, w.uri("bank")).Call(ctx, "Nothing", nil)
	var text string
	if err := w.proxy(w.client("alice@bank.example", nil), w.uri(broker.SelfName)).Call(ctx, "Metrics", &text); err != nil {
		t.Fatal(err)
	}
	sample := regexp.MustCompile(`^pyrossl_([a-z_]+)(\{[a-z]+="[^"]*"(?:,[a-z]+="[^"]*")*\})? (-?[0-9.e+]+)$`)
	values := make(map[string]string)
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line := lines.Text()
		if strings.HasPrefix(line, "# HELP ") || strings.HasPrefix(line, "# TYPE ") {
			continue
		}
		m := sample.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("not in the text format: %s", line)
			continue
		}
		values[m[1]+m[2]] = m[3]
	}
	for name, want := range map[string]string{
		"connections_accepted_total": "3", "sessions": "3", "calls_denied_total": "1", "calls_in_flight": "1",
		`connections_denied_total{code="3",check="identity"}`: "1", "certificate_reload_failing": "0",
	} {
		if values[name] != want {
			t.Errorf("%s is %q, want %s in\n%s", name, values[name], want, text)
		}
	}
	if values["received_bytes_total"] == "0" || values["certificate_days_left"] == "" {
		t.Errorf("figures are missing in\n%s", text)
	}
	if strings.Contains(text, "chosen") || strings.Contains(text, "alice") {
		t.Errorf("a peer has chosen a label in\n%s", text)
	}
}
