package main

import (
	"bytes"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// Commands and examples are what users could have written themselves: they import
// public packages only. If one of them needs more, a public package lacks it.
func TestCommandsImportPublicPackagesOnly(t *testing.T) {
	seen := 0
	for _, root := range []string{"..", "../../examples"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
			if err != nil {
				return err
			}
			for _, i := range file.Imports {
				seen++
				name, _ := strconv.Unquote(i.Path.Value)
				if slices.Contains(strings.Split(name, "/"), "internal") {
					t.Errorf("%s imports %s", path, name)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 20 {
		t.Errorf("%d imports were looked at: is this the right directory?", seen)
	}
}

// A screen of help is 40 lines of 90 columns here.
func TestHelpIsOneScreenAndEndsInAnExample(t *testing.T) {
	var stdout, stderr bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, getenv: func(string) string { return "" }}
	names := []string{"help"}
	for _, c := range a.rootCommand().Commands() {
		names = append(names, c.Name())
	}
	for _, want := range []string{"serve", "call", "whoami", "probe", "status", "completion"} {
		if !slices.Contains(names, want) {
			t.Errorf("there is no command %q in %q", want, names)
		}
	}
	for _, name := range append(names, "") { // "" is broker itself
		stdout.Reset()
		args := []string{name, "--help"}
		if name == "" {
			args = args[1:]
		}
		if code := a.run(args); code != exitDone || stderr.Len() > 0 {
			t.Errorf("broker %s --help: exit code %d, stderr %q", name, code, stderr.String())
		}
		lines := strings.Split(strings.TrimSuffix(stdout.String(), "\n"), "\n")
		if len(lines) > 40 {
			t.Errorf("broker %s --help has %d lines, want at most 40", name, len(lines))
		}
		for _, l := range lines {
			if utf8.RuneCountInString(l) > 90 || strings.TrimRight(l, " ") != l {
				t.Errorf("broker %s --help: line %q is longer than 90 columns or ends in spaces", name, l)
			}
		}
		example := slices.Index(lines, "Example:")
		if example < 0 || example+1 >= len(lines) || !strings.HasPrefix(lines[example+1], "  ") || !strings.Contains(lines[example+1], "broker") {
			t.Errorf("broker %s --help does not end in an example:\n%s", name, stdout.String())
		}
	}
}
