package certs

import "crypto/tls"

// httpProtocols are those of HTTP over TLS, by their ALPN names. net/http speaks both.
var httpProtocols = []string{"h2", "http/1.1"}

// HTTPSConfig is [ServerConfig] for a server that speaks HTTP instead of pyrossl/1, such
// as the one that a daemon's figures are fetched from: TLS 1.3, a certificate of the
// client by a trusted authority, purpose, dates, revocation, and an agreement on h2 or
// http/1.1. A client that names no protocol is refused, as everywhere: without ALPN it
// could be one that was led here and means another service. net/http's client names
// them if its transport has ForceAttemptHTTP2 or its NextProtos are set; curl and
// Prometheus do.
//
// It is made for http.Server.TLSConfig, with empty file names for ServeTLS.
func HTTPSConfig(src Source, opts ...ServerOption) (*tls.Config, error) {
	return ServerConfig(src, append(opts[:len(opts):len(opts)], func(o *serverOptions) { o.protocols = httpProtocols })...)
}
