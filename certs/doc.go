// Package certs holds what a program proves itself with, and is the only
// place in Pyrossl that fills a tls.Config.
//
// A [Material] is one certificate chain, its private key and the authorities
// that we trust. A [Source] hands out the material of the moment: [Static] for
// one that never changes, [Files] for files that may be replaced while the
// program runs. [ServerConfig] and [ClientConfig] turn a source into the TLS
// settings of each side; [Refusal] turns a handshake that failed into a
// sentence that says who must change what.
//
// # What it refuses
//
// Anything below TLS 1.3. A peer without a certificate. A certificate that does
// not name its purpose (extended key usage), is outside its dates, or is an
// authority's own. An empty set of trusted authorities, which crypto/tls would
// read as "trust whatever the system trusts". A server whose names do not cover
// the host that was asked for; the common name never counts. A private key that
// other users of the machine can read.
//
// # Security considerations
//
// All rules beyond the chain itself stand in VerifyConnection, which crypto/tls
// runs on every connection; sessions are never resumed. A [PrivateKey] signs and
// does nothing else: it does not print, log or marshal, and this package never
// hands out the key behind it.
package certs
