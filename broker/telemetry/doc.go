// Package telemetry makes OpenTelemetry spans of calls: one on each side of a call, in
// one trace from the first client over daemons and callbacks to the last.
//
//	trace := telemetry.New(telemetry.Config{})
//	d, err := broker.NewDaemon(broker.Config{..., Interceptors: []broker.Interceptor{trace}})
//	c, err := broker.NewClient(broker.ClientConfig{..., Interceptors: []broker.Interceptor{trace},
//		CallbackInterceptors: []broker.Interceptor{trace}})
//
// It uses OpenTelemetry's API only: the program brings the SDK and the exporter, and
// hands over its TracerProvider or makes it the global one. Without one, calls pass the
// trace of their caller on and make no spans.
//
// The context of a trace travels in the metadata of calls (traceparent and tracestate, W3C
// Trace Context), beside what [broker.WithMetadata] and [broker.WithCorrelation] give. If
// that leaves no room in the 4 KiB that metadata may have, the trace is cut there and
// the call is made.
//
// Spans follow the semantic conventions for RPC, version 1.43: they are named
// object/method; a call that failed has an error.type, the kind of its error. Spans of
// callers have the status Error then. Those on the object's side have it for internal
// errors and for time that was up, not for what is an answer to the caller, such as a
// method's own error.
//
// # Security considerations
//
// No argument, no result and no text of an error, which may quote them, gets into a span,
// nor who called: a method may add that itself. Trace ids that come from elsewhere
// are claims of the caller, like all metadata; Config.NewTrace says whose are not to be
// taken over.
package telemetry
