package main

import (
	"bytes"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// run gives the exit code and what a command line prints.
func run(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = (&app{stdout: &out, stderr: &errs}).run(args)
	return code, out.String(), errs.String()
}

func TestExitCodes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	cert := filepath.Join(dir, "a.example.crt")
	for _, c := range []struct {
		args string
		want int
	}{
		{"help", exitDone},
		{"issue --help", exitDone},
		{"completion zsh", exitDone},
		{"", exitUsage},
		{"isue", exitUsage},
		{"issue", exitUsage},
		{"issue a.example b.example", exitUsage},
		{"issue a.example --serve", exitUsage},
		{"issue a.example --ttl soon", exitUsage},
		{"issue a.example --ttl 0s", exitUsage},
		{"issue teller", exitUsage},
		{"issue a.example --key-type dsa", exitUsage},
		{"list --dir " + dir, exitFailed}, // there is no CA yet
		{"issue a.example --dir " + dir, exitDone},
		{"issue a.example --dir " + dir, exitDone}, // up to date
		{"issue a.example --client --dir " + dir, exitFailed},
		{"issue *.example --dir " + dir, exitUsage},
		{"issue ca --dns b.example --server --dir " + dir, exitUsage},
		{"issue b.example --ttl 9999d --dir " + dir, exitFailed},
		{"init --permit b.example --dir " + dir + "2", exitUsage},
		{"init --dir " + dir, exitDone},
		{"init --name other --dir " + dir, exitUsage},
		{"list --dir " + dir, exitDone},
		{"inspect " + cert, exitDone},
		{"inspect " + cert + "x", exitFailed},
		{"verify " + cert, exitDone},
		{"verify " + cert + " --host b.example", exitFailed},
		{"verify " + cert + " --client @", exitUsage},
		{"verify " + cert + " --crl " + cert, exitFailed},
		{"renew --dir " + dir, exitUsage},
		{"renew a.example --all --dir " + dir, exitUsage},
		{"renew a.example --ca --dir " + dir, exitUsage},
		{"renew a.example --before 2/1 --dir " + dir, exitUsage},
		{"renew a.example --dir " + dir, exitDone},
		{"renew nobody --dir " + dir, exitFailed},
		{"renew --all --before 1/3 --dir " + dir, exitDone}, // up to date
		{"renew --ca --dir " + dir, exitDone},               // up to date
		{"renew --ca --rekey=false --dir " + dir, exitUsage},
		{"crl --dir " + dir, exitDone},
		{"crl --ttl 1s --dir " + dir, exitUsage},
		{"crl now --dir " + dir, exitUsage},
		{"revoke --dir " + dir, exitUsage},
		{"revoke a.example --reason sold --dir " + dir, exitUsage},
		{"revoke a.example --intermediate --key --dir " + dir, exitUsage},
		{"revoke a.example --lift --key --dir " + dir, exitUsage},
		{"revoke a.example --lift --dir " + dir, exitFailed},
		{"revoke nobody --dir " + dir, exitFailed},
		{"ca --dir " + dir, exitUsage},
		{"ca rol", exitUsage},
		{"ca roll --dir " + dir, exitDone},
		{"ca roll forward --dir " + dir, exitUsage},
		{"ca roll reissue --dir " + dir, exitFailed},
		{"ca roll remove --dir " + dir, exitDone}, // nothing to do
		{"ca roll start --dir " + dir, exitDone},
		{"ca roll add --name other --dir " + dir, exitUsage},
		{"ca roll finish --dir " + dir, exitFailed},
		{"ca roll re-issue --dir " + dir, exitDone},
		{"ca roll finish --dir " + dir, exitDone},
		{"revoke a.example --dir " + dir, exitDone},
		{"revoke a.example --dir " + dir, exitDone}, // was already
		{"renew a.example --dir " + dir, exitFailed},
	} {
		code, stdout, stderr := run(strings.Fields(c.args)...)
		if code != c.want {
			t.Errorf("mkcerts %s: exit code %d, want %d\n%s", c.args, code, c.want, stderr)
		}
		for line := range strings.Lines(stderr) {
			if !strings.HasPrefix(line, "mkcerts: ") {
				t.Errorf("mkcerts %s: line %q on stderr does not say who speaks", c.args, line)
			}
		}
		if failed := strings.Contains(stderr, "mkcerts: error: "); failed != (c.want != exitDone) {
			t.Errorf("mkcerts %s: an error is printed: %t\n%s", c.args, failed, stderr)
		}
		if c.want == exitUsage && (stdout != "" || !strings.Contains(stderr, "mkcerts: hint: ")) {
			t.Errorf("mkcerts %s: want a hint and nothing else\n%s%s", c.args, stdout, stderr)
		}
	}
}

// Help fits on a screen, and ends with an example that is taken as it stands.
func TestHelp(t *testing.T) {
	for _, command := range []string{"", "issue", "init", "list", "inspect", "verify", "renew", "revoke", "crl",
		"ca", "ca roll", "ca roll add", "ca roll reissue", "ca roll status", "ca roll remove"} {
		code, text, stderr := run(strings.Fields("help " + command)...)
		if code != exitDone || stderr != "" {
			t.Errorf("help %s: exit code %d, %s", command, code, stderr)
		}
		if n := strings.Count(text, "\n"); n > 45 {
			t.Errorf("help %s has %d lines", command, n)
		}
		_, examples, ok := strings.Cut(text, "\nExample:\n")
		if !ok || strings.TrimSpace(examples) == "" {
			t.Errorf("help %s does not end with an example", command)
		}
		for line := range strings.Lines(examples) {
			args := strings.Fields(line)
			if args[0] != "mkcerts" {
				t.Errorf("help %s: example %q", command, line)
				continue
			}
			// What is missing here are the files, and nothing else.
			dir := t.TempDir()
			t.Chdir(dir)
			if code, _, stderr := run(args[1:]...); code == exitUsage {
				t.Errorf("help %s: %q is wrong usage: %s", command, line, stderr)
			}
		}
	}
	if _, text, _ := run("help"); !strings.Contains(text, "Exit codes: 0 done, or up to date; 1 failed; 2 wrong usage.") {
		t.Error("help does not list the exit codes")
	}
}

func TestCompletion(t *testing.T) {
	const noFiles, dirs, files = ":4", ":16", ":0"
	for args, want := range map[string][]string{
		"__complete issue --key-type @": {"ed25519", "rsa-3072", noFiles},
		"__complete init --key-type @":  {"ecdsa", noFiles},
		"__complete issue --dns @":      {noFiles},
		"__complete issue @":            {noFiles},
		"__complete issue --out @":      {dirs},
		"__complete list --dir @":       {dirs},
		"__complete inspect @":          {files},
		"__complete revoke --reason @":  {"keyCompromise", "superseded", noFiles},
		"__complete renew --before @":   {noFiles},
		"__complete ca roll @":          {"add", "reissue", "remove", "status", noFiles},
		"__complete crl --out @":        {files},
		"__complete verify --ca @":      {files},
		"__complete ver@":               {"verify\tcheck a certificate", noFiles},
	} {
		words := strings.Fields(args)
		words[len(words)-1] = strings.TrimSuffix(words[len(words)-1], "@")
		code, stdout, _ := run(words...)
		for _, w := range want {
			if code != exitDone || !strings.Contains(stdout, w) {
				t.Errorf("%s: exit code %d, %q, want %q in it", args, code, stdout, w)
			}
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, stdout, _ := run("completion", shell); code != exitDone || !strings.Contains(stdout, "mkcerts") {
			t.Errorf("completion %s: exit code %d, %d bytes", shell, code, len(stdout))
		}
	}
}

func TestLifetime(t *testing.T) {
	for in, want := range map[string]struct {
		d    time.Duration
		text string
	}{"24h": {24 * time.Hour, "24h"}, "30d": {720 * time.Hour, "720h"}, "20m": {20 * time.Minute, "20m"}, "1h20m": {80 * time.Minute, "1h20m"}, "90s": {90 * time.Second, "1m30s"}, "0s": {0, "0s"}} {
		var l lifetime
		if err := l.Set(in); err != nil || time.Duration(l) != want.d || l.String() != want.text {
			t.Errorf("Set(%q): %v, %v, %q, want %v, %q", in, err, time.Duration(l), l.String(), want.d, want.text)
		}
	}
	for _, in := range []string{"", "d", "1.5d", "-1d", "99999d", "1w", "12"} {
		if l := new(lifetime); l.Set(in) == nil {
			t.Errorf("Set(%q) = %v, want an error", in, time.Duration(*l))
		}
	}
}

// A certificate's names do not steer a terminal.
func TestNothingSteersTheTerminal(t *testing.T) {
	steers := func(s string) bool {
		return strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) })
	}
	for _, s := range []string{"\x1b[2J", "a\nb", "a\u202eb", "\x00", "\u00a0"} {
		if got := printable(s); steers(got) {
			t.Errorf("printable(%q) = %q", s, got)
		}
		var b bytes.Buffer
		(&app{stderr: &b}).say("%s", s)
		if text := strings.TrimSuffix(b.String(), "\n"); steers(text) {
			t.Errorf("say(%q) prints %q", s, text)
		}
	}
	if got := printable("CN=b\u00fccher"); got != "CN=b\u00fccher" {
		t.Errorf("what steers nothing becomes %q", got)
	}
}
