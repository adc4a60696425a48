package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/names"
	"github.com/pyrossl/pyrossl/broker/uri"
)

const namesHelp = `Ask a name server, and change what it knows.

A name is bank.eu.accounts, or :bank.eu.accounts as in Pyro; a prefix is a name
and all below it. Rules speak of names as objects: objects ["name:bank.*"], with
the methods lookup, list, watch, register, join, replace, remove and vouch.

--ns is the name server's daemon, PYROSSL://localhost:7766 unless said.
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 denied.`

const namesExample = `  broker names ls bank
  broker names register bank.eu PYROSSL://bank.example:7766/bank --tag writable
  broker call PYRONAME://localhost:7766/bank.eu Balance '"alice"'`

// namesFlags are what the commands of names have in common.
type namesFlags struct {
	clientFlags
	server string
}

func (a *app) namesCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "names", Short: "ask a name server", Long: namesHelp, Example: namesExample,
		Args: wantArgs(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			return wrongUsage("see broker names --help", "names: say what to do: ls, lookup, register, rm, meta, watch or ping")
		},
	}
	c.AddCommand(a.namesList(), a.namesLookup(), a.namesRegister(), a.namesRemove(), a.namesMeta(), a.namesWatch(), a.namesPing())
	for _, sub := range c.Commands() {
		sub.DisableFlagsInUseLine = true
		sub.Flags().SortFlags = false
		sub.Flags().BoolP("help", "h", false, "show this")
	}
	return c
}

// namesSub makes one of the commands. Whoever watches is not bounded in time.
func (a *app) namesSub(c *cobra.Command, least, most int, bounded bool, run func(ctx context.Context, ns *names.Client, f *namesFlags, args []string) error) *cobra.Command {
	f := new(namesFlags)
	c.Args = wantArgs(least, most)
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := a.connectFor(c, &f.clientFlags, bounded)
		if err != nil {
			return err
		}
		defer s.close()
		u, err := selfURI(f.server)
		if err != nil {
			return err
		}
		p, err := s.proxy(strings.Replace(u, broker.SelfName, names.Object, 1))
		if err != nil {
			return err
		}
		return namesProblem(run(s.ctx, names.New(p), f, args))
	}
	c.Flags().StringVar(&f.server, "ns", "PYROSSL://localhost:"+strconv.Itoa(uri.DefaultPort), "`URI` of the name server's daemon")
	f.clientFlags.add(c.Flags(), 10*time.Second)
	f.addJSON(c.Flags())
	return c
}

// namesProblem adds the way out.
func namesProblem(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, broker.KindNoObject):
		return failed("broker serve --data DIR has one", "there is no name server: %w", err)
	case errors.Is(err, names.ErrExists):
		return failed("see whose it is: broker names lookup NAME; its owner may pass --replace REVISION", "%w", err)
	case errors.Is(err, names.ErrChanged):
		return failed("look again: broker names lookup NAME", "%w", err)
	}
	return err
}

func (a *app) namesList() *cobra.Command {
	var q names.Query
	c := &cobra.Command{Use: "ls [flags] [PREFIX]", Short: "list names", Long: "List the names at and below a prefix, or all, with where they lead.", Example: "  broker names ls --any writable,eu bank"}
	a.namesSub(c, 0, 1, true, func(ctx context.Context, ns *names.Client, f *namesFlags, args []string) error {
		if len(args) > 0 {
			q.Prefix = args[0]
		}
		all := []names.Record{}
		for r, err := range ns.All(ctx, q) {
			if err != nil {
				return err
			}
			all = append(all, r)
		}
		return a.printRecords(f.json, all)
	})
	c.Flags().StringSliceVar(&q.All, "all", nil, "only names with all of these `TAGS`")
	c.Flags().StringSliceVar(&q.Any, "any", nil, "only names with any of these `TAGS`")
	return c
}

// printRecords prints a table, or JSON.
func (a *app) printRecords(asJSON bool, all []names.Record) error {
	if asJSON {
		return a.printList(all)
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(a.stdout, "no names")
		return err
	}
	var rows [][]string
	for _, r := range all {
		until := "removed"
		if r.Daemon != "" {
			until = "its daemon goes"
		}
		rows = append(rows, []string{r.Name, r.URI, r.Identity, r.Owner, strings.Join(r.Tags, ","), until, strconv.FormatUint(r.Revision, 10)})
	}
	return a.printTable([]string{"NAME", "URI", "IDENTITY", "OWNER", "TAGS", "UNTIL", "REVISION"}, rows)
}

func (a *app) namesLookup() *cobra.Command {
	c := &cobra.Command{Use: "lookup [flags] NAME", Short: "show where a name leads", Long: "Show the record of a name, or those of a group's members.", Example: "  broker names lookup bank.eu"}
	return a.namesSub(c, 1, 1, true, func(ctx context.Context, ns *names.Client, f *namesFlags, args []string) error {
		found, err := ns.Lookup(ctx, args[0])
		if err != nil {
			return err
		}
		return a.printRecords(f.json, found)
	})
}

func (a *app) namesRegister() *cobra.Command {
	var r names.Registration
	c := &cobra.Command{
		Use: "register [flags] NAME URI", Short: "register a name",
		Long: `Register a name until it is removed. It is yours: others need rights of their own to
change it. The server at URI must prove to be --id, your own principal unless said;
another one needs the right to vouch. Daemons register their objects by themselves:
broker.InNames.`,
		Example: "  broker names register bank.eu PYROSSL://bank.example:7766/bank --id dns:bank.example --tag eu",
	}
	a.namesSub(c, 2, 2, true, func(ctx context.Context, ns *names.Client, f *namesFlags, args []string) error {
		r.Name, r.URI = args[0], args[1]
		made, err := ns.Register(ctx, r)
		if err != nil {
			return err
		}
		return a.printRecords(f.json, []names.Record{made})
	})
	c.Flags().StringVar(&r.Identity, "id", "", "`PRINCIPAL` that the server must prove, as dns:bank.example")
	c.Flags().StringSliceVar(&r.Tags, "tag", nil, "`TAGS` to find it by")
	c.Flags().Uint64Var(&r.Replace, "replace", 0, "take the place of the record with this `REVISION`")
	return c
}

func (a *app) namesRemove() *cobra.Command {
	var revision uint64
	c := &cobra.Command{Use: "rm [flags] NAME", Short: "remove a name", Long: "Remove a name of yours, or another's with the right to.", Example: "  broker names rm bank.eu"}
	a.namesSub(c, 1, 1, true, func(ctx context.Context, ns *names.Client, _ *namesFlags, args []string) error {
		return ns.Remove(ctx, args[0], revision)
	})
	c.Flags().Uint64Var(&revision, "revision", 0, "only if it has this `REVISION`")
	return c
}

func (a *app) namesMeta() *cobra.Command {
	var revision uint64
	c := &cobra.Command{Use: "meta [flags] NAME [TAG...]", Short: "give a name other tags", Long: "Give a name of yours these tags instead of those it has.", Example: "  broker names meta bank.eu writable eu"}
	a.namesSub(c, 1, -1, true, func(ctx context.Context, ns *names.Client, f *namesFlags, args []string) error {
		r, err := ns.SetTags(ctx, args[0], revision, args[1:])
		if err != nil {
			return err
		}
		return a.printRecords(f.json, []names.Record{r})
	})
	c.Flags().Uint64Var(&revision, "revision", 0, "only if it has this `REVISION`")
	return c
}

func (a *app) namesWatch() *cobra.Command {
	c := &cobra.Command{
		Use: "watch [flags] [PREFIX]", Short: "show how names change",
		Long:    "Show the names at and below a prefix, or all, and then what changes, until INT. With\n--json, one object a line; the one of kind \"ready\" ends what was there at first.",
		Example: "  broker names watch bank",
	}
	return a.namesSub(c, 0, 1, false, func(ctx context.Context, ns *names.Client, f *namesFlags, args []string) error {
		for change, err := range ns.Watch(ctx, strings.Join(args, "")) {
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
			if err := a.printChange(f.json, change); err != nil {
				return err
			}
		}
		return nil
	})
}

func (a *app) printChange(asJSON bool, c names.Change) error {
	if asJSON {
		document, err := marshalJSON(c)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "%s\n", document)
		return err
	}
	var text string
	switch {
	case c.Name == "":
		text = "-- " + c.Kind
	case len(c.Records) == 0:
		text = c.Name + " " + c.Kind
	default:
		var uris []string
		for _, r := range c.Records {
			uris = append(uris, r.URI)
		}
		text = c.Name + " " + c.Kind + " " + strings.Join(uris, " ")
	}
	_, err := fmt.Fprintln(a.stdout, printable(text))
	return err
}

func (a *app) namesPing() *cobra.Command {
	c := &cobra.Command{Use: "ping [flags]", Short: "see whether a name server works", Long: "See whether a name server works, and the engine below it.", Example: "  broker names ping"}
	return a.namesSub(c, 0, 0, true, func(ctx context.Context, ns *names.Client, f *namesFlags, _ []string) error {
		begun := time.Now()
		if err := ns.Ping(ctx); err != nil {
			return err
		}
		took := time.Since(begun)
		return a.printRecord(f.json, map[string]any{"milliseconds": float64(took) / 1e6}, [][2]string{{"answered in", took.Round(10 * time.Microsecond).String()}})
	})
}
