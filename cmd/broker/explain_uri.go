package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	diagnose "github.com/pyrossl/pyrossl/broker/explain"
)

// explainURI prints why a connection to a daemon, or a call of a method, is refused or
// would be, step by step.
func (a *app) explainURI(ctx context.Context, c *cobra.Command, uri, method string, o explainOptions) error {
	if o.timeout <= 0 {
		return wrongUsage("for example --timeout 10s", "--timeout %v, want a positive time", o.timeout)
	}
	if o.at != "" || o.record != "" {
		return wrongUsage("leave it out: they say where an incident is looked up", "--at or --record with a URI")
	}
	paths, err := a.clientFiles(c.Flags(), o.files)
	if err != nil {
		return err
	}
	ident, err := a.identification(&o.clientFlags)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	report := diagnose.Run(ctx, diagnose.Options{
		URI: uri, Method: method, Cert: paths.cert, Key: paths.key, CA: paths.ca, CRLs: o.crl, DenyList: o.denyList,
		Identification: ident,
		Timeout:        o.timeout / 3, // most steps wait for nothing: no one may take the time of all
	})
	if err := a.printReport(report, o.json); err != nil {
		return err
	}
	return outcomeOf(report)
}

func (a *app) printReport(r *diagnose.Report, asJSON bool) error {
	if !asJSON {
		return r.WriteText(a.stdout)
	}
	document, err := marshalJSON(r)
	if err != nil {
		return err
	}
	return a.printJSON(document)
}

// outcomeOf makes an error of the first step that failed.
func outcomeOf(r *diagnose.Report) error {
	s := r.Failure()
	if s == nil {
		return nil
	}
	code := map[diagnose.Outcome]int{diagnose.Misused: exitUsage, diagnose.Denied: exitDenied}[r.Outcome]
	if code == 0 {
		code = exitFailed
	}
	text := "step " + s.Name + ": " + s.Got
	if s.Incident != "" {
		text += fmt.Sprintf("  [incident %s]", s.Incident)
	}
	hint := "see the step above"
	if len(s.Fixes) > 0 {
		hint = fmt.Sprintf("%s: %s", s.Fixes[0].Who, s.Fixes[0].What)
	}
	return &problem{err: fmt.Errorf("%s", text), hint: hint, code: code}
}
