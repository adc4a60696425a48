package pool

import (
	"errors"
	"log/slog"
	"time"

	"github.com/pyrossl/pyrossl/broker"
)

// member is a daemon. Its fields but the first three are guarded by the pool's mu.
//
//	in use --Failures in a row--> ejected --time is over--> due --one call--> probed
//	   ^                             ^                                       |    |
//	   |                             +------------- that fails --------------+    |
//	   +--------------------------------- that is answered -----------------------+
type member struct {
	pool  *Pool
	uri   string
	proxy *broker.Proxy

	inFlight int
	gone     bool // no longer in the pool

	failures  int       // in a row
	epoch     int       // counts failures, and never back
	err       error     // the last failure
	lost      string    // the session that failed last: what happens to a session counts once
	until     time.Time // of ejection, also while due or probed; zero while in use
	ejections int       // in a row
	probed    bool      // a call is under way that decides

	connection
}

// held is a call on its way at a member.
type held struct {
	*member
	session string // empty while there is no connection
	epoch   int    // of the member, when the call began
	probe   bool
}

// available reports whether a call may go there at the time now.
func (m *member) available(now time.Time) bool {
	return m.until.IsZero() || !m.probed && !now.Before(m.until)
}

// begin counts a call. It needs the pool's mu.
func (m *member) begin() held {
	m.inFlight++
	h := held{member: m, session: m.session, epoch: m.epoch, probe: !m.until.IsZero()}
	m.probed = h.probe
	return h
}

// verdict is what the end of a call says of a daemon.
type verdict int

const (
	nothing  verdict = iota // the caller gave up
	answered                // it answers
	failed                  // it, or the way to it, does not work
)

// judge says what an error of connecting or of a call says of the daemon.
func judge(err error) verdict {
	var e *broker.Error
	var denied *broker.ConnectionDeniedError
	switch {
	case err == nil:
		return answered
	case errors.As(err, &denied):
		return failed
	case !errors.As(err, &e):
		return nothing
	}
	switch e.Kind {
	case broker.KindUnreachable, broker.KindLost, broker.KindDraining:
		return failed
	case broker.KindCanceled, broker.KindDeadline:
		return nothing
	}
	return answered
}

// end counts the end of a call.
func (h held) end(err error) {
	m, p := h.member, h.pool
	p.mu.Lock()
	defer p.unlock()
	m.inFlight--
	m.lastUse = time.Now()
	switch judge(err) {
	case answered:
		// What was sent before the last failure says nothing of the time after: a daemon
		// that drains answers its last calls.
		if h.probe || h.epoch == m.epoch {
			m.recover()
		}
	case failed:
		m.fail(err, h)
	}
	if h.probe {
		m.probed = false
		p.changed()
	}
	if m.gone && m.inFlight == 0 {
		m.proxy.Disconnect()
	}
}

// fail counts a failure, and ejects a daemon that has had enough of them.
func (m *member) fail(err error, h held) {
	// Callers who waited for one dial have the same error, and those on one connection
	// lose it together.
	if same := sameError(err, m.err) || h.session != "" && h.session == m.lost; !same {
		m.failures++
		m.epoch++
	}
	m.err = err
	if h.session != "" {
		m.lost = h.session
	}
	if m.failures >= m.pool.config.Failures && (m.until.IsZero() || h.probe) && !m.gone {
		m.eject()
	}
}

// sameError reports whether two errors are of one attempt to connect.
func sameError(a, b error) bool {
	var x, y *broker.Error
	if errors.As(a, &x) && errors.As(b, &y) {
		return x == y
	}
	var u, v *broker.ConnectionDeniedError
	return errors.As(a, &u) && errors.As(b, &v) && u == v
}

func (m *member) recover() {
	if !m.until.IsZero() {
		m.pool.note(slog.LevelInfo, "daemon is back", slog.String("uri", m.uri))
		m.pool.changed()
	}
	m.failures, m.err, m.lost = 0, nil, ""
	m.until, m.ejections = time.Time{}, 0
}

// eject keeps calls away for a while.
func (m *member) eject() {
	c := &m.pool.config
	long := c.FirstEjection
	for range m.ejections {
		if long = 2 * long; long >= c.LongestEjection {
			long = c.LongestEjection
			break
		}
	}
	m.ejections++
	long -= time.Duration(c.random(int64(long/2) + 1))
	m.until = time.Now().Add(long)
	m.pool.note(slog.LevelWarn, "daemon ejected", slog.String("uri", m.uri), slog.Duration("for", long), slog.Int("failures", m.failures), slog.Any("error", m.err))
	for _, other := range m.pool.members {
		if other.until.IsZero() {
			return
		}
	}
	m.pool.note(slog.LevelError, "all daemons are ejected", slog.Int("daemons", len(m.pool.members)))
}

// leave takes the daemon out of use. Its connection is closed when its calls have ended.
func (m *member) leave() {
	m.gone = true
	if m.timer != nil {
		m.timer.Stop()
	}
	if m.inFlight == 0 {
		m.proxy.Disconnect()
	}
}
