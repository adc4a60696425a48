package exampletest

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Process is a program that goes on while others run.
type Process struct {
	e              *Example
	command        Command
	cmd            *exec.Cmd
	stdin          io.WriteCloser
	stdout, stderr output
	uri            string
	ended          chan struct{} // closed when the process has ended, with err
	err            error
}

// Begin starts a client of the section, see [Example.Command], that is not waited for.
func (e *Example) Begin(program string) *Process {
	e.t.Helper()
	c := e.Command(program)
	return e.begin(c, c.calling(e.servers))
}

func (e *Example) begin(c Command, args []string) *Process {
	e.t.Helper()
	p := &Process{e: e, command: c, ended: make(chan struct{})}
	ctx, kill := context.WithCancel(context.Background())
	p.cmd = e.cmd(ctx, c, args)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		e.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		kill()
		e.t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	e.t.Cleanup(func() {
		kill()
		<-p.ended
		if e.t.Failed() {
			e.t.Logf("%s\nprinted in all\n%s\nand on standard error\n%s", c.line, p.stdout.text(), p.stderr.text())
		}
	})
	return p
}

// URI is what the process has printed as its first line.
func (p *Process) URI() string { return p.uri }

// Type writes a line to the process's standard input.
func (p *Process) Type(line string) {
	p.e.t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.fail("it takes no input: %v", err)
	}
}

// Wait waits until the process has printed a text.
func (p *Process) Wait(text string) {
	p.e.t.Helper()
	p.await(fmt.Sprintf("that it prints %q", text), func(printed string) bool { return strings.Contains(printed, text) })
}

func (p *Process) firstLine() string {
	p.e.t.Helper()
	p.await("its first line", func(printed string) bool { return strings.Contains(printed, "\n") })
	line, _, _ := strings.Cut(p.stdout.text(), "\n")
	return line
}

func (p *Process) await(what string, done func(printed string) bool) {
	p.e.t.Helper()
	end := time.NewTimer(patience)
	defer end.Stop()
	for {
		more := p.stdout.more()
		if done(p.stdout.text()) {
			return
		}
		select {
		case <-more:
		case <-p.ended:
			if !done(p.stdout.text()) {
				p.fail("it has ended (%v), want %s", p.err, what)
			}
			return
		case <-end.C:
			p.fail("waited for %v, want %s", patience, what)
		}
	}
}

// Stop sends SIGTERM and returns what the process has printed. It must end with
// status 0 then, and leave no process behind that has its output.
func (p *Process) Stop() string {
	p.e.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.fail("it takes no signal: %v", err)
	}
	return p.End()
}

// Kill ends the process as a crash would.
func (p *Process) Kill() {
	p.e.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.fail("it cannot be killed: %v", err)
	}
	<-p.ended
}

// End waits until the process ends by itself, with status 0, and returns what it has
// printed.
func (p *Process) End() string {
	p.e.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.fail("it does not end")
	}
	if p.err != nil {
		p.fail("it ended with %v", p.err)
	}
	return p.stdout.text()
}

// Printed compares what the process has printed, after its end, with what the README
// shows.
func (p *Process) Printed() {
	p.e.t.Helper()
	got, want := p.stdout.text(), p.command.output
	if p.e.unordered {
		got, want = sorted(got), sorted(want)
	}
	p.e.Compare(p.command.line, got, want)
}

func sorted(text string) string {
	return strings.Join(slices.Sorted(strings.Lines(text)), "")
}

func (p *Process) fail(format string, args ...any) {
	p.e.t.Helper()
	p.e.t.Fatalf("%s: %s", p.command.line, fmt.Sprintf(format, args...))
}

// output keeps what is written to it.
type output struct {
	mu   sync.Mutex
	all  strings.Builder
	wake chan struct{} // closed by the next write; nil if nobody waits
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.wake != nil {
		close(o.wake)
		o.wake = nil
	}
	return o.all.Write(b)
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.String()
}

// more is closed when more than now has been written.
func (o *output) more() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.wake == nil {
		o.wake = make(chan struct{})
	}
	return o.wake
}

func exeSuffix() string {
	if runtime.GOOS == "windows" {
		return ".exe"
	}
	return ""
}
