package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
)

const statusHelp = `Show a daemon's own view of itself: connections, calls, its certificate, and
the lists of revoked certificates that it checks clients against.

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
	lines := [][2]string{
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
		{"REVOKED", cert.OwnRevoked},
	}
	for i := range cert.Lists {
		lines = append(lines, [2]string{"list", listLine(&cert.Lists[i])})
	}
	if cert.StaleListsPass {
		lines = append(lines, [2]string{"INSECURE", "stale lists refuse nobody (--insecure-allow-stale-lists)"})
	}
	return lines
}

// listLine is one list: file, number, age, next update and state.
func listLine(l *certs.ListStatus) string {
	kind, state := "revocation list", "in force"
	if l.Deny {
		kind = "deny list"
	}
	switch {
	case l.Superseded:
		state = "not in force, there is a newer one"
	case l.Stale:
		state = "STALE since " + ago(l.StaleFrom)
	case !l.Signed:
		state = "in force once a client shows who signed it"
	}
	parts := []string{fmt.Sprintf("%s %s number %s", l.File, kind, l.Number)}
	if l.Issuer != "" {
		parts[0] += " of " + l.Issuer
	}
	entries := "entries"
	if l.Entries == 1 {
		entries = "entry"
	}
	parts = append(parts, fmt.Sprintf("%d %s", l.Entries, entries))
	if !l.ThisUpdate.IsZero() {
		parts = append(parts, "issued "+ago(l.ThisUpdate))
	}
	if !l.NextUpdate.IsZero() {
		parts = append(parts, "next due "+ago(l.NextUpdate))
	}
	if !l.Stale && !l.StaleFrom.IsZero() && !l.StaleFrom.Equal(l.NextUpdate) {
		parts = append(parts, "good until "+ago(l.StaleFrom))
	}
	parts = append(parts, state)
	if l.LastError != "" {
		parts = append(parts, "its file cannot be taken up: "+strip(l.LastError))
	}
	return strings.Join(parts, "; ")
}
