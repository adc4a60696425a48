package uri

import (
	"net/netip"
	"strconv"
	"strings"
)

// parseAddress reads host[:port]; the port is 0 if there is none.
func parseAddress(s string) (host string, port uint16, err *Error) {
	fail := func(value, reason string) (string, uint16, *Error) {
		return "", 0, &Error{Part: PartHost, Value: value, Reason: reason}
	}
	var portText string
	var hasPort bool
	if strings.HasPrefix(s, "[") {
		inside, after, closed := strings.Cut(s[1:], "]")
		if portText, hasPort = strings.CutPrefix(after, ":"); !closed || after != "" && !hasPort {
			return fail(s, `is not "[IPv6 address]:port"`)
		}
		host, err = parseIPv6(inside)
	} else {
		host, portText, hasPort = strings.Cut(s, ":")
		switch {
		case strings.Contains(s, "@"):
			return fail(s, `has an "@"; who connects is in the client's certificate, not in the URI`)
		case strings.Contains(portText, ":"):
			return fail(s, "has more than one colon; an IPv6 address goes in brackets")
		case host == "":
			return fail(s, "is empty; want a name or an IP address")
		}
		host, err = parseHost(host)
	}
	if err != nil || !hasPort {
		return host, 0, err
	}
	port, err = parsePort(portText)
	return host, port, err
}

func parsePort(s string) (uint16, *Error) {
	n, err := strconv.ParseUint(s, 10, 16)
	switch {
	case err != nil || n == 0:
		return 0, &Error{Part: PartPort, Value: s, Reason: "is not 1–65535"}
	case strconv.FormatUint(n, 10) != s:
		return 0, &Error{Part: PartPort, Value: s, Reason: "is written " + strconv.FormatUint(n, 10)}
	}
	return uint16(n), nil
}

func parseIPv6(s string) (string, *Error) {
	fail := func(reason string) (string, *Error) {
		return "", &Error{Part: PartHost, Value: "[" + s + "]", Reason: reason}
	}
	ip, err := netip.ParseAddr(s)
	switch {
	case err != nil || !ip.Is6():
		return fail("is not an IPv6 address")
	case ip.Zone() != "":
		return fail("has a zone, which means something on one machine only")
	case ip.Is4In6():
		return fail("is an IPv4 address in IPv6 form; write " + ip.Unmap().String())
	}
	return connectable(ip, fail)
}

// parseHost reads an IPv4 address or a DNS name.
func parseHost(s string) (string, *Error) {
	fail := func(reason string) (string, *Error) {
		return "", &Error{Part: PartHost, Value: s, Reason: reason}
	}
	if ip, err := netip.ParseAddr(s); err == nil {
		return connectable(ip, fail)
	}
	name, reason := dnsName(s)
	if reason != "" {
		return fail(reason)
	}
	return name, nil
}

// connectable refuses addresses that no connection can be made to.
func connectable(ip netip.Addr, fail func(string) (string, *Error)) (string, *Error) {
	switch {
	case ip.IsUnspecified():
		return fail("is an address to listen on, not one to connect to")
	case ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fail("is a multicast or broadcast address")
	}
	return ip.String(), nil
}

// dnsName lower-cases a DNS name, or gives the reason why it is none: RFC 1123,
// section 2.1, and RFC 1034, section 3.1.
func dnsName(s string) (name, reason string) {
	if s == "" {
		return "", "is empty"
	}
	if len(s) > 253 {
		return "", "has " + strconv.Itoa(len(s)) + " bytes, and a DNS name has at most 253"
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case alnum(c) || c == '-' || c == '.':
		case c >= 0x80:
			return "", `is not ASCII; write an international name in its A-label form, "xn--…"`
		case c == '_':
			return "", `has an underscore, which is for service records; a host name has letters, digits, "-" and "."`
		case c == '*':
			return "", "is a pattern; want one host"
		case c == '%':
			return "", `has a "%", and there is no percent-encoding`
		default:
			return "", `has other characters than letters, digits, "-" and "."`
		}
	}
	if strings.HasSuffix(s, ".") {
		return "", "ends in a dot; certificates have names without it, so leave it out"
	}
	name = strings.ToLower(s)
	label := ""
	for label = range strings.SplitSeq(name, ".") {
		switch {
		case label == "":
			return "", "has an empty label between two dots or at its start"
		case len(label) > 63:
			return "", "has a label of more than 63 bytes"
		case label[0] == '-' || label[len(label)-1] == '-':
			return "", "has a label that begins or ends with a hyphen"
		}
	}
	// Some resolvers read names whose last label is a number as IPv4 addresses:
	// "127.1", "0x7f000001".
	if digits(label) || strings.HasPrefix(label, "0x") && hex(label[2:]) {
		return "", "is neither a host name nor an IPv4 address like 192.0.2.1"
	}
	return name, ""
}

func alnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// digits and hex are true for the empty text too.
func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }
func hex(s string) bool    { return strings.Trim(s, "0123456789abcdef") == "" }
