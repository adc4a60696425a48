package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/validator"
)

var errNoAccount = errors.New("no such account")

// overdrawn is an error type that crosses the wire.
type overdrawn struct {
	Account         string
	Balance, Wanted int64
}

func (e *overdrawn) Error() string {
	return fmt.Sprintf("account %q has %d, %d wanted", e.Account, e.Balance, e.Wanted)
}

var bankErrors = broker.Errors{
	"bank.no-account": errNoAccount,
	"bank.overdrawn":  (*overdrawn)(nil),
	"fs.not-exist":    fs.ErrNotExist,
}

type account struct {
	Name    string
	Balance int64
	Opened  time.Time
	Host    netip.Addr
	Limit   *big.Int
}

type bank struct {
	mu       sync.Mutex
	accounts map[string]int64
	runs     atomic.Int64
	gate     chan struct{}
}

func newBank() *bank {
	return &bank{accounts: map[string]int64{"alice": 0}, gate: make(chan struct{})}
}

func (b *bank) Deposit(ctx context.Context, name string, amount int64) (int64, error) {
	b.runs.Add(1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.accounts[name]; !ok {
		return 0, fmt.Errorf("deposit: %w", errNoAccount)
	}
	b.accounts[name] += amount
	return b.accounts[name], nil
}

func (b *bank) Withdraw(name string, amount int64) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if have := b.accounts[name]; have < amount {
		return 0, fmt.Errorf("withdraw: %w", &overdrawn{name, have, amount})
	}
	b.accounts[name] -= amount
	return b.accounts[name], nil
}

func (b *bank) Balance(name string) int64 {
	b.runs.Add(1)
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.accounts[name]
}

func (b *bank) Echo(a account) account                  { return a }
func (b *bank) Any(v any) any                           { return v }
func (b *bank) Bytes(p []byte) []byte                   { return p }
func (b *bank) Sum(start int, more ...int) int          { return start + len(more) }
func (b *bank) Nothing()                                {}
func (b *bank) Panic()                                  { panic("secret of the stack") }
func (b *bank) Missing() error                          { return fs.ErrNotExist }
func (b *bank) Canceled() error                         { return context.Canceled }
func (b *bank) Wait(ctx context.Context) error          { <-ctx.Done(); return ctx.Err() }
func (b *bank) Gate()                                   { <-b.gate }
func (b *bank) Big(n int) []byte                        { return make([]byte, n) }
func (b *bank) Who(ctx context.Context) (string, error) { return broker.Caller(ctx).Identity.Name, nil }
func (b *bank) Meta(ctx context.Context) map[string]string {
	return broker.Metadata(ctx)
}

func TestCall(t *testing.T) {
	w := newWorld(t, func(c *broker.Config) { c.Errors = bankErrors })
	w.daemon.Register("bank", newBank())
	p := w.proxy(w.client("alice@bank.example", func(c *broker.ClientConfig) { c.Errors = bankErrors }), w.uri("bank"))
	ctx := t.Context()

	var balance int64
	if err := p.Call(ctx, "Deposit", &balance, "alice", 100); err != nil || balance != 100 {
		t.Fatalf("Deposit: %d, %v", balance, err)
	}
	if err := p.Call(ctx, "Nothing", nil); err != nil {
		t.Errorf("Nothing: %v", err)
	}
	var n int
	if err := p.Call(ctx, "Sum", &n, 10, 1, 2, 3); err != nil || n != 13 {
		t.Errorf("variadic: %d, %v", n, err)
	}
	if err := p.Call(ctx, "Sum", &n, 10); err != nil || n != 10 {
		t.Errorf("variadic without more: %d, %v", n, err)
	}
	in := account{"alice", 7, time.Now().UTC(), netip.MustParseAddr("2001:db8::1"), new(big.Int).Lsh(big.NewInt(1), 100)}
	var out account
	if err := p.Call(ctx, "Echo", &out, in); err != nil || !out.Opened.Equal(in.Opened) || out.Host != in.Host || out.Limit.Cmp(in.Limit) != 0 {
		t.Errorf("Echo: %+v, %v", out, err)
	}
	var v any
	if err := p.Call(ctx, "Any", &v, map[string]any{"a": []any{int64(1), "x", nil, true}}); err != nil || fmt.Sprint(v) != "map[a:[1 x <nil> true]]" {
		t.Errorf("Any: %v, %v", v, err)
	}
	for _, n := range []int{0, 100, 20 << 10, 1 << 20} {
		var got []byte
		sent := bytes.Repeat([]byte{7}, n)
		if err := p.Call(ctx, "Bytes", &got, sent); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("Bytes(%d): %d back, %v", n, len(got), err)
		}
	}
	var who string
	if err := p.Call(ctx, "Who", &who); err != nil || who != "email:alice@bank.example" {
		t.Errorf("Who: %q, %v", who, err)
	}
	var meta map[string]string
	if err := p.Call(broker.WithMetadata(ctx, map[string]string{"trace": "1"}), "Meta", &meta); err != nil || meta["trace"] != "1" {
		t.Errorf("Meta: %v, %v", meta, err)
	}
}

// TestErrors sees that errors keep their meaning across the wire, and say what
// was wrong.
func TestErrors(t *testing.T) {
	w := newWorld(t, func(c *broker.Config) { c.Errors = bankErrors })
	w.daemon.Register("bank", newBank())
	alice := w.client("alice@bank.example", func(c *broker.ClientConfig) { c.Errors = bankErrors })
	p := w.proxy(alice, w.uri("bank"))
	ctx := t.Context()

	if err := p.Call(ctx, "Deposit", nil, "bob", 1); !errors.Is(err, errNoAccount) || kindOf(t, err) != broker.KindApplication || !strings.Contains(err.Error(), "deposit: no such account") {
		t.Errorf("sentinel: %v", err)
	}
	var o *overdrawn
	if err := p.Call(ctx, "Withdraw", nil, "alice", 50); !errors.As(err, &o) || o.Wanted != 50 || o.Account != "alice" {
		t.Errorf("typed: %v, %+v", err, o)
	}
	if err := p.Call(ctx, "Missing", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("foreign sentinel: %v", err)
	}
	if err := p.Call(ctx, "Canceled", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("context error: %v", err)
	}
	short, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
	defer cancel()
	if err := p.Call(short, "Wait", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("deadline: %v", err)
	}
	// A client without the table still gets the text, and nothing it did not ask for.
	plain := w.proxy(w.client("bob@bank.example", nil), w.uri("bank"))
	if err := plain.Call(ctx, "Withdraw", nil, "alice", 50); errors.As(err, &o) && o.Account != "alice" || kindOf(t, err) != broker.KindApplication {
		t.Errorf("without a table: %v", err)
	}

	err := p.Call(ctx, "Panic", nil)
	var e *broker.Error
	if !errors.As(err, &e) || e.Kind != broker.KindInternal || e.Incident == "" || strings.Contains(err.Error(), "secret") {
		t.Errorf("panic: %v", err)
	}
	if log := w.log.String(); !strings.Contains(log, "secret of the stack") || !strings.Contains(log, e.Incident) {
		t.Errorf("the daemon's log has neither the panic nor its incident:\n%s", log)
	}
	if err := p.Call(ctx, "Nothing", nil); err != nil {
		t.Errorf("the connection did not survive a panic: %v", err)
	}

	tests := []struct {
		method string
		args   []any
		result any
		kind   broker.Kind
		text   string
	}{
		{"Nope", nil, nil, broker.KindNoMethod, `no method "Nope", only [`},
		{"Deposit", []any{"alice"}, nil, broker.KindArguments, "1 arguments, want Deposit(string, int64) int64"},
		{"Deposit", []any{"alice", "ten"}, nil, broker.KindArguments, "argument 2, int64"},
		{"Deposit", []any{"alice", 1.5}, nil, broker.KindArguments, "argument 2"},
		{"Echo", []any{map[string]any{"Name": "x", "Admin": true}}, nil, broker.KindArguments, "Admin"},
		{"Deposit", []any{make(chan int)}, nil, broker.KindArguments, "argument 1"},
		{"Nothing", nil, new(int), broker.KindResult, "returns no value"},
		{"Who", nil, new(int), broker.KindResult, "int"},
		{"Big", []any{5 << 20}, nil, broker.KindTooLarge, "larger than the caller accepts"},
		{"Bytes", []any{make([]byte, 5<<20)}, nil, broker.KindTooLarge, "limit"},
		{strings.Repeat("m", 300), nil, nil, broker.KindArguments, "300 bytes"},
	}
	for _, test := range tests {
		err := p.Call(ctx, test.method, test.result, test.args...)
		if err == nil {
			t.Errorf("%.20s: no error", test.method)
			continue
		}
		if k := kindOf(t, err); k != test.kind || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%.20s: kind %v, %v; want %v, %q", test.method, k, err, test.kind, test.text)
		}
	}
	if err := w.proxy(alice, w.uri("shop")).Call(ctx, "Buy", nil); kindOf(t, err) != broker.KindNoObject {
		t.Errorf("no object: %v", err)
	}
}

// TestDenied sees that who may not call is told so with an incident, learns
// nothing about what exists, and that nothing is run.
func TestDenied(t *testing.T) {
	w := newWorld(t, nil)
	b := newBank()
	w.daemon.Register("bank", b)
	mallory := w.client("mallory@bank.example", nil)
	var texts []string
	for _, target := range []string{"bank.Deposit", "bank.Nope", "shop.Deposit"} {
		object, method, _ := strings.Cut(target, ".")
		err := w.proxy(mallory, w.uri(object)).Call(t.Context(), method, nil, "alice", 1)
		var e *broker.Error
		if !errors.As(err, &e) || e.Kind != broker.KindDenied || !errors.Is(err, broker.KindDenied) {
			t.Fatalf("%s: %v", target, err)
		}
		want := "no policy lets email:mallory@bank.example call " + target
		if e.Message != want {
			t.Errorf("%s: message %q, want %q", target, e.Message, want)
		}
		if !strings.Contains(w.log.String(), e.Incident) {
			t.Errorf("incident %s is not in the daemon's log", e.Incident)
		}
		texts = append(texts, strings.ReplaceAll(e.Message, target, ""))
	}
	if texts[0] != texts[1] || texts[0] != texts[2] {
		t.Errorf("a refusal tells what exists: %q", texts)
	}
	if n := b.runs.Load(); n != 0 {
		t.Errorf("a denied method ran %d times", n)
	}
}

// TestOneway sees that the identity is there, that a refusal is logged, and that
// what was queued arrives before Close.
func TestOneway(t *testing.T) {
	w := newWorld(t, nil)
	seen := make(chan string, 200)
	w.daemon.Register("sink", sink{seen})
	c := w.client("alice@bank.example", nil)
	p := w.proxy(c, w.uri("sink"))
	for range 100 {
		if err := p.Oneway(t.Context(), "Put"); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	for range 100 {
		if who := <-seen; who != "email:alice@bank.example" {
			t.Fatalf("oneway call by %q", who)
		}
	}
	var log logBuffer
	m := w.client("mallory@bank.example", func(c *broker.ClientConfig) { c.Logger = newLogger(&log) })
	if err := w.proxy(m, w.uri("sink")).Oneway(t.Context(), "Put"); err != nil {
		t.Fatal(err)
	}
	m.Close()
	if !strings.Contains(log.String(), "no policy lets email:mallory@bank.example call sink.Put") {
		t.Errorf("a refused oneway call is not in the client's log: %q", log.String())
	}
}

type sink struct{ seen chan string }

func (s sink) Put(ctx context.Context) { s.seen <- broker.Caller(ctx).Identity.Name }

// TestPerConnectionValues keeps a value with a connection.
func TestPerConnectionValues(t *testing.T) {
	w := newWorld(t, nil)
	w.daemon.Register("counter", counter{})
	a, b := w.client("alice@bank.example", nil), w.client("bob@bank.example", nil)
	var n int
	for range 3 {
		w.proxy(a, w.uri("counter")).Call(t.Context(), "Next", &n)
	}
	if n != 3 {
		t.Errorf("third call on one connection: %d", n)
	}
	if w.proxy(b, w.uri("counter")).Call(t.Context(), "Next", &n); n != 1 {
		t.Errorf("first call on another connection: %d", n)
	}
}

type counter struct{}

func (counter) Next(ctx context.Context) int {
	type key struct{}
	n := 0
	if v, ok := broker.Caller(ctx).Get(key{}); ok {
		n = v.(int)
	}
	broker.Caller(ctx).Set(key{}, n+1)
	return n + 1
}

// TestNothingByDefault sees that a daemon that was told nothing lets nobody in.
func TestNothingByDefault(t *testing.T) {
	w := newWorld(t, func(c *broker.Config) { c.Validator = new(validator.Default) })
	p := w.proxy(w.client("alice@bank.example", nil), w.uri("bank"))
	var denied *broker.ConnectionDeniedError
	if _, err := p.Connect(t.Context()); !errors.As(err, &denied) || denied.Check != validator.CheckAdmission || denied.Code != validator.DeniedSecurity {
		t.Errorf("got %v, want a denial", err)
	}
	if denied != nil && (denied.Incident == "" || !strings.Contains(w.log.String(), denied.Incident)) {
		t.Errorf("incident %q is not in the daemon's log", denied.Incident)
	}
}
