// Package uri reads and prints the URIs of objects. It knows no network and
// resolves nothing.
//
//	PYROSSL://host[:port]/object[?id=principal]      an object of the daemon at host
//	PYROLOCSSL://host[:port]/object[?id=principal]   the same, by the name it is registered under
//	PYRONAME://[host[:port]/]name[?id=principal]     a name for a name server to resolve
//	PYRONAMESSL://[host[:port]/]name[?id=principal]  another spelling of PYRONAME
//
// Every one of them means TLS with certificates on both sides. Pyro's PYRO:// and
// PYROLOC:// are recognized, and refused with [ErrPlaintext]: there is no
// plaintext path to fall back to.
//
// The syntax is strict, so that a URI has one spelling, [URI.String], and two
// programs never read the same text differently:
//
//   - Schemes are upper case.
//   - A host is a DNS name of letters, digits and hyphens (lower-cased; no
//     trailing dot; international names as A-labels, "xn--…"), an IPv4 address, or
//     an IPv6 address in brackets without a zone. A host to connect to is never an
//     unspecified or multicast address.
//   - A port is 1–65535 without leading zeros; without one it is [DefaultPort].
//     Only the name schemes remember that none was given.
//   - An object is 1–255 letters, digits and "_", ".", "-", with a letter or digit
//     among them; ":" may stand first, as in Pyro's absolute names (":Group.name").
//   - The only query is id, the identity that the server must prove instead of its
//     host name: uri:, dns: or email: and a name, as in
//     "?id=uri:spiffe://bank.example/teller". A URI may stand alone:
//     "?id=spiffe://bank.example/teller" is the same.
//   - There is no percent-encoding, user name, further path, or fragment, and no
//     text is longer than 4,096 bytes.
//
// A host or identity in a URI is what the server's certificate is checked
// against, so a URI is only as good as the place it came from.
package uri

import (
	"net"
	"strconv"
	"strings"
)

// DefaultPort is the port of daemons, Pyro's own.
const DefaultPort = 7766

// maxLength bounds a URI's text, before anything looks at it.
const maxLength = 4096

// A Scheme says how an object is found.
type Scheme string

// The schemes.
const (
	PYROSSL     Scheme = "PYROSSL"     // object at a daemon
	PYROLOCSSL  Scheme = "PYROLOCSSL"  // object at a daemon, by its registered name
	PYRONAME    Scheme = "PYRONAME"    // through a name server
	PYRONAMESSL Scheme = "PYRONAMESSL" // through a name server
)

// named reports whether a name server resolves the URI.
func (s Scheme) named() bool { return s == PYRONAME || s == PYRONAMESSL }

// A URI says where an object is and, optionally, whom to expect there. URIs from
// [Parse] can be compared with ==: they are equal if their texts mean the same.
type URI struct {
	Scheme Scheme

	// Host is a lower-case DNS name or an IP address (IPv6 without brackets). It
	// is that of the name server in PYRONAME and PYRONAMESSL, where it may be empty.
	Host string

	// Port is 0 if none was given, which only happens in PYRONAME and PYRONAMESSL.
	Port uint16

	// Object is the object's id or name.
	Object string

	// ID is the principal that the server's certificate must carry, as
	// "kind:value", or empty: then the certificate must be for Host.
	ID string
}

// Parse reads a URI. Errors are of type [*Error].
func Parse(s string) (URI, error) {
	u, err := parse(s)
	if err != nil {
		err.Input = s
		return URI{}, err
	}
	return u, nil
}

// MustParse is Parse for constants: it panics on an error.
func MustParse(s string) URI {
	u, err := Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

func parse(s string) (u URI, err *Error) {
	if len(s) > maxLength {
		return u, &Error{Part: PartLength, Value: strconv.Itoa(len(s)), Reason: "is more than 4096"}
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return u, &Error{Part: PartScheme, Reason: `is missing; want something like "PYROSSL://bank.example:7766/bank"`}
	}
	if u.Scheme, err = parseScheme(scheme); err != nil {
		return u, err
	}
	locator, query, queried := strings.Cut(rest, "?")
	host, object, slash := strings.Cut(locator, "/")
	switch {
	case slash:
		if u.Host, u.Port, err = parseAddress(host); err != nil {
			return u, err
		}
		if u.Port == 0 && !u.Scheme.named() {
			u.Port = DefaultPort
		}
	case u.Scheme.named():
		object = locator
	default:
		return u, &Error{Part: PartObject, Reason: `is missing; want "` + scheme + `://host:port/object"`}
	}
	if u.Object, err = parseObject(object); err != nil {
		return u, err
	}
	if queried {
		u.ID, err = parseQuery(query)
	}
	return u, err
}

func parseScheme(s string) (Scheme, *Error) {
	switch up := strings.ToUpper(s); Scheme(up) {
	case PYROSSL, PYROLOCSSL, PYRONAME, PYRONAMESSL:
		if up != s {
			return "", &Error{Part: PartScheme, Value: s, Reason: "is written " + up}
		}
		return Scheme(s), nil
	case "PYRO", "PYROLOC":
		return "", &Error{Part: PartScheme, Value: s, Err: ErrPlaintext,
			Reason: "is plaintext, for which there is no path here; serve the object over TLS and use " + up + "SSL://"}
	}
	return "", &Error{Part: PartScheme, Value: s, Reason: "is none of PYROSSL, PYROLOCSSL, PYRONAME, PYRONAMESSL"}
}

// parseObject holds the alphabet of objects: none of it has a meaning in a URI, a
// shell or a path. A ":" only leads, so that "PYRONAME://host:7766", where the
// name was forgotten, is no name.
func parseObject(s string) (string, *Error) {
	fail := func(reason string) (string, *Error) {
		return "", &Error{Part: PartObject, Value: s, Reason: reason}
	}
	switch {
	case s == "":
		return fail("is empty; want the id or name of an object")
	case len(s) > 255:
		return fail("has " + strconv.Itoa(len(s)) + " bytes, want at most 255")
	}
	letters := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case alnum(c):
			letters = true
		case c == '_' || c == '.' || c == '-' || c == ':' && i == 0:
		case c == ':':
			return fail(`has a ":" that is not its first character`)
		case c == '/':
			return fail(`has a "/": want one object, not a path`)
		case c == '%':
			return fail(`has a "%", and there is no percent-encoding`)
		case c == '#':
			return fail(`has a "#", and there are no fragments`)
		default:
			return fail(`has other characters than letters, digits and "_.-"`)
		}
	}
	if !letters {
		return fail("has no letter or digit")
	}
	return s, nil
}

// String is the URI's one spelling. For a URI from [Parse], parsing it again
// gives the same URI; for one put together by hand, see [URI.Check].
func (u URI) String() string {
	var b strings.Builder
	b.WriteString(string(u.Scheme))
	b.WriteString("://")
	if u.Host != "" || !u.Scheme.named() {
		if strings.Contains(u.Host, ":") {
			b.WriteString("[" + u.Host + "]")
		} else {
			b.WriteString(u.Host)
		}
		if u.Port != 0 {
			b.WriteString(":" + strconv.Itoa(int(u.Port)))
		}
		b.WriteByte('/')
	}
	b.WriteString(u.Object)
	if u.ID != "" {
		b.WriteString("?id=" + u.ID)
	}
	return b.String()
}

// Check reports what is wrong with a URI that was put together by hand. It is nil
// exactly if parsing the URI's text gives the URI.
func (u URI) Check() error {
	s := u.String()
	parsed, err := Parse(s)
	switch {
	case err != nil:
		return err
	case parsed != u:
		return &Error{Part: PartSpelling, Value: s, Input: s, Reason: "means " + strconv.Quote(parsed.String()) + " and must be written so"}
	}
	return nil
}

// Address is host:port to connect to, with IPv6 in brackets and the default port
// where none was given. It is empty if there is no host.
func (u URI) Address() string {
	if u.Host == "" {
		return ""
	}
	port := u.Port
	if port == 0 {
		port = DefaultPort
	}
	return net.JoinHostPort(u.Host, strconv.Itoa(int(port)))
}

// MarshalText is String for encoders; it refuses what Check refuses, the zero URI
// too.
func (u URI) MarshalText() ([]byte, error) {
	if err := u.Check(); err != nil {
		return nil, err
	}
	return []byte(u.String()), nil
}

// UnmarshalText is Parse for decoders. On an error u is not changed.
func (u *URI) UnmarshalText(text []byte) error {
	if len(text) > maxLength { // before it is copied
		text = text[:maxLength+1]
	}
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*u = parsed
	return nil
}
