package certs

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pyrossl/pyrossl/validator"
)

// A DenyList is an operator's own list of who is not accepted any more, beside what
// the authorities' lists say, or where they have none. It is made by [ParseDenyList]
// and does not change.
type DenyList struct {
	file   string // where it came from, may be empty
	digest [sha256.Size]byte
	number uint64
	issued time.Time     // zero: the list does not say
	maxAge time.Duration // zero: it does not age
	// entries are in the order of the file; the maps lead to them.
	entries    []denyEntry
	serials    map[string][]*denyEntry // by appendSerial
	keys       map[keyHash]*denyEntry  // key and ca entries
	principals map[validator.Principal]*denyEntry
}

// keyHash is the SHA-256 of a public key (SubjectPublicKeyInfo).
type keyHash = [sha256.Size]byte

type denyEntry struct {
	kind      string // serial, key, ca or principal
	serial    *big.Int
	key       keyHash // of key and ca; of serial, the issuer's
	byIssuer  bool    // of serial: key counts
	principal validator.Principal
	reason    string
	line      int
}

// Bounds of a deny list.
const (
	maxDenyLine   = 4096 // bytes; a URI may have 2,048
	maxDenySerial = 64   // bytes; RFC 5280 allows 20
	maxDenyWord   = 20   // bytes of an unknown first word that are quoted: whoever takes a key file for a list must not print the key
)

// ParseDenyList reads a deny list: plain text, one entry a line.
//
//	# who lost a laptop
//	number 7
//	issued 2026-01-02T15:04:05Z
//	max-age 30d
//	serial 1f2a                                  # by whichever authority
//	serial 1f:2a issuer 3b5d...                  # by the authority with this key
//	key n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=
//	principal uri:spiffe://bank.example/teller   # left the company
//	ca 3b5d...
//
// The number comes first and must increase with every change. With a max-age, which
// needs the moment of issue, the list is stale after that time. Keys are given as
// the SHA-256 of their SubjectPublicKeyInfo, 64 hexadecimal digits or base64. A key
// counts wherever in the chain it is; ca says the same and is for the keys of
// authorities. A principal is one that [validator.ParsePrincipal] reads, and counts
// when the certificate carries that very name: a wildcard does not count as the
// names that it covers.
//
// Whatever follows a "#" at the beginning of a line or after a space is a comment;
// behind an entry it is the reason, which goes to our log and not to the peer. A line
// that is not understood refuses the whole list.
func ParseDenyList(data []byte) (*DenyList, error) {
	d, e := parseDenyList(data)
	if e != nil {
		return nil, e
	}
	return d, nil
}

func parseDenyList(data []byte) (*DenyList, *Error) {
	if len(data) > maxList {
		return nil, reasonf("is larger than %d KiB, want a deny list", maxList>>10)
	}
	d := &DenyList{
		digest: sha256.Sum256(data), serials: make(map[string][]*denyEntry), keys: make(map[keyHash]*denyEntry),
		principals: make(map[validator.Principal]*denyEntry),
	}
	p := denyParser{d: d, seen: make(map[string]bool)}
	n := 0
	for line := range bytes.Lines(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))) {
		n++
		if e := p.line(strings.TrimRight(string(line[:min(len(line), maxDenyLine+3)]), "\r\n"), n); e != nil {
			e.Reason = fmt.Sprintf("line %d: %s", n, e.Reason)
			return nil, e
		}
	}
	switch {
	case !p.seen["number"]:
		return nil, reasonf(`has no number, want "number 1" as its first line, and a larger one with every change`)
	case d.maxAge > 0 && d.issued.IsZero():
		return nil, reasonf(`has a max-age but not the moment from which it counts, want a line "issued 2026-01-02T15:04:05Z" before the entries`)
	}
	d.index()
	return d, nil
}

// denyParser reads one list.
type denyParser struct {
	d    *DenyList
	seen map[string]bool // headers
}

func (p *denyParser) line(line string, n int) *Error {
	if len(line) > maxDenyLine {
		return reasonf("is longer than %d bytes", maxDenyLine)
	}
	if !utf8.ValidString(line) {
		return reasonf("is not UTF-8 text")
	}
	line, reason := cutComment(line)
	words := strings.Fields(line)
	if len(words) == 0 {
		return nil
	}
	switch word := words[0]; word {
	case "number", "issued", "max-age":
		return p.header(word, words[1:])
	case "serial", "key", "ca", "principal":
		if !p.seen["number"] {
			return reasonf(`stands before the list's number, want "number 1" as the first line`)
		}
		e := denyEntry{kind: word, line: n, reason: reason}
		if err := e.parse(words[1:]); err != nil {
			return err
		}
		p.d.entries = append(p.d.entries, e)
		return nil
	}
	begin := denyQuote(words[0])
	if len(words[0]) > maxDenyWord {
		begin = fmt.Sprintf("a word of %d bytes", len(words[0]))
	}
	return reasonf("begins with %s, want number, issued, max-age, serial, key, ca or principal", begin)
}

func (p *denyParser) header(name string, values []string) *Error {
	switch {
	case p.seen[name]:
		return reasonf("gives %s a second time", name)
	case len(p.d.entries) > 0:
		return reasonf("gives %s after the first entry, want it before", name)
	case len(values) != 1:
		return reasonf("gives %d values for %s, want one", len(values), name)
	}
	p.seen[name] = true
	value := values[0]
	switch name {
	case "number":
		n, err := strconv.ParseUint(value, 10, 63)
		if err != nil || n == 0 || strconv.FormatUint(n, 10) != value {
			return reasonf("number is %s, want a whole number from 1", denyQuote(value))
		}
		p.d.number = n
	case "issued":
		t, err := time.Parse(time.RFC3339, value)
		if err != nil || t.Year() < 1970 || t.Year() > 9999 {
			return reasonf("issued is %s, want a time like 2026-01-02T15:04:05Z", denyQuote(value))
		}
		p.d.issued = t.UTC()
	case "max-age":
		age, ok := parseAge(value)
		if !ok {
			return reasonf("max-age is %s, want a time like 30d or 12h", denyQuote(value))
		}
		p.d.maxAge = age
	}
	return nil
}

func (e *denyEntry) parse(values []string) *Error {
	switch {
	case e.kind == "serial" && len(values) == 3 && values[1] == "issuer":
		key, ok := parseKeyHash(values[2])
		if !ok {
			return reasonf("issuer is %s, want the SHA-256 of its public key as 64 hexadecimal digits or base64", denyQuote(values[2])).fix(wayToSPKI)
		}
		e.key, e.byIssuer = key, true
	case e.kind == "serial" && len(values) > 1:
		return reasonf("serial is followed by %s, want a hexadecimal number, or a number, the word issuer, and its key", denyQuote(strings.Join(values, " ")))
	case len(values) != 1:
		return reasonf("gives %d values for %s, want one", len(values), e.kind)
	}
	value, ok := values[0], false
	switch e.kind {
	case "serial":
		if e.serial, ok = parseSerial(value); !ok {
			return reasonf("serial is %s, want a hexadecimal number of at most %d bytes, as openssl x509 -serial prints it", denyQuote(value), maxDenySerial)
		}
	case "key", "ca":
		if e.key, ok = parseKeyHash(value); !ok {
			return reasonf("%s is %s, want the SHA-256 of a public key as 64 hexadecimal digits or base64", e.kind, denyQuote(value)).fix(wayToSPKI)
		}
	case "principal":
		var err error
		if e.principal, err = validator.ParsePrincipal(value); err != nil {
			return reasonf("%s", strings.TrimPrefix(err.Error(), "validator: "))
		}
	}
	return nil
}

// wayToSPKI is how to come by the hash of a public key.
const wayToSPKI = "openssl x509 -in CERT.crt -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256"

// cutComment takes the comment off a line. A common name may hold a "#", but no
// space before it.
func cutComment(line string) (rest, comment string) {
	for i := range len(line) {
		if line[i] == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t') {
			return line[:i], strings.TrimSpace(line[i+1:])
		}
	}
	return line, ""
}

// parseAge reads a positive duration as time.ParseDuration does, or whole days.
func parseAge(s string) (time.Duration, bool) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err == nil && n > 0
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d > 0
}

// parseSerial reads hexadecimal digits, in pairs with colons between them or without.
func parseSerial(s string) (*big.Int, bool) {
	digits, ok := withoutColons(s)
	if !ok || len(digits) > 2*maxDenySerial {
		return nil, false
	}
	for i := range len(digits) {
		if !isHex(digits[i]) {
			return nil, false
		}
	}
	n, ok := new(big.Int).SetString(digits, 16)
	return n, ok
}

// withoutColons takes out colons, which must stand between pairs.
func withoutColons(s string) (string, bool) {
	if !strings.Contains(s, ":") {
		return s, s != ""
	}
	for pair := range strings.SplitSeq(s, ":") {
		if len(pair) != 2 {
			return "", false
		}
	}
	return strings.ReplaceAll(s, ":", ""), true
}

func isHex(b byte) bool { return b >= '0' && b <= '9' || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F' }

func parseKeyHash(s string) (h keyHash, ok bool) {
	raw, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(raw) != len(h) {
		if s, ok = withoutColons(s); !ok {
			return h, false
		}
		if raw, err = hex.DecodeString(s); err != nil || len(raw) != len(h) {
			return h, false
		}
	}
	return keyHash(raw), true
}

// denyQuote shows what stands in the file: bounded, quoted, in ASCII.
func denyQuote(s string) string {
	if len(s) > maxShown {
		return strconv.QuoteToASCII(s[:maxShown]) + "..."
	}
	return strconv.QuoteToASCII(s)
}

// index makes the maps, once entries no longer moves. The first entry of several for
// the same counts.
func (d *DenyList) index() {
	for i := range d.entries {
		e := &d.entries[i]
		switch e.kind {
		case "serial":
			at := string(appendSerial(nil, e.serial))
			d.serials[at] = append(d.serials[at], e)
		case "principal":
			if d.principals[e.principal] == nil {
				d.principals[e.principal] = e
			}
		default:
			if d.keys[e.key] == nil {
				d.keys[e.key] = e
			}
		}
	}
}

// Number is the list's number.
func (d *DenyList) Number() uint64 { return d.number }

// Len is how many entries the list has.
func (d *DenyList) Len() int { return len(d.entries) }

// String gives the list as a file that [ParseDenyList] reads as the same list:
// hexadecimal in lower case, no comments but reasons.
func (d *DenyList) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "number %d\n", d.number)
	if !d.issued.IsZero() {
		fmt.Fprintf(&b, "issued %s\n", d.issued.Format(time.RFC3339Nano))
	}
	if d.maxAge > 0 {
		fmt.Fprintf(&b, "max-age %s\n", d.maxAge)
	}
	for i := range d.entries {
		e := &d.entries[i]
		switch e.kind {
		case "serial":
			fmt.Fprintf(&b, "serial %x", e.serial)
			if e.byIssuer {
				fmt.Fprintf(&b, " issuer %x", e.key)
			}
		case "principal":
			fmt.Fprintf(&b, "principal %s", e.principal)
		default:
			fmt.Fprintf(&b, "%s %x", e.kind, e.key)
		}
		if e.reason != "" {
			b.WriteString(" # " + e.reason)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
