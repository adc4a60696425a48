// Package naming is what a name server and those who use it say to each other: PROTOCOL
// §7. Packages broker and broker/names share it.
package naming

import (
	"fmt"
	"strings"
	"time"
)

// Object is the name server's object, Pyro's own name for it.
const Object = "Pyro.NameServer"

// Rights is what stands in front of a name where rules speak of it.
const Rights = "name:"

// Record is what a name server knows of a name, or of one of a group's members.
type Record struct {
	Name string `json:"name"`
	URI  string `json:"uri"` // PYROSSL:// or PYROLOCSSL://
	// Identity is the principal that the server at URI must prove to be, as kind:value.
	Identity string   `json:"identity"`
	Owner    string   `json:"owner"` // the principal that registered it, as kind:value
	Tags     []string `json:"tags,omitempty"`
	Group    bool     `json:"group,omitempty"` // several daemons serve the name
	// Daemon is whose lease the record lives by; empty for one that stays until it is
	// removed.
	Daemon   string    `json:"daemon,omitempty"`
	Since    time.Time `json:"since"`
	Revision uint64    `json:"revision"` // grows with each change of anything
}

// Registration asks for a record.
type Registration struct {
	Name     string
	URI      string
	Identity string
	Tags     []string
	Group    bool   // join the others that serve the name
	Daemon   string // lives by this daemon's lease
	// Replace is the revision of the record that it takes the place of; 0 when there must
	// be none.
	Replace uint64
}

// Query selects records, in the order of their names.
type Query struct {
	Prefix string   // a name and all below it; empty for all
	All    []string // tags that records must all have
	Any    []string // tags of which they must have one
	After  string   // continue behind this name
	Limit  int      // at most, 1,000 when 0
}

// Page is an answer to a Query.
type Page struct {
	Records []Record `json:"records"`
	More    bool     `json:"more"` // ask again, After the last one
}

// Change is one that a watcher is told.
type Change struct {
	// Kind is "is" for what a name is now, with a record for each member; "gone";
	// "denied" for a name that may not be looked up; and "ready" when all that was there
	// at the beginning has been told.
	Kind    string   `json:"kind"`
	Name    string   `json:"name,omitempty"`
	Records []Record `json:"records,omitempty"`
	Reason  string   `json:"reason,omitempty"` // of a denial
}

// Kinds of changes.
const (
	Is     = "is"
	Gone   = "gone"
	Denied = "denied"
	Ready  = "ready"
)

// MaxFollowed is how many names one client may follow.
const MaxFollowed = 10_000

// Lease is what keeps a daemon's names.
type Lease struct {
	TTL   time.Duration `json:"ttl"`   // from now
	Names int           `json:"names"` // that live by it
}

// RenewEvery is how often a daemon renews a lease of the TTL.
func RenewEvery(ttl time.Duration) time.Duration { return ttl / 3 }

const (
	maxName  = 200
	maxDepth = 16
)

// ParseName checks a name and returns its one spelling: tokens of letters, digits, "_" and
// "-" with dots between them, as in bank.eu.accounts. Pyro's leading ":" is taken off.
func ParseName(text string) (string, error) {
	name := strings.TrimPrefix(text, ":")
	fail := func(reason string) (string, error) {
		if len(text) > 64 {
			text = text[:64] + "…"
		}
		return "", fmt.Errorf("name %q %s", text, reason)
	}
	switch {
	case name == "":
		return fail("is empty, want one such as bank.eu.accounts")
	case len(name) > maxName:
		return fail(fmt.Sprintf("has %d bytes, want at most %d", len(name), maxName))
	case strings.Count(name, ".") >= maxDepth:
		return fail(fmt.Sprintf("has more than %d levels", maxDepth))
	}
	for token := range strings.SplitSeq(name, ".") {
		if token == "" {
			return fail("has an empty level, want single dots between its levels")
		}
		for _, c := range []byte(token) {
			if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-') {
				return fail(`has other characters than letters, digits, "_", "-" and dots`)
			}
		}
	}
	return name, nil
}

// ParsePrefix is ParseName for a prefix, which may be empty.
func ParsePrefix(text string) (string, error) {
	if text == "" || text == ":" {
		return "", nil
	}
	return ParseName(text)
}

// Below reports whether a name is the prefix or below it.
func Below(name, prefix string) bool {
	return prefix == "" || name == prefix || strings.HasPrefix(name, prefix) && name[len(prefix)] == '.'
}

// RightsTo is what rules call everything below a prefix.
func RightsTo(prefix string) string {
	if prefix == "" {
		return Rights
	}
	return Rights + prefix + "."
}
