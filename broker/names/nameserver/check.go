package nameserver

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/internal/naming"
	"github.com/pyrossl/pyrossl/broker/uri"
	"github.com/pyrossl/pyrossl/validator"
)

const (
	maxTags   = 32
	maxTag    = 64
	maxDaemon = 64
)

// check puts a registration into its one form.
func check(r *naming.Registration, caller *broker.Peer) (err error) {
	if r.Name, err = naming.ParseName(r.Name); err != nil {
		return err
	}
	if err := checkTarget(r, caller); err != nil {
		return err
	}
	if r.Tags, err = parseTags(r.Tags); err != nil {
		return err
	}
	if r.Daemon != "" {
		if err := checkDaemon(r.Daemon); err != nil {
			return err
		}
	}
	if r.Group && r.Daemon == "" {
		return fmt.Errorf("name %q: a member of a group needs a daemon's lease", r.Name)
	}
	return nil
}

// checkTarget checks where a name leads, and whom one must meet there: the caller itself
// unless it says otherwise.
func checkTarget(r *naming.Registration, caller *broker.Peer) error {
	u, err := uri.Parse(r.URI)
	if err != nil {
		return err
	}
	if u.Scheme != uri.PYROSSL && u.Scheme != uri.PYROLOCSSL {
		return fmt.Errorf("name %q: it would lead to %s, want a PYROSSL:// or PYROLOCSSL:// URI", r.Name, u)
	}
	if r.Identity == "" {
		r.Identity = u.ID
	}
	if r.Identity == "" {
		r.Identity = owner(caller)
	}
	p, err := validator.ParsePrincipal(r.Identity)
	if err != nil {
		return fmt.Errorf("name %q: identity %q is no principal, want kind:value such as dns:bank.example: %w", r.Name, r.Identity, err)
	}
	r.Identity = string(p.Kind) + ":" + p.Value
	u.ID = ""
	r.URI = u.String()
	return nil
}

// parseTags sorts tags and makes them lower case, so that they can be found.
func parseTags(tags []string) ([]string, error) {
	if len(tags) > maxTags {
		return nil, fmt.Errorf("%d tags, want at most %d", len(tags), maxTags)
	}
	all := make([]string, 0, len(tags))
	for _, tag := range tags {
		if tag == "" || len(tag) > maxTag || strings.ContainsFunc(tag, func(c rune) bool { return c <= ' ' || c > '~' || c == ',' }) {
			return nil, fmt.Errorf("tag %q, want 1 to %d printable ASCII characters without spaces and commas", short(tag), maxTag)
		}
		all = append(all, strings.ToLower(tag))
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func checkDaemon(id string) error {
	if id == "" || len(id) > maxDaemon || strings.ContainsFunc(id, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-')
	}) {
		return fmt.Errorf(`daemon %q, want 1 to %d letters, digits, "_" or "-"`, short(id), maxDaemon)
	}
	return nil
}

func short(text string) string {
	if len(text) > 64 {
		return text[:64] + "…"
	}
	return text
}
