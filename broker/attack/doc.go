// Package attack holds tests, and nothing else: whoever means harm, against a real
// daemon and a real client over TCP.
//
// There are hostile clients, hostile servers, peers who are refused for one of many
// reasons, floods, revocation under load, a relay in the middle, and a search for
// secrets in everything that was printed. Certificates are made by openssl where the
// encoding of a certificate matters, so that what is refused is not only what Go makes.
//
// Some of them use further addresses of the loopback network, 127.0.0.2 and above, which
// Linux and Windows have. macOS has them after "ifconfig lo0 alias".
//
// The short form runs with the other tests. The long one takes a few minutes, has the
// numbers of the goals that the project has set itself, and prints its figures:
//
//	SOAK=1 go test -v ./broker/attack
package attack
