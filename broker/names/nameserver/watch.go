package nameserver

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/internal/naming"
	"github.com/pyrossl/pyrossl/validator"
)

// watcher is one who is told of changes: of all names below a prefix, or of those that it
// has asked for. It keeps the names that have changed, not what they became: that is
// looked up when it is told, so that a slow one costs no more than the names there are.
type watcher struct {
	peer   *broker.Peer
	prefix string
	asked  bool // it asks for names, and is not for a prefix

	mu      sync.Mutex
	names   map[string]bool   // that were asked for; false for those that it may not look up
	denied  map[string]string // of those why, to be told
	pending map[string]struct{}
	err     error         // why it ends
	wake    chan struct{} // has room for one
}

func newWatcher(ctx context.Context) *watcher {
	return &watcher{
		peer: broker.Caller(ctx), names: map[string]bool{}, denied: map[string]string{}, pending: map[string]struct{}{},
		wake: make(chan struct{}, 1),
	}
}

func (w *watcher) note(name string) {
	w.mu.Lock()
	wanted := w.names[name] || !w.asked && naming.Below(name, w.prefix)
	if wanted {
		w.pending[name] = struct{}{}
	}
	w.mu.Unlock()
	if wanted {
		w.poke()
	}
}

// add asks for a name.
func (w *watcher) add(name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.names[name]; !known && len(w.names) >= naming.MaxFollowed {
		return fmt.Errorf("more than %d names are followed over one stream", naming.MaxFollowed)
	}
	w.names[name] = true
	w.pending[name] = struct{}{}
	return nil
}

// deny takes a name away, and tells why.
func (w *watcher) deny(name, reason string) {
	w.mu.Lock()
	defer w.poke()
	defer w.mu.Unlock()
	if _, known := w.names[name]; !known && len(w.names) >= naming.MaxFollowed {
		return // which add says of the next one
	}
	w.names[name] = false
	delete(w.pending, name)
	w.denied[name] = reason
}

func (w *watcher) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *watcher) end(err error) {
	w.mu.Lock()
	if w.err == nil {
		w.err = err
	}
	w.mu.Unlock()
	w.poke()
}

// take returns the names that have changed, in order, and those that were denied.
func (w *watcher) take() (names []string, denied []naming.Change, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name := range w.pending {
		names = append(names, name)
	}
	for name, reason := range w.denied {
		denied = append(denied, naming.Change{Kind: naming.Denied, Name: name, Reason: reason})
	}
	clear(w.pending)
	clear(w.denied)
	slices.Sort(names)
	return names, denied, w.err
}

// watch tells what is below a prefix, and then what changes.
func (s *Server) watch(ctx context.Context, prefix string) iter.Seq2[naming.Change, error] {
	return func(yield func(naming.Change, error) bool) {
		w := newWatcher(ctx)
		w.prefix = prefix
		s.tell(ctx, w, yield)
	}
}

// follow tells what becomes of the names that are sent.
func (s *Server) follow(ctx context.Context, wanted iter.Seq2[string, error]) iter.Seq2[naming.Change, error] {
	return func(yield func(naming.Change, error) bool) {
		w := newWatcher(ctx)
		w.asked = true
		ctx, cancel := context.WithCancel(ctx)
		var asking sync.WaitGroup
		asking.Go(func() { // ends when the caller sends no more, at the latest with its call
			for name, err := range wanted {
				if err == nil {
					err = s.ask(ctx, w, name)
				}
				if err != nil {
					w.end(err)
					return
				}
			}
		})
		defer asking.Wait()
		defer cancel()
		s.tell(ctx, w, yield)
	}
}

// ask adds a name for a watcher that may look it up.
func (s *Server) ask(ctx context.Context, w *watcher, text string) error {
	name, err := naming.ParseName(text)
	if err != nil {
		return err
	}
	if err := broker.Permit(ctx, naming.Rights+name, "lookup"); err != nil {
		w.deny(name, err.Error())
		return nil
	}
	if err := w.add(name); err != nil {
		return err
	}
	w.poke()
	return nil
}

// tell is what watch and follow do.
func (s *Server) tell(ctx context.Context, w *watcher, yield func(naming.Change, error) bool) {
	s.enter(w)
	defer s.leave(w)
	told := map[string]bool{} // names that it knows to be there
	for ready := w.asked; ; {
		names, changes, err := w.take()
		for _, name := range names {
			records := s.mirror.lookup(name)
			switch known := told[name]; {
			case len(records) > 0:
				told[name] = true
				changes = append(changes, naming.Change{Kind: naming.Is, Name: name, Records: records})
			case known || w.asked: // who asks for a name is told that there is none
				delete(told, name)
				changes = append(changes, naming.Change{Kind: naming.Gone, Name: name})
			}
		}
		if !ready {
			ready = true
			changes = append(changes, naming.Change{Kind: naming.Ready})
		}
		for _, c := range changes {
			if !yield(c, nil) {
				return
			}
		}
		if err == nil {
			select {
			case <-w.wake:
				continue
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		yield(naming.Change{}, err)
		return
	}
}

func (s *Server) enter(w *watcher) {
	s.mu.Lock()
	s.watchers[w] = struct{}{}
	s.mu.Unlock()
	m := s.mirror
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watchers[w] = struct{}{}
	if !w.asked {
		m.each(w.prefix, "", func(name string) bool {
			w.pending[name] = struct{}{}
			return true
		})
	}
}

func (s *Server) leave(w *watcher) {
	s.mirror.mu.Lock()
	delete(s.mirror.watchers, w)
	s.mirror.mu.Unlock()
	s.mu.Lock()
	delete(s.watchers, w)
	s.mu.Unlock()
}

// review ends the watches and leases of those who may have none any more, and with the
// leases their names.
func (s *Server) review(g *broker.Grounds) (ended int) {
	s.mu.Lock()
	watchers := make([]*watcher, 0, len(s.watchers))
	for w := range s.watchers {
		watchers = append(watchers, w)
	}
	holders := maps.Clone(s.holders)
	s.mu.Unlock()
	for _, w := range watchers {
		ended += w.review(g)
	}
	for daemon, peer := range holders {
		if g.Still(peer) != nil || !g.May(peer, naming.Object, "Renew", validator.KindCall).Allowed {
			s.drop(daemon, peer)
			ended++
		}
	}
	return ended
}

// review asks again for what the watcher was allowed.
func (w *watcher) review(g *broker.Grounds) (ended int) {
	if !w.asked {
		d := g.May(w.peer, naming.RightsTo(w.prefix), "watch", validator.KindCall)
		if !d.Allowed {
			w.end(broker.Refuse(broker.KindDenied, d.Reason))
			return 1
		}
		return 0
	}
	w.mu.Lock()
	names := maps.Clone(w.names)
	w.mu.Unlock()
	for name, had := range names {
		switch d := g.May(w.peer, naming.Rights+name, "lookup", validator.KindCall); {
		case had && !d.Allowed:
			w.deny(name, d.Reason)
			ended++
		case !had && d.Allowed:
			w.add(name)
			w.poke()
		}
	}
	return ended
}
