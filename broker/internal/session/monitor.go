package session

import (
	"sync"
	"time"
)

// Monitor looks after the sessions of a daemon or client while they are active. Once a
// millisecond it sees whether one is stuck in a method, and lets another goroutine read
// on; and whether nobody has read from one for a while. It has a timer while there is a
// session to look after, and no goroutine. The zero Monitor is ready.
type Monitor struct {
	mu       sync.Mutex
	sessions []*Session
	timer    *time.Timer
	ticking  bool
}

const (
	// tick is how often the monitor looks. A method that runs for one to two ticks is
	// stuck.
	tick = time.Millisecond
	// freeTicks is how long nobody may read.
	freeTicks = 5
	// quietTicks is how long a session is kept that needs no looking after: it will
	// again, most likely.
	quietTicks = 8
)

// watched is what the monitor keeps of a session; guarded by its mu.
type watched struct {
	seen  uint64
	ticks int
}

// watch looks after a session until it is quiet.
func (m *Monitor) watch(s *Session) {
	if !s.isWatched.CompareAndSwap(false, true) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.add(s)
}

// add is called with mu held.
func (m *Monitor) add(s *Session) {
	s.watched = watched{}
	m.sessions = append(m.sessions, s)
	if m.ticking {
		return
	}
	m.ticking = true
	if m.timer == nil {
		m.timer = time.AfterFunc(tick, m.look)
	} else {
		m.timer.Reset(tick)
	}
}

// look looks at all sessions once.
func (m *Monitor) look() {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := m.sessions[:0]
	for _, s := range m.sessions {
		if s.look() {
			kept = append(kept, s)
			continue
		}
		// Whoever made it active since look has found it watched still.
		s.isWatched.Store(false)
		if at := s.turn.state.Load() & turnMask; (at == turnFree || at == turnRunning) && s.isWatched.CompareAndSwap(false, true) {
			s.watched = watched{}
			kept = append(kept, s)
		}
	}
	clear(m.sessions[len(kept):])
	m.sessions = kept
	if m.ticking = len(kept) > 0; m.ticking {
		m.timer.Reset(tick)
	}
}

// look reports whether the session is to be looked at again.
func (s *Session) look() bool {
	at, w := s.turn.state.Load(), &s.watched
	if at != w.seen {
		w.seen, w.ticks = at, 0
		return true
	}
	w.ticks++
	switch at & turnMask {
	case turnRunning:
		if s.turn.passOn(at) {
			go s.readOn()
		}
		return true
	case turnFree:
		if w.ticks < freeTicks {
			return true
		}
		if s.turn.take() {
			go s.readOn()
		}
		return false
	}
	return w.ticks < quietTicks
}
