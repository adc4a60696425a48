package pool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/pyrossl/pyrossl/broker"
)

// Config is what a Pool is made of. Daemons or Resolve must be set.
type Config struct {
	// Daemons are the URIs of the object, one for each daemon that serves it.
	Daemons []string
	// Resolve finds the daemons, and tells update whenever it has found others: all of
	// them, each time. It runs in a goroutine of its own until ctx ends, with Close. If it
	// returns an error it is called again, after a pause; if it returns nil, the list
	// stays as it is.
	Resolve func(ctx context.Context, update func(uris []string)) error

	// Idempotent names methods that may be called again, on any daemon, after a
	// connection was lost and nobody knows whether they have run. Daemons accept that only
	// of methods that they declare, too.
	Idempotent []string
	// Options are for the proxies.
	Options []broker.ProxyOption
	// Timeout bounds each call whose context has no deadline, over all daemons that it is
	// tried on: 30 s when 0, no limit when negative. The client's own timeout bounds each
	// try.
	Timeout time.Duration

	// Failures is how many failures in a row eject a daemon, 3 when 0. What happens to
	// one connection is one failure, however many calls were on it.
	Failures int
	// FirstEjection and LongestEjection are how long a daemon is ejected: 250 ms when
	// 0, twice as long each time that it is tried in vain, and 30 s at most when 0. Each
	// time is shortened by up to a half, at random, so that clients do not come back
	// together.
	FirstEjection, LongestEjection time.Duration

	// MaxAge is how old a connection may get before it is renewed, no limit when 0. Each
	// is renewed after three quarters to all of it, at random. A connection over which
	// objects were exported is not renewed: they would end with it.
	MaxAge time.Duration
	// Idle is how long a connection may be unused before it is closed, no limit when 0.
	// The next call for that daemon makes a new one.
	Idle time.Duration

	// Logger gets ejections and what Resolve finds wrong; slog.Default when nil.
	Logger *slog.Logger

	random func(n int64) int64 // from 0 to n-1
}

// Pool is one logical proxy over several daemons. It is safe for concurrent use.
//
// Its goroutines: one for Resolve, if that is set. Close waits for it.
type Pool struct {
	config     Config
	client     *broker.Client
	log        *slog.Logger
	idempotent map[string]bool
	ctx        context.Context // ends with Close
	cancel     context.CancelFunc
	resolver   sync.WaitGroup

	mu        sync.Mutex
	members   []*member
	resolved  bool // the list is known
	connected bool // there was a connection once
	closed    bool
	change    chan struct{} // closed and replaced when a daemon may have become available
	notes     []note
}

// note is what is to be logged when p.mu is free.
type note struct {
	level   slog.Level
	message string
	attrs   []slog.Attr
}

func (p *Pool) note(level slog.Level, message string, attrs ...slog.Attr) {
	p.notes = append(p.notes, note{level, message, attrs})
}

// unlock gives p.mu free, and logs what happened under it.
func (p *Pool) unlock() {
	notes := p.notes
	p.notes = nil
	p.mu.Unlock()
	for _, n := range notes {
		p.log.LogAttrs(context.Background(), n.level, n.message, n.attrs...)
	}
}

var _ broker.Target = (*Pool)(nil)

// ErrClosed is why calls of a closed pool fail.
var ErrClosed = errors.New("pool: the pool is closed")

// New checks the configuration. It connects to nothing: that is for the first calls.
// The client stays the caller's, who closes it after the pool.
func New(client *broker.Client, c Config) (*Pool, error) {
	switch {
	case client == nil:
		return nil, errors.New("pool: the client is nil")
	case (len(c.Daemons) == 0) == (c.Resolve == nil):
		return nil, errors.New("pool: Config wants either Daemons or Resolve")
	case c.Failures < 0 || c.FirstEjection < 0 || c.LongestEjection < 0 || c.MaxAge < 0 || c.Idle < 0:
		return nil, errors.New("pool: negative Failures, FirstEjection, LongestEjection, MaxAge or Idle in Config")
	}
	c.setDefaults()
	if c.FirstEjection > c.LongestEjection {
		return nil, fmt.Errorf("pool: Config.FirstEjection is %v, more than LongestEjection, %v", c.FirstEjection, c.LongestEjection)
	}
	p := &Pool{config: c, client: client, log: c.Logger, idempotent: make(map[string]bool), change: make(chan struct{})}
	if p.log == nil {
		p.log = slog.Default()
	}
	for _, m := range c.Idempotent {
		p.idempotent[m] = true
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if c.Resolve != nil {
		p.resolver.Go(p.resolve) // ends with Close
		return p, nil
	}
	members, err := p.made(c.Daemons)
	if err != nil {
		return nil, err
	}
	p.members, p.resolved = members, true
	return p, nil
}

func (c *Config) setDefaults() {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&c.Timeout, 30*time.Second)
	set(&c.FirstEjection, 250*time.Millisecond)
	set(&c.LongestEjection, max(30*time.Second, c.FirstEjection))
	if c.Failures == 0 {
		c.Failures = 3
	}
	if c.random == nil {
		c.random = rand.Int64N
	}
}

// Close ends the pool: calls that have not begun fail with ErrClosed. Its connections are
// closed when the calls on them have been answered. It waits for Resolve to return.
func (p *Pool) Close() error {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		p.cancel()
		for _, m := range p.members {
			m.leave()
		}
		p.changed()
	}
	p.mu.Unlock()
	p.resolver.Wait()
	return nil
}

// changed wakes those who wait for a daemon. It needs p.mu.
func (p *Pool) changed() {
	close(p.change)
	p.change = make(chan struct{})
}

// Member is what a pool knows of a daemon.
type Member struct {
	URI      string
	InFlight int // calls of this pool
	// Err is its last failure, nil since it has last answered.
	Err error
	// Ejected is until when it gets no calls, zero if it does. When that time is over,
	// one call is let through.
	Ejected time.Time
}

// Members describes the daemons, in the order in which they were given.
func (p *Pool) Members() []Member {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.describe()
}

func (p *Pool) describe() []Member {
	all := make([]Member, len(p.members))
	for i, m := range p.members {
		all[i] = Member{URI: m.uri, InFlight: m.inFlight, Err: m.err, Ejected: m.until}
	}
	return all
}
