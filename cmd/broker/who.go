package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/pyrossl/pyrossl/broker"
)

const whoHelp = `List the connections of a daemon: who it is, by whose word, since when, over which
key exchange, what was moved, which rights were used and what was denied last.

URI may be that of any object of the daemon, or PYROSSL://HOST:PORT. The daemon's
rules must let you call Pyro.Daemon.Who, and for --would-cut Pyro.Daemon.WouldCut,
which evaluates the change with the code that would cut, and prints "nobody" if it
would not. A change is made by giving it to broker serve.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 denied.`

const whoExample = `  broker who PYROSSL://localhost:7766
  broker who --would-cut --deny serial:1f2a PYROSSL://localhost:7766`

// whoFlags are the flags of who.
type whoFlags struct {
	clientFlags
	changeFlags
	watch bool
	every time.Duration
}

func (a *app) whoCommand() *cobra.Command {
	var f whoFlags
	c := &cobra.Command{
		Use:     "who [flags] URI",
		Short:   "list the connections of a daemon",
		Long:    whoHelp,
		Example: whoExample,
		Args:    wantArgs(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if f.every <= 0 {
				return wrongUsage("for example --every 2s", "--every %v, want a positive time", f.every)
			}
			if c.Flags().Changed("every") && !f.watch {
				return wrongUsage("add --watch", "--every without --watch")
			}
			if err := f.changeFlags.check(c); err != nil {
				return err
			}
			return a.who(c, &f, args[0])
		},
	}
	f.clientFlags.add(c.Flags(), 10*time.Second)
	f.addJSON(c.Flags())
	c.Flags().BoolVar(&f.watch, "watch", false, "list them again and again, until INT")
	c.Flags().DurationVar(&f.every, "every", 2*time.Second, "`TIME` between two lists of --watch")
	f.changeFlags.add(c.Flags())
	return c
}

func (a *app) who(c *cobra.Command, f *whoFlags, target string) error {
	s, err := a.connectFor(c, &f.clientFlags, !f.watch)
	if err != nil {
		return err
	}
	defer s.close()
	p, err := s.self(target)
	if err != nil {
		return err
	}
	if f.wouldCut {
		return a.wouldCut(s, f, p)
	}
	if !f.watch {
		return a.whoOnce(s.ctx, f, p)
	}
	return a.whoAgain(s.ctx, f, p)
}

// whoOnce prints one list.
func (a *app) whoOnce(ctx context.Context, f *whoFlags, p *broker.Proxy) error {
	var all []broker.LiveConnection
	if err := p.Call(ctx, "Who", &all); err != nil {
		return err
	}
	if f.json {
		return a.printList(all)
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(a.stdout, "nobody")
		return err
	}
	return a.printTable(whoColumns, whoRows(all))
}

// whoAgain prints lists until ctx ends. On a terminal each takes the place of the one
// before.
func (a *app) whoAgain(ctx context.Context, f *whoFlags, p *broker.Proxy) error {
	tick := time.NewTicker(f.every)
	defer tick.Stop()
	for {
		if !f.json {
			if a.onTerminal() {
				fmt.Fprint(a.stdout, "\x1b[H\x1b[2J")
			}
			fmt.Fprintf(a.stdout, "%s\n", time.Now().Format(time.RFC3339))
		}
		bounded, cancel := context.WithTimeout(ctx, f.timeout)
		err := a.whoOnce(bounded, f, p)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

var whoColumns = []string{"IDENTITY", "ADDRESS", "SINCE", "ISSUER", "SERIAL", "NOT AFTER", "KEY EXCHANGE", "CALLS", "IN", "OUT", "LAST DENIAL", "RIGHTS USED"}

func whoRows(all []broker.LiveConnection) (rows [][]string) {
	for _, l := range all {
		identity := l.Identity
		if l.User != "" {
			identity += " as " + l.User
		}
		calls := fmt.Sprint(l.Calls)
		if l.InFlight > 0 {
			calls += fmt.Sprintf(" (%d in flight)", l.InFlight)
		}
		rows = append(rows, []string{
			identity, l.Address, short(time.Since(l.Since)), l.Issuer, l.Serial, l.NotAfter.Format("2006-01-02 15:04"),
			l.KeyExchange, calls, bytesText(l.Received), bytesText(l.Sent), l.LastDenial, someOf(l.Used, 6),
		})
	}
	return rows
}

// someOf lists at most n words.
func someOf(words []string, n int) string {
	if len(words) > n {
		return fmt.Sprintf("%s and %d more", strings.Join(words[:n], ", "), len(words)-n)
	}
	return strings.Join(words, ", ")
}

// short is a duration for a column.
func short(d time.Duration) string {
	switch {
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < 24*time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// bytesText is a number of bytes for a column.
func bytesText(n uint64) string {
	const units = "kMGTPE"
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1000, 0
	for value >= 999.5 && unit < len(units)-1 {
		value, unit = value/1000, unit+1
	}
	return fmt.Sprintf("%.3g %cB", value, units[unit])
}

// printTable prints rows below a line of headings, in columns. An empty cell is a dash.
func (a *app) printTable(columns []string, rows [][]string) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(columns, "\t"))
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			if cells[i] = printable(cell); cell == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// printList prints a list as JSON; one without elements is [].
func (a *app) printList(list any) error {
	document, err := json.Marshal(list)
	if err != nil {
		return err
	}
	if string(document) == "null" {
		document = []byte("[]")
	}
	return a.printJSON(document)
}
