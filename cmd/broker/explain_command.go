package main

import (
	"context"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const explainHelp = `Say why a connection to a daemon is refused, or would be, and who must change what: the
URI, your certificate, DNS, TCP, TLS, the daemon's certificate, its verdict, and who you
are to it. With METHOD, also whether you may call it; nothing is run for that.

Or show one incident in full: who was refused, what was found, what was wanted, and who
can do what about it. The daemon tells its peers the id, and its log has it too.

--at URI asks the daemon, whose rules must let you call Pyro.Daemon.Incident; URI may
be that of any object of it, or PYROSSL://HOST:PORT. --record FILE reads the record
that serve --record keeps, also while the daemon is down.

Exit codes: 0 done, and all is well; 1 failed; 2 wrong usage; 3 denied: one side does not
accept the other's certificate, or the daemon refuses the connection or the call.`

// explainOptions are the flags of explain.
type explainOptions struct {
	clientFlags
	at       string
	record   string
	crl      []string
	denyList string
}

func (a *app) explainCommand() *cobra.Command {
	var o explainOptions
	c := &cobra.Command{
		Use:     "explain [flags] URI [METHOD] | INCIDENT",
		Short:   "say why a connection or a call is refused, or show an incident in full",
		Long:    explainHelp,
		Example: "  broker explain PYROSSL://localhost:7766/bank Deposit\n  broker explain 7QX2-M4PD --at PYROSSL://localhost:7766",
		Args:    wantArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			return a.explainArgument(c.Context(), c, args, o)
		},
	}
	o.add(c.Flags(), 10*time.Second)
	o.addJSON(c.Flags())
	c.Flags().StringVar(&o.at, "at", "", "`URI` of the daemon to ask")
	c.Flags().StringVar(&o.record, "record", "", "`FILE` of serve --record to look into instead")
	c.Flags().StringArrayVar(&o.crl, "crl", nil, "`FILE` with revocation lists for the daemon (repeatable)")
	c.Flags().StringVar(&o.denyList, "deny-list", "", "`FILE` with your own list of who is refused")
	return c
}

// explainArgument decides by its first argument what is to be explained. What has "://"
// is a URI and no incident.
func (a *app) explainArgument(ctx context.Context, c *cobra.Command, args []string, o explainOptions) error {
	argument := args[0]
	if strings.Contains(argument, "://") {
		return a.explainURI(ctx, c, argument, strings.Join(args[1:], ""), o)
	}
	if len(args) > 1 {
		return wrongUsage("a method goes with a URI: broker explain PYROSSL://HOST:PORT/OBJECT METHOD", "unexpected argument %q", shorten(args[1], 100))
	}
	if len(o.crl) > 0 || o.denyList != "" {
		return wrongUsage("leave it out: it is for the check of a daemon", "--crl or --deny-list with an incident")
	}
	id, ok := incidentOf(argument)
	if !ok {
		return wrongUsage("an incident looks like 7QX2-M4PD: it stands behind a refusal, and broker incidents lists them",
			"%q is no incident id", shorten(argument, 100))
	}
	return a.explainIncident(c, id, o)
}

var incidentForm = regexp.MustCompile(`^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$`)

// incidentOf reads an id as people write it down: in lower case, in brackets, or with
// the letters that its alphabet leaves out because they look like digits.
func incidentOf(text string) (id string, ok bool) {
	id = strings.ToUpper(strings.Trim(text, "[] "))
	id = strings.TrimSpace(strings.TrimPrefix(id, "INCIDENT"))
	id = strings.NewReplacer("O", "0", "I", "1", "L", "1").Replace(id)
	return id, incidentForm.MatchString(id)
}
