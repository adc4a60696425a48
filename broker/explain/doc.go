// Package explain finds out why a connection to a daemon, or a call, is refused or would
// be, and says which side must change what. It is what `broker explain URI` prints, and
// docs/explain.md in the repository has an example.
//
//	report := explain.Run(ctx, explain.Options{URI: "PYROSSL://bank.example:7766/bank", Method: "Deposit", Cert: "me.crt", Key: "me.key", CA: "ca.crt"})
//	report.WriteText(os.Stdout)
//
// A report is a list of steps in the order in which a connection passes them:
//
//	uri             can the text be used?
//	certificate     our own: files, key, dates, purpose, chain; whom we trust
//	lists           the revocation lists that we go by
//	dns             the addresses of the host
//	tcp             does something listen, at each address?
//	protocol        what speaks there: TLS 1.3, or what else?
//	alpn            does it speak pyrossl/1?
//	chain           does an authority of ours vouch for the server?
//	dates           are its certificates valid now, by our clock?
//	purpose         is its certificate a server's?
//	revocation      was it revoked, as far as our lists know?
//	name, or pin    is it the host, or the identity, in the URI?
//	verdict         the daemon's: Welcome, or Deny with its reason and incident
//	identity        who we are to it
//	identification  the second factor
//	policy          may we call the method?
//	daemon          its own status, where we may read it
//
// Each check of the server's certificate is made by itself, so that one report has all
// of its faults. The first step that failed decides the outcome; later ones are skipped
// where they depend on it.
//
// # What it sends
//
// The steps up to name send no certificate and no data: the handshake is given up when
// the server has shown itself. The verdict is that of an ordinary connection by a
// [broker.Client], which sends our certificate to none but a server that passed all
// checks. The question whether a method may be called is a call that can never run: its
// arguments are no arguments. The daemon decides about it, notes a denial and counts it
// as about any other call. Calls of Pyro.Daemon are made where they may tell more; a daemon
// whose rules do not let us make them notes that, too.
//
// # Security considerations
//
// Reports quote names and dates of certificates, never keys or passphrases. Texts that
// came from the other side are bounded and printable. What a report says of a server
// whose steps failed is what the server says of itself, and proves nothing.
package explain
