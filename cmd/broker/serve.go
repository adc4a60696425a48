package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/pyrossl/pyrossl/broker"
)

const serveHelp = `Run a daemon. It exports Pyro.Daemon and echo, and with --dev also bank, a demo.

--dev needs nothing else: it makes a CA and certificates in ./pki, which are kept,
listens on this machine only, and prints what to try next. Without it, certificate,
key, CA and policy must be given. Nobody may call what the policy does not allow.

Settings come from flags, then PYRO_* and PYROSSL_* variables, then the YAML file of
--config: its keys are in docs/operations.md. URIs are printed to stdout. INT and TERM
finish the calls in flight, then exit 0, or 1 if --drain was too short; a second one
exits at once. HUP reads certificates, lists and policy again.
Exit codes: 0 clean shutdown, 1 failed, 2 wrong usage.`

const serveExample = `  broker serve --dev
  broker serve --config /etc/pyrossl/broker.yaml`

// serveFlags are the settings, and what only the command line can say.
type serveFlags struct {
	settings
	dev    bool
	config string
	json   bool
}

func (a *app) serveCommand() *cobra.Command {
	var f serveFlags
	c := &cobra.Command{
		Use:     "serve [flags]",
		Short:   "run a daemon",
		Long:    serveHelp,
		Example: serveExample,
		Args:    wantArgs(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("drain") && f.Drain <= 0 {
				return wrongUsage("for example --drain 10s", "--drain %v, want a positive time", f.Drain)
			}
			return a.serve(&f)
		},
	}
	c.Flags().BoolVar(&f.dev, "dev", false, "make certificates in ./pki; this machine only")
	c.Flags().StringVar(&f.config, "config", "", "YAML `FILE` with settings")
	f.settings.add(c.Flags())
	c.Flags().BoolVar(&f.json, "json", false, "print the URIs and the log as JSON")
	return c
}

// serve runs a daemon until a signal ends it.
func (a *app) serve(f *serveFlags) error {
	begun := time.Now()
	p, err := a.plan(f)
	if err != nil {
		return err
	}
	defer p.close()
	d, err := broker.NewDaemon(p.config)
	if err != nil {
		return explainStart(err)
	}
	defer d.Close()
	uris, err := export(d, f.dev)
	if err != nil {
		return err
	}
	ended, err := p.serveNames(d)
	if err != nil {
		return err
	}
	defer ended()
	defer d.Close() // before its name server
	stop, err := p.serveMetrics(d)
	if err != nil {
		return err
	}
	defer stop()
	// Before anybody can know that it runs: who has read the URIs may send a signal.
	arrived := serverSignals()
	defer signal.Stop(arrived)
	if err := a.announce(f, uris); err != nil {
		return err
	}
	if f.dev {
		a.tryNext(d, uris, time.Since(begun))
	}
	return a.runDaemon(d, p, arrived)
}

// serverSignals are those that serve obeys, until signal.Stop.
func serverSignals() chan os.Signal {
	arrived := make(chan os.Signal, 4)
	signal.Notify(arrived, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	return arrived
}

// runDaemon serves until SIGINT or SIGTERM, and then until the calls in flight are
// done or a second signal comes.
func (a *app) runDaemon(d *broker.Daemon, p *plan, arrived <-chan os.Signal) error {
	ctx, drain := context.WithCancel(context.Background())
	defer drain()
	ended := make(chan error, 1)
	go func() { ended <- d.Serve(ctx) }() // ends after drain, or with the process
	for {
		select {
		case err := <-ended:
			if errors.Is(err, context.DeadlineExceeded) {
				return failed("allow more time with --drain", "%w", err)
			}
			return err
		case s := <-arrived:
			switch {
			case s == syscall.SIGHUP:
				p.reload()
			case ctx.Err() != nil:
				return failed("the first signal alone finishes the calls in flight", "stopped by a second signal: calls may have been cut off")
			default:
				p.log.Info("shutting down: a second signal stops at once", "signal", s.String())
				drain()
			}
		}
	}
}

// serveMetrics serves --metrics, until stop is called or the daemon ends.
func (p *plan) serveMetrics(d *broker.Daemon) (stop func(), err error) {
	if p.metrics == "" {
		return func() {}, nil
	}
	l, err := net.Listen("tcp", p.metrics)
	if err != nil {
		return nil, failed("for example --metrics 127.0.0.1:9766; another program must not have that port", "metrics: %w", err)
	}
	p.log.Info("metrics over HTTPS, for whom the policy lets call Pyro.Daemon.Metrics", "address", l.Addr().String(), "path", "/metrics")
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { // ends with stop or the daemon
		defer close(ended)
		if err := d.ServeMetrics(ctx, l); err != nil {
			p.log.Error("metrics are not served any more", "error", err)
		}
	}()
	return func() { cancel(); <-ended }, nil
}

// announce prints the URIs: one a line, or one JSON object.
func (a *app) announce(f *serveFlags, uris []string) error {
	if f.json {
		document, err := marshalJSON(map[string]any{"uris": uris})
		if err != nil {
			return err
		}
		return a.printJSON(document)
	}
	for _, u := range uris {
		if _, err := fmt.Fprintln(a.stdout, u); err != nil {
			return err
		}
	}
	return nil
}

// serverLog is the daemon's log.
func (a *app) serverLog(asJSON bool, level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if asJSON {
		return slog.New(slog.NewJSONHandler(a.stderr, options))
	}
	return slog.New(slog.NewTextHandler(a.stderr, options))
}

// reload reads certificates, lists and policy again. What cannot be used is reported,
// and the last good one stays in use.
func (p *plan) reload() {
	if err := p.source.Reload(); err != nil {
		p.log.Error("certificates or lists not reloaded, the last good ones stay in use", "error", err)
	} else {
		p.log.Info("certificates and lists reloaded", "not_after", p.source.Status().NotAfter.UTC())
	}
	if err := p.audit.reopen(); err != nil {
		p.log.Error("audit log not reopened, the old file is written", "error", err)
	}
	if p.reloadPolicy != nil {
		if err := p.reloadPolicy(); err != nil {
			p.log.Error("policy not reloaded, the last good one stays in use", "error", err)
		} else {
			p.log.Info("policy reloaded")
		}
	}
	p.warnOfNames()
}

// Echo is the object echo: it answers with what it got.
type Echo struct{}

// Echo returns its argument.
func (Echo) Echo(value any) any { return value }
