package uri

import (
	"strconv"
	"strings"
)

// maxID bounds the value of an id: that of a SPIFFE ID.
const maxID = 2048

// parseQuery reads what follows the "?", and returns the principal in its one
// spelling, "kind:value".
func parseQuery(s string) (string, *Error) {
	id, found := "", false
	for pair := range strings.SplitSeq(s, "&") {
		key, value, ok := strings.Cut(pair, "=")
		switch {
		case key != "id" || !ok:
			return "", &Error{Part: PartQuery, Value: pair, Reason: `is unknown; only "id=PRINCIPAL" may follow a "?"`}
		case found:
			return "", &Error{Part: PartQuery, Value: s, Reason: "gives the id twice"}
		}
		id, found = value, true
	}
	kind, value, _ := strings.Cut(id, ":")
	if strings.HasPrefix(value, "//") { // a URI alone
		kind, value = "uri", id
	}
	var reason string
	switch {
	case len(value) > maxID:
		reason = "has " + strconv.Itoa(len(value)) + " bytes, want at most " + strconv.Itoa(maxID)
	case kind == "uri":
		reason = uriName(value)
	case kind == "dns":
		value, reason = dnsName(value)
	case kind == "email":
		value, reason = emailName(value)
	default:
		reason = `is no principal; want "uri:", "dns:" or "email:" and a name, or a URI like "spiffe://bank.example/teller"`
	}
	if reason != "" {
		return "", &Error{Part: PartID, Value: id, Reason: reason}
	}
	return kind + ":" + value, nil
}

// uriName gives the reason why a text is not a URI that identifies somebody:
//
//	scheme://authority[/segment]...
//
// Nothing is folded or decoded. It is compared byte by byte with what the
// certificate holds.
func uriName(s string) (reason string) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || !only(scheme, schemeChars) || scheme[0] < 'a' {
		return `is not like "uri:spiffe://bank.example/teller", with a scheme in lower case`
	}
	authority, path, slash := strings.Cut(rest, "/")
	host, port, hasPort := strings.Cut(authority, ":")
	if strings.Contains(authority, "@") {
		return "has a user name"
	}
	if !only(host, authorityChars) {
		return `has other characters in its authority than lower-case letters, digits and "._-"`
	}
	if strings.Contains("."+host+".", "..") {
		return "has an authority with an empty label"
	}
	if hasPort {
		if _, err := parsePort(port); err != nil {
			return "has a port that is not 1–65535"
		}
	}
	if !slash {
		return ""
	}
	for segment := range strings.SplitSeq(path, "/") {
		switch {
		case segment == "":
			return `has an empty segment, or a "/" at its end`
		case segment == "." || segment == "..":
			return "has a dot segment"
		case strings.Contains(segment, "%"):
			return "has percent-encoding"
		case !only(segment, segmentChars):
			return `has other characters in its path than letters, digits and "._~:@+,=-"`
		}
	}
	return ""
}

// emailName reads local@domain, with the domain lower-cased. Of what RFC 5321
// allows in the local part, it leaves out quotes and what means something in URIs.
func emailName(s string) (name, reason string) {
	local, domain, ok := strings.Cut(s, "@")
	switch {
	case !ok:
		return "", `is not like "email:alice@bank.example"`
	case len(local) > 64:
		return "", `has more than 64 bytes before the "@"`
	case !only(local, localChars):
		return "", `has other characters before the "@" than letters, digits and "._+=~'-"`
	case local[0] == '.' || local[len(local)-1] == '.' || strings.Contains(local, ".."):
		return "", `has a dot too many before the "@"`
	}
	domain, reason = dnsName(domain)
	if reason != "" {
		return "", "has a domain that " + reason
	}
	return local + "@" + domain, ""
}

const (
	lower  = "abcdefghijklmnopqrstuvwxyz"
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	number = "0123456789"

	schemeChars    = lower + number + "+.-"
	authorityChars = lower + number + "._-"
	segmentChars   = lower + upper + number + "._~:@+,=-"
	localChars     = lower + upper + number + "._+=~'-"
)

// only reports whether s is not empty and all its bytes are in chars.
func only(s, chars string) bool {
	for i := 0; i < len(s); i++ {
		if strings.IndexByte(chars, s[i]) < 0 {
			return false
		}
	}
	return s != ""
}
