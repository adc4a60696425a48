package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pyrossl/pyrossl/certs/ca"
)

type revokeFlags struct {
	reason                     string
	key, principal, lift       bool
	intermediate, dryRun, json bool
	lists                      listFlags
}

func (a *app) revokeCommand() *cobra.Command {
	var f revokeFlags
	c := &cobra.Command{
		Use:   "revoke NAME|SERIAL|FILE [flags]",
		Short: "have a certificate refused from now on",
		Long: `Record that a certificate must no longer be accepted, for good, and write the revocation
lists, DIR/` + "` + ca.CRLFile + `" + `, and the same as a deny list, DIR/` + "` + ca.DenyFile + `" + `. NAME stands for all
its certificates that are still valid, renewed ones too; a serial number or the FILE of
a certificate for one; email:NAME, uri:URI and so on for all that prove it.

With --key, every certificate with the same key is revoked, and none is issued for it
any more: --reason keyCompromise says so by itself. With --principal, all is refused
that proves the same names, also by other CAs, where daemons read the deny list; none
is issued until --lift admits a name again.

With --intermediate, the one that signs now is revoked, or the one of a FILE or SERIAL,
and with it all that it has signed; the root's key is needed.`,
		Example: `  mkcerts revoke alice@bank.example --reason keyCompromise
  mkcerts revoke 1f:2a:90 --dry-run
  mkcerts revoke email:bob@bank.example --principal
  mkcerts revoke --intermediate --reason cACompromise`,
		Args: func(c *cobra.Command, args []string) error {
			if f.intermediate && len(args) == 0 {
				return nil
			}
			return exactly(1, "a NAME, a SERIAL number or a FILE")(c, args)
		},
		RunE: func(_ *cobra.Command, args []string) error {
			return a.revoke(strings.Join(args, ""), &f)
		},
	}
	fs := c.Flags()
	fs.StringVar(&f.reason, "reason", string(ca.Unspecified), "`WHY`: "+reasonNames(", "))
	fs.BoolVar(&f.key, "key", false, "revoke its key, with all that was issued for it")
	fs.BoolVar(&f.principal, "principal", false, "revoke the names that it proves, with all that proves them")
	fs.BoolVar(&f.lift, "lift", false, "admit a name again that --principal has revoked")
	fs.BoolVar(&f.intermediate, "intermediate", false, "revoke an intermediate")
	fs.BoolVar(&f.dryRun, "dry-run", false, "write nothing, say what would be revoked")
	fs.BoolVar(&f.json, "json", false, "print the result as JSON")
	f.lists.add(fs)
	return c
}

func reasonNames(between string) string {
	var all []string
	for _, r := range ca.Reasons() {
		all = append(all, string(r))
	}
	return strings.Join(all, between)
}

func (a *app) revoke(target string, f *revokeFlags) error {
	if f.lift {
		return a.readmit(target, f)
	}
	o := ca.RevokeOptions{Key: f.key, Principal: f.principal, Intermediate: f.intermediate, DryRun: f.dryRun}
	var err error
	if o.Reason, err = ca.ParseReason(f.reason); err != nil {
		return err
	}
	if o.Lists, err = f.lists.options(); err != nil {
		return err
	}
	res, err := ca.Revoke(f.lists.ca.dir, target, o)
	if err != nil {
		return err
	}
	if f.json {
		return a.printJSON(revoked{f.dryRun, or0(res.New), or0(res.Before), or0(res.Keys), or0(res.Principals), or0(res.Spared), res.Lists})
	}
	a.tellRevoked(res, f)
	return nil
}

// readmit admits a name again.
func (a *app) readmit(principal string, f *revokeFlags) error {
	if f.key || f.principal || f.intermediate || f.dryRun {
		return wrongUsage("for example: mkcerts revoke --lift email:bob@bank.example", "--lift goes without --key, --principal, --intermediate and --dry-run")
	}
	o, err := f.lists.options()
	if err != nil {
		return err
	}
	lists, err := ca.Readmit(f.lists.ca.dir, principal, o)
	switch {
	case err != nil:
		return err
	case f.json:
		return a.printJSON(lists)
	}
	a.say("%s may be proven again, by certificates that are issued from now on", principal)
	a.tellLists(lists)
	return nil
}

// revoked is the result as JSON.
type revoked struct {
	DryRun  bool            `json:"dry_run"`
	Revoked []ca.Revocation `json:"revoked"`
	Before  []ca.Revocation `json:"before"`
	Keys    []string        `json:"keys"`
	Names   []string        `json:"principals"`
	Spared  []ca.Entry      `json:"spared"`
	Lists   ca.CRLs         `json:"lists"`
}

// or0 has JSON print [] for nothing.
func or0[T any](all []T) []T {
	if all == nil {
		return []T{}
	}
	return all
}

func (a *app) tellRevoked(res ca.Revoked, f *revokeFlags) {
	verb := "revoked"
	if f.dryRun {
		verb = "would revoke"
	}
	for _, r := range res.New {
		a.say("%s %s", verb, describeRevocation(r))
	}
	for _, k := range res.Keys {
		a.say("%s the key %s: nothing is issued for it any more", verb, k)
	}
	for _, p := range res.Principals {
		a.say("%s the name %s: whoever proves it is refused", verb, p)
	}
	for _, r := range res.Before {
		a.say("was revoked already, on %s: %s", day(r.At), describeRevocation(r))
	}
	for _, e := range res.Spared {
		a.say("not revoked: %s, serial %s, until %s, proves %s", e.Name, e.Serial, day(e.NotAfter), strings.Join(e.SANs, " "))
	}
	if f.dryRun {
		return
	}
	a.tellLists(res.Lists)
	if f.intermediate {
		a.next("mkcerts renew --ca, and then mkcerts renew --all: what it has signed is refused")
	}
}

func describeRevocation(r ca.Revocation) string {
	text := fmt.Sprintf("%s, serial %s", r.Name, r.Serial)
	if len(r.SANs) > 0 {
		text += ", proves " + strings.Join(r.SANs, " ")
	}
	if r.Reason != ca.Unspecified {
		text += " (" + string(r.Reason) + ")"
	}
	if !r.NotAfter.IsZero() && time.Now().After(r.NotAfter) {
		text += "; it has expired"
	}
	return text
}

// next says what is to be done next.
func (a *app) next(format string, args ...any) { a.say("next: "+format, args...) }
