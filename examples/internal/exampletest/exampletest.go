// Package exampletest runs the examples as their README describes them: the commands
// that stand there are run as processes, over mutual TLS, and what they print must be
// what stands there.
//
//	func TestQuickstart(t *testing.T) {
//		t.Parallel()
//		exampletest.New(t, "quickstart").Play()
//	}
//
// A section "## quickstart" of examples/README.md has console blocks. Each is what one
// shell shows:
//
//	```console
//	$ go run ./examples/quickstart/client
//	Your string length is: 6
//	```
//
// An example that has no section there has a file NAME/README.md of its own, with the
// same blocks. Settings of the environment and "echo TEXT |" may stand before a command,
// a backslash continues a line. Nothing else of a shell is understood.
//
// Two flags are what programs have in common. Each server takes -addr, where it
// listens, and prints its URI as the first line of standard output. Each client that
// calls one takes -uri. Tests run on ports that are free, and say so by these flags;
// in what is printed, and in other arguments, the ports of the README stand for them.
package exampletest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/certs/ca"
)

// patience bounds everything that is waited for. It is long, since it is only there to
// end tests that have failed.
const patience = 60 * time.Second

// An Example is one section of the README, with its programs and certificates in a
// directory of the test.
type Example struct {
	t         testing.TB
	dir       string
	section   section
	servers   []*Process
	hidden    []hidden
	unordered bool
}

// hidden is what differs from run to run.
type hidden struct {
	pattern *regexp.Regexp
	with    string
}

// New reads a section of README.md in the current directory, or the example's own README,
// builds the programs that it runs, and makes the certificates that README.md has made
// before.
func New(t testing.TB, name string) *Example {
	t.Helper()
	e := &Example{t: t, dir: t.TempDir()}
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if own, err := os.ReadFile(filepath.Join(name, "README.md")); err == nil {
		e.section, err = parseSection(filepath.Join(name, "README.md"), name, string(own))
		if err != nil {
			t.Fatal(err)
		}
	} else if e.section, err = findSection(string(text), name); err != nil {
		t.Fatal(err)
	}
	e.Hide(`\b[0-9A-Z]{4}-[0-9A-Z]{4}\b`, "INCIDENT")
	e.Hide(`\b[0-9A-Z]{16}\b`, "OBJECT")
	e.Hide(`\b\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?\b`, "TIME")
	e.Hide(`\bCA [0-9a-f]{6}\b`, "CA")
	names, err := certificates(string(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		e.issue(name)
	}
	e.build()
	return e
}

// Dir is where the programs run; the certificates are in its directory pki.
func (e *Example) Dir() string { return e.dir }

// issue does what "mkcerts issue NAME" does.
func (e *Example) issue(name string) {
	e.t.Helper()
	purpose := ca.Server
	if strings.Contains(name, "@") {
		purpose = ca.Client
	}
	request := ca.Request{Name: name, SANs: []string{name}, Purposes: []ca.Purpose{purpose}}
	if _, err := ca.Ensure(filepath.Join(e.dir, "pki"), request, ca.EnsureOptions{}); err != nil {
		e.t.Fatal(err)
	}
}

// build builds all programs of the section with one command.
func (e *Example) build() {
	e.t.Helper()
	args := []string{"build", "-ldflags=-w", "-o", filepath.Join(e.dir, "bin") + string(filepath.Separator)}
	if underRace() {
		args = append(args, "-race")
	}
	for _, c := range e.section.commands() {
		if !slices.Contains(args, c.program) {
			args = append(args, c.program)
		}
	}
	build := exec.Command("go", args...)
	build.Dir = ".." // The commands are those of the root's directory.
	if out, err := build.CombinedOutput(); err != nil {
		e.t.Fatalf("%v: %v\n%s", build, err, out)
	}
}

// underRace reports whether the test was built with the race detector, so that its
// programs are, too.
func underRace() bool {
	info, _ := debug.ReadBuildInfo()
	return info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// Hide makes what matches a regular expression equal to whatever else matches it, in
// the README and in what is printed. Times, and identifiers of incidents, objects and
// CAs are hidden already.
func (e *Example) Hide(pattern, with string) {
	e.hidden = append(e.hidden, hidden{regexp.MustCompile(pattern), with})
}

// AnyOrder lets servers print their lines in another order than the README does: what
// is done for several clients, or by several goroutines.
func (e *Example) AnyOrder() *Example {
	e.unordered = true
	return e
}

// Play runs the whole section. A program whose name begins with "server" goes on while
// the blocks behind it are run; in the end it gets SIGTERM, must end with status 0, and
// must have printed what its block shows.
func (e *Example) Play() {
	e.t.Helper()
	for _, b := range e.section.blocks {
		for _, c := range b {
			if c.isServer() {
				e.start(c)
			} else {
				e.play(c)
			}
		}
	}
	for _, p := range slices.Backward(e.servers) {
		p.Stop()
		p.Printed()
	}
}

// Command finds a command of the section by what stands behind
// "go run ./examples/NAME/", such as "client -login guest", or by the beginning of that.
func (e *Example) Command(program string) Command {
	e.t.Helper()
	var found []Command
	for _, c := range e.section.commands() {
		_, text, _ := strings.Cut(c.line, "go run ./examples/"+e.section.name+"/")
		if text == program {
			return c
		}
		if strings.HasPrefix(text, program) {
			found = append(found, c)
		}
	}
	if len(found) == 0 {
		e.t.Fatalf("the README's section %s does not run %q", e.section.name, program)
	}
	return found[0]
}

// Start starts a command of the section, see [Example.Command], and waits for the URI
// that it prints.
func (e *Example) Start(program string) *Process {
	e.t.Helper()
	return e.start(e.Command(program))
}

func (e *Example) start(c Command) *Process {
	e.t.Helper()
	p := e.begin(c, c.listening())
	p.uri = p.firstLine()
	if !strings.Contains(p.uri, "://") {
		p.fail("its first line is %q, want a URI", p.uri)
	}
	e.servers = append(e.servers, p)
	return p
}

// Run runs a command of the section to its end, see [Example.Command], and compares
// what it prints.
func (e *Example) Run(program string) {
	e.t.Helper()
	e.play(e.Command(program))
}

func (e *Example) play(c Command) {
	e.t.Helper()
	e.Compare(c.line, e.Output(c), c.output)
}

// Output runs a command to its end and returns what a terminal would show of it under
// go run: both outputs and, if it is not 0, the exit status.
func (e *Example) Output(c Command) string {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), patience)
	defer cancel()
	cmd := e.cmd(ctx, c, c.calling(e.servers))
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(c.stdin), &out, &out
	err := cmd.Run()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() < 0 || err != nil && cmd.ProcessState.Success() {
		e.t.Fatalf("%s: %v\n%s", c.line, err, &out)
	}
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		fmt.Fprintf(&out, "exit status %d\n", code)
	}
	return out.String()
}

// Compare fails the test if a program has not printed what the README shows.
func (e *Example) Compare(what, got, want string) {
	e.t.Helper()
	if got, want := e.plain(got), e.plain(want); got != want {
		e.t.Errorf("%s\nprinted\n%s\nand the README has\n%s", what, got, want)
	}
}

// plain makes runs comparable.
func (e *Example) plain(text string) string {
	for _, p := range e.servers {
		text = strings.ReplaceAll(text, ":"+portOf(p.uri), ":"+p.command.port())
	}
	for _, h := range e.hidden {
		text = h.pattern.ReplaceAllString(text, h.with)
	}
	return text
}

// cmd prepares a process with the arguments of c replaced.
func (e *Example) cmd(ctx context.Context, c Command, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(e.dir, "bin", path.Base(c.program)+exeSuffix()), args...)
	cmd.Dir = e.dir
	cmd.Env = append(os.Environ(), c.env...)
	// Output that is still open then is held by a process that was left behind.
	cmd.WaitDelay = 10 * time.Second
	return cmd
}
