package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/pyrossl/pyrossl/certs/ca"
)

// caCommand holds what is done with the CA itself.
func (a *app) caCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "ca COMMAND",
		Short: "replace the CA itself",
		Long: `Work on the CA itself:

  mkcerts ca roll  replaces the CA by another one while everything goes on

Its intermediate is renewed by "mkcerts renew --ca".`,
		Example: "  mkcerts ca roll",
		Args:    cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return wrongUsage("see: mkcerts ca --help", "ca needs a command")
			}
			return wrongUsage("see: mkcerts ca --help", "unknown command %q", "ca "+args[0])
		},
	}
	c.AddCommand(a.rollCommand())
	return c
}

func (a *app) rollCommand() *cobra.Command {
	var f rollFlags
	c := &cobra.Command{
		Use:   "roll [COMMAND] [flags]",
		Short: "replace the CA by another one while everything goes on",
		Long: `Replace the CA by another one while everything goes on. Each step may be run again,
and finishes what was cut short:

  add      make another root and intermediate; DIR/ca.crt then holds both roots, and so
           do the ca.crt beside certificates. Bring it to all who trust the old CA
  reissue  the new CA signs from now on; all live certificates are renewed by it
  status   list who still hangs on the old one
  remove   take the old root out of ca.crt. Bring it to all again

Between two steps, wait until the files of the one are everywhere: then no call fails.
Without a command, it says where the roll stands and what comes next.`,
		Example: `  mkcerts ca roll
  mkcerts ca roll add`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return wrongUsage("see: mkcerts ca roll --help", "unknown command %q", "ca roll "+args[0])
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			st, err := ca.RollStatus(f.ca.dir)
			if err != nil {
				return err
			}
			if f.json {
				return a.printJSON(st)
			}
			a.tellRoll(st)
			return nil
		},
	}
	c.Flags().StringVar(&f.ca.dir, "dir", "pki", "`DIR` of the CA")
	c.Flags().BoolVar(&f.json, "json", false, "print where it stands as JSON")
	c.AddCommand(a.rollAddCommand(), a.rollReissueCommand(), a.rollStatusCommand(), a.rollRemoveCommand())
	return c
}

type rollFlags struct {
	json, dryRun, force bool
	keyType             string
	ca                  caFlags
}

func (a *app) rollAddCommand() *cobra.Command {
	var f rollFlags
	c := &cobra.Command{
		Use: "add [flags]", Aliases: []string{"start"},
		Short: "make another CA beside the old one",
		Long: `Make another root and intermediate beside those that are there, and add the root to
DIR/ca.crt and to the ca.crt beside each certificate that was issued. The old CA goes on
to sign. What is not said is as the old CA has it. No key is overwritten.

Where the old keys are encrypted, --passphrase-file opens them, and encrypts the new ones.`,
		Example: "  mkcerts ca roll add\n  mkcerts ca roll add --name Bank-2027 --key-type ed25519",
		Args:    exactly(0, ""), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			o, err := f.ca.options()
			if err != nil {
				return err
			}
			o.KeyType = ca.KeyType(f.keyType)
			st, err := ca.RollAdd(f.ca.dir, o)
			if err != nil {
				return err
			}
			if f.json {
				return a.printJSON(st)
			}
			a.say("made %s: %s, until %s", st.New.Cert, st.New.Subject, day(st.New.NotAfter))
			a.tellLists(st.Lists)
			a.tellRoll(st)
			return nil
		},
	}
	fs := c.Flags()
	fs.StringVar(&f.ca.name, "name", "", "`NAME` of the new CA; the old one with a number when empty")
	fs.StringVar(&f.keyType, "key-type", "", "`KIND` of its keys: ecdsa, ed25519, rsa-2048, rsa-3072 or rsa-4096")
	fs.StringArrayVar(&f.ca.permit, "permit", nil, "only NAMES that it may vouch for, as in mkcerts init; those of the old one when empty")
	fs.BoolVar(&f.json, "json", false, "print where the roll stands as JSON")
	f.ca.add(fs)
	return c
}

func (a *app) rollReissueCommand() *cobra.Command {
	var f rollFlags
	c := &cobra.Command{
		Use: "reissue [flags]", Aliases: []string{"re-issue"},
		Short: "renew all live certificates by the new CA",
		Long: `Have the new CA sign from now on, and renew all live certificates that hang on the old
one, as "mkcerts renew" does. Do that once everybody has got the new ca.crt. Certificates
whose files are not at their place any more cannot be renewed here: "mkcerts ca roll
status" lists them.`,
		Example: "  mkcerts ca roll reissue",
		Args:    exactly(0, ""), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error { return a.rollReissue(&f) },
	}
	fs := c.Flags()
	fs.BoolVar(&f.dryRun, "dry-run", false, "write nothing, say what would be renewed")
	fs.BoolVar(&f.json, "json", false, "print the result as JSON")
	f.ca.add(fs)
	return c
}

func (a *app) rollReissue(f *rollFlags) error {
	of, err := f.ca.options()
	if err != nil {
		return err
	}
	all, failed := ca.RollReissue(f.ca.dir, ca.RenewOptions{Passphrase: of.Passphrase, DryRun: f.dryRun})
	if all == nil && failed != nil {
		return failed
	}
	if err := a.tellRenewed(all, f.dryRun, f.json, failed); err != nil || f.json || f.dryRun {
		return err
	}
	st, err := ca.RollStatus(f.ca.dir)
	if err != nil {
		return err
	}
	a.tellRoll(st)
	return nil
}

func (a *app) rollStatusCommand() *cobra.Command {
	var f rollFlags
	c := &cobra.Command{
		Use:   "status [flags]",
		Short: "list who still hangs on the old CA",
		Long: `List the certificates that the old CA has signed and that are still accepted: those in
use, which are cut off when it is removed, and those whose files hold another one by now,
of which a copy may be in use somewhere. List also which ca.crt holds which root.`,
		Example: "  mkcerts ca roll status --json",
		Args:    exactly(0, ""), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			st, err := ca.RollStatus(f.ca.dir)
			if err != nil {
				return err
			}
			if f.json {
				return a.printJSON(st)
			}
			if err := a.printRoll(st); err != nil {
				return err
			}
			a.tellRoll(st)
			return nil
		},
	}
	c.Flags().StringVar(&f.ca.dir, "dir", "pki", "`DIR` of the CA")
	c.Flags().BoolVar(&f.json, "json", false, "print it as JSON")
	return c
}

func (a *app) rollRemoveCommand() *cobra.Command {
	var f rollFlags
	c := &cobra.Command{
		Use: "remove [flags]", Aliases: []string{"finish"},
		Short: "stop trusting the old CA",
		Long: `Take the old root out of DIR/ca.crt and the ca.crt beside certificates; the new CA is
then the only one. It refuses while certificates in use hang on the old one, unless
--force says to cut them off; --dry-run lists them.

The old CA's keys stay: they sign the revocation lists of what it has issued.`,
		Example: "  mkcerts ca roll remove --dry-run\n  mkcerts ca roll remove",
		Args:    exactly(0, ""), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error { return a.rollRemove(&f) },
	}
	fs := c.Flags()
	fs.BoolVar(&f.force, "force", false, "also if that cuts certificates off")
	fs.BoolVar(&f.dryRun, "dry-run", false, "write nothing, list what would be cut off")
	fs.BoolVar(&f.json, "json", false, "print what was cut off as JSON")
	fs.StringVar(&f.ca.dir, "dir", "pki", "`DIR` of the CA")
	return c
}

func (a *app) rollRemove(f *rollFlags) error {
	st, err := ca.RollRemove(f.ca.dir, ca.RemoveOptions{Force: f.force, DryRun: f.dryRun})
	if err != nil {
		return err
	}
	if f.json {
		return a.printJSON(struct {
			DryRun bool `json:"dry_run"`
			ca.Roll
		}{f.dryRun, st})
	}
	if st.Step == ca.RollNone {
		a.say("no roll is on: %s is the only CA in %s", st.New.Subject, f.ca.dir)
		return nil
	}
	if f.dryRun {
		a.say("to remove %s would cut off %s in use", st.Old.Subject, certificates(len(st.Hanging)))
		return a.printRoll(st)
	}
	a.say("removed %s: %s/%s holds %s only", st.Old.Subject, f.ca.dir, ca.TrustFile, st.New.Subject)
	if n := len(st.Hanging); n > 0 {
		a.say("warning: %s in use are cut off; mkcerts renew --all renews those whose files are in place", certificates(n))
	}
	a.next("bring %s/%s to all who trust the CA", f.ca.dir, ca.TrustFile)
	a.next("%s signs nothing more: keep it elsewhere, or destroy it", st.Old.Key)
	return nil
}

func certificates(n int) string {
	if n == 1 {
		return "1 certificate"
	}
	return fmt.Sprintf("%d certificates", n)
}

// printRoll lists who hangs on the old CA.
func (a *app) printRoll(st ca.Roll) error {
	if len(st.Hanging)+len(st.Renewed) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "STATE\tNAME\tPROVES\tUNTIL\tSERIAL\tFILE")
	for _, part := range []struct {
		state string
		all   []ca.Entry
	}{{"in use", st.Hanging}, {"renewed", st.Renewed}} {
		for _, e := range part.all {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", part.state, e.Name, strings.Join(e.SANs, " "), day(e.NotAfter), e.Serial, printable(e.File))
		}
	}
	return w.Flush()
}

// tellRoll says where a roll stands and what comes next.
func (a *app) tellRoll(st ca.Roll) {
	without := []string{}
	for _, f := range st.TrustFiles {
		if !f.New {
			without = append(without, f.File)
		}
	}
	switch st.Step {
	case ca.RollNone:
		a.say("no roll is on: %s signs, until %s", st.New.Subject, day(st.New.NotAfter))
		a.next("to replace it by another CA: mkcerts ca roll add")
		return
	case ca.RollAdded:
		a.say("%s is added; %s signs still", st.New.Subject, st.Old.Subject)
	case ca.RollReissuing:
		a.say("%s signs; %s of %s in use", st.New.Subject, certificates(len(st.Hanging)), st.Old.Subject)
	case ca.RollRemoving:
		a.say("%s is being removed", st.Old.Subject)
	}
	switch {
	case st.Step == ca.RollRemoving:
		a.next("mkcerts ca roll remove, to finish that")
	case len(without) > 0:
		a.say("the new root is not in %s yet", strings.Join(without, ", "))
		a.next("mkcerts ca roll add, to finish that")
	case st.Step == ca.RollAdded:
		a.next("bring the ca.crt to all who trust the CA, and then: mkcerts ca roll reissue")
	case len(st.Hanging) > 0:
		a.next("mkcerts ca roll reissue; for those whose files are elsewhere, mkcerts issue or mkcerts revoke")
	default:
		a.next("once all use their new certificates: mkcerts ca roll remove")
	}
}
