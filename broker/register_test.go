package broker_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/pyrossl/pyrossl/broker"
)

type bad struct{ embedded }

type embedded struct{ sync.Mutex }

type (
	withChan     struct{}
	withFunc     struct{}
	withThree    struct{}
	withLateCtx  struct{}
	withErrFirst struct{}
	withIface    struct{}
	unexported   struct{}
	own          struct{ embedded }
)

func (withChan) Listen(c chan int)                     {}
func (withFunc) Do(f func())                           {}
func (withThree) Split(s string) (string, string, int) { return "", "", 0 }
func (withLateCtx) Get(n int, ctx context.Context)     {}

//lint:ignore ST1008 what Register must refuse
func (withErrFirst) Get() (error, string) { return nil, "" }
func (withIface) Get(interface{ Foo() })  {}
func (unexported) get()                   {}

var _ = unexported.get

func (*own) Lock()         {}
func (*own) Unlock()       {}
func (*own) TryLock() bool { return false }
func (*own) Work()         {}

type bankAPI interface {
	Balance(name string) int64
}

// TestRegister sees that what cannot be carried, or was not meant to be called,
// is refused by name and reason.
func TestRegister(t *testing.T) {
	w := newWorld(t, nil)
	tests := []struct {
		name   string
		object any
		opts   []broker.RegisterOption
		want   string // "" for accepted
	}{
		{"bank", newBank(), nil, ""},
		{"bank", newBank(), nil, "registered already"},
		{":Group.bank", newBank(), nil, ""},
		{"", newBank(), nil, "object"},
		{"a/b", newBank(), nil, "object"},
		{"bank?id=dns:x", newBank(), nil, "object"},
		{strings.Repeat("n", 256), newBank(), nil, "255"},
		{broker.SelfName, newBank(), nil, "registered already"},
		{"x", nil, nil, "is nil"},
		{"x", (*bank)(nil), nil, "is nil"},
		{"x", unexported{}, nil, "no exported methods"},
		{"x", 7, nil, "no exported methods"},
		{"x", withChan{}, nil, "x.Listen cannot be exposed: argument 1"},
		{"x", withFunc{}, nil, "x.Do cannot be exposed: argument 1"},
		{"x", withThree{}, nil, "x.Split cannot be exposed: it returns 3 values"},
		{"x", withLateCtx{}, nil, "x.Get cannot be exposed: its context is argument 2"},
		{"x", withErrFirst{}, nil, "x.Get cannot be exposed: its second result is string"},
		{"x", withIface{}, nil, "x.Get cannot be exposed: argument 1"},
		{"x", &bad{}, nil, "comes from the embedded"},
		{"own", &own{}, nil, ""}, // what it declares itself, it means
		{"x", newBank(), []broker.RegisterOption{broker.Expose()}, "names no method"},
		{"x", newBank(), []broker.RegisterOption{broker.Expose("Nope")}, `no exported method "Nope"`},
		{"x", newBank(), []broker.RegisterOption{broker.ExposeAs[int]()}, "not an interface"},
		{"x", newBank(), []broker.RegisterOption{broker.ExposeAs[context.Context]()}, "does not implement"},
		{"x", newBank(), []broker.RegisterOption{broker.IdempotentMethods("Nope")}, `names "Nope"`},
		{"narrow", newBank(), []broker.RegisterOption{broker.ExposeAs[bankAPI]()}, ""},
	}
	for _, test := range tests {
		u, err := w.daemon.Register(test.name, test.object, test.opts...)
		switch {
		case test.want == "" && (err != nil || u.Object != test.name):
			t.Errorf("%.20q: %v, %v", test.name, u, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%.20q: got %v, want an error with %q", test.name, err, test.want)
		}
	}
	p := w.proxy(w.client("alice@bank.example", nil), w.uri("narrow"))
	if err := p.Call(t.Context(), "Balance", nil, "alice"); err != nil {
		t.Errorf("a method of the interface: %v", err)
	}
	if err := p.Call(t.Context(), "Deposit", nil, "alice", 1); kindOf(t, err) != broker.KindNoMethod {
		t.Errorf("a method beside the interface: %v", err)
	}
	if err := w.daemon.Unregister("narrow"); err != nil {
		t.Error(err)
	}
	if err := p.Call(t.Context(), "Balance", nil, "alice"); kindOf(t, err) != broker.KindNoObject {
		t.Errorf("after Unregister: %v", err)
	}
	if err := w.daemon.Unregister("narrow"); err == nil {
		t.Error("unregistered twice")
	}
	if err := w.daemon.Unregister(broker.SelfName); err == nil {
		t.Error("the daemon's own object was unregistered")
	}
}

// TestSelf asks a daemon about itself.
func TestSelf(t *testing.T) {
	w := newWorld(t, nil)
	w.daemon.Register("bank", newBank(), broker.IdempotentMethods("Balance"))
	p := w.proxy(w.client("alice@bank.example", nil), w.uri(broker.SelfName))
	ctx := t.Context()
	if err := p.Call(ctx, "Ping", nil); err != nil {
		t.Error(err)
	}
	var names []string
	if err := p.Call(ctx, "Registered", &names); err != nil || strings.Join(names, " ") != "Pyro.Daemon bank" {
		t.Errorf("Registered: %q, %v", names, err)
	}
	var methods []broker.MethodInfo
	if err := p.Call(ctx, "Methods", &methods, "bank"); err != nil {
		t.Error(err)
	}
	found := false
	for _, m := range methods {
		if m.Name == "Balance" {
			found = m.Idempotent && m.Signature == "Balance(string) int64"
		}
	}
	if !found {
		t.Errorf("Methods: %+v", methods)
	}
	var status broker.Status
	if err := p.Call(ctx, "Status", &status); err != nil || status.Connections != 1 || status.Calls < 4 || status.Certificate.DaysLeft <= 0 || status.Info.Objects != 2 {
		t.Errorf("Status: %+v, %v", status, err)
	}
	m := w.proxy(w.client("mallory@bank.example", nil), w.uri(broker.SelfName))
	if err := m.Call(ctx, "Registered", &names); kindOf(t, err) != broker.KindDenied {
		t.Errorf("mallory: %v", err)
	}
	if err := p.Call(ctx, "Status", &status); err != nil || status.CallsDenied != 1 {
		t.Errorf("after a denial: %+v, %v", status, err)
	}
}

// wideArgs has a method whose arguments take much and weigh little.
type wideArgs struct{}

type wideArg struct{ Block [1 << 10]byte }

func (wideArgs) Count(all ...wideArg) int { return len(all) }

// TestVariadicMemory: many empty arguments are not many large values.
func TestVariadicMemory(t *testing.T) {
	w := newWorld(t, nil)
	p := w.register("wide", wideArgs{})
	var n int
	if err := p.Call(t.Context(), "Count", &n, struct{}{}, struct{}{}); err != nil || n != 2 {
		t.Errorf("two: %d, %v", n, err)
	}
	many := make([]any, 10_000)
	for i := range many {
		many[i] = struct{}{}
	}
	if err := p.Call(t.Context(), "Count", &n, many...); kindOf(t, err) != broker.KindArguments || !strings.Contains(err.Error(), "bytes of memory") {
		t.Errorf("many: %d, %v", n, err)
	}
}
