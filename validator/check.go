package validator

// A Check is one of the things that are looked at before a connection is accepted.
// On the wire and in logs it is this word.
type Check string

// The checks, in the order in which they are made.
const (
	CheckHost           Check = "host"
	CheckProtocol       Check = "protocol"
	CheckALPN           Check = "alpn"
	CheckChain          Check = "chain"
	CheckPurpose        Check = "purpose"
	CheckDates          Check = "dates"
	CheckRevocation     Check = "revocation"
	CheckName           Check = "name"
	CheckPin            Check = "pin"
	CheckIdentity       Check = "identity"
	CheckAdmission      Check = "admission"
	CheckIdentification Check = "identification"
	CheckBusy           Check = "busy"
	CheckTimeout        Check = "timeout"
)

// catalogue says of each check what it looks at, who can do something about a
// failure, and what.
var catalogue = []struct {
	check          Check
	text, who, fix string
}{
	{CheckHost, "may this address connect?", "the daemon's operator",
		"change AllowHosts or DenyHosts, or connect from an address that they admit"},
	{CheckProtocol, "do both sides speak TLS 1.3 and pyrossl/1?", "whoever runs the older side",
		"check host and port, and whether something between the two sides ends TLS; then update the older side"},
	{CheckALPN, "do both sides mean the same application protocol?", "the client",
		"check host and port: another service answers there"},
	{CheckChain, "does a trusted authority vouch for the certificate?", "whoever shows the certificate, or whoever trusts",
		"have the certificate issued by the authority that the other side trusts, send leaf and intermediates together, or add the root to the other side's CA file"},
	{CheckPurpose, "is the certificate for this side of a connection?", "whoever shows the certificate",
		"have it issued with the extended key usage of its side, client or server, and not as an authority"},
	{CheckDates, "is the certificate valid now?", "whoever shows the certificate",
		"renew it; if it is fresh, compare the clocks of both machines"},
	{CheckRevocation, "is the certificate, its key, its name and its authority still wanted?", "whoever shows the certificate, or the operator of a list",
		"have a new certificate with a new key issued; if it should not be revoked, or a list is stale, look at the revocation lists and the deny list of the side that refuses"},
	{CheckName, "does the server's certificate cover the host in the URI?", "the server's operator, or whoever wrote the URI",
		"use a host name that the certificate holds, have it issued for this host, or pin its identity with ?id= in the URI"},
	{CheckPin, "is the server the one that the URI pins?", "whoever wrote the URI",
		"compare ?id= with the names in the server's certificate; if they should agree, do not connect until you know who answers there"},
	{CheckIdentity, "do the certificate's names give one identity?", "the daemon's operator, or the client's authority",
		"have a certificate issued with exactly one URI, DNS or e-mail name, or write a mapping rule that says which name counts"},
	{CheckAdmission, "does the daemon let this identity in?", "the daemon's operator",
		"add the identity or one of its roles to those that are admitted"},
	{CheckIdentification, "did the peer give a second factor that is accepted?", "the client",
		"set the identification of the proxy or client; if it is set, compare it with what the daemon allows"},
	{CheckBusy, "is there a place left?", "time, or the daemon's operator",
		"try again later, close connections that are not needed, or raise MaxConnections, MaxPerIdentity or MaxPerAddress"},
	{CheckTimeout, "was the connection set up in time?", "whoever is slow",
		"try again; if it happens often, look for a slow network, or a validator that waits"},
}

// Checks lists the catalogue in the order in which the checks are made.
func Checks() []Check {
	all := make([]Check, len(catalogue))
	for i, c := range catalogue {
		all[i] = c.check
	}
	return all
}

// Text is the question that the check asks.
func (c Check) Text() string {
	for _, e := range catalogue {
		if e.check == c {
			return e.text
		}
	}
	return "a check that this version does not know"
}

// Who says who can do something about a failure.
func (c Check) Who() string {
	for _, e := range catalogue {
		if e.check == c {
			return e.who
		}
	}
	return "the other side's operator"
}

// Fix says what to do about a failure.
func (c Check) Fix() string {
	for _, e := range catalogue {
		if e.check == c {
			return e.fix
		}
	}
	return "look into the other side's log"
}
