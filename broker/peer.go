package broker

import (
	"context"
	"crypto/x509"
	"net/netip"
	"sync"
	"time"

	"github.com/pyrossl/pyrossl/validator"
)

// Peer is who is at the other end of a connection, as the TLS handshake and the
// validator proved it. It is safe for concurrent use and must not be changed.
type Peer struct {
	// Identity is what the certificate maps to. Nothing in it comes from a
	// message.
	Identity validator.Identity
	// User is the name that the second factor proved; empty without one.
	User string
	// Certificate is the peer's leaf.
	Certificate *x509.Certificate
	Address     netip.AddrPort
	// Session is the id of the connection, the same on both sides.
	Session string
	Since   time.Time

	values  sync.Map
	callee  *callee  // of the connection
	grounds *grounds // that it was accepted by; of a daemon only
}

// Set keeps a value for as long as the connection lives. Keys are compared as
// by ==; use a type of your own.
func (p *Peer) Set(key, value any) { p.values.Store(key, value) }

// Get returns a value that Set kept.
func (p *Peer) Get(key any) (value any, ok bool) { return p.values.Load(key) }

type callerKey struct{}

// Caller returns who makes the call that ctx belongs to: in a call and in a
// oneway call alike. It returns nil outside of one.
func Caller(ctx context.Context) *Peer {
	p, _ := ctx.Value(callerKey{}).(*Peer)
	return p
}

// calleeOf returns the connection that the call of ctx came on, or nil.
func calleeOf(ctx context.Context) *callee {
	if p := Caller(ctx); p != nil {
		return p.callee
	}
	return nil
}

type metadataKey struct{}

// Metadata returns what the caller sent along with WithMetadata. It is the
// caller's claim and proves nothing. The map must not be changed.
func Metadata(ctx context.Context) map[string]string {
	m, _ := ctx.Value(metadataKey{}).(map[string]string)
	return m
}

type outgoingMetadataKey struct{}

// WithMetadata sends m, at most 4 KiB, along with each call made with the
// context.
func WithMetadata(ctx context.Context, m map[string]string) context.Context {
	return context.WithValue(ctx, outgoingMetadataKey{}, m)
}

// correlationKey is the metadata that joins the calls that one call leads to.
const correlationKey = "correlation-id"

type correlationContextKey struct{}

// WithCorrelation gives the calls made with the context, and those that they lead to
// elsewhere, an id by which their logs can be joined.
func WithCorrelation(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, correlationContextKey{}, id)
}

// Correlation returns the id that WithCorrelation gave, here or at the caller's, or "".
// It is passed on by calls made with the context of a call.
func Correlation(ctx context.Context) string {
	if id, ok := ctx.Value(correlationContextKey{}).(string); ok {
		return id
	}
	return Metadata(ctx)[correlationKey]
}

// OutgoingMetadata returns what calls made with ctx send along: what [WithMetadata] gave,
// and the id of [WithCorrelation]. The map must not be changed.
func OutgoingMetadata(ctx context.Context) map[string]string {
	m, _ := ctx.Value(outgoingMetadataKey{}).(map[string]string)
	id := Correlation(ctx)
	if id == "" || m[correlationKey] == id {
		return m
	}
	with := map[string]string{correlationKey: id}
	for k, v := range m {
		if k != correlationKey {
			with[k] = v
		}
	}
	return with
}
