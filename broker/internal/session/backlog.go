package session

import (
	"context"
	"sync"
)

// backlog counts the bytes of results that wait until the peer reads. While they are more
// than this end takes for calls, no further call is run: whoever asks and does not read
// costs no more than whoever sends too much. What runs already when the backlog grows is
// bounded by the calls in flight alone.
type backlog struct {
	limit int

	mu    sync.Mutex
	bytes int
	room  chan struct{} // closed when there is room again; nil when nobody waits
}

// full reports whether further calls must wait.
func (b *backlog) full() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes > b.limit
}

// add counts a result that begins to wait, or with a negative size one that has left.
func (b *backlog) add(size int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes += size
	if b.bytes <= b.limit && b.room != nil {
		close(b.room)
		b.room = nil
	}
}

// wait returns when there is room, or with the reason why ctx is done.
func (b *backlog) wait(ctx context.Context) error {
	for {
		b.mu.Lock()
		if b.bytes <= b.limit {
			b.mu.Unlock()
			return nil
		}
		if b.room == nil {
			b.room = make(chan struct{})
		}
		room := b.room
		b.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
