package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

var (
	// variants are what differs from one run to the next, and what stands for it.
	variants = []struct {
		is *regexp.Regexp
		as string
	}{
		{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d UTC`), "DATE"},
		{regexp.MustCompile(`localhost:\d+`), "localhost:PORT"},
		{regexp.MustCompile(`port \d+`), "port PORT"},
		{regexp.MustCompile(`CN=Pyrossl CA [0-9a-f]+ `), "CN=Pyrossl CA ID "},
		{regexp.MustCompile(`session [0-9A-Z]{16}`), "session ID"},
		{regexp.MustCompile(`incident: \S+`), "incident: ID"},
	}
	// machine are the steps that say how this machine reaches itself.
	machine = regexp.MustCompile(`(?m)^\w+ +(dns|tcp) .*\n( {10,}.*\n)*`)
)

// settled is a report without what differs from one run to the next.
func settled(text string) string {
	text = machine.ReplaceAllString(text, "")
	for _, v := range variants {
		text = v.is.ReplaceAllString(text, v.as)
	}
	return text
}

// cmdTranscript runs "transcript FILE": the file is what docs/explain.md shows.
func cmdTranscript(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: transcript FILE")
	}
	page, err := os.ReadFile(filepath.Join(docsDir, "explain.md"))
	ts.Check(err)
	_, rest, _ := strings.Cut(string(page), "<!-- transcript -->\n```\n$ ")
	_, rest, _ = strings.Cut(rest, "\n")
	shown, _, ok := strings.Cut(rest, "broker: error: ")
	if got := settled(ts.ReadFile(args[0])); !ok || settled(shown) != got {
		ts.Fatalf("docs/explain.md shows\n%s\nand the command prints\n%s", settled(shown), got)
	}
}
