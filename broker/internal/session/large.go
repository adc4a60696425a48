package session

import (
	"context"
	"sync"
)

// largeWindow bounds the bytes of results and items that are on their way out in
// fragments, by what the peer accepts. PROTOCOL §5.7. A message gives its bytes back
// with its last fragment: whatever follows arrives behind that.
type largeWindow struct {
	mu      sync.Mutex
	inUse   int
	waiting []*largeWaiter
}

type largeWaiter struct {
	size  int
	ready chan struct{} // closed when it may go
}

// take waits, in order of arrival, until size bytes fit below the limit.
func (w *largeWindow) take(ctx context.Context, done <-chan struct{}, size, limit int) bool {
	w.mu.Lock()
	if len(w.waiting) == 0 && w.inUse+size <= limit {
		w.inUse += size
		w.mu.Unlock()
		return true
	}
	q := &largeWaiter{size: size, ready: make(chan struct{})}
	w.waiting = append(w.waiting, q)
	w.mu.Unlock()
	select {
	case <-q.ready:
		return true
	case <-ctx.Done():
	case <-done:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-q.ready: // granted in the meantime
		w.inUse -= size
	default:
		for i, other := range w.waiting {
			if other == q {
				w.waiting = append(w.waiting[:i], w.waiting[i+1:]...)
				break
			}
		}
	}
	w.grant(limit)
	return false
}

func (w *largeWindow) give(size, limit int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inUse -= size
	w.grant(limit)
}

// grant is called with mu held.
func (w *largeWindow) grant(limit int) {
	for len(w.waiting) > 0 && w.inUse+w.waiting[0].size <= limit {
		w.inUse += w.waiting[0].size
		close(w.waiting[0].ready)
		w.waiting = w.waiting[1:]
	}
}

// sendLarge is writer.sendBulk for results and items, within the peer's window. When a
// message is cut off, the peer counts it until the call is answered: its bytes are then
// added to held, for letGo.
func (s *Session) sendLarge(ctx context.Context, b *bulk, held *int) (begun bool, err error) {
	size, limit := len(b.head)+len(b.body), int(s.remote.Window)
	if !s.large.take(ctx, s.done, size, limit) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		return false, s.Err()
	}
	if begun, err = s.writer.sendBulk(ctx, b); begun && err != nil {
		*held += size
		return begun, err
	}
	s.large.give(size, limit)
	return begun, err
}

// letGo gives back what was held, after the answer that ends it was queued, or came.
func (s *Session) letGo(held *int) {
	if *held > 0 {
		s.large.give(*held, int(s.remote.Window))
		*held = 0
	}
}
