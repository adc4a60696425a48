// Package session runs one established PYROSSL connection: it multiplexes calls
// in both directions over one TLS connection, splits large messages, bounds
// what is in flight and notices when the peer is gone. It knows nothing of
// identities, objects or policy.
//
// The way of a call:
//
//	caller                                        peer
//	Call -> slot and window (calls.go)
//	     -> frames, combined (writer.go) ======>  reader.go -> incoming.go -> Serve
//	     <- response (reader.go)         <======  Reply or Fail (incoming.go, writer.go)
//
// Every call that was sent has exactly one answer, also when it was cancelled:
// its slot is free again only when that has come, so a late frame can never
// meet another call.
//
// One goroutine at a time reads, and which one changes (turn.go): a quick method is run
// by the one that reads, and a lone caller reads its answer itself (callerreads.go).
// The monitor sees to it that nothing waits behind a method that turns out to be slow,
// and that somebody reads while nobody calls.
//
// Goroutines of a session: one that reads, but for the few milliseconds after the last
// call of a lone caller; one for each call that takes long, which ends with it; and,
// while the socket takes no more bytes, one that writes (writer.drain), which ends when
// all is written or the connection closes. Close waits for all but the methods, Wait
// for those.
package session
