// Package ocsp asks authorities about certificates while connections are set up, by
// the Online Certificate Status Protocol (RFC 6960). It is an option beside the
// revocation lists of package certs, for authorities that keep a responder.
//
// A [Checker] takes the responder's address from the certificate itself, over HTTP,
// and keeps answers until they are due for renewal, at most for [Config.MaxCache]. An
// answer "revoked" is kept for as long as the certificate is valid and wins over
// every later one. Asking never takes longer than the context, nor than
// [Config.Timeout].
//
// What happens without an answer has to be decided: see [FailMode].
//
// # Security considerations
//
// Only verified chains may be checked: it is the authorities' word, and not the
// peer's, to which address a question goes. An answer counts when the authority that
// issued the certificate has signed it, or a responder to which that authority gave a
// certificate for this very purpose; any other certificate of the same authority, such
// as the peer's own, does not do. Nobody is asked about the responder's certificate
// itself: it should be short-lived. There is no nonce: an answer may be replayed until
// its nextUpdate, and, if it has none, for ten minutes.
package ocsp
