package session

import (
	"context"
	"sync"
)

// backlog counts the bytes of results that wait until the peer reads. While they are more
// than this end takes for calls, no further call is run: whoever asks and does not read
// costs no more than whoever sends too much. What runs already when the backlog grows is
// bounded by the calls in flight alone. One result alone holds nobody up, however large: it
// is on its way.
type backlog struct {
	limit int

	mu      sync.Mutex
	bytes   int
	results int
	room    chan struct{} // closed when there is room again; nil when nobody waits
}

// full reports whether further calls must wait.
func (b *backlog) full() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.over()
}

// over needs b.mu.
func (b *backlog) over() bool { return b.bytes > b.limit && b.results > 1 }

// add counts a result that begins to wait.
func (b *backlog) add(size int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes += size
	b.results++
}

// drop counts a result that has left.
func (b *backlog) drop(size int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes -= size
	b.results--
	if !b.over() && b.room != nil {
		close(b.room)
		b.room = nil
	}
}

// wait returns when there is room, or with the reason why ctx is done.
func (b *backlog) wait(ctx context.Context) error {
	for {
		b.mu.Lock()
		if !b.over() {
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
