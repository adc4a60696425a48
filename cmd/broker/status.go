package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pyrossl/pyrossl/broker"
)

const statusHelp = `Show a daemon's own view of itself: connections, calls and its certificate.

URI may be that of any object of the daemon, or PYROSSL://HOST:PORT. The daemon's
rules must let you call Pyro.Daemon.Status.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 denied.`

func (a *app) statusCommand() *cobra.Command {
	var f clientFlags
	c := &cobra.Command{
		Use:     "status [flags] URI",
		Short:   "show a daemon's own view of itself",
		Long:    statusHelp,
		Example: "  broker status PYROSSL://localhost:7766",
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
			var status broker.Status
			if err := p.Call(s.ctx, "Status", &status); err != nil {
				return err
			}
			return a.printRecord(f.json, status, statusLines(&status))
		},
	}
	f.add(c.Flags(), 10*time.Second)
	f.addJSON(c.Flags())
	return c
}

func statusLines(s *broker.Status) [][2]string {
	state := "serving"
	if s.Draining {
		state = "draining: it takes no new calls"
	}
	cert := &s.Certificate
	reload := ""
	if cert.LastError != "" {
		reload = "failed, the last good certificate stays in use: " + cert.LastError
	}
	return [][2]string{
		{"daemon", s.Info.Publish},
		{"state", state},
		{"version", strings.TrimSpace(s.Info.Version + " " + s.Info.Protocol)},
		{"started", ago(s.Info.Started.Truncate(time.Second))},
		{"objects", fmt.Sprint(s.Info.Objects)},
		{"connections", fmt.Sprintf("%d open, %d accepted, %d denied", s.Connections, s.Accepted, s.Denied)},
		{"calls", fmt.Sprintf("%d, of them %d denied", s.Calls, s.CallsDenied)},
		{"certificate", fmt.Sprintf("until %s (%.1f days left)", cert.NotAfter.Format(time.RFC3339), cert.DaysLeft)},
		{"loaded", fmt.Sprintf("%s, generation %d", ago(cert.Loaded.Truncate(time.Second)), cert.Generation)},
		{"last reload", reload},
	}
}
