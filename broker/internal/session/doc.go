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
// Goroutines of a session: Run, which reads until the connection ends; one for
// each call that Serve handles, which ends with it; and, while the socket takes
// no more bytes, one that writes (writer.drain), which ends when all is written
// or the connection closes. Close waits for all of them.
package session
