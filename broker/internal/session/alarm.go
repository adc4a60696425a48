package session

import (
	"sync"
	"time"
)

// alarm is the one timer behind all deadlines of a session. Most calls end long
// before their deadline, so arming is nearly always a comparison: the timer is
// moved only for an earlier deadline, and when it fires it looks for the next.
type alarm struct {
	since func() int64
	ring  func(now int64) (next int64) // expires what is due

	mu      sync.Mutex
	at      int64 // when the timer fires, 0 when it does not
	timer   *time.Timer
	stopped bool
}

// arm makes the alarm ring at the latest at the given time.
func (a *alarm) arm(at int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped || a.at != 0 && a.at <= at {
		return
	}
	a.at = at
	wait := time.Duration(at - a.since())
	if a.timer == nil {
		a.timer = time.AfterFunc(wait, a.fire)
	} else {
		a.timer.Reset(wait)
	}
}

func (a *alarm) fire() {
	a.mu.Lock()
	a.at = 0
	stopped := a.stopped
	a.mu.Unlock()
	if stopped {
		return
	}
	if next := a.ring(a.since()); next != 0 {
		a.arm(next)
	}
}

func (a *alarm) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopped = true
	if a.timer != nil {
		a.timer.Stop()
	}
}
