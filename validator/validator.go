package validator

import (
	"context"
	"crypto/x509"
	"net/netip"
)

// A Validator decides who may connect. Its steps have Pyro's names. A type becomes a
// Validator by embedding *Default and nothing else, and overrides the methods that it
// wants to change; a daemon runs them through Steps, so that an override can only
// refuse more.
//
// An error refuses the connection. A *Denial tells the peer why; of any other error
// the peer learns only which step refused it, and this side's log has the rest.
// Methods are called by many goroutines at a time. One that does not return when
// its context ends is left behind: the connection is refused without it.
type Validator interface {
	// AcceptHost sees an address before anything else is known of the peer.
	AcceptHost(ctx context.Context, addr netip.Addr) error
	// CheckCertificate sees the identity and the verified certificate. It is on the
	// daemon's side, and gets its own copy of the identity.
	CheckCertificate(ctx context.Context, id Identity, leaf *x509.Certificate) error
	// MungeIdent checks an identification that is set on a client or a proxy, and
	// may change its form. The result must be comparable with ==: proxies whose
	// results are equal share connections.
	MungeIdent(ident any) (any, error)
	// CreateAuthChallenge begins the identification on the daemon's side. A nil
	// challenge asks for none.
	CreateAuthChallenge(ctx context.Context, ex *Exchange) ([]byte, error)
	// CreateAuthToken answers a challenge on the client's side. When ex.Final is
	// set, the challenge is the daemon's proof, to be verified, and no token is sent.
	CreateAuthToken(ctx context.Context, ex *Exchange, challenge []byte) ([]byte, error)
	// AcceptIdentification sees a token on the daemon's side. The reply is the next
	// challenge or, when done, the proof for the client.
	AcceptIdentification(ctx context.Context, ex *Exchange, token []byte) (reply []byte, done bool, err error)

	base() *Default
}

// MaxToken bounds challenges, tokens and proofs, in bytes.
const MaxToken = 4096

// An Exchange is one identification on one connection, seen from one side. Each call
// of a step gets its own copy; what it sets in User and State is kept.
type Exchange struct {
	// Identity is who the peer is, on the daemon's side.
	Identity Identity
	// Addr is the peer's address.
	Addr netip.Addr
	// URI is what the client is connecting to; empty on the daemon's side.
	URI string
	// Ident is what MungeIdent made of the identification that was set on the client
	// or proxy; nil if none was. It is nil on the daemon's side.
	Ident any
	// ChannelBinding is the tls-exporter value of the connection (RFC 9266), 32
	// bytes that no other connection has.
	ChannelBinding []byte
	// Final says that the challenge is the daemon's proof.
	Final bool
	// User is set on the daemon's side by an identification that has a name.
	User string
	// State is the validator's own, from one call to the next.
	State any

	// scram is Default's own state: *serverScram or *clientScram.
	scram any
}
