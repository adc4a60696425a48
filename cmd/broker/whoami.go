package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const whoamiHelp = `Show who you are to a daemon: the identity that it made of your certificate.

URI may be that of any object of the daemon, or PYROSSL://HOST:PORT. This makes
a connection and no call, so it works for everybody whom the daemon lets in.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the daemon does not let you in.`

func (a *app) whoamiCommand() *cobra.Command {
	var f clientFlags
	c := &cobra.Command{
		Use:     "whoami [flags] URI",
		Short:   "show who you are to a daemon",
		Long:    whoamiHelp,
		Example: "  broker whoami PYROSSL://localhost:7766",
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
			info, err := p.Connect(s.ctx)
			if err != nil {
				return err
			}
			return a.printRecord(f.json, info, [][2]string{
				{"name", info.Name},
				{"principal", info.Principal},
				{"roles", strings.Join(info.Roles, ", ")},
				{"user", info.User},
				{"daemon", info.Address},
				{"its names", strings.Join(info.Server, ", ")},
				{"session", info.Session},
				{"ends", ago(info.NotAfter.Truncate(time.Second))},
				{"key exchange", info.KeyShare},
			})
		},
	}
	f.add(c.Flags(), 10*time.Second)
	f.addJSON(c.Flags())
	return c
}
