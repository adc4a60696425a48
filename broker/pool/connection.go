package pool

import "time"

// connection is what a member knows of its connection, guarded by the pool's mu.
type connection struct {
	session string    // its id; empty for none that is known
	renewAt time.Time // zero for never
	lastUse time.Time
	timer   *time.Timer // for renewal and idleness; nil until there was a connection
}

// renewAgain is how long after a renewal the next one is tried, if there is no new
// connection then.
const renewAgain = 10 * time.Second

// seen notes that a call is about to use a connection that was not known.
func (m *member) seen(session string) {
	p := m.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	p.connected = true
	if m.session != session {
		m.lastUse = time.Now()
		m.born(session)
		m.schedule()
	}
}

// born begins the age of a connection.
func (m *member) born(session string) {
	m.session, m.renewAt = session, time.Time{}
	if age := m.pool.config.MaxAge; age > 0 {
		m.renewAt = time.Now().Add(age - time.Duration(m.pool.config.random(int64(age/4)+1)))
	}
}

// schedule sets the timer for what is due next.
func (m *member) schedule() {
	next := m.renewAt
	if idle := m.pool.config.Idle; idle > 0 {
		if at := m.lastUse.Add(idle); next.IsZero() || at.Before(next) {
			next = at
		}
	}
	switch {
	case next.IsZero() || m.gone:
	case m.timer == nil:
		m.timer = time.AfterFunc(time.Until(next), m.review)
	default:
		m.timer.Reset(time.Until(next))
	}
}

// review closes a connection that is idle, and renews one that is old.
func (m *member) review() {
	p := m.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	session := m.proxy.Session()
	if m.gone || session == "" {
		m.session = "" // the next call makes a connection, and sets the timer
		return
	}
	if session != m.session {
		m.born(session)
	}
	now := time.Now()
	if m.inFlight > 0 {
		m.lastUse = now
	}
	if idle := p.config.Idle; idle > 0 && now.Sub(m.lastUse) >= idle {
		m.session = ""
		m.proxy.Disconnect()
		return
	}
	if !m.renewAt.IsZero() && !now.Before(m.renewAt) {
		m.proxy.Renew()
		m.renewAt = now.Add(renewAgain)
	}
	m.schedule()
}
