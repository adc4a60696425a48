package main

import (
	"context"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const explainHelp = `Show one incident in full: who was refused, what was found, what was wanted, and who
can do what about it. The daemon tells its peers the id, and its log has it too.

--at URI asks the daemon, whose rules must let you call Pyro.Daemon.Incident; URI may
be that of any object of it, or PYROSSL://HOST:PORT. --record FILE reads the record
that serve --record keeps, also while the daemon is down.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 denied.`

// explainOptions are the flags of explain.
type explainOptions struct {
	clientFlags
	at     string
	record string
}

func (a *app) explainCommand() *cobra.Command {
	var o explainOptions
	c := &cobra.Command{
		Use:     "explain [flags] INCIDENT",
		Short:   "show one incident in full",
		Long:    explainHelp,
		Example: "  broker explain 7QX2-M4PD --at PYROSSL://localhost:7766",
		Args:    wantArgs(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.explainArgument(c.Context(), c, args[0], o)
		},
	}
	o.add(c.Flags(), 10*time.Second)
	o.addJSON(c.Flags())
	c.Flags().StringVar(&o.at, "at", "", "`URI` of the daemon to ask")
	c.Flags().StringVar(&o.record, "record", "", "`FILE` of serve --record to look into instead")
	return c
}

// explainArgument decides by its argument what is to be explained. What has "://" is a
// URI and no incident: this is the place from which explainURI is to be called.
func (a *app) explainArgument(ctx context.Context, c *cobra.Command, argument string, o explainOptions) error {
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
