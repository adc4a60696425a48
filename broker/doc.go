// Package broker exports Go objects to other programs and calls theirs, over
// mutual TLS and nothing else.
//
// A [Daemon] exports objects: any value with exported methods, by [Daemon.Register].
// A [Client] makes a [Proxy] for the URI of an object, and the proxy calls it:
//
//	d, err := broker.NewDaemon(broker.Config{Certs: src, Validator: v, Authorizer: rules})
//	uri, err := d.Register("bank", &Bank{})    // PYROSSL://bank.example:7766/bank
//	err = d.Serve(ctx)
//
//	c, err := broker.NewClient(broker.ClientConfig{Certs: src})
//	bank, err := c.Proxy(ctx, "PYROSSL://bank.example:7766/bank")
//	var balance int64
//	err = bank.Call(ctx, "Deposit", &balance, "alice", 100)
//
// # What stands between a peer and an object
//
// A connection passes, in this order: the daemon's address rules; TLS 1.3, with a
// certificate on both sides (package certs); the mapping of that certificate to an
// identity and the validator's admission (package validator); a passphrase, if one
// is asked for; and limits on connections. The verdict is the first thing that
// travels inside TLS. Then every call passes the authorizer: identity, object and
// method, denied unless a rule allows it. There is no other way to an object, and
// no setting that leaves a step out. The identity of a caller, in [Caller], comes
// from its certificate and never from a message.
//
// # What calls can carry
//
// Values are copied. A method may also take and yield streams ([Stream]), and objects
// may be passed by reference: a client gives a daemon something to call back
// ([Callback]), a daemon makes something for one caller ([Export]), a proxy is an
// argument or a result like any other. [Proxy.Batch] makes one round trip of many calls,
// [Attribute] exposes a value by name, [PerSession] and [PerCall] make an instance for
// each connection or call, and an [Interceptor] stands around every call.
// docs/objects.md in the repository is a guide to all of it.
//
// # A session lives no longer than its reasons
//
// When certificates, revocation lists, authorities, identities, identifications or rules
// change, and when a certificate expires, the daemon goes over all connections and
// calls within about a second: what would not be allowed now ends, with the reason. A
// client does the same with the daemons that it is connected to, and replaces its
// connections, without failing a call, when its own certificate is replaced.
//
// # When something is refused
//
// A refused connection is a [*ConnectionDeniedError] on the client: the check that
// failed, what it saw and what it wanted. A refused or failed call is an [*Error]
// with a [Kind]. Both carry an incident id that is in the daemon's log too, with
// what the caller may not know.
//
// # At most once
//
// A method runs zero or one times for each call. When a connection is lost,
// Error.MayHaveRun says what is known. Only methods that are declared idempotent,
// on both sides, are called again by themselves.
//
// # Security considerations
//
// Methods run with the rights of the process that exports them: Register exposes
// only what a type declares itself, and nothing that it embeds, unless named.
// Arguments are decoded only into the types that the method declares. Method
// implementations must heed their context, or their work outlives its caller.
package broker
