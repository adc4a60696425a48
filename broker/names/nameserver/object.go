package nameserver

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/internal/naming"
	"github.com/pyrossl/pyrossl/broker/names"
)

// object is Pyro.NameServer.
type object struct{ server *Server }

// Ping reports whether the engine works.
func (o *object) Ping(ctx context.Context) error { return o.server.config.Engine.Healthy(ctx) }

// Register makes or replaces a record.
func (o *object) Register(ctx context.Context, r naming.Registration) (naming.Record, error) {
	s, caller := o.server, broker.Caller(ctx)
	if err := check(&r, caller); err != nil {
		return naming.Record{}, err
	}
	if err := broker.Permit(ctx, naming.Rights+r.Name, "register"); err != nil {
		return naming.Record{}, err
	}
	if !own(caller, r.Identity) {
		if err := broker.Permit(ctx, naming.Rights+r.Name, "vouch"); err != nil {
			return naming.Record{}, err
		}
	}
	if r.Daemon != "" {
		if _, err := s.renew(ctx, r.Daemon); err != nil {
			return naming.Record{}, err
		}
	}
	return s.register(ctx, r, owner(caller))
}

// Remove takes a name away.
func (o *object) Remove(ctx context.Context, name string, revision uint64) error {
	name, err := naming.ParseName(name)
	if err != nil {
		return err
	}
	return o.server.delete(ctx, name, revision)
}

// SetTags gives a record other tags.
func (o *object) SetTags(ctx context.Context, name string, revision uint64, tags []string) (naming.Record, error) {
	name, err := naming.ParseName(name)
	if err == nil {
		tags, err = parseTags(tags)
	}
	if err != nil {
		return naming.Record{}, err
	}
	return o.server.setTags(ctx, name, revision, tags)
}

// Lookup returns what a name is.
func (o *object) Lookup(ctx context.Context, name string) ([]naming.Record, error) {
	name, err := naming.ParseName(name)
	if err != nil {
		return nil, err
	}
	if err := broker.Permit(ctx, naming.Rights+name, "lookup"); err != nil {
		return nil, err
	}
	found := o.server.mirror.lookup(name)
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: %s", names.ErrNotFound, name)
	}
	return found, nil
}

const (
	pageSize = 1000
	maxPage  = 10_000
)

// List returns a page of records.
func (o *object) List(ctx context.Context, q naming.Query) (naming.Page, error) {
	prefix, err := naming.ParsePrefix(q.Prefix)
	if err != nil {
		return naming.Page{}, err
	}
	if err := broker.Permit(ctx, naming.RightsTo(prefix), "list"); err != nil {
		return naming.Page{}, err
	}
	q.Prefix = prefix
	if q.Limit <= 0 {
		q.Limit = pageSize
	}
	q.Limit = min(q.Limit, maxPage)
	return o.server.mirror.list(q), nil
}

// Watch tells what is below a prefix, and what changes.
func (o *object) Watch(ctx context.Context, prefix string) (iter.Seq2[naming.Change, error], error) {
	prefix, err := naming.ParsePrefix(prefix)
	if err != nil {
		return nil, err
	}
	if err := broker.Permit(ctx, naming.RightsTo(prefix), "watch"); err != nil {
		return nil, err
	}
	return o.server.watch(ctx, prefix), nil
}

// Follow tells what names are, and what becomes of them: those that the caller sends, as
// it sends them. It is what clients resolve with.
func (o *object) Follow(ctx context.Context, wanted iter.Seq2[string, error]) iter.Seq2[naming.Change, error] {
	return o.server.follow(ctx, wanted)
}

// Renew keeps a daemon's names for another while.
func (o *object) Renew(ctx context.Context, daemon string) (naming.Lease, error) {
	return o.server.renew(ctx, daemon)
}

// Leave takes a daemon's own record of a name away, or the daemon out of a group.
func (o *object) Leave(ctx context.Context, name, daemon string) error {
	name, err := naming.ParseName(name)
	if err == nil {
		err = checkDaemon(daemon)
	}
	if err != nil {
		return err
	}
	return o.server.leaveName(ctx, name, daemon)
}

// Release gives a daemon's lease up, and with it its names.
func (o *object) Release(ctx context.Context, daemon string) error {
	return o.server.release(ctx, daemon)
}

// owner is the principal that a peer's records are known by.
func owner(p *broker.Peer) string {
	of := p.Identity.Principal
	return string(of.Kind) + ":" + of.Value
}

// own reports whether a principal, as kind:value, is in the peer's certificate.
func own(p *broker.Peer, identity string) bool {
	for _, of := range p.Identity.Principals {
		if string(of.Kind)+":"+of.Value == identity {
			return true
		}
	}
	return false
}

// selected reports whether a query is for a name with these records.
func selected(records []naming.Record, q naming.Query) bool {
	return slices.ContainsFunc(records, func(r naming.Record) bool {
		has := func(tag string) bool { return slices.Contains(r.Tags, strings.ToLower(tag)) }
		for _, tag := range q.All {
			if !has(tag) {
				return false
			}
		}
		return len(q.Any) == 0 || slices.ContainsFunc(q.Any, has)
	})
}
