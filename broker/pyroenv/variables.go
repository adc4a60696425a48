package pyroenv

// A reader puts a variable's value into the settings, or says what is wrong. The
// value is not empty and has no control characters.
type reader func(s *Settings, value string) *Error

// variables are all that are known.
var variables = map[string]reader{
	"PYRO_HOST":              func(s *Settings, v string) *Error { return listenHost(&s.Host, v) },
	"PYRO_PORT":              func(s *Settings, v string) *Error { return port(&s.Port, v, 0) },
	"PYRO_PUBLISHHOST":       func(s *Settings, v string) *Error { return publishHost(&s.PublishHost, v) },
	"PYRO_PUBLISHPORT":       func(s *Settings, v string) *Error { return port(&s.PublishPort, v, 1) },
	"PYRO_DNS_URI":           dnsURI,
	"PYRO_MAXCONNECTIONS":    func(s *Settings, v string) *Error { return number(&s.MaxConnections, v, 1, 1_000_000) },
	"PYRO_MAXHALFOPEN":       func(s *Settings, v string) *Error { return number(&s.MaxHalfOpen, v, 1, 65_536) },
	"PYRO_HANDSHAKE_TIMEOUT": func(s *Settings, v string) *Error { return timeout(&s.HandshakeTimeout, v) },
	"PYRO_MAXMESSAGE":        func(s *Settings, v string) *Error { return size(&s.MaxMessage, v) },
	"PYRO_TRACELEVEL":        traceLevel,

	"PYROSSL_CERTDIR": func(s *Settings, v string) *Error { s.certDir = v; return nil },
	"PYROSSL_CA_CERT": func(s *Settings, v string) *Error { s.CA = v; return nil },
	"PYROSSL_CERT":    func(s *Settings, v string) *Error { s.Cert = v; return nil },
	"PYROSSL_KEY":     func(s *Settings, v string) *Error { s.Key = v; return nil },

	// What would be unsafe.
	"PYROSSL_POSTCONNCHECK":   unsafeUnless("1", "would take any server for the one that was meant; the check of the host against the certificate is always made"),
	"PYROSSL_CRL":             unsafeUnless("", "would not be read, and revoked certificates would pass unnoticed"),
	"PYRO_XML_PICKLE":         unsafeUnless("", noPickle),
	"PYRO_GNOSIS_PARANOIA":    unsafeUnless("", noPickle),
	"PYRO_PICKLE_FORMAT":      unsafeUnless("", noPickle),
	"PYRO_COMPRESSION":        unsafeUnless("0", "would give away secrets by the length of messages, and a small message could ask for any amount of memory; there is no compression"),
	"PYRO_DETAILED_TRACEBACK": unsafeUnless("0", "would send the values of local variables to callers; stacks are in the daemon's log, under the incident id that the caller gets"),
	"PYRO_MOBILE_CODE":        unsafeUnless("0", "would run code that a peer sends; only values are exchanged here"),
	"PYRO_CONFIG_FILE":        unsafeUnless("", "would not be read, with whatever limits are in it; set the variables themselves, or give broker serve a --config FILE"),

	// What would be missed.
	"PYRO_PORT_RANGE":      refuseUnless("1", "would let a daemon move to a port that no URI names; set PYRO_PORT for each, or to 0 for a free one"),
	"PYRO_MULTITHREADED":   refuseUnless("1", "would run one call at a time; calls always run at the same time, and objects guard their own state"),
	"PYRO_ONEWAY_THREADED": refuseUnless("1", "would make the caller's other calls wait for oneway ones; all calls run at the same time"),
	"PYRO_NS_BC_ADDR":      refuseUnless("", noBroadcast),
	"PYRO_NS_BC_PORT":      refuseUnless("", noBroadcast),
	"PYRO_BC_RETRIES":      refuseUnless("", noBroadcast),
	"PYRO_BC_TIMEOUT":      refuseUnless("", noBroadcast),
	"PYRO_NS2_HOSTNAME":    refuseUnless("", noPair),
	"PYRO_NS2_PORT":        refuseUnless("", noPair),
	"PYRO_NS2_BC_ADDR":     refuseUnless("", noPair),
	"PYRO_NS2_BC_PORT":     refuseUnless("", noPair),
}

// ignored are known too, and have no effect, for the reason given.
var ignored = map[string]string{
	"PYRO_STORAGE":            "nothing is stored relative to it; name the certificates' directory with PYROSSL_CERTDIR",
	"PYRO_LOGFILE":            ownLog,
	"PYRO_USER_LOGFILE":       ownLog,
	"PYRO_USER_TRACELEVEL":    ownLog,
	"PYRO_STDLOGGING":         ownLog,
	"PYRO_STDLOGGING_CFGFILE": ownLog,
	"PYRO_TCP_LISTEN_BACKLOG": "the system's own limit holds, and PYRO_MAXHALFOPEN bounds what has been accepted",
	"PYRO_SOCK_KEEPALIVE":     "heartbeats inside the connection find dead peers",
	"PYRO_BROKEN_MSGWAITALL":  "it is about a fault of other systems' sockets",
	"PYRO_CHECKSUM":           "TLS protects every byte",
	"PYRO_NS_HOSTNAME":        noNames,
	"PYRO_NS_PORT":            noNames,
	"PYRO_NS_DEFAULTGROUP":    noNames,
	"PYRO_NS_URIFILE":         noNames,
	"PYRO_ES_QUEUESIZE":       noEvents,
	"PYRO_ES_BLOCKQUEUE":      noEvents,
}

const (
	noPickle    = "is about pickle, with which a message can run code; values travel as CBOR"
	noBroadcast = "is about finding a name server by broadcast, which anybody can answer; there is no broadcast here"
	noPair      = "is about a second name server, and there is no pairing here"
	ownLog      = "a program decides where its log goes, and broker's goes to standard error"
	noNames     = "there is no name server in this version; use PYROSSL:// URIs"
	noEvents    = "there is no event server in this version"
)

// unsafeUnless takes the one value that asks for nothing unsafe; empty: none.
func unsafeUnless(harmless, reason string) reader {
	return func(_ *Settings, v string) *Error {
		if v == harmless {
			return nil
		}
		return &Error{Value: v, Reason: reason + orSet(harmless), Err: ErrUnsafe}
	}
}

// refuseUnless is unsafeUnless for what is merely not there.
func refuseUnless(harmless, reason string) reader {
	return func(_ *Settings, v string) *Error {
		if v == harmless {
			return nil
		}
		return &Error{Value: v, Reason: reason + orSet(harmless)}
	}
}

func orSet(harmless string) string {
	if harmless == "" {
		return "; unset it"
	}
	return "; unset it or set it to " + harmless
}
