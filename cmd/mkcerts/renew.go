package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pyrossl/pyrossl/certs/ca"
)

type renewFlags struct {
	rekey, all, intermediate, dryRun, json bool
	before                                 dueTime
	ca                                     caFlags
}

func (a *app) renewCommand() *cobra.Command {
	var f renewFlags
	c := &cobra.Command{
		Use:   "renew NAME... | --all | --ca [flags]",
		Short: "give certificates another life, with another key",
		Long: `Make new certificates with the same names, purposes and length of life, and another
key, and put them in place of the old ones: the key first, so that programs that follow
the files never see a certificate without its key. NAME may also be the path of a
certificate. Revoked ones are refused.

With --before, only what ends soon is renewed: within a time, as 12h or 30d, or a part
of its life, as 1/3. "mkcerts renew --all --before 1/3" is for a timer.

With --ca, the CA's intermediate is renewed when a third of its life is left, or when it
was revoked; the root's key is needed.`,
		Example: `  mkcerts renew bank.example
  mkcerts renew --all --before 1/3
  mkcerts renew --ca`,
		Args:              func(c *cobra.Command, args []string) error { return f.check(c, args) },
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(_ *cobra.Command, args []string) error {
			if f.intermediate {
				return a.renewIntermediate(&f)
			}
			return a.renew(args, &f)
		},
	}
	fs := c.Flags()
	fs.BoolVar(&f.all, "all", false, "renew all certificates whose files are in place")
	fs.BoolVar(&f.intermediate, "ca", false, "renew the CA's intermediate")
	fs.BoolVar(&f.rekey, "rekey", true, "make another key; false is for peers that have pinned the key")
	fs.Var(&f.before, "before", "renew only what ends within this `TIME`, as 12h or 30d, or this part of its life, as 1/3")
	fs.BoolVar(&f.dryRun, "dry-run", false, "write nothing, say what would be renewed")
	fs.BoolVar(&f.json, "json", false, "print the result as JSON")
	f.ca.add(fs)
	return c
}

func (f *renewFlags) check(c *cobra.Command, args []string) error {
	hint := "usage: " + c.UseLine()
	switch {
	case f.intermediate && (f.all || len(args) > 0):
		return wrongUsage(hint, "--ca renews the intermediate, and no other certificate with it")
	case f.intermediate:
		return nil
	case f.all && len(args) > 0:
		return wrongUsage(hint, "--all and %q: say one of the two", args[0])
	case !f.all && len(args) == 0:
		return wrongUsage(hint, "renew needs a NAME, --all or --ca")
	}
	return nil
}

func (f *renewFlags) options() (ca.RenewOptions, error) {
	of, err := f.ca.options()
	return ca.RenewOptions{KeepKey: !f.rekey, Within: f.before.time, Part: f.before.part, Passphrase: of.Passphrase, DryRun: f.dryRun}, err
}

func (a *app) renew(names []string, f *renewFlags) error {
	o, err := f.options()
	if err != nil {
		return err
	}
	for i, n := range names {
		if strings.Contains(n, "://") {
			names[i] = base(n)
		}
	}
	all, err := ca.RenewLeaves(f.ca.dir, names, o)
	return a.tellRenewed(all, f.dryRun, f.json, err)
}

// tellRenewed prints what was done, and then what went wrong.
func (a *app) tellRenewed(all []ca.Result, dryRun, asJSON bool, failed error) error {
	if asJSON {
		records := []issued{}
		for _, res := range all {
			records = append(records, issuedOf(res, dryRun))
		}
		if err := a.printJSON(records); err != nil {
			return err
		}
		return failed
	}
	done := 0
	for _, res := range all {
		switch {
		case res.Action == ca.UpToDate:
			a.say("%s is up to date, until %s", res.Cert, day(res.Entry.NotAfter))
			continue
		case dryRun:
			a.say("would renew %s, which ends on %s", res.Cert, day(res.Entry.NotAfter))
		default:
			a.say("renewed %s: serial %s, public key %s, until %s", res.Cert, res.Entry.Serial, res.Entry.SPKI[:16], day(res.Entry.NotAfter))
		}
		a.warn(res.Warning)
		done++
	}
	if len(all) == 0 && failed == nil {
		a.say("nothing is there to renew")
	}
	if done > 0 && !dryRun {
		a.next("programs that follow these files use them within a second; copy them to where others are")
	}
	return failed
}

func (a *app) warn(text string) {
	if text != "" {
		a.say("warning: %s", text)
	}
}

func (a *app) renewIntermediate(f *renewFlags) error {
	o, err := f.options()
	if err != nil {
		return err
	}
	res, err := ca.RenewIntermediate(f.ca.dir, o)
	if err != nil {
		return err
	}
	switch {
	case f.json:
		return a.printJSON(struct {
			DryRun bool `json:"dry_run"`
			ca.Intermediate
		}{f.dryRun, res})
	case res.Action == ca.UpToDate:
		a.say("%s is up to date: %s, until %s", res.Cert, res.Subject, day(res.NotAfter))
	case f.dryRun:
		a.say("would make another intermediate in place of %s, which ends on %s", res.Cert, day(res.NotAfter))
	default:
		a.say("made %s: %s, until %s", res.Cert, res.Subject, day(res.NotAfter))
		a.tellLists(res.Lists)
		a.next("nothing has to be told to peers; mkcerts renew --all gives the certificates their new intermediate")
	}
	return nil
}

// dueTime is a time, or a part of a certificate's life.
type dueTime struct {
	time time.Duration
	part float64
	text string
}

func (d *dueTime) Set(s string) error {
	wrong := wrongUsage("", "want a time like 12h or 30d, or a part of a life like 1/3")
	*d = dueTime{text: s}
	if over, under, ok := strings.Cut(s, "/"); ok {
		n, err := strconv.ParseUint(over, 10, 16)
		m, err2 := strconv.ParseUint(under, 10, 16)
		if err != nil || err2 != nil || n == 0 || n > m {
			return wrong
		}
		d.part = float64(n) / float64(m)
		return nil
	}
	var l lifetime
	if err := l.Set(s); err != nil || l <= 0 {
		return wrong
	}
	d.time = time.Duration(l)
	return nil
}

func (d *dueTime) String() string { return d.text }

func (*dueTime) Type() string { return "time" }
