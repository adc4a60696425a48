package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/engine"
	"github.com/pyrossl/pyrossl/broker/names"
	"github.com/pyrossl/pyrossl/broker/names/nameserver"
	"github.com/pyrossl/pyrossl/certs"
)

// engineTime bounds how long an engine may take to start, or a cluster to be reached.
const engineTime = 30 * time.Second

// storage is where names are kept, as settings.
type storage struct {
	Data   string `yaml:"data"`   // directory
	Engine string `yaml:"engine"` // embedded, or URLs of a cluster
	Sync   string `yaml:"sync"`
}

func (s *storage) add(flags *pflag.FlagSet) {
	flags.StringVar(&s.Data, "data", "", "`DIR` for a name server's data; without it there is none")
	flags.StringVar(&s.Engine, "engine", "", "embedded, or `URLS` of a cluster: nats://HOST:PORT,... (default embedded)")
	flags.StringVar(&s.Sync, "sync", "", "when data are on the disk: always, or within a `TIME` (default always)")
}

func (s storage) over(below storage) storage {
	take(&s.Data, below.Data)
	take(&s.Engine, below.Engine)
	take(&s.Sync, below.Sync)
	return s
}

// embedded reports whether the data are this process's own.
func (s storage) embedded() bool { return s.Engine == "" || s.Engine == "embedded" }

func (s storage) check() error {
	switch {
	case s.embedded() && s.Engine != "" && s.Data == "":
		return wrongUsage("add --data DIR", "--engine embedded without a directory")
	case !s.embedded() && s.Data != "":
		return wrongUsage("leave out --data: the cluster's nodes have their own", "--data with a cluster")
	case s.Sync != "" && (s.Data == "" || !s.embedded()):
		return wrongUsage("add --data DIR, or leave out --sync", "--sync without data of its own")
	}
	if s.Sync != "" {
		if _, err := engine.ParseSync(s.Sync); err != nil {
			return wrongUsage("for example --sync 100ms", "%v", err)
		}
	}
	return nil
}

// serveNames has the daemon be a name server, if there is a place for the names. stop
// ends it when the daemon has.
func (p *plan) serveNames(d *broker.Daemon) (stop func(), err error) {
	if p.storage.Data == "" && p.storage.embedded() {
		return func() {}, nil
	}
	e, err := p.storage.open(p.source, p.log)
	if err != nil {
		return nil, storageProblem(err)
	}
	ns, err := nameserver.New(context.Background(), nameserver.Config{Engine: e, Logger: p.log})
	if err == nil {
		err = ns.Serve(d)
		if err != nil {
			ns.Close()
		}
	}
	if err != nil {
		e.Close()
		return nil, err
	}
	st := e.Status(context.Background())
	p.log.Info("names are served", "object", names.Object, "engine", st.Mode, "server", st.Server, "directory", st.Directory, "sync", st.Sync)
	return func() { ns.Close(); e.Close() }, nil
}

func (s storage) open(src certs.Source, log *slog.Logger) (*engine.Engine, error) {
	ctx, cancel := context.WithTimeout(context.Background(), engineTime)
	defer cancel()
	if !s.embedded() {
		return engine.Connect(ctx, engine.ClusterConfig{URLs: strings.Split(s.Engine, ","), Certs: src, Logger: log})
	}
	c := engine.Config{Dir: s.Data, Logger: log}
	if s.Sync != "" {
		var err error
		if c.Sync, err = engine.ParseSync(s.Sync); err != nil {
			return nil, err
		}
	}
	return engine.Open(ctx, c)
}

// storageProblem adds the way out.
func storageProblem(err error) error {
	switch {
	case errors.Is(err, engine.ErrInUse):
		return failed("is another broker serve running? each needs a --data of its own", "%w", err)
	case errors.Is(err, engine.ErrDamaged):
		return failed("the names come back by themselves when their daemons register again: an empty directory is enough, unless some were registered by hand", "%w", err)
	}
	return failed("check --data and --engine", "%w", err)
}
