package broker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/uri"
	"github.com/pyrossl/pyrossl/validator"
)

// account is made for one caller, or registered.
type purse struct {
	mu      sync.Mutex
	owner   string
	balance int
	gone    chan string
}

func (p *purse) Add(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.balance += n
	return p.balance
}

func (p *purse) Released(reason string) { p.gone <- p.owner + ": " + reason }

type adder interface{ Add(n int) int }

// hub hands out objects, and calls those that it is given.
type hub struct {
	gone   chan string
	shared *purse

	mu        sync.Mutex
	listeners []*broker.Proxy
}

func (h *hub) Open(ctx context.Context, owner string) (*broker.Local, error) {
	return broker.Export(ctx, "purse", &purse{owner: owner, gone: h.gone})
}

func (h *hub) OpenShared(ctx context.Context) (*broker.Local, error) {
	return broker.Export(ctx, "purse", h.shared)
}

func (h *hub) OpenBriefly(ctx context.Context) (*broker.Local, error) {
	return broker.Export(ctx, "brief", &purse{owner: "brief", gone: h.gone}, broker.Transient(20*time.Millisecond))
}

func (h *hub) OpenAndEnd(ctx context.Context) (*broker.Local, error) {
	e, err := broker.Export(ctx, "purse", &purse{owner: "ended", gone: h.gone})
	if err == nil {
		e.End()
	}
	return e, err
}

// Registered returns an object that is registered, as an interface.
func (h *hub) Registered() adder           { return h.shared }
func (h *hub) Unregistered() adder         { return &purse{} }
func (h *hub) Nobody() *broker.Proxy       { return nil }
func (h *hub) Refs(r broker.Ref) []any     { return []any{r.String()} }
func (h *hub) Echo(p *broker.Proxy) string { return p.URI().String() }

func (h *hub) Subscribe(listener *broker.Proxy) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listeners = append(h.listeners, listener)
}

func (h *hub) Publish(ctx context.Context, text string) (failed []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.listeners {
		if err := l.Call(ctx, "Notify", nil, text); err != nil {
			failed = append(failed, err.Error())
		}
	}
	return failed
}

// Bounce plays ball with the caller until n is 0.
func (h *hub) Bounce(ctx context.Context, back *broker.Proxy, n int) (int, error) {
	if n == 0 {
		return 0, nil
	}
	var hops int
	err := back.Call(ctx, "Bounce", &hops, n-1)
	return hops + 1, err
}

// Lend passes a purse of the caller's as an argument, and returns what is in it then. To
// another listener it cannot be passed.
func (h *hub) Lend(ctx context.Context, borrower *broker.Proxy) (int, error) {
	p := &purse{owner: "lent", gone: h.gone}
	lent, err := broker.Export(ctx, "purse", p)
	if err != nil {
		return 0, err
	}
	defer lent.End()
	if err := borrower.Call(ctx, "Take", nil, lent); err != nil {
		return 0, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, other := range h.listeners {
		if err := other.Call(ctx, "Take", nil, lent); !errors.Is(err, broker.KindArguments) {
			return 0, fmt.Errorf("another one may have it: %v", err)
		}
	}
	return p.Add(0), nil
}

func (h *hub) BounceRef(ctx context.Context, back broker.Ref) error {
	p, err := broker.Follow(ctx, back)
	if err != nil {
		return err
	}
	return p.Call(ctx, "Nothing", nil)
}

type listener struct {
	got  chan string
	fail error
	hub  *broker.Proxy
	self *broker.Local
}

func (l *listener) Notify(ctx context.Context, text string) error {
	l.got <- text + " from " + broker.Caller(ctx).Identity.Name
	return l.fail
}

func (l *listener) Bounce(ctx context.Context, n int) (int, error) {
	if n == 0 {
		return 0, nil
	}
	var hops int
	err := l.hub.Call(ctx, "Bounce", &hops, l.self, n-1)
	return hops + 1, err
}

func (l *listener) Slow(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func newHub(t *testing.T, change func(*broker.Config)) (*world, *hub, *broker.Proxy) {
	w := newWorld(t, change)
	h := &hub{gone: make(chan string, 10)}
	h.shared = &purse{owner: "shared", gone: h.gone}
	return w, h, w.register("hub", h)
}

func TestExportedObjects(t *testing.T) {
	w, h, p := newHub(t, nil)
	ctx := t.Context()
	var mine *broker.Proxy
	if err := p.Call(ctx, "Open", &mine, "alice"); err != nil {
		t.Fatal(err)
	}
	var balance int
	for want := 5; want <= 15; want += 5 {
		if err := mine.Call(ctx, "Add", &balance, 5); err != nil || balance != want {
			t.Fatalf("Add: %d, %v", balance, err)
		}
	}
	if err := mine.Call(ctx, "Released", nil, "mine"); kindOf(t, err) != broker.KindNoMethod {
		t.Errorf("the hook is exposed: %v", err)
	}

	// Nobody else can call it, not even by its name, and a second object is another one.
	bob := w.client("bob@bank.example", nil)
	thief := w.proxy(bob, w.uri(mine.URI().Object))
	if err := thief.Call(ctx, "Add", nil, 1); kindOf(t, err) != broker.KindNoObject {
		t.Errorf("a thief got %v", err)
	}
	var second *broker.Proxy
	if err := p.Call(ctx, "Open", &second, "alice"); err != nil {
		t.Fatal(err)
	}
	if err := second.Call(ctx, "Add", &balance, 1); err != nil || balance != 1 {
		t.Errorf("the second object: %d, %v", balance, err)
	}
	// It cannot be passed on.
	if err := p.Call(ctx, "Echo", nil, mine); kindOf(t, err) != broker.KindArguments {
		t.Errorf("passing an exported object on: %v", err)
	}

	// One object for two clients ends with the last.
	var shared, too *broker.Proxy
	if err := p.Call(ctx, "OpenShared", &shared); err != nil {
		t.Fatal(err)
	}
	bobs := w.proxy(bob, w.uri("hub"))
	if err := bobs.Call(ctx, "OpenShared", &too); err != nil {
		t.Fatal(err)
	}
	bob.Close()
	if err := shared.Call(ctx, "Add", nil, 1); err != nil {
		t.Errorf("after the other client left: %v", err)
	}
	select {
	case s := <-h.gone:
		t.Errorf("released: %s", s)
	case <-time.After(50 * time.Millisecond):
	}

	// Age, and End.
	var brief, ended *broker.Proxy
	if err := p.Call(ctx, "OpenBriefly", &brief); err != nil {
		t.Fatal(err)
	}
	if got := <-h.gone; got != "brief: not called for 20ms" {
		t.Errorf("released: %s", got)
	}
	if err := brief.Call(ctx, "Add", nil, 1); kindOf(t, err) != broker.KindNoObject {
		t.Errorf("a transient object after its time: %v", err)
	}
	if err := p.Call(ctx, "OpenAndEnd", &ended); err != nil {
		t.Fatal(err)
	}
	if got := <-h.gone; got != "ended: ended" {
		t.Errorf("released: %s", got)
	}
	if err := ended.Call(ctx, "Add", nil, 1); kindOf(t, err) != broker.KindNoObject {
		t.Errorf("after End: %v", err)
	}

	// The session's end is theirs.
	w.daemon.Close()
	left := map[string]bool{}
	for range 3 {
		left[<-h.gone] = true
	}
	for _, want := range []string{"alice: the connection ended", "shared: the connection ended"} {
		if !left[want] {
			t.Errorf("released: %v, want %q", left, want)
		}
	}
}

// TestTransientLives: calls keep a transient object.
func TestTransientRegistered(t *testing.T) {
	w := newWorld(t, nil)
	gone := make(chan string, 1)
	p := w.register("purse", &purse{owner: "registered", gone: gone}, broker.Transient(200*time.Millisecond))
	for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err := p.Call(t.Context(), "Add", nil, 1); err != nil {
			t.Fatalf("while it is in use: %v", err)
		}
	}
	if got := <-gone; got != "registered: not called for 200ms" {
		t.Errorf("released: %s", got)
	}
	if err := p.Call(t.Context(), "Add", nil, 1); kindOf(t, err) != broker.KindNoObject {
		t.Errorf("after its time: %v", err)
	}
}

func TestReferences(t *testing.T) {
	w, h, p := newHub(t, nil)
	ctx := t.Context()
	if _, err := w.daemon.Register("shared", h.shared); err != nil {
		t.Fatal(err)
	}
	var shared *broker.Proxy
	if err := p.Call(ctx, "Registered", &shared); err != nil || shared.URI().String() != w.uri("shared") {
		t.Fatalf("got %v, %v", shared, err)
	}
	var balance int
	if err := shared.Call(ctx, "Add", &balance, 7); err != nil || balance != 7 {
		t.Errorf("Add: %d, %v", balance, err)
	}
	if err := p.Call(ctx, "Unregistered", &shared); kindOf(t, err) != broker.KindInternal || !strings.Contains(w.log.String(), "a *broker_test.purse that is not registered") {
		t.Errorf("got %v", err)
	}
	if err := p.Call(ctx, "Nobody", &shared); err != nil || shared != nil {
		t.Errorf("nil: %v, %v", shared, err)
	}
	var text []string
	if err := p.Call(ctx, "Refs", &text, broker.RefTo(p)); err != nil || text[0] != w.uri("hub") {
		t.Errorf("got %q, %v", text, err)
	}
	again, err := p.Follow(ctx, broker.RefTo(p))
	if err != nil || again.Call(ctx, "Nobody", nil) != nil {
		t.Errorf("Follow: %v", err)
	}
	// A daemon without a client follows nothing, whatever a client asks for.
	if err := p.Call(ctx, "Echo", nil, p); kindOf(t, err) != broker.KindArguments || !strings.Contains(err.Error(), "follows no references") {
		t.Errorf("got %v", err)
	}
	for _, bad := range []string{"PYRO://bank.example/x", "PYROSSL://bank.example:7766/", "PYROPEER:a/b", "http://bank.example/x", "PYROSSL://u:p@bank.example/x"} {
		var r broker.Ref
		if err := r.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was taken for a reference", bad)
		}
		if err := p.Call(ctx, "Echo", nil, bad); err == nil {
			t.Errorf("a daemon followed %q", bad)
		}
	}
}

// TestReferencesAreVetted: a client dials no other daemon because one said so.
func TestReferencesAreVetted(t *testing.T) {
	w := newWorld(t, nil)
	liar := &redirect{}
	p := w.register("liar", liar)
	for _, elsewhere := range []string{"PYROSSL://elsewhere.example:7766/bank", "PYROSSL://localhost:1/bank"} {
		liar.to = elsewhere
		var got *broker.Proxy
		if err := p.Call(t.Context(), "Where", &got); kindOf(t, err) != broker.KindResult || !strings.Contains(err.Error(), "ClientConfig.References") {
			t.Errorf("%s: %v", elsewhere, err)
		}
	}
	var asked []string
	client := w.client("carol@bank.example", func(c *broker.ClientConfig) {
		c.References = func(from, to uri.URI) error {
			asked = append(asked, from.Object+" "+to.Host)
			if to.Host != "good.example" {
				return errors.New("not a host of ours")
			}
			return nil
		}
	})
	p = w.proxy(client, w.uri("liar"))
	var got *broker.Proxy
	if err := p.Call(t.Context(), "Where", &got); err == nil || !strings.Contains(err.Error(), "not a host of ours") {
		t.Errorf("got %v", err)
	}
	liar.to = "PYROSSL://good.example:7766/bank?id=uri:spiffe://bank.example/x"
	if err := p.Call(t.Context(), "Where", &got); err != nil || got.URI().ID != "uri:spiffe://bank.example/x" {
		t.Errorf("got %v, %v", got, err)
	}
	if len(asked) != 2 {
		t.Errorf("asked %q", asked)
	}
}

type redirect struct{ to string }

// Where returns text, as an attacker's daemon would, where a reference is expected.
func (r *redirect) Where() string { return r.to }

func TestCallbacks(t *testing.T) {
	w, _, p := newHub(t, nil)
	ctx := t.Context()
	l := &listener{got: make(chan string, 1)}
	var seen atomic.Value
	cb := broker.Callback("listener", l, broker.Expose("Notify"), broker.CallbackErrors(func(method string, err error) { seen.Store(method + ": " + err.Error()) }))
	if err := p.Call(ctx, "Subscribe", nil, cb); err != nil {
		t.Fatal(err)
	}
	var failed []string
	if err := p.Call(ctx, "Publish", &failed, "hello"); err != nil || failed != nil {
		t.Fatalf("Publish: %q, %v", failed, err)
	}
	if got := <-l.got; got != "hello from dns:localhost" {
		t.Errorf("got %q", got)
	}
	// Its error reaches both sides.
	l.fail = errors.New("no paper")
	if err := p.Call(ctx, "Publish", &failed, "again"); err != nil || len(failed) != 1 || !strings.Contains(failed[0], "no paper") {
		t.Errorf("Publish: %q, %v", failed, err)
	}
	<-l.got
	eventually(t, "this side gets the error", func() bool { return seen.Load() == "Notify: no paper" })
	// After End the daemon can call it no more.
	cb.End()
	if err := p.Call(ctx, "Publish", &failed, "late"); err != nil || len(failed) != 1 || !strings.Contains(failed[0], "no such object") {
		t.Errorf("Publish after End: %q, %v", failed, err)
	}
	// And its grant ends with its connection.
	bob := w.client("bob@bank.example", nil)
	l2 := &listener{got: make(chan string, 1)}
	if err := w.proxy(bob, w.uri("hub")).Call(ctx, "Subscribe", nil, broker.Callback("listener", l2, broker.Expose("Notify"))); err != nil {
		t.Fatal(err)
	}
	bob.Close()
	if err := p.Call(ctx, "Publish", &failed, "later"); err != nil || len(failed) != 2 || !strings.Contains(failed[1], "connection lost") {
		t.Errorf("Publish after the client left: %q, %v", failed, err)
	}
}

// TestCallbackConversation: 100 calls, each inside the one before, back and forth over
// one connection, also with a limit on calls that just suffices.
func TestCallbackConversation(t *testing.T) {
	w, _, _ := newHub(t, func(c *broker.Config) { c.Limits.CallsInFlight = 51 })
	p := w.proxy(w.client("dave@bank.example", func(c *broker.ClientConfig) { c.Limits.CallsInFlight = 50 }), w.uri("hub"))
	l := &listener{hub: p}
	l.self = broker.Callback("listener", l)
	var hops int
	if err := p.Call(t.Context(), "Bounce", &hops, l.self, 100); err != nil || hops != 100 {
		t.Errorf("%d hops, %v", hops, err)
	}
}

// TestCallbackDeadline: the deadline of the outermost call reaches the innermost.
func TestCallbackDeadline(t *testing.T) {
	_, _, p := newHub(t, nil)
	l := &deadlineListener{got: make(chan time.Duration, 1)}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := p.Call(ctx, "Bounce", nil, broker.Callback("listener", l), 1); err != nil {
		t.Fatal(err)
	}
	if left := <-l.got; left <= 0 || left > 5*time.Second {
		t.Errorf("the callback has %v left", left)
	}
}

// TestExportAsArgument: what is exported to a caller may be passed to the caller's
// callback, over the same connection, and nowhere else.
func TestExportAsArgument(t *testing.T) {
	w, h, p := newHub(t, nil)
	bob := w.proxy(w.client("bob@bank.example", nil), w.uri("hub"))
	if err := bob.Call(t.Context(), "Subscribe", nil, broker.Callback("borrower", new(borrower))); err != nil {
		t.Fatal(err)
	}
	b := new(borrower)
	var balance int
	if err := p.Call(t.Context(), "Lend", &balance, broker.Callback("borrower", b)); err != nil || balance != 7 {
		t.Fatalf("Lend: %d, %v", balance, err)
	}
	if got := <-h.gone; got != "lent: ended" {
		t.Errorf("released: %s", got)
	}
	if err := b.purse.Call(t.Context(), "Add", nil, 1); kindOf(t, err) != broker.KindNoObject {
		t.Errorf("after End: %v", err)
	}
}

type borrower struct{ purse *broker.Proxy }

func (b *borrower) Take(ctx context.Context, purse *broker.Proxy) error {
	b.purse = purse
	return purse.Call(ctx, "Add", nil, 7)
}

type deadlineListener struct{ got chan time.Duration }

func (l *deadlineListener) Bounce(ctx context.Context, n int) int {
	end, _ := ctx.Deadline()
	l.got <- time.Until(end)
	return 0
}

// TestCallbacksAreAuthorized: the client's authorizer decides what a daemon may call.
func TestCallbacksAreAuthorized(t *testing.T) {
	w, _, _ := newHub(t, nil)
	rules, err := validator.NewRules(validator.Rule{Name: "notify", Effect: validator.Allow, Identities: []string{"dns:localhost"}, Objects: []string{"listener"}, Methods: []string{"Notify"}})
	if err != nil {
		t.Fatal(err)
	}
	p := w.proxy(w.client("erin@bank.example", func(c *broker.ClientConfig) { c.Authorizer = rules }), w.uri("hub"))
	l := &listener{got: make(chan string, 1)}
	cb := broker.Callback("listener", l)
	var failed []string
	if err := p.Call(t.Context(), "Subscribe", nil, cb); err != nil {
		t.Fatal(err)
	}
	if err := p.Call(t.Context(), "Publish", &failed, "hello"); err != nil || failed != nil {
		t.Errorf("Publish: %q, %v", failed, err)
	}
	if err := p.Call(t.Context(), "Bounce", nil, cb, 1); err == nil || !strings.Contains(err.Error(), "denied") {
		t.Errorf("a method that no rule allows: %v", err)
	}
}

// TestNoCallbackUnasked: a daemon can call nothing at a client that gave it nothing.
func TestNoCallbackUnasked(t *testing.T) {
	_, _, p := newHub(t, nil)
	for _, name := range []string{"listener", "Pyro.Daemon", "listener.0000000000000000"} {
		err := p.Call(t.Context(), "Bounce", nil, "PYROPEER:"+name, 1)
		if err == nil || !strings.Contains(err.Error(), "no such object") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBatch(t *testing.T) {
	w := newWorld(t, nil)
	p := w.register("bank", newBank(), broker.IdempotentMethods("Balance"))
	ctx := t.Context()
	b := p.Batch()
	first := b.Call("Deposit", "alice", 10)
	b.Call("Nothing")
	third := b.Call("Deposit", "alice", first) // 10 more: what the first returned
	echo := b.Call("Any", third)
	if err := first.Into(new(int)); !errors.Is(err, broker.ErrNotRun) {
		t.Errorf("before Run: %v", err)
	}
	if err := b.Run(ctx); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := echo.Into(&n); err != nil || n != 20 {
		t.Errorf("got %d, %v", n, err)
	}
	if err := b.Run(ctx); err == nil {
		t.Error("a batch ran twice")
	}

	// It stops at the first error, unless asked.
	for _, all := range []bool{false, true} {
		b := p.Batch()
		if all {
			b.ContinueOnError()
		}
		b.Call("Deposit", "alice", 1)
		bad := b.Call("Missing")
		uses := b.Call("Any", bad)
		last := b.Call("Balance", "alice")
		if err := b.Run(ctx); kindOf(t, err) != broker.KindApplication {
			t.Errorf("Run: %v", err)
		}
		var balance int64
		err := last.Into(&balance)
		if all && (err != nil || kindOf(t, uses.Into(nil)) != broker.KindArguments) || !all && !errors.Is(err, broker.ErrNotRun) {
			t.Errorf("all=%v: %d, %v; %v", all, balance, err, uses.Into(nil))
		}
	}

	// Each call is authorized by itself, and contained.
	m := w.proxy(w.client("mallory@bank.example", nil), w.uri("bank")).Batch()
	m.Call("Nothing")
	if err := m.Run(ctx); kindOf(t, err) != broker.KindDenied {
		t.Errorf("mallory: %v", err)
	}
	b = p.Batch()
	b.Call("Panic")
	if err := b.Run(ctx); kindOf(t, err) != broker.KindInternal {
		t.Errorf("Panic: %v", err)
	}
	for what, b := range map[string]*broker.Batch{"NoSuch": p.Batch(), "streams": p.Batch()} {
		b.Call(what)
		if err := b.Run(ctx); kindOf(t, err) != broker.KindNoMethod {
			t.Errorf("%s: %v", what, err)
		}
	}
	// The results of all may not exceed what one message may.
	b = p.Batch()
	for range 10 {
		b.Call("Big", 1<<20)
	}
	if err := b.Run(ctx); kindOf(t, err) != broker.KindTooLarge {
		t.Errorf("10 MiB of results: %v", err)
	}
	if other := p.Batch().Call("Nothing"); func() error { b := p.Batch(); b.Call("Any", other); return b.Run(ctx) }() == nil {
		t.Error("a result of another batch was used")
	}
	if err := p.Batch().Run(ctx); err != nil {
		t.Errorf("an empty batch: %v", err)
	}
	// What is no batch is refused, whoever wrote it.
	for _, args := range [][]any{{}, {2}, {0, 5}, {0, []any{}}, {0, []any{"Nothing", map[int]int{0: 0}}}, {0, []any{"Nothing", map[int]int{5: 0}, 1}}} {
		if err := p.RawBatch(ctx, args...); kindOf(t, err) != broker.KindArguments {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// FuzzBatchEntry: no call of a batch panics, or refers to what is not there.
func FuzzBatchEntry(f *testing.F) {
	f.Add([]byte("\x84\x67Deposit\xf6\x65alice\x18\x64"))
	f.Add([]byte("\x83\x67Balance\xa1\x00\x00\xf6"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if n, err := broker.ParseBatchEntry(raw, 1); err == nil && (n < 0 || n > len(raw)) {
			t.Errorf("%d arguments in %d bytes", n, len(raw))
		}
	})
}

func TestAttributes(t *testing.T) {
	w := newWorld(t, nil)
	var limit atomic.Int64
	read := func(context.Context) (int64, error) { return limit.Load(), nil }
	write := func(_ context.Context, n int64) error {
		if n < 0 {
			return fmt.Errorf("limit %d is below 0", n)
		}
		limit.Store(n)
		return nil
	}
	p := w.register("bank", newBank(),
		broker.Attribute("Limit", read, write),
		broker.Attribute("Shown", read, nil),
		broker.Attribute("Secret", nil, write))
	ctx := t.Context()
	if err := p.Set(ctx, "Limit", 50); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Limit", "Shown"} {
		var n int64
		if err := p.Get(ctx, name, &n); err != nil || n != 50 {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
	if err := p.Set(ctx, "Shown", 1); kindOf(t, err) != broker.KindNoMethod {
		t.Errorf("a read-only attribute: %v", err)
	}
	if err := p.Get(ctx, "Secret", new(int64)); kindOf(t, err) != broker.KindNoMethod {
		t.Errorf("a write-only attribute: %v", err)
	}
	if err := p.Set(ctx, "Limit", -1); kindOf(t, err) != broker.KindApplication {
		t.Errorf("a value that is refused: %v", err)
	}
	if err := p.Set(ctx, "Limit", "much"); kindOf(t, err) != broker.KindArguments {
		t.Errorf("a value of another type: %v", err)
	}
	for _, opt := range []broker.RegisterOption{
		broker.Attribute[int]("", nil, nil), broker.Attribute[int]("X", nil, nil),
		broker.Attribute("X", func(context.Context) (chan int, error) { return nil, nil }, nil),
	} {
		if _, err := w.daemon.Register("bad", newBank(), opt); err == nil {
			t.Error("a bad attribute was registered")
		}
	}
}

func TestInstanceModes(t *testing.T) {
	w := newWorld(t, nil)
	gone := make(chan string, 100)
	var made atomic.Int32
	make := func(ctx context.Context) (*purse, error) {
		if broker.Caller(ctx).Identity.Name == "email:poor@bank.example" {
			return nil, errors.New("no credit")
		}
		return &purse{owner: fmt.Sprint(made.Add(1)), gone: gone}, nil
	}
	for name, object := range map[string]any{"session": broker.PerSession(make), "call": broker.PerCall(make)} {
		if _, err := w.daemon.Register(name, object); err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	add := func(c *broker.Client, object string) (n int, err error) {
		err = w.proxy(c, w.uri(object)).Call(ctx, "Add", &n, 1)
		return n, err
	}
	alice, bob := w.client("alice@bank.example", nil), w.client("bob@bank.example", nil)
	for i := 1; i <= 3; i++ {
		if n, err := add(alice, "session"); n != i || err != nil {
			t.Errorf("alice's call %d: %d, %v", i, n, err)
		}
		if n, err := add(alice, "call"); n != 1 || err != nil {
			t.Errorf("a fresh object: %d, %v", n, err)
		}
		if got := <-gone; !strings.HasSuffix(got, "the call ended") {
			t.Error(got)
		}
	}
	if n, err := add(bob, "session"); n != 1 || err != nil {
		t.Errorf("bob's own: %d, %v", n, err)
	}
	bob.Close()
	if got := <-gone; !strings.HasSuffix(got, "the connection ended") {
		t.Error(got)
	}
	poor := w.client("poor@bank.example", nil)
	for _, object := range []string{"session", "call"} {
		if _, err := add(poor, object); kindOf(t, err) != broker.KindApplication || !strings.Contains(err.Error(), "no credit") {
			t.Errorf("%s: %v", object, err)
		}
	}
}

func TestInterceptors(t *testing.T) {
	var mu sync.Mutex
	var trace []string
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		trace = append(trace, fmt.Sprintf(format, args...))
	}
	type key struct{}
	named := func(name string) broker.Interceptor {
		return func(ctx context.Context, call *broker.CallInfo, next func(context.Context) error) error {
			note("%s %s.%s", name, call.Object, call.Method)
			err := next(context.WithValue(ctx, key{}, name))
			note("%s %v", name, err != nil)
			return err
		}
	}
	w := newWorld(t, func(c *broker.Config) {
		c.Interceptors = []broker.Interceptor{named("outer"), named("inner"), func(ctx context.Context, call *broker.CallInfo, next func(context.Context) error) error {
			switch call.Method {
			case "Gate":
				return broker.Refuse(broker.KindBusy, "come back later")
			case "Wait":
				panic("interceptor")
			}
			if call.Peer == nil || !call.Incoming {
				t.Error("no peer")
			}
			return next(ctx)
		}}
	})
	w.register("bank", newBank())
	p := w.proxy(w.client("bob@bank.example", func(c *broker.ClientConfig) { c.Interceptors = []broker.Interceptor{named("client")} }), w.uri("bank"))
	ctx := broker.WithCorrelation(t.Context(), "order-4711")
	var meta map[string]string
	if err := p.Call(ctx, "Meta", &meta); err != nil || meta["correlation-id"] != "order-4711" {
		t.Errorf("Meta: %v, %v", meta, err)
	}
	want := "[client bank.Meta outer bank.Meta inner bank.Meta inner false outer false client false]"
	if got := fmt.Sprint(trace); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if err := p.Call(ctx, "Gate", nil); kindOf(t, err) != broker.KindBusy {
		t.Errorf("Gate: %v", err)
	}
	if err := p.Call(ctx, "Wait", nil); kindOf(t, err) != broker.KindInternal {
		t.Errorf("Wait: %v", err)
	}
	if _, err := collect(broker.Stream[int](ctx, p, "NoSuch")); kindOf(t, err) != broker.KindNoMethod {
		t.Errorf("NoSuch: %v", err)
	}
}

func TestConnectionHooks(t *testing.T) {
	type key struct{}
	ended := make(chan string, 10)
	w := newWorld(t, func(c *broker.Config) {
		c.OnConnect = func(ctx context.Context, p *broker.Peer) error {
			if strings.Contains(p.Identity.Name, "bob") {
				return errors.New("no workspace for bob")
			}
			p.Set(key{}, "workspace of "+p.Identity.Name)
			return nil
		}
		c.OnDisconnect = func(p *broker.Peer, err error) {
			v, _ := p.Get(key{})
			ended <- fmt.Sprint(v, " ", err)
		}
	})
	w.register("bank", newBank())
	client := w.client("carol@bank.example", nil)
	if err := w.proxy(client, w.uri("bank")).Call(t.Context(), "Nothing", nil); err != nil {
		t.Fatal(err)
	}
	client.Close()
	if got := <-ended; got != "workspace of email:carol@bank.example <nil>" {
		t.Errorf("got %q", got)
	}
	var denied *broker.ConnectionDeniedError
	err := w.proxy(w.client("bob@bank.example", nil), w.uri("bank")).Call(t.Context(), "Nothing", nil)
	if !errors.As(err, &denied) || denied.Incident == "" || strings.Contains(err.Error(), "workspace") {
		t.Errorf("bob: %v", err)
	}
	if !strings.Contains(w.log.String(), "no workspace for bob") {
		t.Error("the log does not say why")
	}
}
