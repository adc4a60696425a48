package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pyrossl/pyrossl/broker/gen"
	"github.com/pyrossl/pyrossl/validator"
	"github.com/pyrossl/pyrossl/validator/rulefile"
)

const genHelp = `Write Go code for the objects of a Go interface: a proxy with the interface's own
methods, an object for Daemon.Register that is called without reflection, and the
encoders and decoders of the structs that travel.

The interface is found in the package in the current directory, or in --package.
The code goes into a file of that package, INTERFACE_broker.go unless --out says
another name. "go doc github.com/pyrossl/pyrossl/broker/gen" tells what is generated,
what methods may look like, and how one is declared to be idempotent.

A policy that lists every method, and denies it to everybody, goes to stdout, or with
--policy to a file, which is yours from then on: it is never overwritten. Methods that
no rule of it speaks of are pointed out.

With --check nothing is written. It fails if the code in the file is not what would be
generated now, or if the file of --policy leaves out a method or names one that does
not exist.

Exit codes: 0 done, 1 failed, or not up to date; 2 wrong usage.`

const genExample = `  broker gen --interface Bank --policy policy.yaml

Beside the interface, for "go generate":
  //go:generate go run github.com/pyrossl/pyrossl/cmd/broker gen --interface Bank`

const genFilesHint = "check the names after --package, --out and --policy, and who may write there"

type genFlags struct {
	gen.Config
	policy string
	check  bool
}

func (a *app) genCommand() *cobra.Command {
	var f genFlags
	c := &cobra.Command{
		Use:     "gen --interface NAME [flags]",
		Short:   "write Go code for an interface: proxy, object and policy",
		Long:    genHelp,
		Example: genExample,
		Args:    wantArgs(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			if f.Interface == "" {
				return wrongUsage("usage: "+c.UseLine(), "no interface is named")
			}
			files, err := gen.Generate(c.Context(), f.Config)
			if err != nil {
				return a.explainGen(&f, err)
			}
			if f.check {
				return f.checkFiles(files)
			}
			return a.writeGenerated(&f, files)
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.Interface, "interface", "", "the interface, by its `NAME` in the package")
	flags.StringVar(&f.Dir, "package", ".", "the `DIR` of the package")
	flags.StringVar(&f.Out, "out", "", "the `FILE` in DIR that gets the code")
	flags.StringVar(&f.Object, "object", "", "the `NAME` of the object in the policy (default: the interface's)")
	flags.StringVar(&f.policy, "policy", "", "the `FILE` that gets the policy, if there is none yet")
	flags.BoolVar(&f.check, "check", false, "write nothing; fail if something is not up to date")
	return c
}

// explainGen shows each reason on a line of its own.
func (a *app) explainGen(f *genFlags, err error) error {
	lines := strings.Split(strings.TrimPrefix(err.Error(), "gen: "), "\n")
	var refused *gen.Error
	if !errors.As(err, &refused) {
		return failed("the package must parse: go vet "+shellQuote(f.Dir), "%s", strings.Join(lines, "; "))
	}
	hint := "what an interface may look like: go doc github.com/pyrossl/pyrossl/broker/gen"
	if len(lines) == 1 {
		return failed(hint, "%s", lines[0])
	}
	for _, line := range lines {
		a.say("error: %s", line)
	}
	return failed(hint, "nothing was generated for %s, for %d reasons", f.Interface, len(lines))
}

// writeGenerated writes what has changed, and says so.
func (a *app) writeGenerated(f *genFlags, files *gen.Files) error {
	old, err := os.ReadFile(files.Path)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return failed(genFilesHint, "%w", err)
	case err == nil && !gen.Generated(old):
		return failed("name another file with --out, or remove this one", "%q was not written by broker gen and is not overwritten", files.Path)
	case err != nil || !bytes.Equal(old, files.Code):
		if err := os.WriteFile(files.Path, files.Code, 0o644); err != nil {
			return failed(genFilesHint, "%w", err)
		}
		a.say("made %s", files.Path)
	}
	return a.writePolicy(f, files)
}

func (a *app) writePolicy(f *genFlags, files *gen.Files) error {
	if f.policy == "" {
		_, err := a.stdout.Write(files.Policy)
		return err
	}
	file, err := os.OpenFile(f.policy, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		problems, err := f.policyProblems(files)
		for _, p := range problems {
			a.say("warning: %s", p)
		}
		return err
	}
	if err != nil {
		return failed(genFilesHint, "%w", err)
	}
	_, err = file.Write(files.Policy)
	if err := errors.Join(err, file.Close()); err != nil {
		return failed(genFilesHint, "%w", err)
	}
	a.say("made %s, which denies everything: edit it", f.policy)
	return nil
}

// checkFiles is --check.
func (f *genFlags) checkFiles(files *gen.Files) error {
	again := "generate it again: " + f.command()
	old, err := os.ReadFile(files.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return failed(again, "%q does not exist", files.Path)
	case err != nil:
		return failed(genFilesHint, "%w", err)
	case !bytes.Equal(old, files.Code):
		return failed(again, "%q is not what is generated for %s now: %s", files.Path, f.Interface, firstDifference(old, files.Code))
	}
	if f.policy == "" {
		return nil
	}
	problems, err := f.policyProblems(files)
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		return failed("edit the policy; this prints one with all methods: "+f.plain().command(), "%s", strings.Join(problems, "; "))
	}
	return nil
}

// firstDifference shows where two texts part.
func firstDifference(old, now []byte) string {
	x, y := strings.SplitAfter(string(old), "\n"), strings.SplitAfter(string(now), "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("line %d is %q, want %q", i+1, shorten(strings.TrimSpace(x[i]), 60), shorten(strings.TrimSpace(y[i]), 60))
		}
	}
	return fmt.Sprintf("it has %d lines, want %d", len(x), len(y))
}

// plain leaves out the policy's file.
func (f genFlags) plain() *genFlags {
	f.policy = ""
	return &f
}

// command is how the same is generated.
func (f *genFlags) command() string {
	words := []string{invocation(), "gen", "--interface", shellQuote(f.Interface)}
	for _, flag := range [][2]string{{"--package", f.Dir}, {"--out", f.Out}, {"--object", f.Object}, {"--policy", f.policy}} {
		if flag[1] != "" && flag[1] != "." {
			words = append(words, flag[0], shellQuote(flag[1]))
		}
	}
	return strings.Join(words, " ")
}

// policyProblems compares a policy with the methods that there are. What no rule
// speaks of is denied, which can be meant; but then a rule can say so.
func (f *genFlags) policyProblems(files *gen.Files) (problems []string, err error) {
	rules, err := rulefile.LoadRules(f.policy)
	if err != nil {
		return nil, ruleError(err)
	}
	object := f.Object
	if object == "" {
		object = strings.ToLower(f.Interface)
	}
	for _, method := range files.Methods {
		if !mentioned(rules, object, method) {
			problems = append(problems, fmt.Sprintf("%s has no rule for %s.%s", f.policy, object, method))
		}
	}
	exists := make(map[string]bool)
	for _, method := range files.Methods {
		exists[method] = true
	}
	for _, r := range rules {
		if len(r.Objects) != 1 || r.Objects[0] != object {
			continue // it may be about another object's method
		}
		for _, method := range r.Methods {
			if !exists[method] && !strings.HasSuffix(method, "*") {
				problems = append(problems, fmt.Sprintf("rule %q of %s names %s.%s, which %s does not have", r.Name, f.policy, object, method, f.Interface))
			}
		}
	}
	return problems, nil
}

// mentioned reports whether a rule speaks of a method, to allow or to deny it.
func mentioned(rules []validator.Rule, object, method string) bool {
	matches := func(patterns []string, name string) bool {
		for _, p := range patterns {
			if prefix, ok := strings.CutSuffix(p, "*"); p == name || ok && strings.HasPrefix(name, prefix) {
				return true
			}
		}
		return false
	}
	for _, r := range rules {
		if matches(r.Objects, object) && matches(r.Methods, method) {
			return true
		}
	}
	return false
}
