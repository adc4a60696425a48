package repo

import (
	"strings"
	"testing"
)

// linked are the modules that a program may link that only calls objects.
var linked = map[string]string{
	module:                         "broker, certs, validator, codec",
	"github.com/fxamacker/cbor/v2": "CBOR",
	"github.com/x448/float16":      "half-precision numbers, needed by CBOR",
	"github.com/xdg-go/scram":      "the second factor",
	"github.com/xdg-go/stringprep": "user names and passphrases in their one form, needed by SCRAM",
	"golang.org/x/text":            "Unicode tables, needed by stringprep",
}

// heavy is what a client must never link, whatever the list above will say one day.
var heavy = []string{"smallstep", "go.step.sm", "nats-io", "cedar", "wazero", "cobra", "yaml"}

// A client's weight is a promise: who only calls objects links no CA, no store, no
// policy engine, no sandbox and no command line.
func TestMinimalClientLinksLittle(t *testing.T) {
	out, err := goCommand([]string{"CGO_ENABLED=0"}, "list", "-deps", "-f", "{{if not .Standard}}{{.Module.Path}} {{.ImportPath}}{{end}}",
		"./internal/repo/testdata/minclient")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for line := range strings.Lines(string(out)) {
		path, imported, _ := strings.Cut(strings.TrimSpace(line), " ")
		seen[path] = true
		if linked[path] == "" {
			t.Errorf("the minimal client links %s of module %s", imported, path)
		}
		for _, h := range heavy {
			if strings.Contains(imported, h) {
				t.Errorf("the minimal client links %s", imported)
			}
		}
	}
	for path := range linked {
		if !seen[path] {
			t.Errorf("the list has %s, which the minimal client does not link", path)
		}
	}
}

func TestMinimalClientCompiles(t *testing.T) {
	if _, err := goCommand([]string{"CGO_ENABLED=0"}, "vet", "./internal/repo/testdata/minclient"); err != nil {
		t.Error(err)
	}
}
