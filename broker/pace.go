package broker

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// pace remembers whether a method is slow. A quick method is run by the goroutine that
// reads its calls, which saves a switch; behind a slow one other calls would wait. Every
// so often a call is timed, always the first, and the first after a method was slow.
type pace struct {
	left  atomic.Int32 // calls to run in goroutines of their own
	known atomic.Bool  // it was timed, and quick
}

const (
	// slowCall is the time from which running a method costs more than a switch to
	// another goroutine, many times over.
	slowCall = 50 * time.Microsecond
	// slowCalls is how many calls then get goroutines.
	slowCalls = 200
	// timed is how many calls there are for each that is timed.
	timed = 32
)

// slow reports whether the next call is to have a goroutine of its own.
func (p *pace) slow() bool {
	if p.left.Load() <= 0 {
		return false
	}
	if p.left.Add(-1) <= 0 {
		p.known.Store(false)
	}
	return true
}

// stopwatch times one call, or none.
type stopwatch struct{ begun time.Time }

func (p *pace) begin() (w stopwatch) {
	if !p.known.Load() || rand.Uint32()%timed == 0 {
		w.begun = time.Now()
	}
	return w
}

func (w stopwatch) end(p *pace) {
	if w.begun.IsZero() {
		return
	}
	if time.Since(w.begun) > slowCall {
		p.left.Store(slowCalls)
	} else if !p.known.Load() {
		p.known.Store(true)
	}
}
