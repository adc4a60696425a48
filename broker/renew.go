package broker

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

// A client's connections live no longer than their reasons, too: when its certificates,
// authorities or revocation lists change, a daemon that would be refused now is left at
// once. And when its own certificate has changed, the connections that were made with
// the old one are replaced, make before break: no call fails.

// watch looks after the client's connections until it is closed.
func (c *Client) watch() {
	defer c.wg.Done()
	known := c.config.Certs.Current()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-tick.C:
		}
		now := c.config.Certs.Current()
		changed := now != known
		known = now
		c.mu.Lock()
		links := make([]*link, 0, len(c.links))
		for _, l := range c.links {
			links = append(links, l)
		}
		c.mu.Unlock()
		for _, l := range links {
			l.review(now, changed)
		}
	}
}

// review ends a connection to a daemon that would be refused now, and replaces one whose
// own certificate has been replaced.
func (l *link) review(now *certs.Material, changed bool) {
	d := l.alive()
	if d == nil {
		return
	}
	l.mu.Lock()
	due := changed || !d.validUntil.IsZero() && time.Now().After(d.validUntil)
	l.mu.Unlock()
	if due {
		if denial := certs.Recheck(d.presented, now, certs.ServerAuth, time.Now()); denial != nil {
			l.client.log.Warn("connection ended: the daemon's certificate is good no longer",
				"address", l.uri.Address(), "session", d.peer.Session, "check", denial.Check, "got", denial.Got, "want", denial.Want)
			go d.leave(denial)
			return
		}
	}
	if l.toRenew(d, now, due) {
		l.renew(d)
	}
}

// toRenew reports whether a connection is to be replaced now.
func (l *link) toRenew(d *dialed, now *certs.Material, checked bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if checked {
		d.validUntil = certs.ValidUntil(d.verified, now)
	}
	if now.Leaf().Equal(d.leaf) {
		return false
	}
	if d.renewAt.IsZero() {
		d.renewAt = d.whenToRenew()
	}
	return !time.Now().Before(d.renewAt)
}

// leave ends the session with a daemon, and tells it the reason.
func (d *dialed) leave(denial *validator.Denial) {
	d.session.End(goAway(denial, ""), &endError{reason: reason(denial)})
}

const (
	// renewSpread keeps the clients of one daemon from coming back all at once.
	renewSpread = time.Second
	// stickyMargin is how long before its end a connection is replaced that carries what
	// ends with it: objects that one side has exported to the other.
	stickyMargin = 30 * time.Second
	// retireTime is how long the calls on a connection that was replaced may go on.
	retireTime = 5 * time.Minute
)

// whenToRenew is soon, or, for a connection that others have something of, late.
func (d *dialed) whenToRenew() time.Time {
	soon := time.Now().Add(rand.N(renewSpread))
	if !d.sticky() {
		return soon
	}
	if late := d.info.NotAfter.Add(-stickyMargin); late.After(soon) {
		return late
	}
	return soon
}

// renew replaces a connection. When no other can be made, it stays as long as it may.
func (l *link) renew(old *dialed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.attempt != nil || l.current.Load() != old {
		return
	}
	a := &attempt{done: make(chan struct{}), instead: old}
	l.attempt = a
	l.client.wg.Add(2)
	go l.dial(a)
	go func() { // ends after the dial, and when the old connection's calls have
		defer l.client.wg.Done()
		<-a.done
		if a.err != nil {
			l.client.log.Warn("no connection with the new certificate; the old one stays in use", "address", l.uri.Address(), "error", a.err)
			l.mu.Lock()
			old.renewAt = time.Now().Add(10 * renewSpread)
			l.mu.Unlock()
			return
		}
		stop := context.AfterFunc(l.client.ctx, old.session.Kill)
		defer stop()
		old.session.Retire(retireTime)
	}()
}
