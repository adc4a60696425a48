package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Config is what an embedded engine is made of. Dir must be set.
type Config struct {
	// Dir is the data directory. It is made if it is not there, and belongs to this
	// engine alone.
	Dir string
	// Sync says when what was written is brought to the disk; SyncAlways when 0.
	Sync Sync
	// MaxStore bounds the disk space that names and events take, in bytes: 8 GiB when 0.
	// Beyond it, writes are refused.
	MaxStore int64
	// MaxMemory bounds what is kept in memory only, in bytes: 256 MiB when 0.
	MaxMemory int64
	// Logger is slog.Default when nil.
	Logger *slog.Logger
}

// Sync is how long what was acknowledged may be in the operating system's memory only.
type Sync time.Duration

// SyncAlways brings each write to the disk before it is acknowledged.
const SyncAlways Sync = 0

// String says it as flags do: "always", or a duration.
func (s Sync) String() string {
	if s == SyncAlways {
		return "always"
	}
	return time.Duration(s).String()
}

// ParseSync reads what String prints.
func ParseSync(text string) (Sync, error) {
	if text == "always" {
		return SyncAlways, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("engine: sync %q, want always or a positive duration such as 100ms", text)
	}
	return Sync(d), nil
}

// Engine is a connection to JetStream, wherever that runs. It is safe for concurrent use.
type Engine struct {
	conn      *nats.Conn
	jet       jetstream.JetStream
	replicas  int
	sync      Sync // of the embedded form
	mode      string
	server    *server.Server // nil for a cluster elsewhere
	directory *directory     // nil for a cluster elsewhere
	log       *slog.Logger
	link      *link

	closing sync.Once
	done    chan struct{}
}

// startTime bounds how long an engine may take to start. What takes longer is broken.
const startTime = 30 * time.Second

// Open starts an embedded engine.
func Open(ctx context.Context, c Config) (*Engine, error) {
	if c.Dir == "" {
		return nil, errors.New("engine: Config.Dir is empty, want a directory for the data")
	}
	if c.MaxStore < 0 || c.MaxMemory < 0 || c.Sync < 0 {
		return nil, errors.New("engine: MaxStore, MaxMemory and Sync want no negative number")
	}
	log := c.Logger
	if log == nil {
		log = slog.Default()
	}
	dir, err := claim(c.Dir)
	if err != nil {
		return nil, err
	}
	s, err := start(options(c, dir), newServerLog(log))
	if err != nil {
		dir.release()
		return nil, fmt.Errorf("engine: data directory %q: %w", c.Dir, err)
	}
	e := &Engine{server: s, directory: dir, mode: "embedded", replicas: 1, sync: c.Sync, log: log, link: newLink(log), done: make(chan struct{})}
	if e.conn, err = nats.Connect("", append(e.link.options(), nats.InProcessServer(s))...); err != nil {
		e.stop()
		return nil, fmt.Errorf("engine: %w", err)
	}
	if err = e.use(ctx); err == nil {
		err = e.complete(ctx)
	}
	if err != nil {
		e.stop()
		return nil, err
	}
	return e, nil
}

// use asks JetStream something, since a server runs and says that it is ready when its
// JetStream is not.
func (e *Engine) use(ctx context.Context) error {
	if err := e.prepare(); err != nil {
		return err
	}
	return e.Healthy(ctx)
}

func (e *Engine) prepare() (err error) {
	if e.jet, err = jetstream.New(e.conn); err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	return nil
}

// JetStream is for packages names and events.
func (e *Engine) JetStream() jetstream.JetStream { return e.jet }

// Conn is the connection below JetStream, for what need not last.
func (e *Engine) Conn() *nats.Conn { return e.conn }

// Done is closed when the engine has ended, also by itself.
func (e *Engine) Done() <-chan struct{} { return e.done }

// Close ends the engine: what was queued is sent, then the connection is closed, and the
// embedded server is stopped with all it has written. It is idempotent.
func (e *Engine) Close() error {
	e.closing.Do(func() {
		if e.conn != nil && e.conn.IsConnected() {
			e.conn.FlushTimeout(5 * time.Second)
		}
		e.stop()
		close(e.done)
	})
	return nil
}

func (e *Engine) stop() {
	if e.conn != nil {
		e.conn.Close()
		<-e.link.closed
	}
	if e.server != nil {
		e.server.Shutdown()
		e.server.WaitForShutdown()
	}
	if e.directory != nil {
		e.directory.release()
	}
}
