package validator

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A failure is what was found, and what was expected. The two parts become a
// Denial's Got and Want.
type failure struct{ got, want string }

func (f *failure) Error() string { return "validator: " + f.text() }

func (f *failure) text() string {
	if f.want == "" {
		return f.got
	}
	return f.got + ", want " + f.want
}

// failf makes a failure; want may be empty.
func failf(want, format string, args ...any) error {
	return &failure{got: fmt.Sprintf(format, args...), want: want}
}

// inner is an error's text for use within a sentence of ours: without the prefix.
func inner(err error) string {
	var f *failure
	if errors.As(err, &f) && error(f) == err {
		return f.text()
	}
	return strings.TrimPrefix(err.Error(), "validator: ")
}

// maxShown bounds every text from outside that is shown.
const maxShown = 100

// quote shows a text from outside: bounded, quoted, in ASCII. A mixed-script name
// must not look like the name that it imitates.
func quote(s string) string {
	if len(s) > maxShown {
		return strconv.QuoteToASCII(s[:maxShown]) + "..."
	}
	return strconv.QuoteToASCII(s)
}

// list shows at most a few of many texts.
func list(texts []string) string {
	const most = 8
	if len(texts) > most {
		return strings.Join(texts[:most], ", ") + fmt.Sprintf(" and %d more", len(texts)-most)
	}
	return strings.Join(texts, ", ")
}
