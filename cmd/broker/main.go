// Command broker runs a broker of objects and calls them from a shell.
//
// broker serve runs a daemon, with --dev one that needs nothing; call, whoami,
// probe and status are its clients. `broker help` lists them all, with exit codes
// and signals, and `broker help COMMAND` has a worked example for each.
package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

func main() {
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, environ: os.Environ()}
	os.Exit(a.run(os.Args[1:]))
}

// app is where the commands read and write: data to stdout, everything else to
// stderr.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	environ        []string
}

// run executes one command line and returns the exit code.
func (a *app) run(args []string) int {
	root := a.rootCommand()
	root.SetArgs(keepNegative(args))
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.Execute()
	if err == nil {
		return exitDone
	}
	text, hint, code := explain(err)
	a.say("error: %s", text)
	a.say("hint: %s", hint)
	return code
}

// say writes one line for a person.
func (a *app) say(format string, args ...any) {
	fmt.Fprintf(a.stderr, "broker: %s\n", printable(fmt.Sprintf(format, args...)))
}

// printable keeps what came from elsewhere from steering a terminal or looking like
// a line of ours.
func printable(text string) string {
	if utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			quoted := fmt.Sprintf("%q", r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}

var negativeNumber = regexp.MustCompile(`^-[0-9]`)

// keepNegative puts a space, which JSON ignores, in front of words like -5, so that
// they are arguments of a call and not taken for flags.
func keepNegative(args []string) []string {
	kept := make([]string, len(args))
	for i, a := range args {
		if negativeNumber.MatchString(a) {
			a = " " + a
		}
		kept[i] = a
	}
	return kept
}

// shellQuote gives s as one word for a POSIX shell.
func shellQuote(s string) string {
	plain := strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-/+:@%,=", r))
	}) < 0
	if plain && s != "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// shorten cuts text to at most n runes.
func shorten(text string, n int) string {
	if r := []rune(text); len(r) > n {
		return string(r[:n]) + "…"
	}
	return text
}

// wantArgs is cobra's check of the number of arguments, with errors that say what is
// expected.
func wantArgs(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) >= least && (most < 0 || len(args) <= most) {
			return nil
		}
		if len(args) > most && most >= 0 {
			return wrongUsage("usage: "+c.UseLine(), "unexpected argument %q", args[most])
		}
		return wrongUsage("usage: "+c.UseLine(), "%s needs more arguments", c.Name())
	}
}
