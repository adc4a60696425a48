package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/pyrossl/pyrossl/broker"
)

const probeHelp = `Check that a daemon is alive: connect over mutual TLS, read its verdict, and
ping it. Success is quiet.

The ping is a call of Pyro.Daemon.Ping. Where no policy lets you make it, the
refusal is an answer too: the daemon is alive. URI may be that of any object of
the daemon, or PYROSSL://HOST:PORT.

Exit codes: 0 alive, 1 not reached or not in time, 2 wrong usage, 3 the daemon
does not let you in.`

const probeExample = `  broker probe --timeout 3s PYROSSL://localhost:7766

In a compose file:
  healthcheck:
    test: ["CMD", "/broker", "probe", "PYROSSL://broker:7766"]`

func (a *app) probeCommand() *cobra.Command {
	var f clientFlags
	c := &cobra.Command{
		Use:     "probe [flags] URI",
		Short:   "check that a daemon is alive",
		Long:    probeHelp,
		Example: probeExample,
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
			if err := p.Call(s.ctx, "Ping", nil); err != nil && !isKind(err, broker.KindDenied) {
				return err
			}
			return nil
		},
	}
	f.add(c.Flags(), 3*time.Second)
	return c
}
