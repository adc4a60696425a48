package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/validator/rulefile"
)

// changeFlags are the change of who --would-cut.
type changeFlags struct {
	wouldCut   bool
	withoutCA  string
	crl        []string
	deny       []string
	identities string
	policy     string
}

func (f *changeFlags) add(flags *pflag.FlagSet) {
	flags.BoolVar(&f.wouldCut, "would-cut", false, "list whom these changes would cut, and change nothing:")
	flags.StringVar(&f.withoutCA, "without-ca", "", "  the CAs in `FILE` are trusted no longer")
	flags.StringArrayVar(&f.crl, "crl", nil, "  the revocation lists in `FILE` come in (repeatable)")
	flags.StringArrayVar(&f.deny, "deny", nil, "  deny serial:`X`, spki:X, ca:X or principal:X (repeatable)")
	flags.StringVar(&f.identities, "identities", "", "  `FILE` maps certificates to names and roles")
	flags.StringVar(&f.policy, "policy", "", "  `FILE` says who may call what")
}

// check refuses a change without --would-cut, lest somebody think that it was made.
func (f *changeFlags) check(c *cobra.Command) error {
	const names = "--without-ca, --crl, --deny, --identities or --policy"
	given := ""
	for _, name := range []string{"without-ca", "crl", "deny", "identities", "policy"} {
		if given == "" && c.Flags().Changed(name) {
			given = name
		}
	}
	switch {
	case f.wouldCut && given == "":
		return wrongUsage("add "+names, "--would-cut without a change to try")
	case !f.wouldCut && given != "":
		return wrongUsage("add --would-cut; to make the change, give it to broker serve", "--%s without --would-cut", given)
	case f.wouldCut && c.Flags().Changed("watch"):
		return wrongUsage("leave out one of them", "--would-cut and --watch")
	}
	for _, d := range f.deny {
		kind, value, ok := strings.Cut(d, ":")
		switch {
		case !ok || value == "" || kind != "serial" && kind != "spki" && kind != "ca" && kind != "principal":
			return wrongUsage("for example --deny serial:1f2a, --deny spki:HASH, --deny ca:HASH or --deny principal:email:alice@bank.example", "--deny %q", d)
		}
	}
	return nil
}

// change reads the files. They are parsed by the daemon, but for the YAML.
func (f *changeFlags) change() (c broker.Change, err error) {
	c.Deny = f.deny
	if f.withoutCA != "" {
		if c.WithoutCA, err = readMaterial("--without-ca", f.withoutCA); err != nil {
			return c, err
		}
	}
	for _, path := range f.crl {
		data, err := readMaterial("--crl", path)
		if err != nil {
			return c, err
		}
		c.CRLs = append(c.CRLs, data)
	}
	if f.policy != "" {
		if c.Rules, err = rulefile.LoadRules(f.policy); err != nil {
			return c, ruleError(err)
		}
		// A policy may have identities, too: serve reads them if it is given no others.
		if identities, err := rulefile.LoadIdentities(f.policy); err == nil {
			c.Identities = identities
		}
	}
	if f.identities != "" {
		if c.Identities, err = rulefile.LoadIdentities(f.identities); err != nil {
			return c, ruleError(err)
		}
	}
	return c, nil
}

// maxMaterial is what a daemon takes in one message, unless it was told otherwise.
const maxMaterial = broker.DefaultMessageBytes

// readMaterial reads a file that is sent as it is.
func readMaterial(flag, path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxMaterial {
		return nil, failed("is that the right file?", "%s %q has %d bytes, which no daemon takes", flag, path, info.Size())
	}
	if err == nil && !info.Mode().IsRegular() {
		return nil, failed("check the name after "+flag, "%s %q is not a regular file", flag, path)
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		hint := "check the name after " + flag
		if errors.Is(err, fs.ErrPermission) {
			hint = "have this user allowed to read it"
		}
		return nil, failed(hint, "%s: %w", flag, err)
	}
	return data, nil
}

// wouldCut asks the daemon, and prints whom it would cut and why.
func (a *app) wouldCut(s *session, f *whoFlags, p *broker.Proxy) error {
	change, err := f.change()
	if err != nil {
		return err
	}
	var all []broker.Cut
	if err := p.Call(s.ctx, "WouldCut", &all, change); err != nil {
		if isKind(err, broker.KindApplication) {
			var e *broker.Error
			errors.As(err, &e)
			return failed("the daemon would not take this change up either; nothing was changed", "the change cannot be tried: %s", strip(e.Message))
		}
		return err
	}
	if f.json {
		return a.printList(all)
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(a.stdout, "nobody")
		return err
	}
	var rows [][]string
	for _, c := range all {
		what, why := "ends", c.Check+": "+c.Got
		if !c.Ends {
			what, why = "loses rights", "denied: "+someOf(c.Denied, 6)
		} else if c.Want != "" {
			why += "; want " + c.Want
		}
		rows = append(rows, []string{c.Identity, c.Address, c.Issuer, c.Serial, what, why})
	}
	return a.printTable([]string{"IDENTITY", "ADDRESS", "ISSUER", "SERIAL", "WOULD", "WHY"}, rows)
}
