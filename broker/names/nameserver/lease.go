package nameserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/internal/naming"
	"github.com/pyrossl/pyrossl/broker/names"
	"github.com/pyrossl/pyrossl/codec"
)

// renew begins a daemon's lease or keeps it going. It belongs to the principal that began
// it.
func (s *Server) renew(ctx context.Context, daemon string) (naming.Lease, error) {
	if err := checkDaemon(daemon); err != nil {
		return naming.Lease{}, err
	}
	peer := broker.Caller(ctx)
	mine := grant{Owner: owner(peer)}
	value, err := codec.Marshal(mine)
	if err != nil {
		return naming.Lease{}, err
	}
	for range attempts {
		was, held := s.mirror.held(daemon)
		if !held {
			was, held, err = s.readLease(ctx, daemon)
			if err != nil {
				return naming.Lease{}, err
			}
		}
		if held && was.Owner != mine.Owner {
			return naming.Lease{}, fmt.Errorf("%w: daemon %s is %s", names.ErrOwner, daemon, was.Owner)
		}
		revision, err := s.extend(ctx, daemon, value, was.revision, held)
		if changed(err) {
			// The mirror is behind: what another broker did, or this lease's end.
			if now, still, err := s.readLease(ctx, daemon); err == nil && still && now.Owner == mine.Owner {
				if revision, err = s.extend(ctx, daemon, value, now.revision, true); err == nil {
					return s.renewed(ctx, daemon, peer, revision), nil
				}
			}
			continue
		}
		if err != nil {
			return naming.Lease{}, unwritten(err)
		}
		return s.renewed(ctx, daemon, peer, revision), nil
	}
	return naming.Lease{}, fmt.Errorf("%w: the lease of daemon %s, by others", names.ErrChanged, daemon)
}

func (s *Server) renewed(ctx context.Context, daemon string, peer *broker.Peer, revision uint64) naming.Lease {
	s.mu.Lock()
	s.holders[daemon] = peer
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, seeTime)
	defer cancel()
	s.mirror.until(ctx, func() bool { return s.mirror.leases[daemon].revision >= revision })
	return naming.Lease{TTL: s.config.TTL, Names: s.mirror.of(daemon)}
}

// extend writes a lease. A plain update would drop its time to live, and it would be one
// for ever; so it is published with that time and the revision that it follows.
func (s *Server) extend(ctx context.Context, daemon string, value []byte, revision uint64, held bool) (uint64, error) {
	if !held {
		return s.leases.Create(ctx, daemon, value, jetstream.KeyTTL(s.config.TTL))
	}
	m := nats.NewMsg("$KV." + leasesBucket + "." + daemon)
	m.Data = value
	ack, err := s.jet.PublishMsg(ctx, m, jetstream.WithMsgTTL(s.config.TTL), jetstream.WithExpectLastSequencePerSubject(revision))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

func (s *Server) readLease(ctx context.Context, daemon string) (g grant, held bool, err error) {
	e, err := s.leases.Get(ctx, daemon)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return g, false, nil
	}
	if err != nil {
		return g, false, fmt.Errorf("the engine below the name server cannot be asked: %w", err)
	}
	if err := codec.Unmarshal(e.Value(), &g); err != nil {
		return g, false, fmt.Errorf("the lease of daemon %s cannot be read: %w", daemon, err)
	}
	g.revision = e.Revision()
	return g, true, nil
}

// release ends a lease for its owner. The names go at once.
func (s *Server) release(ctx context.Context, daemon string) error {
	if err := checkDaemon(daemon); err != nil {
		return err
	}
	was, held, err := s.readLease(ctx, daemon)
	switch {
	case err != nil:
		return err
	case !held:
		return nil
	case was.Owner != owner(broker.Caller(ctx)):
		return fmt.Errorf("%w: daemon %s is %s", names.ErrOwner, daemon, was.Owner)
	}
	if err := s.cut(ctx, daemon); err != nil {
		return err
	}
	done := make(chan struct{})
	s.wg.Go(func() { // ends with the records, or with the server
		defer close(done)
		s.erase(daemon)
	})
	select {
	case <-done:
	case <-ctx.Done(): // there are many; they show nowhere as it is
	}
	return nil
}

// erase removes the records of a daemon that is gone for good, so that its names are free.
func (s *Server) erase(daemon string) {
	for _, r := range s.mirror.records(daemon) {
		if err := s.names.Purge(s.running, r.key, jetstream.LastRevision(r.Revision)); err != nil && !changed(err) {
			s.log.Warn("name server: the records of a daemon that has left stay for a while", "daemon", daemon, "error", err)
			return
		}
	}
}

// cut ends a lease.
func (s *Server) cut(ctx context.Context, daemon string) error {
	s.mu.Lock()
	delete(s.holders, daemon)
	s.mu.Unlock()
	if err := s.leases.Purge(ctx, daemon); err != nil {
		return unwritten(err)
	}
	ctx, cancel := context.WithTimeout(ctx, seeTime)
	defer cancel()
	s.mirror.until(ctx, func() bool { _, held := s.mirror.leases[daemon]; return !held })
	return nil
}

// drop ends the lease of a peer that may have none any more.
func (s *Server) drop(daemon string, peer *broker.Peer) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s.log.Warn("name server: a daemon's names go with its rights", "daemon", daemon, "identity", peer.Identity.Name)
	if err := s.cut(ctx, daemon); err != nil {
		s.log.Error("name server: a lease could not be ended; it ends by itself", "daemon", daemon, "error", err)
	}
}
