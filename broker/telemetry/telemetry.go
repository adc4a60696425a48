package telemetry

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/pyrossl/pyrossl/broker"
)

// Config is what New needs. The zero value is fine.
type Config struct {
	// TracerProvider makes the spans; otel.GetTracerProvider() when nil.
	TracerProvider trace.TracerProvider
	// Propagator writes and reads the metadata; propagation.TraceContext when nil. With
	// propagation.Baggage, what callers put into their baggage is taken over too.
	Propagator propagation.TextMapPropagator
	// NewTrace reports that a call that comes is to begin a trace of its own, which is
	// linked with the caller's instead of being part of it: the caller then decides
	// neither the id nor whether spans are sampled. Nil means never.
	NewTrace func(*broker.CallInfo) bool
}

// name is the instrumentation scope.
const name = "github.com/pyrossl/pyrossl/broker/telemetry"

// New returns an interceptor for daemons, clients and callbacks: it sees from each call
// on which side it stands.
func New(c Config) broker.Interceptor {
	if c.TracerProvider == nil {
		c.TracerProvider = otel.GetTracerProvider()
	}
	if c.Propagator == nil {
		c.Propagator = propagation.TraceContext{}
	}
	t := &tracing{Config: c, tracer: c.TracerProvider.Tracer(name)}
	return func(ctx context.Context, call *broker.CallInfo, next func(context.Context) error) error {
		if call.Incoming {
			return t.incoming(ctx, call, next)
		}
		return t.outgoing(ctx, call, next)
	}
}

type tracing struct {
	Config
	tracer trace.Tracer
}

// incoming makes the span of the object's side.
func (t *tracing) incoming(ctx context.Context, call *broker.CallInfo, next func(context.Context) error) error {
	if sent := broker.Metadata(ctx); sent != nil {
		ctx = t.Propagator.Extract(ctx, propagation.MapCarrier(sent))
	}
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(described(call)...)}
	if from := trace.SpanContextFromContext(ctx); from.IsValid() && t.NewTrace != nil && t.NewTrace(call) {
		options = append(options, trace.WithNewRoot(), trace.WithLinks(trace.Link{SpanContext: from}))
	}
	ctx, span := t.tracer.Start(ctx, rpcMethod(call), options...)
	return run(ctx, span, call, next)
}

// outgoing makes the span of the caller's side.
func (t *tracing) outgoing(ctx context.Context, call *broker.CallInfo, next func(context.Context) error) error {
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(described(call)...)}
	if links, ok := ctx.Value(linksKey{}).([]trace.Link); ok {
		options = append(options, trace.WithLinks(links...))
	}
	ctx, span := t.tracer.Start(ctx, rpcMethod(call), options...)
	return run(t.inject(ctx), span, call, next)
}

// run goes on with the call, and ends its span, also when what is behind panics.
func run(ctx context.Context, span trace.Span, call *broker.CallInfo, next func(context.Context) error) (err error) {
	returned := false
	defer func() {
		if !returned {
			span.SetAttributes(attribute.String("error.type", broker.KindInternal.String()))
			span.SetStatus(codes.Error, broker.KindInternal.String())
		} else if err != nil && span.IsRecording() {
			failed(span, call, err)
		}
		span.End()
	}()
	err = next(ctx)
	returned = true
	return err
}

// failed notes how a call failed.
func failed(span trace.Span, call *broker.CallInfo, err error) {
	kind, text := call.Kind(err), "_OTHER"
	var e *broker.Error
	var denied *broker.ConnectionDeniedError
	incident := ""
	switch {
	case kind != 0:
		text = kind.String()
		if errors.As(err, &e) && !call.Incoming {
			incident = e.Incident
		}
	case errors.As(err, &denied):
		text, incident = "connection denied", denied.Incident
	}
	span.SetAttributes(attribute.String("error.type", text))
	if incident != "" {
		span.SetAttributes(attribute.String("pyrossl.incident", incident))
	}
	if !call.Incoming || kind == broker.KindInternal || kind == broker.KindDeadline {
		span.SetStatus(codes.Error, text)
	}
}

// described are the attributes of a call.
func described(call *broker.CallInfo) []attribute.KeyValue {
	all := make([]attribute.KeyValue, 0, 5)
	all = append(all, attribute.String("rpc.system.name", "pyrossl"), attribute.String("rpc.method", rpcMethod(call)))
	if call.Oneway {
		all = append(all, attribute.Bool("pyrossl.oneway", true))
	}
	if call.Peer != nil {
		if a := call.Peer.Address; a.IsValid() {
			all = append(all, attribute.String("network.peer.address", a.Addr().String()), attribute.Int("network.peer.port", int(a.Port())))
		}
		return all
	}
	_, rest, _ := strings.Cut(call.URI, "://")
	address, _, _ := strings.Cut(rest, "/")
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return all // an object that the other side exports over its own connection
	}
	all = append(all, attribute.String("server.address", host))
	if n, err := strconv.Atoi(port); err == nil {
		all = append(all, attribute.Int("server.port", n))
	}
	return all
}

// rpcMethod is what a span is named. An object that is exported to one connection goes
// by its kind: its name has an id in it that no other object has.
func rpcMethod(call *broker.CallInfo) string {
	object := call.Object
	if !call.Incoming && strings.HasPrefix(call.URI, "PYROPEER:") {
		if dot := strings.LastIndexByte(object, '.'); dot > 0 {
			object = object[:dot]
		}
	}
	return object + "/" + call.Method
}
