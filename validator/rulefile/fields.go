package rulefile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pyrossl/pyrossl/validator"
	"go.yaml.in/yaml/v4"
)

// maxShown bounds a text from the file in a message.
const maxShown = 60

func quote(s string) string {
	if len(s) > maxShown {
		return strconv.QuoteToASCII(s[:maxShown]) + "..."
	}
	return strconv.QuoteToASCII(s)
}

func failAt(n *yaml.Node, format string, args ...any) error {
	return &Error{Line: n.Line, Reason: fmt.Sprintf(format, args...)}
}

// plainNode refuses what makes a text mean something that does not stand there.
func plainNode(n *yaml.Node) error {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return failAt(n, "anchors and aliases are not used here; write the value again")
	case n.Style&yaml.TaggedStyle != 0:
		return failAt(n, "tags like %s are not used here", quote(n.Tag))
	}
	return nil
}

// fields reads a mapping, each field by its own function.
func fields(n *yaml.Node, what string, known map[string]func(*yaml.Node) error) error {
	if err := plainNode(n); err != nil {
		return err
	}
	if n.Kind != yaml.MappingNode {
		return failAt(n, "%s is %s, want fields like %q", what, kindOf(n), first(known)+":")
	}
	lines := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if err := plainNode(key); err != nil {
			return err
		}
		name := key.Value
		read := known[name]
		if key.Kind != yaml.ScalarNode || read == nil {
			return failAt(key, "unknown field %s in %s, want one of %s", quote(name), what, strings.Join(sorted(known), ", "))
		}
		if line, twice := lines[name]; twice {
			return failAt(key, "field %q stands in %s twice, first in line %d", name, what, line)
		}
		lines[name] = key.Line
		if err := read(value); err != nil {
			return err
		}
	}
	return nil
}

// each reads a list.
func each(n *yaml.Node, what string, read func(*yaml.Node) error) error {
	if err := plainNode(n); err != nil {
		return err
	}
	if n.Kind != yaml.SequenceNode {
		return failAt(n, "%q is %s, want a list", what, kindOf(n))
	}
	if len(n.Content) == 0 {
		return failAt(n, "%q is an empty list; leave it out if nothing is meant", what)
	}
	for _, item := range n.Content {
		if err := read(item); err != nil {
			return err
		}
	}
	return nil
}

// text reads a text into p.
func text(what string, p *string) func(*yaml.Node) error {
	return func(n *yaml.Node) error {
		if err := plainNode(n); err != nil {
			return err
		}
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
			return failAt(n, "%q is %s, want text; put it in quotes if it is", what, kindOf(n))
		}
		if n.Value == "" {
			return failAt(n, "%q is empty; leave it out if nothing is meant", what)
		}
		*p = n.Value
		return nil
	}
}

// texts reads a list of texts into p.
func texts(what string, p *[]string) func(*yaml.Node) error {
	return func(n *yaml.Node) error {
		return each(n, what, func(n *yaml.Node) error {
			var s string
			if err := text(what, &s)(n); err != nil {
				return err
			}
			*p = append(*p, s)
			return nil
		})
	}
}

// addIdentity reads one of the mapping rules.
func (f *file) addIdentity(n *yaml.Node, seen map[string]int) error {
	var r validator.MapRule
	err := fields(n, "a mapping rule", map[string]func(*yaml.Node) error{
		"name":   text("name", &r.Name),
		"match":  func(n *yaml.Node) error { return match(n, &r) },
		"issuer": text("issuer", &r.Issuer),
		"as":     text("as", &r.As),
		"roles":  texts("roles", &r.Roles),
	})
	if err != nil {
		return err
	}
	if r.Match == "" {
		return failAt(n, `the mapping rule %s has no "match"`, quote(r.Name))
	}
	if err := once(n, "identities", r.Name, seen); err != nil {
		return err
	}
	// Alone, to know the line.
	if _, err := validator.NewMapper(r); err != nil {
		return failAt(n, "%s", place(strip(err), "mapping rule 1: "))
	}
	f.identities = append(f.identities, r)
	return nil
}

// match reads one kind and its pattern.
func match(n *yaml.Node, r *validator.MapRule) error {
	known := make(map[string]func(*yaml.Node) error)
	for _, kind := range []validator.Kind{validator.URI, validator.DNS, validator.Email, validator.CN} {
		known[string(kind)] = func(n *yaml.Node) error {
			if r.Match != "" {
				return failAt(n, `"match" has two kinds of names, %s and %s; write a rule for each`, r.Match, kind)
			}
			r.Match = kind
			return text(string(kind), &r.Pattern)(n)
		}
	}
	return fields(n, `"match"`, known)
}

// addRule reads one of the authorization rules.
func (f *file) addRule(n *yaml.Node, seen map[string]int) error {
	var r validator.Rule
	err := fields(n, "a rule", map[string]func(*yaml.Node) error{
		"name":       text("name", &r.Name),
		"effect":     func(n *yaml.Node) error { return effect(n, &r.Effect) },
		"identities": texts("identities", &r.Identities),
		"roles":      texts("roles", &r.Roles),
		"issuers":    texts("issuers", &r.Issuers),
		"objects":    texts("objects", &r.Objects),
		"methods":    texts("methods", &r.Methods),
	})
	if err != nil {
		return err
	}
	if r.Effect == 0 {
		return failAt(n, `the rule %s has no "effect", want allow or deny`, quote(r.Name))
	}
	if err := once(n, "rules", r.Name, seen); err != nil {
		return err
	}
	if _, err := validator.NewRules(r); err != nil {
		return failAt(n, "%s", place(strip(err), "rule 1: "))
	}
	f.rules = append(f.rules, r)
	return nil
}

func effect(n *yaml.Node, e *validator.Effect) error {
	var word string
	if err := text("effect", &word)(n); err != nil {
		return err
	}
	switch word {
	case "allow":
		*e = validator.Allow
	case "deny":
		*e = validator.Deny
	default:
		return failAt(n, `"effect" is %s, want allow or deny`, quote(word))
	}
	return nil
}

// once refuses a second rule of the same name.
func once(n *yaml.Node, list, name string, seen map[string]int) error {
	if name == "" { // refused by package validator
		return nil
	}
	key := list + "/" + name
	if line, twice := seen[key]; twice {
		return failAt(n, "the name %q is taken by the rule in line %d", name, line)
	}
	seen[key] = n.Line
	return nil
}

// place takes away a number that is not that of the rule in the file.
func place(reason, number string) string { return strings.TrimPrefix(reason, number) }

// kindOf says what a node is.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!str":
		return "the text " + quote(n.Value)
	}
	return quote(n.Value) + " (" + strings.TrimPrefix(n.ShortTag(), "!!") + ")"
}

func sorted(known map[string]func(*yaml.Node) error) []string {
	var all []string
	for name := range known {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

func first(known map[string]func(*yaml.Node) error) string { return sorted(known)[0] }
