package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/validator"
)

const incidentsHelp = `List the latest incidents of a daemon, the last one first: connections and calls
that it denied, sessions that it ended, and methods that failed inside.

URI may be that of any object of the daemon, or PYROSSL://HOST:PORT. The daemon's
rules must let you call Pyro.Daemon.Incidents. It gives its latest 500; --record FILE
instead of URI reads all that a record has, also while the daemon is down.
broker explain INCIDENT shows one in full.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 denied.`

// mostIncidents is how many a daemon gives at a time.
const mostIncidents = 500

// incidentFilter says which incidents to show.
type incidentFilter struct {
	since string    // as given
	from  time.Time // what that means
	code  string
	check string
	limit int
}

func (a *app) incidentsCommand() *cobra.Command {
	var f clientFlags
	var filter incidentFilter
	var record string
	c := &cobra.Command{
		Use:     "incidents [flags] URI",
		Short:   "list what a daemon has denied and ended",
		Long:    incidentsHelp,
		Example: "  broker incidents --since 1h --check revocation PYROSSL://localhost:7766",
		Args:    wantArgs(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if (len(args) == 0) == (record == "") {
				return wrongUsage("usage: "+c.UseLine()+", or broker incidents --record FILE", "want either a URI or --record FILE")
			}
			if err := filter.settle(time.Now()); err != nil {
				return err
			}
			all, err := a.incidents(c, &f, args, record)
			if err != nil {
				return err
			}
			return a.printIncidents(filter.of(all), f.json)
		},
	}
	f.add(c.Flags(), 10*time.Second)
	f.addJSON(c.Flags())
	c.Flags().StringVar(&filter.since, "since", "", "`TIME` like 1h or 2026-01-02T15:04:05Z to begin with")
	c.Flags().StringVar(&filter.code, "code", "", "only incidents with this `CODE`, as the list shows it")
	c.Flags().StringVar(&filter.check, "check", "", "only incidents where this `CHECK` failed, like chain")
	c.Flags().IntVar(&filter.limit, "limit", 50, "at most so many")
	c.Flags().StringVar(&record, "record", "", "`FILE` of serve --record, read instead of asking a daemon")
	return c
}

// incidents reads them from a record, or asks a daemon; the last one comes first.
func (a *app) incidents(c *cobra.Command, f *clientFlags, args []string, record string) ([]broker.Incident, error) {
	if record != "" {
		all, err := readRecord(record)
		slices.Reverse(all)
		return all, err
	}
	s, err := a.connect(c, f)
	if err != nil {
		return nil, err
	}
	defer s.close()
	p, err := s.self(args[0])
	if err != nil {
		return nil, err
	}
	return latestIncidents(s.ctx, p)
}

// latestIncidents asks for as many as a message can carry: some of their texts are
// written by peers, who could make them long.
func latestIncidents(ctx context.Context, p *broker.Proxy) (all []broker.Incident, err error) {
	for most := mostIncidents; most > 0; most /= 2 {
		if err = p.Call(ctx, "Incidents", &all, most); !isKind(err, broker.KindTooLarge) {
			break
		}
	}
	return all, err
}

// settle checks the flags.
func (f *incidentFilter) settle(now time.Time) error {
	if f.limit < 1 {
		return wrongUsage("for example --limit 50", "--limit %d, want at least 1", f.limit)
	}
	if f.since == "" {
		return nil
	}
	if d, err := time.ParseDuration(f.since); err == nil && d > 0 {
		f.from = now.Add(-d)
		return nil
	}
	from, err := time.Parse(time.RFC3339, f.since)
	if err != nil {
		return wrongUsage("for example --since 1h, or --since 2026-01-02T15:04:05Z", "--since %q is neither a positive duration nor a time", f.since)
	}
	f.from = from
	return nil
}

// of takes from a list, the last one first, what is asked for.
func (f *incidentFilter) of(all []broker.Incident) (shown []broker.Incident) {
	for _, i := range all {
		if len(shown) < f.limit && !i.Time.Before(f.from) && f.hasCode(i.Code) && (f.check == "" || strings.EqualFold(i.Check, f.check)) {
			shown = append(shown, i)
		}
	}
	return shown
}

// hasCode compares with Pyro's number of a code, or a part of its text.
func (f *incidentFilter) hasCode(code string) bool {
	if n, err := strconv.ParseUint(f.code, 10, 8); err == nil {
		return code == validator.Code(n).String()
	}
	return strings.Contains(strings.ToLower(code), strings.ToLower(f.code))
}

// printIncidents prints a list, in columns or as JSON.
func (a *app) printIncidents(all []broker.Incident, asJSON bool) error {
	if asJSON {
		return a.printList(all)
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(a.stdout, "none")
		return err
	}
	var rows [][]string
	for _, i := range all {
		who := i.Identity
		if who == "" {
			who = i.Subject
		}
		rows = append(rows, []string{
			i.ID, i.Time.Local().Format("2006-01-02 15:04:05"), i.Event, shorten(who, 60), i.Address, i.Check, i.Code, shorten(whatHappened(&i), 120),
		})
	}
	return a.printTable([]string{"INCIDENT", "TIME", "EVENT", "WHO", "ADDRESS", "CHECK", "CODE", "WHAT"}, rows)
}

// whatHappened is an incident in a few words.
func whatHappened(i *broker.Incident) string {
	switch {
	case i.Got != "":
		return i.Got
	case i.Error != "":
		return strip(i.Error)
	case i.Object != "":
		return i.Object + "." + i.Method
	}
	return ""
}
