package engine

import (
	"fmt"
	"log/slog"
	"sync"
)

// serverLog passes what the server logs on to slog. Its own logger would end the process
// where it sees a fatal error.
type serverLog struct {
	log *slog.Logger

	mu   sync.Mutex
	last string // error
}

func newServerLog(log *slog.Logger) *serverLog {
	return &serverLog{log: log.With("part", "engine")}
}

func (l *serverLog) Noticef(format string, args ...any) {
	l.log.Debug("engine", "text", fmt.Sprintf(format, args...))
}
func (l *serverLog) Warnf(format string, args ...any) {
	l.log.Warn("engine", "text", fmt.Sprintf(format, args...))
}
func (l *serverLog) Debugf(string, ...any) {}
func (l *serverLog) Tracef(string, ...any) {}

func (l *serverLog) Errorf(format string, args ...any) { l.failed(format, args) }
func (l *serverLog) Fatalf(format string, args ...any) { l.failed(format, args) }

func (l *serverLog) failed(format string, args []any) {
	text := fmt.Sprintf(format, args...)
	l.mu.Lock()
	l.last = text
	l.mu.Unlock()
	l.log.Error("engine", "text", text)
}

func (l *serverLog) lastError() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}
