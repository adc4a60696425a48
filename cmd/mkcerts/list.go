package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/pyrossl/pyrossl/certs/ca"
)

func (a *app) listCommand() *cobra.Command {
	var dir string
	var asJSON bool
	c := &cobra.Command{
		Use:     "list [flags]",
		Short:   "list what a CA has issued",
		Long:    "List the certificates that a CA has issued, oldest first, with those that have expired.",
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
			return a.printList(all)
		},
	}
	c.Flags().StringVar(&dir, "dir", "pki", "`DIR` of the CA")
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return c
}

func (a *app) printList(all []ca.Entry) error {
	if len(all) == 0 {
		a.say("nothing was issued yet")
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tPROVES\tFOR\tUNTIL\tSERIAL")
	for _, e := range all {
		until := day(e.NotAfter)
		if time.Now().After(e.NotAfter) {
			until += " (expired)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", e.Name, strings.Join(e.SANs, " "), strings.Join(purposeNames(e.Purposes), ", "), until, e.Serial)
	}
	return w.Flush()
}
