package validator

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of what operators write: names of rules and roles, and names that rules
// give to peers.
const (
	maxRuleName = 64
	maxLabelled = 256
)

// checkRuleName checks the name of a rule.
func checkRuleName(s string) error {
	switch {
	case s == "":
		return failf("a name for messages", "the rule has no name")
	case len(s) > maxRuleName:
		return failf("", "the rule's name %s %s", quote(s), over(len(s), maxRuleName, "bytes"))
	case !only(s, lower+upper+number+"._-"):
		return failf("", `the rule's name %s has other characters than ASCII letters, digits and "._-"`, quote(s))
	}
	return nil
}

// checkRole checks the name of a role.
func checkRole(s string) error {
	switch {
	case s == "":
		return failf("", "a role is empty")
	case len(s) > maxRuleName:
		return failf("", "the role %s %s", quote(s), over(len(s), maxRuleName, "bytes"))
	case !only(s, lower+upper+number+"._:/-"):
		return failf("", `the role %s has other characters than ASCII letters, digits and "._:/-"`, quote(s))
	}
	return nil
}

// checkLabel checks a name that is given to a peer. The error is the second half of
// a sentence.
func checkLabel(s string) error {
	switch {
	case s == "":
		return failf("", "is empty")
	case len(s) > maxLabelled:
		return failf("", "%s", over(len(s), maxLabelled, "bytes"))
	case !utf8.ValidString(s):
		return failf("", "is not UTF-8")
	}
	return checkVisible(s)
}

// checkVisible refuses what a name must not hold.
func checkVisible(s string) error {
	for _, r := range s {
		switch {
		case r == '*':
			return failf("", `has a "*", which means any name`)
		case unicode.IsSpace(r):
			return failf("", "has white space")
		case !unicode.IsPrint(r):
			return failf("", "has a character that cannot be seen")
		}
	}
	if reason := mixedScript(s); reason != "" {
		return failf("", "%s", reason)
	}
	return nil
}

// plain shows a text from outside: as it is when it is short and made of visible
// ASCII, else quoted and bounded.
func plain(s string) string {
	if s == "" || len(s) > maxShown {
		return quote(s)
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || strings.IndexByte("\"\\`", s[i]) >= 0 {
			return quote(s)
		}
	}
	return s
}
