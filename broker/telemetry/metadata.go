package telemetry

import (
	"context"
	"maps"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/pyrossl/pyrossl/broker"
)

type linksKey struct{}

// WithLink links the spans of calls made with the result to the span that from has. A
// daemon that calls a callback when the call that handed it over has long ended uses it to
// join the two traces:
//
//	func (s *Stock) Watch(ctx context.Context, listener *broker.Proxy) {
//		s.later(telemetry.WithLink(context.Background(), ctx), listener)
//	}
//
// Calls made with the context of a call need none: they are part of its trace.
func WithLink(ctx, from context.Context) context.Context {
	link := trace.LinkFromContext(from)
	if !link.SpanContext.IsValid() {
		return ctx
	}
	links, _ := ctx.Value(linksKey{}).([]trace.Link)
	return context.WithValue(ctx, linksKey{}, append(links[:len(links):len(links)], link))
}

// maxMetadata is what the metadata of a call may have, as encoded. PROTOCOL §5.1.
const maxMetadata = 4 << 10

// inject adds the trace to what calls made with ctx send along. What is there already
// stays as it is, but for the propagator's own fields.
func (t *tracing) inject(ctx context.Context) context.Context {
	fields := make(propagation.MapCarrier, 2)
	t.Propagator.Inject(ctx, fields)
	if len(fields) == 0 {
		return ctx
	}
	given := broker.OutgoingMetadata(ctx)
	for range 2 {
		all := make(map[string]string, len(given)+len(fields))
		maps.Copy(all, given)
		maps.Copy(all, fields)
		if encoded(all) <= maxMetadata {
			return broker.WithMetadata(ctx, all)
		}
		// State and baggage may be kilobytes; the ids, which join the traces, are not.
		fields = propagation.MapCarrier{"traceparent": fields["traceparent"]}
		if fields["traceparent"] == "" {
			break
		}
	}
	return ctx
}

// encoded is the size of metadata on the wire: a CBOR map of texts (RFC 8949, section 3).
func encoded(m map[string]string) int {
	n := head(len(m))
	for k, v := range m {
		n += head(len(k)) + len(k) + head(len(v)) + len(v)
	}
	return n
}

func head(n int) int {
	switch {
	case n < 24:
		return 1
	case n < 1<<8:
		return 2
	case n < 1<<16:
		return 3
	}
	return 5
}
