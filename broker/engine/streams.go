package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// Stream makes a stream, or gives an existing one the configuration. Its replicas are as
// many as the cluster has. It may be called at every start.
func (e *Engine) Stream(ctx context.Context, c jetstream.StreamConfig) (jetstream.Stream, error) {
	c.Replicas = e.replicas
	s, err := e.jet.CreateOrUpdateStream(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("engine: stream %s: %w", c.Name, err)
	}
	return s, e.made(c.Name)
}

// Bucket makes a bucket of keys and values, likewise.
func (e *Engine) Bucket(ctx context.Context, c jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	c.Replicas = e.replicas
	b, err := e.jet.CreateOrUpdateKeyValue(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("engine: bucket %s: %w", c.Bucket, err)
	}
	if c.Storage == jetstream.MemoryStorage {
		return b, nil // it is gone with the process, as it should be
	}
	return b, e.made(bucketPrefix + c.Bucket)
}

const bucketPrefix = "KV_" // of the stream behind a bucket

func (e *Engine) made(stream string) error {
	if e.directory == nil {
		return nil
	}
	return e.directory.created(stream)
}

// Forget removes a stream with all that is in it.
func (e *Engine) Forget(ctx context.Context, stream string) error {
	if err := e.jet.DeleteStream(ctx, stream); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("engine: stream %s: %w", stream, err)
	}
	if e.directory == nil {
		return nil
	}
	return e.directory.forgotten(stream)
}

// complete refuses a directory that lacks what was there before.
func (e *Engine) complete(ctx context.Context) error {
	have := map[string]bool{}
	names := e.jet.StreamNames(ctx)
	for name := range names.Name() {
		have[name] = true
	}
	if err := names.Err(); err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	var missing []string
	for name, since := range e.directory.Streams {
		if !have[name] {
			missing = append(missing, fmt.Sprintf("%s, which was made on %s", name, since.Format(time.DateTime)))
		}
	}
	lost, err := e.lost()
	if err != nil {
		return err
	}
	missing = append(missing, lost...)
	for name := range have {
		if strings.HasPrefix(name, bucketPrefix) && len(missing) == 0 {
			unread, err := e.unread(ctx, name)
			if err != nil {
				return err
			}
			if unread > 0 {
				missing = append(missing, fmt.Sprintf("%d messages of %s", unread, name))
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return fmt.Errorf("engine: data directory %q: %w: %s: restore the directory from a backup, or use an empty one; the log says what could not be read", e.directory.path, ErrDamaged, strings.Join(missing, "; "))
}

// lost lists the streams of which the server has found that messages are gone. It finds
// that once, at a start, and cuts off what it cannot read: so the directory remembers.
func (e *Engine) lost() ([]string, error) {
	info, err := e.server.Jsz(&server.JSzOptions{Accounts: true, Streams: true})
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	for _, account := range info.AccountDetails {
		for _, s := range account.Streams {
			if l := s.State.Lost; l != nil && len(l.Msgs) > 0 {
				if err := e.directory.damaged(s.Name, len(l.Msgs)); err != nil {
					return nil, err
				}
			}
		}
	}
	var all []string
	for name, n := range e.directory.Lost {
		all = append(all, fmt.Sprintf("%d messages of %s", n, name))
	}
	return all, nil
}

// unread reads all that a bucket holds and returns how many messages could not be read.
// The server notices a damaged message only when it is asked for, and then says that it is
// not there, or nothing at all. Streams of events are too large to be read at each start.
func (e *Engine) unread(ctx context.Context, stream string) (n uint64, err error) {
	c, err := e.jet.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, HeadersOnly: true, MemoryStorage: true, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return 0, fmt.Errorf("engine: stream %s: %w", stream, err)
	}
	info := c.CachedInfo()
	defer e.jet.DeleteConsumer(context.WithoutCancel(ctx), stream, info.Name)
	n = info.NumPending
	for n > 0 {
		batch, err := c.FetchNoWait(10_000)
		if err != nil {
			return 0, fmt.Errorf("engine: stream %s: %w", stream, err)
		}
		got := uint64(0)
		for range batch.Messages() {
			got++
		}
		if got == 0 {
			return n, batch.Error()
		}
		n -= min(n, got)
	}
	return 0, nil
}

// ErrDamaged is why a data directory is refused that lacks what was there before.
var ErrDamaged = errors.New("data is missing or cannot be read")
