package uri

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ErrPlaintext is in the error of a URI whose scheme has no TLS: PYRO:// and
// PYROLOC://.
var ErrPlaintext = errors.New("plaintext is refused")

// A Part names what an [Error] is about.
type Part string

// The parts.
const (
	PartLength   Part = "length"
	PartScheme   Part = "scheme"
	PartHost     Part = "host"
	PartPort     Part = "port"
	PartObject   Part = "object"
	PartQuery    Part = "query"
	PartID       Part = "id"
	PartSpelling Part = "spelling" // only from URI.Check
)

// An Error says why a text is no URI.
type Error struct {
	Part   Part
	Value  string // the part's text, empty if it is missing
	Input  string // the whole text
	Reason string // what is wrong with it, and what was expected
	Err    error  // ErrPlaintext, or nil
}

// Error is like
//
//	uri: port "99999" in "PYROSSL://bank.example:99999/bank" is not 1–65535
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("uri: " + string(e.Part))
	if e.Part == PartLength {
		b.WriteString(" " + e.Value)
	} else if e.Value != "" {
		b.WriteString(" " + quote(e.Value))
	}
	b.WriteString(" in " + quote(e.Input) + " " + e.Reason)
	return b.String()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// quote cuts what is too long to be read, between two characters.
func quote(s string) string {
	const most = 160
	if len(s) <= most {
		return strconv.Quote(s)
	}
	cut := most
	for cut > most-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strconv.Quote(s[:cut]) + "…"
}
