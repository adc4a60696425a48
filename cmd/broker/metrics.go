package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

const metricsHelp = `Print a daemon's figures in the Prometheus text format: connections, denials by
code and check, calls, bytes, and how long its certificate lasts.

URI may be that of any object of the daemon, or PYROSSL://HOST:PORT. The daemon's
rules must let you call Pyro.Daemon.Metrics. serve --metrics gives the same to
whoever may call that, over HTTPS.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 denied.`

func (a *app) metricsCommand() *cobra.Command {
	var f clientFlags
	c := &cobra.Command{
		Use:     "metrics [flags] URI",
		Short:   "print a daemon's figures in the Prometheus text format",
		Long:    metricsHelp,
		Example: "  broker metrics PYROSSL://localhost:7766",
		Args:    wantArgs(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := a.connect(c, &f)
			if err != nil {
				return err
			}
			defer s.close()
			p, err := s.self(args[0])
			if err != nil {
				return err
			}
			var text string
			if err := p.Call(s.ctx, "Metrics", &text); err != nil {
				return err
			}
			_, err = fmt.Fprint(a.stdout, text)
			return err
		},
	}
	f.add(c.Flags(), 10*time.Second)
	return c
}
