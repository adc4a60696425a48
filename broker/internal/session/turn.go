package session

import (
	"sync/atomic"
)

// turn says who reads the connection. Exactly one goroutine does at a time, but which
// one changes, so that a small call costs no switch between goroutines:
//
//   - At the accepting end the goroutine that reads runs the method itself. If that
//     takes long, the monitor, or a call that the method makes over the same
//     connection, passes the turn on to a new goroutine, and nothing waits behind it.
//   - At the calling end a lone caller reads its answer itself. With more of them, and
//     when nobody calls for a while, a goroutine reads.
//
// States: fresh -> (Serve) reading <-> running (an incoming call), and, at the calling
// end, reading <-> free. From running, passOn makes it reading again, for another
// goroutine; who ran the call then finds that it has lost the turn. The upper bits
// count, so that one call is not taken for another.
type turn struct{ state atomic.Uint64 }

const (
	turnFresh   = 0
	turnReading = 1
	turnRunning = 2
	turnFree    = 3
	turnMask    = 3
	turnStep    = 4
)

// begin takes the turn for the first time.
func (t *turn) begin() { t.state.Store(turnReading) }

// enter says that its holder runs an incoming call. The result identifies it.
func (t *turn) enter() uint64 {
	at := t.state.Load()&^turnMask + turnStep | turnRunning
	t.state.Store(at)
	return at
}

// leave takes the turn up again after a call. It reports false when it has passed on.
func (t *turn) leave(at uint64) bool {
	return t.state.CompareAndSwap(at, at&^turnMask|turnReading)
}

// passOn takes the turn away from a goroutine that runs a call, if it is still that
// call. Whoever calls it must then read.
func (t *turn) passOn(at uint64) bool {
	return at&turnMask == turnRunning && t.leave(at)
}

// free gives the turn up: nobody reads.
func (t *turn) free() { t.state.Store(t.state.Load()&^turnMask + turnStep | turnFree) }

// take takes a turn that is free.
func (t *turn) take() bool {
	at := t.state.Load()
	return at&turnMask == turnFree && t.state.CompareAndSwap(at, at&^turnMask|turnReading)
}
