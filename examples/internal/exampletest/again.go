package exampletest

import (
	"slices"
	"strings"
)

// Shown is what the README shows that the command prints.
func (c Command) Shown() string { return c.output }

// With is the same program with other arguments, of which the README shows nothing.
func (c Command) With(args ...string) Command {
	c.args, c.output = args, ""
	c.line = "go run " + c.program + " " + strings.Join(args, " ")
	return c
}

// BeginCommand is Begin for a command made by [Command.With].
func (e *Example) BeginCommand(c Command) *Process {
	e.t.Helper()
	return e.begin(c, c.calling(e.servers))
}

// StartCommand is Start for a command made by [Command.With].
func (e *Example) StartCommand(c Command) *Process {
	e.t.Helper()
	return e.start(c)
}

// Again starts a server where p has listened, which has ended, and waits until it listens
// too.
func (p *Process) Again(c Command) *Process {
	p.e.t.Helper()
	again := p.e.begin(c, slices.Concat([]string{"-addr", "127.0.0.1:" + portOf(p.uri)}, c.args))
	again.uri = again.firstLine()
	return again
}
