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
