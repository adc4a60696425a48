package main

import (
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pyrossl/pyrossl/certs/ca"
)

// listFlags say how revocation lists are written.
type listFlags struct {
	ttl  lifetime
	out  string
	root bool
	ca   caFlags
}

func (f *listFlags) add(fs *pflag.FlagSet) {
	fs.Var(&f.ttl, "ttl", "how `LONG` the lists are good for, as 24h or 7d; as last time when 0, at first 24h")
	fs.StringVar(&f.out, "out", "", "another `FILE` that gets the lists; they are in DIR/"+ca.CRLFile+" in any case")
	f.ca.add(fs)
}

func (f *listFlags) options() (ca.CRLOptions, error) {
	o := ca.CRLOptions{TTL: time.Duration(f.ttl), Out: f.out, Root: f.root}
	if f.ttl < 0 {
		return o, wrongUsage("for example --ttl 24h", "--ttl wants a positive time")
	}
	of, err := f.ca.options()
	o.Passphrase = of.Passphrase
	return o, err
}

func (a *app) crlCommand() *cobra.Command {
	var f listFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "crl [flags]",
		Short: "write the revocation lists",
		Long: `Write the revocation lists (RFC 5280) to DIR/` + ca.CRLFile + `: one of each intermediate, all in
one PEM file, each with a higher number than any before. "mkcerts revoke" does it by
itself; crl is for doing it again before they are out of date, when daemons and clients
that check them let nobody in. DIR/` + ca.DenyFile + ` says the same as a deny list, which does not
get out of date; lines that you add to it stay.

The root has a list once an intermediate was revoked, or with --root; it is good for
30 days at least, and the root's key is needed.`,
		Example: `  mkcerts crl --ttl 7d
  mkcerts crl --out /srv/www/bank.crl.pem`,
		Args: exactly(0, ""), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			o, err := f.options()
			if err != nil {
				return err
			}
			res, err := ca.WriteCRLs(f.ca.dir, o)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(res)
			}
			a.tellLists(res)
			return nil
		},
	}
	f.add(c.Flags())
	c.Flags().BoolVar(&f.root, "root", false, "have the root publish a list from now on, for peers that check whole chains")
	c.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return c
}

func (a *app) tellLists(res ca.CRLs) {
	for _, w := range res.Warnings {
		a.say("warning: %s", w)
	}
	if len(res.Lists) == 0 {
		return
	}
	to := res.File
	if res.Copy != "" {
		to += " and " + res.Copy
	}
	a.say("wrote %s", to)
	first := res.Lists[0].NextUpdate
	for _, l := range res.Lists {
		a.say("  %s: number %d, %d revoked, good until %s", l.Issuer, l.Number, l.Revoked, day(l.NextUpdate))
		if l.NextUpdate.Before(first) {
			first = l.NextUpdate
		}
	}
	if d := res.Deny; d.File != "" {
		a.say("wrote %s: number %d, %d entries", d.File, d.Number, d.Entries)
	}
	a.next("bring them to all who check lists; whoever follows the files refuses what is on them within a second")
	a.next("before %s: mkcerts crl", day(first))
}
