// Package rulefile reads mapping rules and authorization rules from YAML.
//
// A file has one or both of two lists, and nothing else:
//
//	identities:                       # who is who: validator.MapRule
//	  - name: staff                   # for messages
//	    match: {email: '([a-z.]+)@bank\.example'}   # one of uri, dns, email, cn
//	    issuer: sha256:0f1e…          # optional: the trust anchor that must vouch
//	    as: $1                        # optional: else the principal itself
//	    roles: [teller]               # optional
//
//	rules:                            # who may do what: validator.Rule
//	  - name: tellers
//	    effect: allow                 # or deny, which wins
//	    roles: [teller]               # and/or identities: [alice, …]
//	    issuers: [sha256:0f1e…]       # optional
//	    objects: [bank]
//	    methods: [Deposit, Get*]
//
// The packages' documentation of MapRule and Rule says what the fields mean;
// testdata/example.yaml is a whole file with comments.
//
// Reading is strict. An unknown or repeated field, a value of another type, an anchor
// or alias, a second document, a file beyond 1 MiB, or one rule that cannot be used
// refuses the whole file, with the line: a rule that is silently left out could be
// the one that denies.
package rulefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/pyrossl/pyrossl/validator"
	"go.yaml.in/yaml/v4"
)

// MaxSize bounds a file, in bytes.
const MaxSize = 1 << 20

// An Error is why a file is refused.
type Error struct {
	Path   string // of the file; empty when bytes were parsed
	Line   int    // from 1; 0 when it is about the file as a whole
	Reason string
	Err    error // from the system; may be nil
}

func (e *Error) Error() string {
	switch {
	case e.Path != "" && e.Line > 0:
		return fmt.Sprintf("rulefile: %s:%d: %s", e.Path, e.Line, e.Reason)
	case e.Path != "":
		return fmt.Sprintf("rulefile: %s: %s", e.Path, e.Reason)
	case e.Line > 0:
		return fmt.Sprintf("rulefile: line %d: %s", e.Line, e.Reason)
	}
	return "rulefile: " + e.Reason
}

// Unwrap returns the system's error, such as fs.ErrNotExist.
func (e *Error) Unwrap() error { return e.Err }

// ParseIdentities reads the mapping rules of a file, for validator.NewMapper. The
// whole file is checked, and it must have some.
func ParseIdentities(data []byte) ([]validator.MapRule, error) {
	f, err := parse(data)
	if err != nil {
		return nil, err
	}
	if len(f.identities) == 0 {
		return nil, &Error{Reason: `there are no mapping rules, want a list "identities:"`}
	}
	return f.identities, nil
}

// ParseRules reads the authorization rules of a file, for validator.NewRules. The
// whole file is checked, and it must have some.
func ParseRules(data []byte) ([]validator.Rule, error) {
	f, err := parse(data)
	if err != nil {
		return nil, err
	}
	if len(f.rules) == 0 {
		return nil, &Error{Reason: `there are no authorization rules, want a list "rules:"`}
	}
	return f.rules, nil
}

// LoadIdentities is ParseIdentities for a file on disk.
func LoadIdentities(path string) ([]validator.MapRule, error) { return load(path, ParseIdentities) }

// LoadRules is ParseRules for a file on disk.
func LoadRules(path string) ([]validator.Rule, error) { return load(path, ParseRules) }

func load[T any](path string, parse func([]byte) (T, error)) (result T, err error) {
	data, err := read(path)
	if err != nil {
		reason := err.Error()
		var pathError *os.PathError
		if errors.As(err, &pathError) { // ours begins with the path already
			reason = "cannot " + pathError.Op + ": " + pathError.Err.Error()
		}
		return result, &Error{Path: path, Reason: reason, Err: err}
	}
	if result, err = parse(data); err != nil {
		var e *Error
		if errors.As(err, &e) {
			e.Path = path
		}
	}
	return result, err
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxSize+1))
}

// file is what was read and checked.
type file struct {
	identities []validator.MapRule
	rules      []validator.Rule
}

func parse(data []byte) (*file, error) {
	if len(data) > MaxSize {
		return nil, &Error{Reason: fmt.Sprintf("the file has more than %d bytes", MaxSize)}
	}
	root, err := document(data)
	if err != nil {
		return nil, err
	}
	f := new(file)
	seen := make(map[string]int) // rules by kind and name, with their lines
	err = fields(root, "a file with rules", map[string]func(*yaml.Node) error{
		"identities": func(n *yaml.Node) error {
			return each(n, "identities", func(n *yaml.Node) error { return f.addIdentity(n, seen) })
		},
		"rules": func(n *yaml.Node) error {
			return each(n, "rules", func(n *yaml.Node) error { return f.addRule(n, seen) })
		},
	})
	if err != nil {
		return nil, err
	}
	// What can only be said of all of them together.
	if len(f.identities) > 0 {
		if _, err := validator.NewMapper(f.identities...); err != nil {
			return nil, &Error{Reason: strip(err)}
		}
	}
	if _, err := validator.NewRules(f.rules...); err != nil {
		return nil, &Error{Reason: strip(err)}
	}
	return f, nil
}

// document reads exactly one document with a mapping in it.
func document(data []byte) (*yaml.Node, error) {
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithUniqueKeys())
	if err != nil {
		return nil, &Error{Reason: err.Error()}
	}
	var doc, more yaml.Node
	switch err := loader.Load(&doc); {
	case errors.Is(err, io.EOF):
		return nil, &Error{Reason: "the file is empty"}
	case err != nil:
		return nil, syntaxError(err)
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, &Error{Reason: "the file is empty"}
	}
	switch err := loader.Load(&more); {
	case err == nil:
		return nil, &Error{Line: more.Line, Reason: "there is a second document, want one"}
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(err)
	}
	return doc.Content[0], nil
}

// syntaxError takes the line from the library's error.
func syntaxError(err error) error {
	e := &Error{Reason: "the file is not YAML: " + oneLine(err.Error())}
	var load *yaml.LoadError
	if errors.As(err, &load) {
		e.Line = load.Mark.Line
		e.Reason = "the file is not YAML: " + oneLine(load.Message)
	}
	return e
}

// strip takes the other package's prefix away: ours is there already.
func strip(err error) string { return strings.TrimPrefix(err.Error(), "validator: ") }

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
