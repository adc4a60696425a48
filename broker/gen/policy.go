package gen

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// policy writes a policy that names every method and denies it to everybody.
func policy(s *source, of *iface, object string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `# Who may call the methods of %s.%s, as the object %q.
#
# Nobody yet: each rule denies its method to everybody. To open one, turn its effect
# to allow and say who in roles: or identities:. A method without a rule that allows
# it stays closed, and a rule that denies wins over all that allow.
rules:
`, s.pkg.Name(), of.name, object)
	taken := map[string]bool{}
	for _, m := range of.methods {
		if !onlyASCII(m.name, "_") {
			fmt.Fprintf(&b, "\n  # %s: no rule can name it, for it has other letters than ASCII; it stays closed.\n", m.name)
			continue
		}
		fmt.Fprintf(&b, "\n  # %s\n", m.signature())
		fmt.Fprintf(&b, "  - name: %s\n    effect: deny\n    identities: [\"*\"]\n    objects: [%s]\n    methods: [%s]\n",
			ruleName(object+"."+m.name, taken), strconv.Quote(object), strconv.Quote(m.name))
	}
	return b.Bytes()
}

// objectSymbols are what package validator lets a rule say in the name of an object,
// beside ASCII letters and digits; "*", a pattern, is not for one object.
const objectSymbols = "._:/@+,=~-"

func onlyASCII(text, symbols string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return !isASCII(r, symbols) }) < 0
}

func isASCII(r rune, symbols string) bool {
	return r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)) || strings.ContainsRune(symbols, r)
}

// ruleName makes the name of a rule, of which package validator wants 64 characters at
// most.
func ruleName(text string, taken map[string]bool) string {
	const longest, room = 64, 4
	base := strings.Map(func(r rune) rune {
		if isASCII(r, "._-") {
			return r
		}
		return '-'
	}, text)
	base = base[:min(len(base), longest)]
	name := base
	for i := 2; taken[name]; i++ {
		name = base[:min(len(base), longest-room)] + "-" + strconv.Itoa(i)
	}
	taken[name] = true
	return name
}
