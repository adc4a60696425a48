package main

import (
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pyrossl/pyrossl/broker"
)

const callHelp = `Call a method of an object and print its result as JSON.

Each of ARGS is one JSON value. Text keeps its JSON quotes if the shell is given
its own around them: '"alice"'. Integers stay integers whatever their size.
In the result byte strings are base64, times RFC 3339, and maps are sorted; a
method without a result prints null. The method runs at most once.

Exit codes: 0 the method returned, 1 it failed, 2 wrong usage, 3 denied.`

const callExample = `  broker call PYROSSL://localhost:7766/bank Deposit '"alice"' 100
  broker call PYROSSL://localhost:7766/echo Echo '{"list": [1, 2.5, null]}'`

func (a *app) callCommand() *cobra.Command {
	var f clientFlags
	var oneway bool
	var metadata []string
	c := &cobra.Command{
		Use:     "call [flags] URI METHOD [ARGS...]",
		Short:   "call a method of an object",
		Long:    callHelp,
		Example: callExample,
		Args:    wantArgs(2, -1),
		RunE: func(c *cobra.Command, args []string) error {
			values, err := parseArguments(args[2:])
			if err != nil {
				return err
			}
			claims, err := parseMetadata(metadata)
			if err != nil {
				return err
			}
			s, err := a.connect(c, &f)
			if err != nil {
				return err
			}
			defer s.close()
			if len(claims) > 0 {
				s.ctx = broker.WithMetadata(s.ctx, claims)
			}
			p, err := s.proxy(args[0])
			if err != nil {
				return err
			}
			if oneway {
				return p.Oneway(s.ctx, args[1], values...)
			}
			return a.call(s, p, args[1], values)
		},
	}
	f.add(c.Flags(), 30*time.Second)
	c.Flags().BoolVar(&oneway, "oneway", false, "send the call and do not wait for an answer")
	c.Flags().StringArrayVar(&metadata, "metadata", nil, "`KEY=VALUE` to send along; may be repeated")
	return c
}

func (a *app) call(s *session, p *broker.Proxy, method string, args []any) error {
	var r result
	err := p.Call(s.ctx, method, &r, args...)
	if errors.Is(err, broker.ErrNoResult) { // it ran, and that cannot be known before
		r, err = result("null"), nil
	}
	if err != nil {
		return err
	}
	return a.printJSON(r)
}

func parseMetadata(words []string) (map[string]string, error) {
	m := make(map[string]string, len(words))
	for _, w := range words {
		key, value, ok := strings.Cut(w, "=")
		if !ok || key == "" {
			return nil, wrongUsage("for example --metadata ticket=4711", "--metadata %q, want KEY=VALUE", w)
		}
		if _, twice := m[key]; twice {
			return nil, wrongUsage("name each key once", "--metadata names %q twice", key)
		}
		m[key] = value
	}
	return m, nil
}
