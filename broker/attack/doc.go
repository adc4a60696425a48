// Package attack holds tests, and nothing else: whoever means harm, against a real
// daemon and a real client over TCP.
//
// There are hostile clients, hostile servers, peers who are refused for one of many
// reasons, floods, revocation under load, a relay in the middle, and a search for
// secrets in everything that was printed. Certificates are made by openssl where the
// encoding of a certificate matters, so that what is refused is not only what Go makes.
//
// The short form runs with the other tests. With SOAK set in the environment the
// numbers are those that docs/testing.md promises:
//
//	SOAK=1 go test -timeout 60m -v ./broker/attack
package attack
