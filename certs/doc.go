// Package certs holds what a program proves itself with, and is the only
// place in Pyrossl that fills a tls.Config.
//
// A [Material] is one certificate chain, its private key, the authorities
// that we trust, and what was revoked. A [Source] hands out the material of the
// moment: [Static] for one that never changes, [Files] for files that may be
// replaced while the program runs. [ServerConfig] and [ClientConfig] turn a source
// into the TLS settings of each side; [Refusal] turns a handshake that failed into a
// sentence that says who must change what. [Recheck] says whether a peer that was
// accepted once still would be, and [ValidUntil] when to ask that again.
//
// # What it refuses
//
// Anything below TLS 1.3. A peer without a certificate. A certificate that does
// not name its purpose (extended key usage), is outside its dates, or is an
// authority's own. An empty set of trusted authorities, which crypto/tls would
// read as "trust whatever the system trusts". A server whose names do not cover
// the host that was asked for; the common name never counts. A private key that
// other users of the machine can read. A peer whose certificate, or an authority of
// whose, was revoked.
//
// # Revocation
//
// [Revocations] are made of the authorities' own lists ([CRL], RFC 5280) and of a
// [DenyList] of ours. They are part of the material, so that each connection sees one
// state of everything.
//
// Nothing passes because of what is not known. Once there is a revocation list, the
// authority of every peer's certificate must have one ([ListRequirement]). A list
// counts when the authority that issued the certificate has signed it, and is for all
// its certificates or for this kind of them. It needs a number, and a [FileSource]
// takes no older one after it. Out of date, by its own nextUpdate or by a maximum age,
// it vouches for nobody any more, until a newer one comes or
// InsecureAllowStaleLists is set; what it revokes stays revoked. Status shows all of
// that.
//
// A server tells a revoked client why it is refused by finishing the handshake first:
// see [RecheckAfterHandshake]. Package certs/ocsp asks responders instead of reading
// lists.
//
// # Security considerations
//
// All rules beyond the chain itself stand in VerifyConnection, which crypto/tls
// runs on every connection. Sessions are resumed only where [ResumeSessions] or, on
// the client's side, [ResumeWith] was asked for; tickets are then bound to the
// material, and every rule is applied again to what the peer had presented. A [PrivateKey] signs and does nothing
// else: it does not print, log or marshal, and this package never hands out the key
// behind it.
//
// Which list was the newest is remembered as long as a source lives, not on disk: who
// can put an old list in place and restart the program is stopped by the list's dates
// only.
package certs
