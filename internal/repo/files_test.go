package repo

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const maxFile = 1 << 20

// files are the tracked files, by their path from the root with slashes; in a copy
// that is no git checkout, all files.
func files(t *testing.T) []string {
	t.Helper()
	dir := root(t)
	var names []string
	if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
		c := exec.Command("git", "ls-files", "-z")
		c.Dir = dir
		out, err := c.Output()
		if err != nil {
			t.Fatalf("git ls-files: %v", err)
		}
		for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
			if _, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(name))); err == nil { // not being deleted
				names = append(names, name)
			}
		}
	} else {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				name, _ := filepath.Rel(dir, path)
				names = append(names, filepath.ToSlash(name))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(names) < 50 || !slices.Contains(names, "go.mod") {
		t.Fatalf("%d files found, go.mod among them: %v; that cannot be all", len(names), slices.Contains(names, "go.mod"))
	}
	return names
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root(t), filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestNoLargeFiles(t *testing.T) {
	for _, name := range files(t) {
		if info, err := os.Lstat(filepath.Join(root(t), filepath.FromSlash(name))); err != nil {
			t.Error(err)
		} else if info.Size() > maxFile {
			t.Errorf("%s has %d bytes, want at most %d", name, info.Size(), maxFile)
		}
	}
}

// secret is a file name that keys and certificates go by; armored is what they
// look like under any name.
var (
	secret  = regexp.MustCompile(`(?i)\.(key|pem|crt|cer|der|p12|pfx|jks)$`)
	armored = regexp.MustCompile(`(?m)^-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----\r?$`)
)

func TestNoKeysAreTracked(t *testing.T) {
	for _, name := range files(t) {
		if slices.Contains(strings.Split(name, "/"), "testdata") {
			continue
		}
		if secret.MatchString(name) {
			t.Errorf("%s looks like a key or a certificate: those are made, not committed", name)
		}
		if armored.Match(read(t, name)) {
			t.Errorf("%s contains a private key", name)
		}
	}
}

// Paths and hosts of the machine that something was written on mean nothing to
// its reader. The classes of one character keep this file from matching itself.
var (
	machinePath  = regexp.MustCompile(`(?:^|[^\w.~/-])(/(?:home|root|Users|work|mnt|farm)/[\w.-]+)`)
	registryHost = regexp.MustCompile(`(?:proxy[.]golang|sum[.]golang|deb[.]debian|registry[.]npmjs|registry-1[.]docker)[.]`)
)

func TestNoMachinePathsOrRegistryHosts(t *testing.T) {
	for _, name := range files(t) {
		if name == "go.sum" || strings.HasSuffix(name, "/go.sum") {
			continue
		}
		data := read(t, name)
		if bytes.IndexByte(data, 0) >= 0 {
			continue // not text
		}
		for i, line := range strings.Split(string(data), "\n") {
			if m := machinePath.FindStringSubmatch(line); m != nil {
				t.Errorf("%s:%d: %q is a path of some machine", name, i+1, m[1])
			}
			if m := registryHost.FindString(line); m != "" {
				t.Errorf("%s:%d: %q is the host of a registry: which one is used is the reader's choice", name, i+1, m)
			}
		}
	}
}

func TestMachinePathsAreRecognized(t *testing.T) {
	for text, want := range map[string]bool{
		"see /" + "root/go/pkg":         true,
		"cd \"/" + "home/someone/src\"": true,
		"--data=/" + "work/x":           true,
		"https://host.example/work/x":   false,
		"docs/root/x":                   false,
		"/usr/local/go/bin":             false,
		"the /root of trust":            false,
	} {
		if got := machinePath.MatchString(text); got != want {
			t.Errorf("%q: recognized is %v, want %v", text, got, want)
		}
	}
}

// What everybody looks for first.
func TestProjectFiles(t *testing.T) {
	tracked := files(t)
	for name, want := range map[string]string{
		"LICENSE":         "Apache License",
		"README.md":       "go test ./...",
		"SECURITY.md":     "Report a vulnerability",
		"CONTRIBUTING.md": ".ci/run",
		"CHANGELOG.md":    "## [Unreleased]",
		".gitignore":      "/pki/",
	} {
		if !slices.Contains(tracked, name) {
			t.Errorf("there is no %s", name)
		} else if !strings.Contains(string(read(t, name)), want) {
			t.Errorf("%s does not say %q", name, want)
		}
	}
	for _, script := range []string{".ci/run", ".ci/compose-test", "bench/size.sh"} {
		if info, err := os.Stat(filepath.Join(root(t), filepath.FromSlash(script))); err != nil {
			t.Error(err)
		} else if os.PathSeparator == '/' && info.Mode()&0o100 == 0 {
			t.Errorf("%s is not executable", script)
		}
	}
}
