package validator

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
)

// maxPattern bounds a pattern, in bytes.
const maxPattern = 1024

// pattern is a regular expression that matches the whole of a text or nothing.
type pattern struct {
	re     *regexp.Regexp
	prefix string // of everything that matches; most texts fail here
}

func compilePattern(s string) (*pattern, error) {
	switch {
	case s == "":
		return nil, failf("", "its pattern is empty")
	case len(s) > maxPattern:
		return nil, failf("", "its pattern %s", over(len(s), maxPattern, "bytes"))
	}
	// Alone first: "a)|(b" would end the group around it.
	alone, err := regexp.Compile(s)
	if err != nil {
		var e *syntax.Error
		if errors.As(err, &e) {
			return nil, failf("", "its pattern %s: %s at %s", quote(s), e.Code, quote(e.Expr))
		}
		return nil, failf("", "its pattern %s cannot be compiled", quote(s))
	}
	whole, err := regexp.Compile(`\A(?:` + s + `)\z`)
	if err != nil {
		return nil, failf("", "its pattern %s cannot be compiled", quote(s))
	}
	p := &pattern{re: whole}
	p.prefix, _ = alone.LiteralPrefix()
	return p, nil
}

// match returns where the captures are, as regexp does, or nil.
func (p *pattern) match(s string) []int {
	if !strings.HasPrefix(s, p.prefix) {
		return nil
	}
	return p.re.FindStringSubmatchIndex(s)
}

// capture finds a capture by number or name; -1 means that there is none.
func (p *pattern) capture(name string) int {
	if n, err := strconv.Atoi(name); err == nil {
		if n < 0 || n > p.re.NumSubexp() || name != strconv.Itoa(n) {
			return -1
		}
		return n
	}
	return p.re.SubexpIndex(name)
}

// template is what a rule gives as the name: pieces of text and captures.
type template []piece

type piece struct {
	text    string
	capture int // -1: text
}

// parseTemplate reads "$1", "${name}" and "$$". A capture that the pattern does not
// have is an error now, and not an empty name later.
func parseTemplate(s string, p *pattern) (template, error) {
	if len(s) > maxPattern {
		return nil, failf("", "its name template %s", over(len(s), maxPattern, "bytes"))
	}
	var t template
	for rest := s; rest != ""; {
		text, after, dollar := strings.Cut(rest, "$")
		if text != "" {
			t = append(t, piece{text: text, capture: -1})
		}
		if !dollar {
			break
		}
		var name string
		switch {
		case strings.HasPrefix(after, "$"):
			t = append(t, piece{text: "$", capture: -1})
			rest = after[1:]
			continue
		case strings.HasPrefix(after, "{"):
			var closed bool
			if name, rest, closed = strings.Cut(after[1:], "}"); !closed {
				return nil, failf(`"${name}"`, `its name template %s has a "${" without an end`, quote(s))
			}
		default:
			digits := len(after) - len(strings.TrimLeft(after, number))
			name, rest = after[:digits], after[digits:]
			if digits == 0 {
				return nil, failf(`"$1", "${name}", or "$$" for a dollar sign`, `its name template %s has a "$" alone`, quote(s))
			}
		}
		n := -1
		if name != "" {
			n = p.capture(name)
		}
		if n < 0 {
			return nil, failf("", "its name template %s uses the capture %s, which the pattern does not have", quote(s), quote(name))
		}
		t = append(t, piece{capture: n})
	}
	return t, nil
}

// expand fills in the captures. One that is empty, or took no part in the match,
// is refused: "user-" is not a name for everybody.
func (t template) expand(s string, captures []int) (string, error) {
	var b strings.Builder
	for _, p := range t {
		if p.capture < 0 {
			b.WriteString(p.text)
			continue
		}
		from, to := captures[2*p.capture], captures[2*p.capture+1]
		if from < 0 || from == to {
			return "", failf("", "the capture %d is empty", p.capture)
		}
		b.WriteString(s[from:to])
	}
	return b.String(), nil
}
