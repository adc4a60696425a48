package main

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pyrossl/pyrossl/certs/ca"
)

// issueFlags are the request as it is typed.
type issueFlags struct {
	dns, ip, uri, email         []string
	client, server, codeSigning bool
	keyType                     string
	ttl, renewBefore            lifetime
	out                         string
	force, dryRun, json         bool
	ca                          caFlags
}

func (a *app) issueCommand() *cobra.Command {
	var f issueFlags
	c := &cobra.Command{
		Use:   "issue NAME [flags]",
		Short: "make a certificate, and the CA when there is none",
		Long: `Make NAME.crt (leaf and intermediate) and NAME.key. The CA is made first when there
is none. A certificate that is as asked for, and has a third of its life left, is
kept; one that differs is left alone unless --force says to replace it.

Without --dns, --ip, --uri or --email, NAME itself is what the certificate proves: an
e-mail name or URI for a client, a host name or address for a server. Nobody but you
can say what other certificates are for: pass --client, --server or --code-signing.`,
		Example: `  mkcerts issue bank.example
  mkcerts issue alice@bank.example
  mkcerts issue teller --uri spiffe://bank.example/teller --client --ttl 8h`,
		Args: exactly(1, "a NAME"), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(_ *cobra.Command, args []string) error { return a.issue(args[0], &f) },
	}
	fs := c.Flags()
	fs.StringArrayVar(&f.dns, "dns", nil, "host `NAME` that it proves; may be repeated, as the next three")
	fs.StringArrayVar(&f.ip, "ip", nil, "IP `ADDRESS`")
	fs.StringArrayVar(&f.uri, "uri", nil, "`URI`, as spiffe://bank.example/teller")
	fs.StringArrayVar(&f.email, "email", nil, "e-mail `NAME`")
	fs.BoolVar(&f.client, "client", false, "for a client of daemons")
	fs.BoolVar(&f.server, "server", false, "for a daemon")
	fs.BoolVar(&f.codeSigning, "code-signing", false, "for signing code")
	f.ttl = lifetime(ca.LeafTTL)
	fs.Var(&f.ttl, "ttl", "how `LONG` it is valid, as 8h or 30d")
	fs.StringVar(&f.keyType, "key-type", "ecdsa", "`KIND` of key: ecdsa, ed25519, rsa-2048, rsa-3072 or rsa-4096")
	fs.StringVar(&f.out, "out", "", "`DIR` to write to, with the CA's certificate as ca.crt; that of --dir when empty")
	fs.Var(&f.renewBefore, "renew-before", "renew when less than this `TIME` is left; a third of its life when 0")
	fs.BoolVar(&f.force, "force", false, "replace what is there")
	fs.BoolVar(&f.dryRun, "dry-run", false, "write nothing, say what would be done")
	fs.BoolVar(&f.json, "json", false, "print the result as JSON")
	f.ca.add(fs)
	return c
}

func (a *app) issue(name string, f *issueFlags) error {
	r, err := f.request(name)
	if err != nil {
		return err
	}
	o := ca.EnsureOptions{Out: f.out, Force: f.force, RenewBefore: time.Duration(f.renewBefore), DryRun: f.dryRun}
	if o.CA, err = f.ca.options(); err != nil {
		return err
	}
	res, err := ca.Ensure(f.ca.dir, r, o)
	if err != nil {
		return err
	}
	if f.json {
		return a.printJSON(issuedOf(res, f.dryRun))
	}
	a.tellIssued(res, f)
	a.warn(res.Warning)
	return nil
}

func issuedOf(res ca.Result, dryRun bool) issued {
	return issued{string(res.Action), dryRun, res.MadeCA, res.Cert, res.Key, res.CA, res.Entry, res.Warning}
}

// issued is the result as JSON.
type issued struct {
	Action string   `json:"action"`
	DryRun bool     `json:"dry_run"`
	MadeCA bool     `json:"made_ca"`
	Cert   string   `json:"cert"`
	Key    string   `json:"key"`
	CA     string   `json:"ca"`
	Leaf   ca.Entry `json:"certificate"`
	// Warning is that it is valid for less long than was asked for.
	Warning string `json:"warning,omitempty"`
}

func (a *app) tellIssued(res ca.Result, f *issueFlags) {
	if f.dryRun {
		if res.MadeCA {
			a.say("would make a CA in %s", f.ca.dir)
		}
		if res.Action == ca.UpToDate {
			a.say("%s is up to date, until %s", res.Cert, day(res.Entry.NotAfter))
		} else {
			a.say("would write %s and %s: to be %s", res.Cert, res.Key, res.Action)
		}
		return
	}
	if res.MadeCA {
		a.say("made a CA in %s; whoever shall trust it gets %s", f.ca.dir, res.CA)
	}
	if res.Action == ca.UpToDate {
		a.say("%s is up to date: %s, until %s", res.Cert, strings.Join(res.Entry.SANs, " "), day(res.Entry.NotAfter))
		return
	}
	a.say("%s %s and %s", res.Action, res.Cert, res.Key)
	a.say("  proves  %s", strings.Join(res.Entry.SANs, " "))
	a.say("  for     %s", strings.Join(purposeNames(res.Entry.Purposes), ", "))
	a.say("  until   %s", day(res.Entry.NotAfter))
}

// request makes a request of the flags, and infers what was not said where there is
// only one thing it can mean.
func (f *issueFlags) request(name string) (ca.Request, error) {
	r := ca.Request{Name: base(name), KeyType: ca.KeyType(f.keyType), TTL: time.Duration(f.ttl)}
	var err error
	if r.KeyType, err = ca.ParseKeyType(f.keyType); err != nil {
		return r, asUsage(err)
	}
	if f.ttl <= 0 || f.renewBefore < 0 {
		return r, wrongUsage("for example --ttl 24h", "--ttl and --renew-before want positive times")
	}
	for kind, values := range map[string][]string{"dns": f.dns, "ip": f.ip, "uri": f.uri, "email": f.email} {
		for _, v := range values {
			r.SANs = append(r.SANs, kind+":"+v)
		}
	}
	if len(r.SANs) == 0 {
		r.SANs = []string{name}
	}
	for _, p := range []struct {
		asked   bool
		purpose ca.Purpose
	}{{f.server, ca.Server}, {f.client, ca.Client}, {f.codeSigning, ca.CodeSigning}} {
		if p.asked {
			r.Purposes = append(r.Purposes, p.purpose)
		}
	}
	if len(r.Purposes) == 0 {
		p, err := inferPurpose(r.SANs)
		if err != nil {
			return r, err
		}
		r.Purposes = []ca.Purpose{p}
	}
	return r, nil
}

// base is the name of the files: for a URI, what follows its scheme, with hyphens.
func base(name string) string {
	if _, rest, ok := strings.Cut(name, "://"); ok {
		return strings.ReplaceAll(rest, "/", "-")
	}
	name = strings.ReplaceAll(name, ":", "-") // of IPv6 addresses
	if strings.HasPrefix(name, "-") {
		name = "ip" + name // ::1
	}
	return name
}

// inferPurpose looks at the kinds of names: hosts are servers, people and workloads
// are clients.
func inferPurpose(sans []string) (ca.Purpose, error) {
	hosts := 0
	for _, s := range sans {
		san, err := ca.ParseSAN(s)
		if err != nil {
			return "", asUsage(err)
		}
		kind, value, _ := strings.Cut(san, ":")
		if kind == "ip" || kind == "dns" {
			hosts++
		}
		// A word alone may be a host or somebody's name.
		if kind == "dns" && !strings.Contains(value, ".") && value != "localhost" {
			if _, err := netip.ParseAddr(value); err != nil {
				return "", wrongUsage("pass --server, or --client", "cannot tell whether %q is a server or a client", value)
			}
		}
	}
	switch hosts {
	case len(sans):
		return ca.Server, nil
	case 0:
		return ca.Client, nil
	}
	return "", wrongUsage("pass --server, --client, or both", "cannot tell what a certificate for hosts and others is for: %s", strings.Join(sans, " "))
}

func purposeNames(all []ca.Purpose) (names []string) {
	for _, p := range all {
		switch p {
		case ca.Server:
			names = append(names, "a server")
		case ca.Client:
			names = append(names, "a client")
		case ca.CodeSigning:
			names = append(names, "code signing")
		default:
			names = append(names, string(p))
		}
	}
	return names
}

// lifetime is a time.Duration that is also read in days.
type lifetime time.Duration

func (l *lifetime) Set(s string) error {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 15)
		if err != nil {
			return errors.New("want a time like 90m, 8h or 30d")
		}
		*l = lifetime(time.Duration(n) * 24 * time.Hour)
		return nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return errors.New("want a time like 90m, 8h or 30d")
	}
	*l = lifetime(d)
	return nil
}

func (l *lifetime) String() string {
	s := time.Duration(*l).String() // ends like 24h0m0s
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func (*lifetime) Type() string { return "time" }

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// asUsage makes an error of what was typed one of usage.
func asUsage(err error) error {
	text, hint, _ := explain(err)
	return wrongUsage(hint, "%s", text)
}
