package telemetry_test

import (
	"context"
	"fmt"
	"testing"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/brokertest"
	"github.com/pyrossl/pyrossl/broker/telemetry"
)

type Greeter struct{}

func (Greeter) Hello(name string) string { return "hello " + name }

// Spans of both sides of a call, in one trace. A program has an exporter where this
// example has a recorder.
func ExampleNew() {
	recorder := tracetest.NewSpanRecorder()
	trace := telemetry.New(telemetry.Config{TracerProvider: trace.NewTracerProvider(trace.WithSpanProcessor(recorder))})
	w := brokertest.New(new(testing.T), brokertest.Config{
		Objects: map[string]any{"greeter": Greeter{}}, InMemory: true,
		Daemon: func(c *broker.Config) { c.Interceptors = []broker.Interceptor{trace} },
		Client: func(_ string, c *broker.ClientConfig) { c.Interceptors = []broker.Interceptor{trace} },
	})
	w.Proxy("alice", "greeter").Call(context.Background(), "Hello", nil, "world")
	w.Close()
	spans := recorder.Ended()
	for _, s := range spans {
		fmt.Println(s.SpanKind(), s.Name())
	}
	fmt.Println(spans[0].SpanContext().TraceID() == spans[1].SpanContext().TraceID())
	// Output:
	// server greeter/Hello
	// client greeter/Hello
	// true
}
