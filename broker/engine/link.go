package engine

import (
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// link is what is known of the connection to the server.
type link struct {
	log    *slog.Logger
	closed chan struct{} // when the connection has ended for good

	mu      sync.Mutex
	since   time.Time // of the present state
	up      bool
	lastErr error
	changed chan struct{} // closed and replaced at each change
}

func newLink(log *slog.Logger) *link {
	return &link{log: log, closed: make(chan struct{}), since: time.Now(), up: true, changed: make(chan struct{})}
}

// options are those of every connection: it comes back by itself, for ever.
func (l *link) options() []nats.Option {
	return []nats.Option{
		nats.Name("pyrossl broker"),
		nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond), nats.ReconnectJitter(250*time.Millisecond, 250*time.Millisecond),
		nats.PingInterval(5 * time.Second), nats.MaxPingsOutstanding(2),
		nats.ReconnectBufSize(-1), // what cannot be sent now fails now: whoever calls knows what to do
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { l.turned(false, err) }),
		nats.ReconnectHandler(func(*nats.Conn) { l.turned(true, nil) }),
		nats.ClosedHandler(func(*nats.Conn) { close(l.closed) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { l.log.Warn("engine connection", "error", err) }),
	}
}

func (l *link) turned(up bool, err error) {
	l.mu.Lock()
	l.up, l.since, l.lastErr = up, time.Now(), err
	close(l.changed)
	l.changed = make(chan struct{})
	l.mu.Unlock()
	switch {
	case up:
		l.log.Info("engine connected")
	case err != nil:
		l.log.Warn("engine connection lost", "error", err)
	}
}
