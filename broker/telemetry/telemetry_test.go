package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	api "go.opentelemetry.io/otel/trace"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/brokertest"
	"github.com/pyrossl/pyrossl/broker/telemetry"
	"github.com/pyrossl/pyrossl/internal/leakcheck"
	"github.com/pyrossl/pyrossl/validator"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// stock calls its callers back, at once or later.
type stock struct {
	mu    sync.Mutex
	later func(context.Context) error
	sent  map[string]string
	bags  baggage.Baggage
}

func (s *stock) Price(ctx context.Context, name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent, s.bags = broker.Metadata(ctx), baggage.FromContext(ctx)
	return 7
}

func (s *stock) Tell(ctx context.Context, listener *broker.Proxy) error {
	return listener.Call(ctx, "Notify", nil, "now")
}

func (s *stock) Watch(ctx context.Context, listener *broker.Proxy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.later = func(context.Context) error {
		return listener.Call(telemetry.WithLink(context.Background(), ctx), "Notify", nil, "later")
	}
}

func (s *stock) Fail(text string) error { return errors.New(text) }
func (s *stock) Panic()                 { panic("secret") }
func (s *stock) Late() error            { return context.DeadlineExceeded }
func (s *stock) Busy() error            { return broker.Refuse(broker.KindBusy, "secret") }
func (s *stock) Count(n int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			time.Sleep(time.Second)
			if !yield(i, nil) {
				return
			}
		}
	}
}

type listener struct{ back *broker.Proxy }

// Notify calls the daemon again: a third process in a chain would do the same.
func (l *listener) Notify(ctx context.Context, _ string) error {
	return l.back.Call(ctx, "Price", nil, "ACME")
}

type world struct {
	*brokertest.World
	stock    *stock
	recorder *tracetest.SpanRecorder
	provider *trace.TracerProvider
}

// newWorld has interceptors of one provider everywhere.
func newWorld(t *testing.T, change func(*telemetry.Config)) *world {
	t.Helper()
	w := &world{stock: new(stock), recorder: tracetest.NewSpanRecorder()}
	w.provider = trace.NewTracerProvider(trace.WithSpanProcessor(w.recorder))
	c := telemetry.Config{TracerProvider: w.provider}
	if change != nil {
		change(&c)
	}
	all := []broker.Interceptor{telemetry.New(c)}
	w.World = brokertest.New(t, brokertest.Config{
		Objects: map[string]any{"stock": w.stock}, InMemory: true,
		Rules: []validator.Rule{
			{Name: "mallory", Effect: validator.Deny, Identities: []string{"mallory"}, Objects: []string{"stock"}, Methods: []string{"*"}},
			{Name: "all", Effect: validator.Allow, Identities: []string{"*"}, Objects: []string{"*"}, Methods: []string{"*"}},
		},
		Daemon: func(c *broker.Config) { c.Interceptors = all },
		Client: func(_ string, c *broker.ClientConfig) { c.Interceptors, c.CallbackInterceptors = all, all },
	})
	return w
}

// spans are those that have ended, by kind and name.
func (w *world) spans(t *testing.T) map[string]trace.ReadOnlySpan {
	t.Helper()
	synctest.Wait()
	all := make(map[string]trace.ReadOnlySpan)
	for _, s := range w.recorder.Ended() {
		key := s.SpanKind().String() + " " + s.Name()
		if all[key] != nil {
			t.Errorf("two spans %q", key)
		}
		all[key] = s
	}
	if started := len(w.recorder.Started()); started != len(w.recorder.Ended()) {
		t.Errorf("%d spans were begun, %d ended", started, len(w.recorder.Ended()))
	}
	return all
}

func attributes(s trace.ReadOnlySpan) map[string]string {
	all := make(map[string]string)
	for _, a := range s.Attributes() {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

// TestOneTrace follows one trace id from a client over a daemon into a callback, and from
// there to the daemon again: six spans, each the child of the one before.
func TestOneTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.Close()
		p := w.Proxy("alice", "stock")
		ctx, root := w.provider.Tracer("test").Start(t.Context(), "root")
		if err := p.Call(ctx, "Tell", nil, broker.Callback("listener", &listener{p})); err != nil {
			t.Fatal(err)
		}
		root.End()
		all := w.spans(t)
		parent := root.SpanContext()
		for _, name := range []string{
			"client stock/Tell", "server stock/Tell", "client listener/Notify", "server listener/Notify", "client stock/Price", "server stock/Price",
		} {
			s := all[name]
			if s == nil {
				t.Fatalf("no span %q among %q", name, slices.Collect(maps.Keys(all)))
			}
			if s.SpanContext().TraceID() != root.SpanContext().TraceID() || s.Parent().SpanID() != parent.SpanID() {
				t.Errorf("%s: trace %v, parent %v, want %v, %v", name, s.SpanContext().TraceID(), s.Parent().SpanID(), root.SpanContext().TraceID(), parent.SpanID())
			}
			if remote := s.Parent().IsRemote(); remote != (s.SpanKind() == api.SpanKindServer) {
				t.Errorf("%s: its parent is remote: %v", name, remote)
			}
			if s.Status().Code != codes.Unset {
				t.Errorf("%s: status %v", name, s.Status())
			}
			parent = s.SpanContext()
		}
		if len(all) != 7 {
			t.Errorf("%d spans, want 7", len(all))
		}
		want := map[string]string{"rpc.system.name": "pyrossl", "rpc.method": "stock/Tell", "server.address": "localhost", "server.port": "7766"}
		if got := attributes(all["client stock/Tell"]); !maps.Equal(got, want) {
			t.Errorf("attributes of the caller's span: got %v, want %v", got, want)
		}
		got := attributes(all["server stock/Tell"])
		if got["network.peer.address"] == "" || got["network.peer.port"] == "" || got["rpc.method"] != "stock/Tell" || len(got) != 4 {
			t.Errorf("attributes of the object's span: %v", got)
		}
		if got := attributes(all["client listener/Notify"]); got["rpc.method"] != "listener/Notify" || len(got) != 2 {
			t.Errorf("attributes of the callback's caller: %v", got)
		}
	})
}

// TestLateCallback: a callback that is called when its call has ended is in a trace of its
// own, which is linked with the call's.
func TestLateCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.Close()
		p := w.Proxy("alice", "stock")
		if err := p.Call(t.Context(), "Watch", nil, broker.Callback("listener", &listener{p})); err != nil {
			t.Fatal(err)
		}
		if err := w.stock.later(t.Context()); err != nil {
			t.Fatal(err)
		}
		all := w.spans(t)
		watch, notify := all["server stock/Watch"], all["client listener/Notify"]
		if notify.Parent().IsValid() || notify.SpanContext().TraceID() == watch.SpanContext().TraceID() {
			t.Errorf("the late callback is part of the call's trace: parent %v", notify.Parent())
		}
		if links := notify.Links(); len(links) != 1 || links[0].SpanContext.SpanID() != watch.SpanContext().SpanID() {
			t.Errorf("its links are %v, want one to %v", links, watch.SpanContext())
		}
		if s := all["server listener/Notify"]; s.SpanContext().TraceID() != notify.SpanContext().TraceID() || len(s.Links()) != 0 {
			t.Errorf("the callback's own span: %v, links %v", s.SpanContext(), s.Links())
		}
		if ctx := telemetry.WithLink(t.Context(), t.Context()); ctx != t.Context() {
			t.Error("a link to no span was added")
		}
	})
}

// TestMetadata: what the program itself sends along arrives as well, and its map stays as
// it was.
func TestMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.Close()
		p := w.Proxy("alice", "stock")
		call := func(given map[string]string, correlation string) map[string]string {
			t.Helper()
			before := maps.Clone(given)
			ctx := t.Context()
			if given != nil {
				ctx = broker.WithMetadata(ctx, given)
			}
			if correlation != "" {
				ctx = broker.WithCorrelation(ctx, correlation)
			}
			if err := p.Call(ctx, "Price", nil, "ACME"); err != nil {
				t.Fatalf("with %d bytes of metadata: %v", len(fmt.Sprint(given)), err)
			}
			if !maps.Equal(given, before) {
				t.Errorf("the program's map was changed to %v", given)
			}
			got := maps.Clone(w.stock.sent)
			for k, v := range given {
				if k != "traceparent" && got[k] != v {
					t.Errorf("metadata %q arrived as %q, want %q", k, got[k], v)
				}
			}
			return got
		}
		if got := call(nil, ""); len(got) != 1 || got["traceparent"] == "" {
			t.Errorf("without metadata of the program's: %v", got)
		}
		if got := call(map[string]string{"tenant": "a", "x": ""}, "order-7"); len(got) != 4 || got["correlation-id"] != "order-7" || got["traceparent"] == "" {
			t.Errorf("with it: %v", got)
		}
		// Who passes on all that came passes on the trace that it is part of now.
		stale := "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
		if got := call(map[string]string{"traceparent": stale}, ""); got["traceparent"] == stale {
			t.Error("a stale traceparent was sent")
		}
		// A call that fits without the trace is made without it; one byte less, and there is room.
		const overhead = 3 + 1 + 2 // of key and value, and of the map
		sent := call(nil, "")["traceparent"]
		full := 4096 - overhead - 1 // the key is one byte
		if got := call(map[string]string{"k": strings.Repeat("x", full)}, ""); len(got) != 1 {
			t.Errorf("with full metadata %d entries arrived", len(got))
		}
		room := full - (1 + len("traceparent") + 2 + len(sent))
		for size, want := range map[int]int{room: 2, room + 2: 1} {
			if got := call(map[string]string{"k": strings.Repeat("x", size)}, ""); len(got) != want {
				t.Errorf("with %d bytes %d entries arrived, want %d", size, len(got), want)
			}
		}
	})
}

// TestBaggage takes part only if the program wants it, and is the first to stay behind.
func TestBaggage(t *testing.T) {
	for _, wanted := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(c *telemetry.Config) {
				if wanted {
					c.Propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
				}
			})
			defer w.Close()
			for size, arrives := range map[int]bool{10: wanted, 4000: false} {
				m, err := baggage.NewMember("user", strings.Repeat("x", size))
				if err != nil {
					t.Fatal(err)
				}
				b, err := baggage.New(m)
				if err != nil {
					t.Fatal(err)
				}
				ctx := broker.WithMetadata(baggage.ContextWithBaggage(t.Context(), b), map[string]string{"tenant": strings.Repeat("t", 100)})
				if err := w.Proxy("alice", "stock").Call(ctx, "Price", nil, "ACME"); err != nil {
					t.Fatal(err)
				}
				if got := w.stock.bags.Len() == 1; got != arrives || w.stock.sent["traceparent"] == "" {
					t.Errorf("baggage wanted: %v, %d bytes: arrived: %v, metadata %d", wanted, size, got, len(w.stock.sent))
				}
			}
		})
	}
}

// TestNewTrace: the trace of a caller that is not to decide is linked only.
func TestNewTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *telemetry.Config) {
			c.NewTrace = func(call *broker.CallInfo) bool { return call.Peer.Identity.Name == "bob" }
		})
		defer w.Close()
		for _, who := range []string{"alice", "bob"} {
			w.recorder.Reset()
			if err := w.Proxy(who, "stock").Call(t.Context(), "Price", nil, "ACME"); err != nil {
				t.Fatal(err)
			}
			all := w.spans(t)
			caller, object := all["client stock/Price"], all["server stock/Price"]
			same := caller.SpanContext().TraceID() == object.SpanContext().TraceID()
			linked := len(object.Links()) == 1 && object.Links()[0].SpanContext.SpanID() == caller.SpanContext().SpanID()
			if own := who == "bob"; same == own || linked != own || object.Parent().IsValid() == own {
				t.Errorf("%s: same trace %v, linked %v, parent %v", who, same, linked, object.Parent())
			}
		}
	})
}

// TestStatus makes calls fail in every way.
func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.Close()
		for _, test := range []struct {
			who, object, method string
			args                []any
			kind                string
			object2             string // status of the object's span; "-" for no such span
		}{
			{"alice", "stock", "Fail", []any{"secret"}, "failed", "Unset"},
			{"alice", "stock", "Panic", nil, "internal error", "Error"},
			{"alice", "stock", "Late", nil, "deadline exceeded", "Error"},
			{"alice", "stock", "Busy", nil, "too many calls", "Unset"},
			{"alice", "stock", "Price", []any{1, 2, "secret"}, "wrong arguments", "Unset"},
			{"alice", "stock", "Missing", []any{"secret"}, "no such method", "-"},
			{"mallory", "stock", "Price", []any{"secret"}, "denied", "-"},
			{"alice", "nothing", "Price", []any{"secret"}, "no such object", "-"},
		} {
			w.recorder.Reset()
			err := w.Proxy(test.who, test.object).Call(t.Context(), test.method, nil, test.args...)
			if err == nil {
				t.Errorf("%+v succeeded", test)
			}
			all := w.spans(t)
			name := test.object + "/" + test.method
			caller, object := all["client "+name], all["server "+name]
			if s := caller.Status(); s.Code != codes.Error || s.Description != test.kind || attributes(caller)["error.type"] != test.kind {
				t.Errorf("%s: the caller's span has %v, %v, want %q", name, s, attributes(caller), test.kind)
			}
			var e *broker.Error
			if errors.As(err, &e); attributes(caller)["pyrossl.incident"] != e.Incident {
				t.Errorf("%s: incident %q, want %q", name, attributes(caller)["pyrossl.incident"], e.Incident)
			}
			if (object == nil) != (test.object2 == "-") {
				t.Errorf("%s: the object's span is %v, want %q", name, object, test.object2)
			} else if object != nil && (object.Status().Code.String() != test.object2 || attributes(object)["error.type"] != test.kind) {
				t.Errorf("%s: the object's span has %v, %v", name, object.Status(), attributes(object))
			}
			for _, s := range all {
				if text := fmt.Sprint(s.Attributes(), s.Events(), s.Status(), s.Name()); strings.Contains(text, "secret") {
					t.Errorf("%s: an argument or the text of an error is in the span: %s", name, text)
				}
			}
		}
	})
}

func TestOtherErrors(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	i := telemetry.New(telemetry.Config{TracerProvider: trace.NewTracerProvider(trace.WithSpanProcessor(recorder))})
	call := &broker.CallInfo{Object: "stock", Method: "Price", URI: "PYROSSL://[::1]:7766/stock?id=dns:x"}
	i(t.Context(), call, func(context.Context) error { return &broker.ConnectionDeniedError{Incident: "7QX2-M4"} })
	i(t.Context(), call, func(context.Context) error { return errors.New("secret") })
	func() {
		defer func() { recover() }()
		i(t.Context(), call, func(context.Context) error { panic("secret") })
	}()
	want := []map[string]string{
		{"error.type": "connection denied", "pyrossl.incident": "7QX2-M4"}, {"error.type": "_OTHER"}, {"error.type": "internal error"},
	}
	for n, s := range recorder.Ended() {
		got := attributes(s)
		if got["server.address"] != "::1" || got["server.port"] != "7766" {
			t.Errorf("span %d: %v", n, got)
		}
		for _, k := range []string{"rpc.system.name", "rpc.method", "server.address", "server.port"} {
			delete(got, k)
		}
		if n >= len(want) || !maps.Equal(got, want[n]) || s.Status().Code != codes.Error {
			t.Errorf("span %d: %v, %v", n, got, s.Status())
		}
	}
	if n := len(recorder.Ended()); n != 3 {
		t.Errorf("%d spans, want 3", n)
	}
}

// TestLongCalls: a stream's span ends with the stream, a oneway call's with its sending.
func TestLongCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.Close()
		p := w.Proxy("alice", "stock")
		for _, err := range broker.Stream[int](t.Context(), p, "Count", 3) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Oneway(t.Context(), "Price", "ACME"); err != nil {
			t.Fatal(err)
		}
		b := p.Batch()
		b.Call("Late")
		b.Run(t.Context())
		all := w.spans(t)
		for _, side := range []string{"client ", "server "} {
			s := all[side+"stock/Count"]
			if took := s.EndTime().Sub(s.StartTime()); took < 3*time.Second {
				t.Errorf("%sspan of a stream of 3 s took %v", side, took)
			}
			if got := attributes(all[side+"stock/Price"])["pyrossl.oneway"]; got != "true" {
				t.Errorf("%sspan of a oneway call: %q", side, got)
			}
		}
		if s := all["server stock/Late"]; s == nil || s.Parent().SpanID() != all["client stock/batch"].SpanContext().SpanID() {
			t.Errorf("spans of a batch: %v", s)
		}
	})
}

// TestNoProvider: without an SDK a daemon makes no spans, and what it calls is still in
// the caller's trace.
func TestNoProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := telemetry.New(telemetry.Config{})
		const sent = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
		s := new(stock)
		back := brokertest.New(t, brokertest.Config{Objects: map[string]any{"stock": s}, InMemory: true,
			Client: func(_ string, c *broker.ClientConfig) { c.Interceptors = []broker.Interceptor{i} }})
		defer back.Close()
		front := brokertest.New(t, brokertest.Config{
			Objects: map[string]any{"relay": relay{back.Proxy("front", "stock")}}, InMemory: true,
			Daemon: func(c *broker.Config) { c.Interceptors = []broker.Interceptor{i} },
		})
		defer front.Close()
		p := front.Proxy("alice", "relay")
		if err := p.Call(broker.WithMetadata(t.Context(), map[string]string{"traceparent": sent}), "Price", nil); err != nil {
			t.Fatal(err)
		}
		if got := s.sent["traceparent"]; got != sent {
			t.Errorf("the daemon behind got %q, want %q", got, sent)
		}
		// What is no trace is no harm.
		for _, wrong := range []string{"", "00", "00-00000000000000000000000000000000-0000000000000000-01", strings.Repeat("f", 1500)} {
			s.sent = map[string]string{"not": "called"}
			if err := p.Call(broker.WithMetadata(t.Context(), map[string]string{"traceparent": wrong, "tracestate": wrong}), "Price", nil); err != nil || s.sent != nil {
				t.Errorf("with traceparent %.60q: %v, the daemon behind got %v", wrong, err, s.sent)
			}
		}
	})
}

type relay struct{ to *broker.Proxy }

func (r relay) Price(ctx context.Context) error { return r.to.Call(ctx, "Price", nil, "ACME") }
