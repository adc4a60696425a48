package pool

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/pyrossl/pyrossl/broker"
)

// try is a call on its way over the daemons.
type try struct {
	pool       *Pool
	ctx        context.Context
	cancel     context.CancelFunc // nil while ctx is the caller's
	begun      time.Time
	giveUp     time.Time // zero while nothing has failed
	tried      []*member // in this round
	rounds     int
	mayHaveRun bool // it was lost on a daemon, and is idempotent
}

func (p *Pool) try(ctx context.Context) try { return try{pool: p, ctx: ctx, begun: time.Now()} }

// patience is how long a call waits for daemons that were there before: as long as
// Proxy.Call tries to reach one.
const patience = 4 * time.Second

// bound gives the call the time that the pool gives it, as soon as it may have to wait.
func (t *try) bound() {
	timeout := t.pool.config.Timeout
	if _, has := t.ctx.Deadline(); has || timeout < 0 {
		return
	}
	t.ctx, t.cancel = context.WithDeadline(t.ctx, t.begun.Add(timeout))
}

func (t *try) end() {
	if t.cancel != nil {
		t.cancel()
	}
}

// acquire chooses a daemon and connects to it, or to the next one if that fails.
func (t *try) acquire() (held, error) {
	for {
		h, err := t.choose()
		if err != nil {
			return held{}, err
		}
		session := h.proxy.Session()
		if session == "" {
			t.bound()
			var info broker.Connection
			if info, err = h.proxy.Connect(t.ctx); err != nil {
				h.session = ""
				h.end(err)
				if judge(err) != failed {
					return held{}, err // the time is up, or the client closed
				}
				t.failed(h.member)
				continue
			}
			session = info.Session
		}
		if session != h.session {
			h.session = session
			h.seen(session)
		}
		return h, nil
	}
}

// failed notes that a daemon has failed this call.
func (t *try) failed(m *member) {
	t.tried = append(t.tried, m)
	t.bound()
	if t.giveUp.IsZero() {
		t.giveUp = time.Now().Add(patience)
	}
}

// again reports whether a call that ended with err may be made on another daemon: by the
// rules of Proxy.Call.
func (t *try) again(m *member, err error, idempotent bool) bool {
	if judge(err) != failed {
		return false
	}
	var e *broker.Error
	if errors.As(err, &e) && e.MayHaveRun {
		if !idempotent {
			return false
		}
		t.mayHaveRun = true
	}
	t.failed(m)
	return true
}

// choose takes a daemon for the call, and waits for one if there is none.
func (t *try) choose() (held, error) {
	for p := t.pool; ; {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return held{}, ErrClosed
		}
		if m := p.pick(t.tried); m != nil {
			h := m.begin()
			p.mu.Unlock()
			return h, nil
		}
		change, wait, down := p.change, t.wait(), p.down()
		p.mu.Unlock()
		if wait < 0 {
			return held{}, down
		}
		t.bound()
		woken, err := sleep(t.ctx, wait, change)
		if err != nil {
			return held{}, err
		}
		if !woken {
			t.tried = t.tried[:0] // another round
		}
	}
}

// sleep waits for a time, or until change is closed, which wakes it.
func sleep(ctx context.Context, d time.Duration, change <-chan struct{}) (woken bool, err error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return false, nil
	case <-change:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// pick returns the less loaded of two available daemons, taken at random, or nil.
func (p *Pool) pick(tried []*member) *member {
	now := time.Now()
	n := int64(0)
	for _, m := range p.members {
		if m.available(now) && !slices.Contains(tried, m) {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	i, j := int64(0), int64(-1)
	if n > 1 {
		i, j = p.config.random(n), p.config.random(n-1)
		if j >= i {
			j++ // two different ones, each pair as likely
		}
	}
	var first, second *member
	n = 0
	for _, m := range p.members {
		if !m.available(now) || slices.Contains(tried, m) {
			continue
		}
		switch n {
		case i:
			first = m
		case j:
			second = m
		}
		n++
	}
	if second != nil && second.inFlight < first.inFlight {
		return second
	}
	return first
}

// wait is how long to wait at most for a daemon when none is available, negative for not
// at all. It needs the pool's mu.
func (t *try) wait() time.Duration {
	p, now := t.pool, time.Now()
	if !p.resolved {
		return time.Hour // the list comes, or the time is up
	}
	if len(p.members) == 0 || !p.connected || p.denied() {
		return -1
	}
	if t.giveUp.IsZero() {
		t.giveUp = now.Add(patience)
	}
	next, probing, retry := t.giveUp, false, false
	for _, m := range p.members {
		switch {
		case m.probed:
			probing = true // its end is a change
		case m.until.After(now):
			next = earlier(next, m.until)
		default:
			retry = true // it was tried, and is not ejected
		}
	}
	if retry {
		next = earlier(next, now.Add(p.pause(t.rounds)))
		t.rounds++
	}
	inVain := !next.Before(t.giveUp)
	if end, has := t.ctx.Deadline(); has && !next.Before(end) {
		inVain = true
	}
	if inVain && (!probing || !now.Before(t.giveUp)) {
		return -1
	}
	return next.Sub(now)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// pause is how long to wait before the next round over all daemons.
func (p *Pool) pause(rounds int) time.Duration {
	const first, longest = 50 * time.Millisecond, time.Second
	d := min(first<<min(rounds, 10), longest)
	return d/2 + time.Duration(p.config.random(int64(d/2)+1))
}
