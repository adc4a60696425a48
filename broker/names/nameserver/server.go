package nameserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/engine"
	"github.com/pyrossl/pyrossl/broker/internal/naming"
)

// Config is what a Server is made of. Engine must be set.
type Config struct {
	Engine *engine.Engine
	// TTL is how long a daemon's names outlive its last sign of life: 15 s when 0, at
	// least 1 s. Daemons give one three times in that time.
	TTL time.Duration
	// Grace is how long the record of a name whose daemon is gone is kept for the
	// daemon to come back to: an hour when 0. It shows nowhere meanwhile, and the name is
	// free.
	Grace time.Duration
	// Logger is slog.Default when nil.
	Logger *slog.Logger
}

const (
	namesBucket  = "names"
	leasesBucket = "leases"
)

// Server is a name server. It is safe for concurrent use.
//
// Its goroutines: two that mirror the buckets, one that tidies up. Close waits for them.
type Server struct {
	config Config
	log    *slog.Logger
	jet    jetstream.JetStream
	names  jetstream.KeyValue
	leases jetstream.KeyValue
	mirror *mirror
	wg     sync.WaitGroup

	running context.Context // ends with Close
	cancel  context.CancelFunc

	mu       sync.Mutex
	holders  map[string]*broker.Peer // who renewed each lease last, here
	watchers map[*watcher]struct{}
	remove   func() // of the review
}

// New makes a name server of what the engine holds, and returns when it knows it all.
func New(ctx context.Context, c Config) (*Server, error) {
	if c.Engine == nil {
		return nil, errors.New("nameserver: Config.Engine is nil")
	}
	if c.TTL == 0 {
		c.TTL = 15 * time.Second
	}
	if c.TTL < time.Second {
		return nil, fmt.Errorf("nameserver: Config.TTL is %v, want at least 1s", c.TTL)
	}
	if c.Grace == 0 {
		c.Grace = time.Hour
	}
	s := &Server{config: c, log: c.Logger, jet: c.Engine.JetStream(), mirror: newMirror(), holders: map[string]*broker.Peer{}, watchers: map[*watcher]struct{}{}}
	if s.log == nil {
		s.log = slog.Default()
	}
	if err := s.buckets(ctx); err != nil {
		return nil, err
	}
	s.running, s.cancel = context.WithCancel(context.Background())
	s.wg.Go(func() { s.mirrored(s.running, s.names, s.mirror.name, &s.mirror.namesReady) })    // ends with Close
	s.wg.Go(func() { s.mirrored(s.running, s.leases, s.mirror.lease, &s.mirror.leasesReady) }) // ends with Close
	if err := s.mirror.ready(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("nameserver: %w", err)
	}
	s.wg.Go(func() { s.tidy(s.running) }) // ends with Close
	return s, nil
}

// buckets makes what is not there yet.
func (s *Server) buckets(ctx context.Context) (err error) {
	if s.names, err = s.config.Engine.Bucket(ctx, jetstream.KeyValueConfig{Bucket: namesBucket, History: 1, Description: "a record for each name"}); err != nil {
		return err
	}
	s.leases, err = s.config.Engine.Bucket(ctx, jetstream.KeyValueConfig{
		Bucket: leasesBucket, History: 1, Description: "a lease for each daemon", LimitMarkerTTL: time.Minute,
	})
	return err
}

// Serve exports the server on a daemon, as Pyro.NameServer, and has the daemon review what
// it keeps for others whenever decisions may have changed.
func (s *Server) Serve(d *broker.Daemon) error {
	if _, err := d.Register(naming.Object, &object{s}, broker.IdempotentMethods("Ping", "Lookup", "List", "Renew")); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove = d.Reevaluate("name", s.review)
	return nil
}

// Close ends the server's own goroutines and its watches. What is registered stays.
func (s *Server) Close() error {
	s.cancel()
	s.mu.Lock()
	remove := s.remove
	s.remove = nil
	for w := range s.watchers {
		w.end(errors.New("the name server stops"))
	}
	s.mu.Unlock()
	if remove != nil {
		remove()
	}
	s.wg.Wait()
	return nil
}

// mirrored mirrors a bucket until ctx ends, also when the engine goes away and comes back.
func (s *Server) mirrored(ctx context.Context, b jetstream.KeyValue, apply func(jetstream.KeyValueEntry), ready *latch) {
	for wait := 50 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, 5*time.Second) {
		err := s.mirrorOnce(ctx, b, apply, ready)
		if ctx.Err() != nil {
			return
		}
		s.log.Warn("name server: the engine's bucket cannot be followed, and is tried again", "bucket", b.Bucket(), "error", err, "in", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

func (s *Server) mirrorOnce(ctx context.Context, b jetstream.KeyValue, apply func(jetstream.KeyValueEntry), ready *latch) error {
	w, err := b.WatchAll(ctx)
	if err != nil {
		return err
	}
	defer w.Stop()
	for {
		select {
		case entry, ok := <-w.Updates():
			switch {
			case !ok:
				return errors.New("the watch has ended")
			case entry == nil:
				ready.open()
			default:
				apply(entry)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// tidy removes the records of daemons that have been gone for long.
func (s *Server) tidy(ctx context.Context) {
	for every := time.NewTicker(max(time.Second, s.config.Grace/60)); ; {
		select {
		case <-every.C:
			s.mu.Lock()
			for daemon := range s.holders {
				if _, held := s.mirror.held(daemon); !held {
					delete(s.holders, daemon)
				}
			}
			s.mu.Unlock()
			for _, e := range s.mirror.abandoned(s.config.Grace) {
				if err := s.names.Purge(ctx, e.key, jetstream.LastRevision(e.Revision)); err != nil && ctx.Err() == nil {
					s.log.Warn("name server: an old record cannot be removed", "name", e.Name, "error", err)
				}
			}
		case <-ctx.Done():
			every.Stop()
			return
		}
	}
}
