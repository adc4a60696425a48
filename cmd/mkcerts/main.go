// Command mkcerts is a certificate authority for development: one command from
// nothing to certificates that work.
//
// mkcerts issue makes the CA when there is none, and the certificate that is asked
// for; to run it twice changes nothing. renew, revoke, crl and ca roll see it through its
// life, and that of the CA; init, list, inspect and verify do what they say.
// `mkcerts help COMMAND` has a worked example for each.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/certs/ca"
)

func main() {
	a := &app{stdout: os.Stdout, stderr: os.Stderr}
	os.Exit(a.run(os.Args[1:]))
}

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// app is where the commands write: data to stdout, everything else to stderr.
type app struct {
	stdout, stderr io.Writer
}

// run executes one command line and returns the exit code.
func (a *app) run(args []string) int {
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.Execute()
	if err == nil {
		return exitDone
	}
	code := exitDone
	for _, err := range apart(err) {
		text, hint, c := explain(err)
		a.say("error: %s", text)
		if hint == "" && c == exitUsage {
			hint = "see: mkcerts help"
		}
		if hint != "" {
			a.say("hint: %s", hint)
		}
		code = max(code, c)
	}
	return code
}

// apart gives the errors that errors.Join has joined.
func apart(err error) []error {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		return all.Unwrap()
	}
	return []error{err}
}

// say writes one line for a person. Names come from certificates, so that nothing in
// them may steer a terminal.
func (a *app) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
		text = strconv.QuoteToASCII(text)
		text = text[1 : len(text)-1]
	}
	fmt.Fprintf(a.stderr, "mkcerts: %s\n", text)
}

func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// usageError is a command line that cannot be meant.
type usageError struct{ text, hint string }

func (e *usageError) Error() string { return e.text }

func wrongUsage(hint, format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...), hint}
}

// explain gives what to print for an error, and the exit code.
func explain(err error) (text, hint string, code int) {
	var u *usageError
	if errors.As(err, &u) {
		return u.text, u.hint, exitUsage
	}
	var e *certs.Error
	if errors.As(err, &e) {
		text := e.Reason
		if e.File != "" {
			text = fmt.Sprintf("%s: %s", e.File, e.Reason)
		}
		hint := e.Fix
		if errors.Is(err, ca.ErrPassphrase) {
			hint = "give the file that holds its passphrase with --passphrase-file"
		}
		if errors.Is(err, ca.ErrRequest) {
			return text, hint, exitUsage
		}
		return text, hint, exitFailed
	}
	return strings.TrimPrefix(err.Error(), "certs: "), "", exitFailed
}

const rootHelp = `Make and look at certificates for PYROSSL daemons and clients.

Commands:
  issue       make a certificate, and the CA when there is none
  init        make a CA
  renew       give certificates another life, with another key
  revoke      have a certificate refused from now on
  crl         write the revocation lists
  ca roll     replace the CA by another one while everything goes on
  list        list what a CA has issued, and what has become of it
  inspect     show a certificate, and who it makes its holder to a broker
  verify      check a certificate as its peers will
  completion  print a completion script for your shell

The CA and its certificates are in ./pki unless --dir says otherwise. Keys have mode
0600 and are never printed; no file is overwritten unless --force says so.
Whoever can read pki/intermediate.key can be anybody: keep it as you keep passwords.

Exit codes: 0 done, or up to date; 1 failed; 2 wrong usage.`

const helpTemplate = `{{with .Long}}{{. | trimTrailingWhitespaces}}

{{end}}Usage:
  {{.UseLine}}
{{if .HasAvailableLocalFlags}}
Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}
{{end}}
Example:
{{.Example}}
`

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:  "mkcerts COMMAND",
		Long: rootHelp,
		Example: `  mkcerts issue localhost --server
  mkcerts issue alice@bank.example`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return wrongUsage("see: mkcerts help", "no command")
			}
			if near := c.SuggestionsFor(args[0]); len(near) > 0 {
				return wrongUsage("did you mean: mkcerts "+strings.Join(near, ", or mkcerts "), "unknown command %q", args[0])
			}
			return wrongUsage("see: mkcerts help", "unknown command %q", args[0])
		},
		SilenceErrors: true, SilenceUsage: true, SuggestionsMinimumDistance: 2,
	}
	root.SetHelpTemplate(helpTemplate)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return wrongUsage("see: "+c.CommandPath()+" --help", "%v", err)
	})
	root.AddCommand(a.issueCommand(), a.initCommand(), a.renewCommand(), a.revokeCommand(), a.crlCommand(), a.caCommand(),
		a.listCommand(), a.inspectCommand(), a.verifyCommand())
	prepare(root)
	return root
}

// prepare sets what all commands have in common.
func prepare(c *cobra.Command) {
	c.DisableFlagsInUseLine = true
	c.Flags().SortFlags = false
	c.Flags().BoolP("help", "h", false, "show this")
	complete(c)
	for _, sub := range c.Commands() {
		prepare(sub)
	}
}

// complete tells the shell what the values of flags may be. A flag that a command
// does not have cannot be completed: that error is no news.
func complete(c *cobra.Command) {
	for _, dir := range []string{"dir", "out"} {
		if f := c.Flag(dir); f != nil && strings.HasPrefix(f.Usage, "`DIR`") {
			_ = c.MarkFlagDirname(dir)
		}
	}
	kinds := []cobra.Completion{"ecdsa", string(ca.Ed25519), string(ca.RSA2048), string(ca.RSA3072), string(ca.RSA4096)}
	_ = c.RegisterFlagCompletionFunc("key-type", cobra.FixedCompletions(kinds, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("reason", cobra.FixedCompletions(strings.Fields(reasonNames(" ")), cobra.ShellCompDirectiveNoFileComp))
	for _, name := range []string{"before", "dns", "ip", "uri", "email", "host", "client", "ttl", "renew-before", "name", "permit"} {
		_ = c.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
}

// exactly checks the number of arguments.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) > n:
			return wrongUsage("usage: "+c.UseLine(), "unexpected argument %q", args[n])
		case len(args) < n:
			return wrongUsage("usage: "+c.UseLine(), "%s needs %s", c.Name(), what)
		}
		return nil
	}
}
