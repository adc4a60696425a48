package nameserver

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/btree"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pyrossl/pyrossl/broker/internal/naming"
	"github.com/pyrossl/pyrossl/codec"
)

// Keys are names; the members of a group are behind the name and "." and "=", which is
// in no name.
const memberMark = ".="

func memberKey(name, daemon string) string { return name + memberMark + daemon }

// nameOf is the name that a key belongs to.
func nameOf(key string) string {
	name, _, _ := strings.Cut(key, memberMark)
	return name
}

// stored is a record as it lies in the bucket, by key.
type stored struct {
	key string
	naming.Record
	gone time.Time // since when its daemon's lease is; of this mirror
}

// grant is a lease as it lies in the bucket.
type grant struct {
	Owner    string `json:"owner"`
	revision uint64
}

// mirror is what the buckets hold, as far as this server has been told.
type mirror struct {
	namesReady, leasesReady latch

	mu       sync.RWMutex
	all      *btree.BTreeG[*stored]
	leases   map[string]grant
	byDaemon map[string]map[string]*stored
	told     chan struct{} // closed and replaced with each entry; nil if nobody waits
	watchers map[*watcher]struct{}
}

func newMirror() *mirror {
	return &mirror{
		namesReady: newLatch(), leasesReady: newLatch(),
		all:      btree.NewG(32, func(a, b *stored) bool { return a.key < b.key }),
		leases:   map[string]grant{},
		byDaemon: map[string]map[string]*stored{},
		watchers: map[*watcher]struct{}{},
	}
}

// ready waits until both buckets have been read.
func (m *mirror) ready(ctx context.Context) error {
	for _, l := range []latch{m.namesReady, m.leasesReady} {
		select {
		case <-l.opened:
		case <-ctx.Done():
			return fmt.Errorf("what the engine holds was not read in time: %w", ctx.Err())
		}
	}
	return nil
}

// name takes an entry of the bucket of names.
func (m *mirror) name(e jetstream.KeyValueEntry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := e.Key()
	old, had := m.all.Get(&stored{key: key})
	if had && old.Revision >= e.Revision() {
		return // told again, after the connection was lost
	}
	if had {
		m.all.Delete(old)
		delete(m.byDaemon[old.Daemon], key)
		if len(m.byDaemon[old.Daemon]) == 0 {
			delete(m.byDaemon, old.Daemon)
		}
	}
	if e.Operation() == jetstream.KeyValuePut {
		next := &stored{key: key}
		if err := codec.Unmarshal(e.Value(), &next.Record); err == nil {
			next.Revision = e.Revision()
			m.all.ReplaceOrInsert(next)
			m.assign(next)
		}
	}
	m.changed(nameOf(key))
}

func (m *mirror) assign(r *stored) {
	if r.Daemon == "" {
		return
	}
	if m.byDaemon[r.Daemon] == nil {
		m.byDaemon[r.Daemon] = map[string]*stored{}
	}
	m.byDaemon[r.Daemon][r.key] = r
	if _, held := m.leases[r.Daemon]; !held {
		r.gone = time.Now()
	}
}

// lease takes an entry of the bucket of leases.
func (m *mirror) lease(e jetstream.KeyValueEntry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	daemon := e.Key()
	old, had := m.leases[daemon]
	if had && old.revision >= e.Revision() {
		return
	}
	var next grant
	has := e.Operation() == jetstream.KeyValuePut && codec.Unmarshal(e.Value(), &next) == nil
	if has {
		next.revision = e.Revision()
		m.leases[daemon] = next
	} else {
		delete(m.leases, daemon)
	}
	if had == has {
		m.wake()
		return
	}
	for key, r := range m.byDaemon[daemon] {
		r.gone = time.Time{}
		if !has {
			r.gone = time.Now()
		}
		m.changed(nameOf(key))
	}
	m.wake()
}

// live reports whether a record counts. It needs m.mu.
func (m *mirror) live(r *stored) bool {
	if r.Daemon == "" {
		return true
	}
	_, held := m.leases[r.Daemon]
	return held
}

// lookup returns what a name is: one record, or a group's members.
func (m *mirror) lookup(name string) []naming.Record {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.members(name)
}

func (m *mirror) members(name string) []naming.Record {
	r, ok := m.all.Get(&stored{key: name})
	switch {
	case !ok:
		return nil
	case !r.Group:
		if m.live(r) {
			return []naming.Record{r.Record}
		}
		return nil
	}
	var all []naming.Record
	from := name + memberMark
	m.all.AscendGreaterOrEqual(&stored{key: from}, func(r *stored) bool {
		if !strings.HasPrefix(r.key, from) {
			return false
		}
		if m.live(r) {
			all = append(all, r.Record)
		}
		return true
	})
	return all
}

// list returns the names that a query selects, with all their records.
func (m *mirror) list(q naming.Query) (page naming.Page) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	m.each(q.Prefix, q.After, func(name string) bool {
		records := m.members(name)
		if len(records) == 0 || !selected(records, q) {
			return true
		}
		if len(page.Records) >= q.Limit {
			page.More = true
			return false
		}
		page.Records = append(page.Records, records...)
		return true
	})
	return page
}

// each calls f with the names at and below a prefix, behind after. It needs m.mu.
func (m *mirror) each(prefix, after string, f func(name string) bool) {
	m.all.AscendGreaterOrEqual(&stored{key: max(prefix, after)}, func(r *stored) bool {
		switch {
		case !strings.HasPrefix(r.key, prefix):
			return false
		case r.key <= after || strings.Contains(r.key, memberMark) || !naming.Below(r.key, prefix):
			return true
		}
		return f(r.key)
	})
}

// abandoned are records whose daemon has been gone for long, and groups without members.
func (m *mirror) abandoned(grace time.Duration) (all []*stored) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for daemon, records := range m.byDaemon {
		if _, held := m.leases[daemon]; held {
			continue
		}
		for _, r := range records {
			if time.Since(r.gone) > grace {
				all = append(all, r)
			}
		}
	}
	return all
}

// held returns a daemon's lease.
func (m *mirror) held(daemon string) (grant, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	g, ok := m.leases[daemon]
	return g, ok
}

// records are a daemon's.
func (m *mirror) records(daemon string) []*stored {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return slices.Collect(maps.Values(m.byDaemon[daemon]))
}

// of counts a daemon's records.
func (m *mirror) of(daemon string) int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.byDaemon[daemon])
}

// until waits until done, which is called with m.mu held, reports true.
func (m *mirror) until(ctx context.Context, done func() bool) error {
	for {
		m.mu.Lock()
		if done() {
			m.mu.Unlock()
			return nil
		}
		if m.told == nil {
			m.told = make(chan struct{})
		}
		told := m.told
		m.mu.Unlock()
		select {
		case <-told:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// changed tells that a name may be something else now. It needs m.mu.
func (m *mirror) changed(name string) {
	for w := range m.watchers {
		w.note(name)
	}
	m.wake()
}

func (m *mirror) wake() {
	if m.told != nil {
		close(m.told)
		m.told = nil
	}
}

// latch opens once.
type latch struct {
	opened chan struct{}
	once   *sync.Once
}

func newLatch() latch { return latch{make(chan struct{}), new(sync.Once)} }

func (l latch) open() { l.once.Do(func() { close(l.opened) }) }
