package repo

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pyrossl/pyrossl/validator/rulefile"
)

var (
	fence = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")
	link  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
)

// Go code in the README is code of this repository: each block stands, as it is,
// in a file that the text before it links to. So it compiles, and is tested there.
func TestReadmeShowsRealCode(t *testing.T) {
	text := string(read(t, "README.md"))
	shown := 0
	for _, at := range fence.FindAllStringSubmatchIndex(text, -1) {
		if text[at[2]:at[3]] != "go" {
			continue
		}
		shown++
		block := text[at[4]:at[5]]
		links := link.FindAllStringSubmatch(text[:at[0]], -1)
		if len(links) == 0 {
			t.Errorf("no link stands before this block:\n%s", block)
			continue
		}
		from := links[len(links)-1][1]
		if strings.TrimSpace(block) == "" || !strings.Contains(dedent(string(read(t, from))), dedent(block)) {
			t.Errorf("this is not in %s:\n%s", from, block)
		}
	}
	if shown < 2 {
		t.Errorf("the README shows %d pieces of code, want a server and a client", shown)
	}
}

// dedent removes all indentation, which a block in the README has less of.
func dedent(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimSpace(l)
	}
	return strings.Join(lines, "\n")
}

// A link that leads nowhere is worse than none.
func TestLinksLeadSomewhere(t *testing.T) {
	for _, name := range files(t) {
		if !strings.HasSuffix(name, ".md") {
			continue
		}
		text := fence.ReplaceAllString(string(read(t, name)), "")
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") || target == "" {
				continue
			}
			if _, err := os.Stat(filepath.Join(root(t), filepath.FromSlash(path.Join(path.Dir(name), target)))); err != nil {
				t.Errorf("%s links to %q: %v", name, m[1], err)
			}
		}
	}
}

// The rule file that the README shows is one that is accepted.
func TestReadmeShowsRealRules(t *testing.T) {
	shown := 0
	for _, m := range fence.FindAllStringSubmatch(string(read(t, "README.md")), -1) {
		if m[1] != "yaml" {
			continue
		}
		shown++
		if _, err := rulefile.ParseIdentities([]byte(m[2])); err != nil {
			t.Error(err)
		}
		if _, err := rulefile.ParseRules([]byte(m[2])); err != nil {
			t.Error(err)
		}
	}
	if shown == 0 {
		t.Error("the README shows no rules")
	}
}

func TestContributingListsAllPackages(t *testing.T) {
	text := string(read(t, "CONTRIBUTING.md"))
	for _, p := range packages(t) {
		if !strings.Contains(text, "`"+p.short+"`") && !example(p.short) {
			t.Errorf("CONTRIBUTING.md has no line for package %s", p.short)
		}
	}
}

// The two commands, as a reader's eye finds them.
func TestReadmeHasTheTwoCommands(t *testing.T) {
	text := string(read(t, "README.md"))
	marks := make(map[string]string)
	for _, m := range regexp.MustCompile("(?ms)^<!-- ci: (\\w+) -->\n```sh\n(.*?)\n```$").FindAllStringSubmatch(text, -1) {
		marks[m[1]] = m[2]
	}
	for name, want := range map[string]string{
		"broker": "go run ./cmd/broker serve --dev",
		"test":   "go test ./...",
	} {
		if marks[name] != want {
			t.Errorf("the README's command %q is %q, want %q", name, marks[name], want)
		}
	}
	if version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(read(t, "go.mod"))); !strings.Contains(text, "Go "+version[1]) {
		t.Errorf("the README does not say that it takes Go %s", version[1])
	}
}

// The list of what does not exist yet ends with what comes to exist.
func TestWhatIsSaidToBeMissingIsMissing(t *testing.T) {
	var dirs []string
	for _, p := range packages(t) {
		dirs = append(dirs, p.short)
	}
	text := string(read(t, "README.md"))
	for pkg, says := range map[string]string{
		"broker/names":     "the name server",
		"broker/events":    "the event server",
		"broker/mobile":    "mobile code",
		"broker/relay":     "the relay",
		"validator/policy": "policies in Cedar",
		"certs/ca/online":  "an online CA",
	} {
		_, missing, _ := strings.Cut(text, "does **not** exist yet")
		missing, _, _ = strings.Cut(missing, "\n## ")
		if exists := slices.Contains(dirs, pkg); exists == strings.Contains(missing, says) {
			t.Errorf("package %s exists: %v, and the README lists %q as missing: %v", pkg, exists, says, !exists)
		}
	}
}
