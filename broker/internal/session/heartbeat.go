package session

import (
	"fmt"
	"sync"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
)

// heartbeat notices when the peer is gone, and lets it notice us. It goes both
// ways: an end that has sent nothing for half of what its peer calls idle sends
// a Ping, and an end that has waited for bytes for its own idle time gives the
// connection up. A peer that is only slow to read still sends its heartbeats,
// and while we do not read it is not counted, so back-pressure is never taken
// for death. PROTOCOL §6.1.
type heartbeat struct {
	mu      sync.Mutex
	timer   *time.Timer
	stopped bool

	// Only the timer's function touches what follows.
	reads, flushes uint32
	silent, quiet  int // beats without a byte from, and to, the peer
}

// beatsPerIdle is how often a session looks, within an idle time.
const beatsPerIdle = 8

// errIdle is why a silent connection is given up.
type errIdle struct{ after time.Duration }

func (e errIdle) Error() string {
	return fmt.Sprintf("session: nothing came from the peer for %v, although it sends heartbeats", e.after)
}
func (errIdle) Timeout() bool   { return true }
func (errIdle) Temporary() bool { return false }

func (h *heartbeat) start(s *Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.stopped {
		h.timer = time.AfterFunc(s.beat(), func() { h.beat(s) })
	}
}

func (h *heartbeat) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	if h.timer != nil {
		h.timer.Stop()
	}
}

func (h *heartbeat) beat(s *Session) {
	every := s.beat()
	if reads := s.readState.reads.Load(); reads != h.reads || !s.readState.waiting.Load() {
		h.reads, h.silent = reads, 0
	} else if h.silent++; time.Duration(h.silent)*every >= time.Duration(s.local.IdleSeconds)*time.Second {
		s.fail(errIdle{time.Duration(h.silent) * every})
		return
	}
	if flushes := s.writer.flushes.Load(); flushes != h.flushes {
		h.flushes, h.quiet = flushes, 0
	} else if h.quiet++; h.quiet >= beatsPerIdle/2-1 {
		h.quiet = 0
		s.writer.post(wire.AppendHeader(nil, wire.Header{Type: wire.Ping}))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.stopped {
		h.timer.Reset(every)
	}
}

// beat is the time between two looks. Until Hello has come, a daemon goes by its
// own idle time.
func (s *Session) beat() time.Duration {
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	seconds := s.local.IdleSeconds
	if r := s.remote.IdleSeconds; r != 0 {
		seconds = min(seconds, r)
	}
	return time.Duration(seconds) * time.Second / beatsPerIdle
}
