// Package pool calls one object that several daemons serve, as if there were one.
//
//	bank, err := pool.New(client, pool.Config{Daemons: []string{
//		"PYROSSL://bank-1.example:7766/bank",
//		"PYROSSL://bank-2.example:7766/bank",
//	}})
//	defer bank.Close()
//	err = bank.Call(ctx, "Deposit", &balance, "alice", 100)
//
// Each call goes to the less loaded of two daemons taken at random, by the calls of this
// pool that are in flight there: that keeps the load even without any daemon telling its
// own. Calls that depend on each other, a stream, a batch, or a callback's lifetime belong
// to one daemon: they are made with the proxy that [Pool.Pick] returns.
//
// # When a daemon fails
//
// A call is made again, on another daemon, exactly when [broker.Proxy.Call] would make it
// again on the same one: when the method has certainly not run, or when it is declared
// idempotent on both sides and the connection was lost. So a method runs at most
// once, on whichever daemon.
//
// A daemon that cannot be reached, refuses the connection, drains or loses it, several
// times in a row, is ejected: it gets no calls for a while, twice as long each time. Then
// one call is let through; if that gets an answer, of whatever kind, the daemon is back.
// When all are ejected, calls wait a few seconds for the first one to come back, and
// then fail with a [DownError] that says why each is down.
//
// # Connections
//
// The connections are the client's, one to each daemon, shared with its other proxies.
// Config.MaxAge bounds how old they get, so that load moves to daemons that were added
// behind a name or an address; a new connection is there before the old one goes, and
// calls on the old one finish. Config.Idle closes those that nobody uses.
//
// # Security considerations
//
// Each daemon is authenticated by the host or the identity in its own URI. Whoever
// chooses the URIs chooses who gets the calls: a Config.Resolve that asks others must
// trust their answer no more than the URIs' hosts deserve.
package pool
