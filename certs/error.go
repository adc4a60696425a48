package certs

import (
	"fmt"
	"strings"
)

// Error says what is wrong with key or certificate data that we were given, and
// how to mend it. It never holds a byte of the data itself, except for names and
// dates of certificates.
type Error struct {
	File   string // the file, empty when the data did not come from one
	Reason string // what is wrong, and what was expected
	Fix    string // what to do or to run, empty when that is not known
	Err    error  // the cause below, may be nil
}

// Error gives file, reason and fix on one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("certs: ")
	if e.File != "" {
		fmt.Fprintf(&b, "%q: ", e.File)
	}
	b.WriteString(e.Reason)
	if e.Fix != "" {
		fmt.Fprintf(&b, " (%s)", e.Fix)
	}
	return b.String()
}

// Unwrap gives the cause below.
func (e *Error) Unwrap() error { return e.Err }

// inFile is e with the file named, also in the commands of Fix, where FILE
// stands for it.
func (e *Error) inFile(path string) *Error {
	named := *e
	named.File = path
	named.Fix = strings.ReplaceAll(e.Fix, "FILE", shellQuote(path))
	return &named
}

// inFileIf is inFile where there is a file.
func (e *Error) inFileIf(path string) *Error {
	if path == "" {
		return e
	}
	return e.inFile(path)
}

func reasonf(format string, args ...any) *Error {
	return &Error{Reason: fmt.Sprintf(format, args...)}
}

func (e *Error) fix(format string, args ...any) *Error {
	e.Fix = fmt.Sprintf(format, args...)
	return e
}

// shellQuote gives s as one word for a POSIX shell.
func shellQuote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-/+:@%,=", r)
	}
	if s != "" && !strings.HasPrefix(s, "-") && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
