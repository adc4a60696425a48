package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/pyrossl/pyrossl/certs/ca"
)

func (a *app) listCommand() *cobra.Command {
	var dir string
	var asJSON bool
	c := &cobra.Command{
		Use:   "list [flags]",
		Short: "list what a CA has issued, and what has become of it",
		Long: `List the certificates that a CA has issued, oldest first, and what has become of each:

  live     it is in its file, or the file is elsewhere by now
  renewed  another one is in its file; this one is still accepted
  expired  nobody accepts it any more
  revoked  whoever checks revocation lists refuses it
  cut off  its intermediate was revoked, or its CA removed`,
		Example: "  mkcerts list --dir pki",
		Args:    exactly(0, ""), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			all, err := ca.List(dir)
			if err != nil {
				return err
			}
			if asJSON {
				if all == nil {
					all = []ca.Entry{}
				}
				return a.printJSON(all)
			}
			return a.printList(dir, all)
		},
	}
	c.Flags().StringVar(&dir, "dir", "pki", "`DIR` of the CA")
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return c
}

func (a *app) printList(dir string, all []ca.Entry) error {
	if len(all) == 0 {
		a.say("nothing was issued yet")
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tPROVES\tFOR\tSTATE\tCA\tUNTIL\tSERIAL")
	unlisted := 0
	for _, e := range all {
		state := string(e.State)
		if e.Reason != "" && e.Reason != ca.Unspecified {
			state += " (" + string(e.Reason) + ")"
		}
		if e.Unlisted {
			unlisted++
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Name, strings.Join(e.SANs, " "), strings.Join(purposeNames(e.Purposes), ", "), state, printable(or(e.CA, "-")), day(e.NotAfter), e.Serial)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if unlisted > 0 {
		a.say("warning: no revocation list has %s of these yet", certificates(unlisted))
		a.next("mkcerts crl")
	}
	// A CA that is being rolled gets no other intermediate: that is no news here.
	if i, err := ca.RenewIntermediate(dir, ca.RenewOptions{DryRun: true}); err == nil && i.Action != ca.UpToDate {
		a.say("warning: the intermediate %s was revoked, or ends soon, on %s", i.Subject, day(i.NotAfter))
		a.next("mkcerts renew --ca")
	}
	return nil
}
