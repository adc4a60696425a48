package nameserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/internal/naming"
	"github.com/pyrossl/pyrossl/broker/names"
	"github.com/pyrossl/pyrossl/codec"
)

// attempts is how often a change is tried that others get in the way of.
const attempts = 5

// register enters a record for its owner.
func (s *Server) register(ctx context.Context, r naming.Registration, owner string) (naming.Record, error) {
	made := naming.Record{
		Name: r.Name, URI: r.URI, Identity: r.Identity, Owner: owner, Tags: r.Tags,
		Group: r.Group, Daemon: r.Daemon, Since: time.Now().UTC().Truncate(time.Millisecond),
	}
	if !r.Group {
		return s.write(ctx, r.Name, made, func(ctx context.Context, was *stored) error { return s.mayTake(ctx, was, r, owner) })
	}
	head := made
	head.URI, head.Identity, head.Tags, head.Daemon = "", "", nil, ""
	if _, err := s.write(ctx, r.Name, head, func(ctx context.Context, was *stored) error { return s.mayJoin(ctx, was, owner) }); err != nil {
		return naming.Record{}, err
	}
	return s.write(ctx, memberKey(r.Name, r.Daemon), made, func(context.Context, *stored) error { return nil })
}

// errKeep says that what is there is what was wanted.
var errKeep = errors.New("it is there already")

// mayTake decides whether a record may take the place of another. A record whose daemon
// is gone holds nobody off.
func (s *Server) mayTake(ctx context.Context, was *stored, r naming.Registration, owner string) error {
	mine := was.Owner == owner
	vacant, err := s.vacant(ctx, was, mine)
	switch {
	case err != nil:
		return err
	case vacant:
		return nil
	case was.Group:
		return fmt.Errorf("%w: %s is a group", names.ErrGroup, was.Name)
	case mine && r.Daemon != "" && r.Replace == 0 && (was.Daemon == r.Daemon || was.URI == r.URI && was.Identity == r.Identity):
		return nil // a daemon says again what it has said, maybe before it was started anew
	case r.Replace == 0:
		return fmt.Errorf("%w: %s by %s, since %s", names.ErrExists, was.Name, was.Owner, was.Since.Format(time.RFC3339))
	case r.Replace != was.Revision:
		return fmt.Errorf("%w: %s has revision %d, not %d", names.ErrChanged, was.Name, was.Revision, r.Replace)
	case mine:
		return nil
	}
	return broker.Permit(ctx, naming.Rights+was.Name, "replace")
}

// mayJoin decides whether another member may join a group.
func (s *Server) mayJoin(ctx context.Context, was *stored, owner string) error {
	vacant, err := s.vacant(ctx, was, was.Owner == owner)
	switch {
	case err != nil:
		return err
	case vacant:
		return nil
	case !was.Group:
		return fmt.Errorf("%w: %s is no group", names.ErrGroup, was.Name)
	case was.Owner == owner:
		return errKeep
	}
	if err := broker.Permit(ctx, naming.Rights+was.Name, "join"); err != nil {
		return err
	}
	return errKeep
}

// vacant reports whether a record, as it was just read, holds nobody off any more: its
// daemon's lease, or all of its group's, are gone. The mirror may not know yet what others
// have done, so a record that is young counts in any case, but for its own owner.
func (s *Server) vacant(ctx context.Context, r *stored, mine bool) (bool, error) {
	young := !mine && time.Since(r.Since) < 2*s.config.TTL
	switch {
	case !r.Group && r.Daemon == "", len(s.mirror.lookup(r.Name)) > 0, young:
		return false, nil
	case r.Group:
		return time.Since(r.Since) > seeTime, nil // somebody may be joining
	}
	_, held, err := s.readLease(ctx, r.Daemon)
	return !held && err == nil, err
}

// write enters a record under a key. may decides whether it may take the place of what
// is there, and is asked again whenever that has changed.
func (s *Server) write(ctx context.Context, key string, record naming.Record, may func(context.Context, *stored) error) (naming.Record, error) {
	value, err := codec.Marshal(record)
	if err != nil {
		return naming.Record{}, err
	}
	for range attempts {
		was, err := s.read(ctx, key)
		if err != nil {
			return naming.Record{}, err
		}
		var revision uint64
		if was == nil {
			revision, err = s.names.Create(ctx, key, value)
		} else if err = may(ctx, was); err == nil {
			revision, err = s.names.Update(ctx, key, value, was.Revision)
		} else if err == errKeep {
			return was.Record, nil
		} else {
			return naming.Record{}, err
		}
		if changed(err) {
			continue
		}
		if err != nil {
			return naming.Record{}, unwritten(err)
		}
		record.Revision = revision
		s.seen(ctx, key, revision)
		return record, nil
	}
	return naming.Record{}, fmt.Errorf("%w: %s, by others, %d times while this was tried", names.ErrChanged, nameOf(key), attempts)
}

// read returns what lies under a key, from the engine.
func (s *Server) read(ctx context.Context, key string) (*stored, error) {
	e, err := s.names.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the engine below the name server cannot be asked: %w", err)
	}
	r := &stored{key: key}
	if err := codec.Unmarshal(e.Value(), &r.Record); err != nil {
		return nil, fmt.Errorf("the record of %s cannot be read: %w", nameOf(key), err)
	}
	r.Revision = e.Revision()
	return r, nil
}

// changed reports whether an error of the engine means that somebody else was faster.
func changed(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, jetstream.ErrKeyExists) || errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}

// unwritten is the error of a change that the engine did not take, or did not answer in
// time.
func unwritten(err error) error {
	return fmt.Errorf("the engine below the name server did not take the change: %w", err)
}

// seeTime bounds how long a change waits for the mirror to know it.
const seeTime = 2 * time.Second

// seen waits until the mirror knows a change, so that who made it finds it.
func (s *Server) seen(ctx context.Context, key string, revision uint64) {
	ctx, cancel := context.WithTimeout(ctx, seeTime)
	defer cancel()
	s.mirror.until(ctx, func() bool {
		r, ok := s.mirror.all.Get(&stored{key: key})
		return ok && r.Revision >= revision
	})
}

// delete removes a name, a group with all its members.
func (s *Server) delete(ctx context.Context, name string, revision uint64) error {
	r, err := s.read(ctx, name)
	switch {
	case err != nil:
		return err
	case r == nil || len(s.mirror.lookup(name)) == 0 && r.Daemon != "":
		return fmt.Errorf("%w: %s", names.ErrNotFound, name)
	case revision != 0 && revision != r.Revision:
		return fmt.Errorf("%w: %s has revision %d, not %d", names.ErrChanged, name, r.Revision, revision)
	}
	if err := s.mine(ctx, r, "remove"); err != nil {
		return err
	}
	return s.purge(ctx, r)
}

// leaveName removes the record that a daemon of the caller's has made.
func (s *Server) leaveName(ctx context.Context, name, daemon string) error {
	for _, key := range []string{memberKey(name, daemon), name} {
		r, err := s.read(ctx, key)
		if err != nil {
			return err
		}
		if r != nil && r.Daemon == daemon && r.Owner == owner(broker.Caller(ctx)) {
			return s.purge(ctx, r)
		}
	}
	return fmt.Errorf("%w: %s of daemon %s", names.ErrNotFound, name, daemon)
}

// purge removes a record as it was read, and waits until the mirror knows.
func (s *Server) purge(ctx context.Context, r *stored) error {
	err := s.names.Purge(ctx, r.key, jetstream.LastRevision(r.Revision))
	if changed(err) {
		return fmt.Errorf("%w: %s", names.ErrChanged, r.Name)
	}
	if err != nil {
		return unwritten(err)
	}
	ctx, cancel := context.WithTimeout(ctx, seeTime)
	defer cancel()
	s.mirror.until(ctx, func() bool {
		now, ok := s.mirror.all.Get(&stored{key: r.key})
		return !ok || now.Revision > r.Revision
	})
	return nil
}

// mine asks for a right of its own from who does not own a record.
func (s *Server) mine(ctx context.Context, r *stored, right string) error {
	if r.Owner == owner(broker.Caller(ctx)) {
		return broker.Permit(ctx, naming.Rights+r.Name, "register")
	}
	return broker.Permit(ctx, naming.Rights+r.Name, right)
}

// setTags changes the tags of one record.
func (s *Server) setTags(ctx context.Context, name string, revision uint64, tags []string) (naming.Record, error) {
	was, err := s.read(ctx, name)
	switch {
	case err != nil:
		return naming.Record{}, err
	case was == nil || len(s.mirror.lookup(name)) == 0 && was.Daemon != "":
		return naming.Record{}, fmt.Errorf("%w: %s", names.ErrNotFound, name)
	case was.Group:
		return naming.Record{}, fmt.Errorf("%w: the tags of a group are its members', who register with them", names.ErrGroup)
	case revision != 0 && revision != was.Revision:
		return naming.Record{}, fmt.Errorf("%w: %s has revision %d, not %d", names.ErrChanged, name, was.Revision, revision)
	}
	if err := s.mine(ctx, was, "replace"); err != nil {
		return naming.Record{}, err
	}
	next, at := was.Record, was.Revision
	next.Tags = tags
	return s.write(ctx, name, next, func(_ context.Context, now *stored) error {
		if now.Revision != at {
			return fmt.Errorf("%w: %s", names.ErrChanged, name)
		}
		return nil
	})
}
