package validator

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of names: RFC 1035 section 2.3.4, RFC 5321 section 4.5.3.1 with the RFC
// 3696 erratum, the SPIFFE ID standard section 2.3, and RFC 5280 appendix A.1
// (ub-common-name, in characters).
const (
	maxDNS   = 253
	maxEmail = 254
	maxURI   = 2048
	maxCN    = 64

	maxLabel = 63
	maxLocal = 64
)

const (
	lower  = "abcdefghijklmnopqrstuvwxyz"
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	number = "0123456789"
)

// checkers return the one spelling of a name, or the reason why it must not count.
var checkers = map[Kind]func(string) (name, reason string){
	URI:   checkURI,
	DNS:   checkDNS,
	Email: checkEmail,
	CN:    checkCN,
}

// spoken are the kinds in words.
var spoken = map[Kind]string{URI: "URI", DNS: "DNS name", Email: "e-mail name", CN: "common name"}

// checkName returns the one spelling of a name.
func checkName(kind Kind, s string) (string, error) {
	name, reason := checkers[kind](s)
	if reason == "" {
		return name, nil
	}
	return "", failf("", "%s %s %s", spoken[kind], quote(s), reason)
}

func over(n, most int, unit string) string {
	return "has " + strconv.Itoa(n) + " " + unit + ", want at most " + strconv.Itoa(most)
}

// checkDNS checks a host name, in its ASCII form (A-labels), and gives it in lower
// case. Underscores are no part of host names by RFC 1123, but of many names that
// containers have.
func checkDNS(s string) (name, reason string) {
	switch {
	case s == "":
		return "", "is empty"
	case len(s) > maxDNS:
		return "", over(len(s), maxDNS, "bytes")
	case strings.Contains(s, "*"):
		return "", "is a wildcard, which names nobody"
	case s[len(s)-1] == '.':
		return "", `ends with a "."`
	}
	last := ""
	for label := range strings.SplitSeq(s, ".") {
		switch {
		case label == "":
			return "", "has an empty label"
		case len(label) > maxLabel:
			return "", "has a label that " + over(len(label), maxLabel, "bytes")
		case !only(label, lower+upper+number+"-_"):
			return "", `has other characters than ASCII letters, digits and ".-_"`
		case label[0] == '-' || label[len(label)-1] == '-':
			return "", `has a label with a "-" at its end`
		}
		last = label
	}
	// Such names would be taken for addresses.
	if only(last, number) || (strings.HasPrefix(last, "0x") || strings.HasPrefix(last, "0X")) && (last[2:] == "" || only(last[2:], number+lower[:6]+upper[:6])) {
		return "", "ends with a number, like an address"
	}
	return lowered(s), ""
}

// checkEmail checks local@domain and gives it with the domain in lower case. Of what
// RFC 5321 allows in the local part it leaves out quotes, and what means something
// in patterns, lists and shells.
func checkEmail(s string) (name, reason string) {
	local, domain, ok := strings.Cut(s, "@")
	switch {
	case s == "":
		return "", "is empty"
	case len(s) > maxEmail:
		return "", over(len(s), maxEmail, "bytes")
	case strings.Contains(s, "*"):
		return "", "is a wildcard, which names nobody"
	case !ok || strings.Contains(domain, "@"):
		return "", `does not have exactly one "@"`
	case local == "":
		return "", `has nothing before the "@"`
	case len(local) > maxLocal:
		return "", `has a part before the "@" that ` + over(len(local), maxLocal, "bytes")
	case !only(local, lower+upper+number+"._+=~'-"):
		return "", `has other characters before the "@" than ASCII letters, digits and "._+=~'-"`
	case local[0] == '.' || local[len(local)-1] == '.' || strings.Contains(local, ".."):
		return "", `has a "." too many before the "@"`
	}
	domain, reason = checkDNS(domain)
	if reason != "" {
		return "", "has a domain that " + reason
	}
	return local + "@" + domain, ""
}

// checkURI checks scheme://host[/segment]... Nothing is folded or decoded, so that
// one URI has one spelling and no other means the same.
func checkURI(s string) (name, reason string) {
	scheme, rest, ok := strings.Cut(s, "://")
	switch {
	case s == "":
		return "", "is empty"
	case len(s) > maxURI:
		return "", over(len(s), maxURI, "bytes")
	case strings.Contains(s, "*"):
		return "", "is a wildcard, which names nobody"
	case !ok || !only(scheme, lower+number+"+.-") || scheme[0] < 'a':
		return "", `does not begin like "spiffe://bank.example/", with a scheme in lower case and a host`
	case strings.Contains(rest, "%"):
		return "", "has percent-encoding"
	case strings.Contains(rest, "?"):
		return "", "has a query"
	case strings.Contains(rest, "#"):
		return "", "has a fragment"
	}
	host, path, slash := strings.Cut(rest, "/")
	switch {
	case host == "":
		return "", "has no host"
	case strings.Contains(host, "@"):
		return "", "has user info"
	case strings.Contains(host, ":"):
		return "", "has a port"
	case len(host) > maxDNS:
		return "", "has a host that " + over(len(host), maxDNS, "bytes")
	case strings.Contains("."+host+".", ".."):
		return "", "has a host with an empty label"
	case !only(host, lower+number+"._-"):
		return "", `has other characters in its host than lower-case ASCII letters, digits and "._-"`
	}
	if !slash {
		return s, ""
	}
	for segment := range strings.SplitSeq(path, "/") {
		switch {
		case segment == "":
			return "", `has an empty segment, or a "/" at its end`
		case segment == "." || segment == "..":
			return "", "has a dot segment"
		case !only(segment, lower+upper+number+"._~:@+,=-"):
			return "", `has other characters in its path than ASCII letters, digits and "._~:@+,=-"`
		}
	}
	return s, ""
}

// checkCN checks a common name, the one kind of name that may hold other letters
// than ASCII's.
func checkCN(s string) (name, reason string) {
	switch {
	case s == "":
		return "", "is empty"
	case !utf8.ValidString(s):
		return "", "is not UTF-8"
	case len(s) > maxCN && utf8.RuneCountInString(s) > maxCN:
		return "", over(utf8.RuneCountInString(s), maxCN, "characters")
	case strings.Contains(s, "*"):
		return "", "is a wildcard, which names nobody"
	}
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			return "", "has white space"
		case unicode.IsControl(r):
			return "", "has a control character"
		case !unicode.IsPrint(r):
			return "", "has a character that cannot be seen"
		}
	}
	return s, mixedScript(s)
}

// only reports whether s is not empty and all its bytes are in chars.
func only(s, chars string) bool {
	for i := range len(s) {
		if strings.IndexByte(chars, s[i]) < 0 {
			return false
		}
	}
	return s != ""
}

// lowered is s in lower case if it has ASCII capitals. strings.ToLower also folds
// letters of other scripts, which must never happen to a name.
func lowered(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
