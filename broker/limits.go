package broker

import (
	"fmt"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
)

// Limits bound what one connection may cost this side. A zero field has the
// default. Together they bound the memory that a peer can make this side hold:
// WindowBytes for calls, as much for unfinished results, as much for results that it
// does not read (then further calls wait; those that run already may add theirs), 4 KiB
// for each call in flight, and under 1 MiB of frames. The results of a batch are together
// no larger than the smaller of both sides' MessageBytes.
type Limits struct {
	CallsInFlight int           // 1,024; at most 8,192
	MessageBytes  int           // 4 MiB; at least 64 KiB
	WindowBytes   int           // 8 MiB, or MessageBytes if that is more
	Idle          time.Duration // 60 s without a byte, although heartbeats are sent
}

// Defaults of Limits.
const (
	DefaultCallsInFlight = 1024
	DefaultMessageBytes  = 4 << 20
	DefaultWindowBytes   = 8 << 20
	DefaultIdle          = 60 * time.Second
)

func (l Limits) wire() (wire.Limits, error) {
	set := func(v *int, to int) {
		if *v == 0 {
			*v = to
		}
	}
	set(&l.CallsInFlight, DefaultCallsInFlight)
	set(&l.MessageBytes, DefaultMessageBytes)
	set(&l.WindowBytes, max(DefaultWindowBytes, l.MessageBytes))
	if l.Idle == 0 {
		l.Idle = DefaultIdle
	}
	for what, v := range map[string]int{"CallsInFlight": l.CallsInFlight, "MessageBytes": l.MessageBytes, "WindowBytes": l.WindowBytes} {
		if v < 0 || v > 1<<31-1 {
			return wire.Limits{}, fmt.Errorf("broker: Limits.%s is %d, want 1 to %d", what, v, 1<<31-1)
		}
	}
	if l.Idle < time.Second || l.Idle > 24*time.Hour || l.Idle%time.Second != 0 {
		return wire.Limits{}, fmt.Errorf("broker: Limits.Idle is %v, want whole seconds from 1s to 24h", l.Idle)
	}
	w := wire.Limits{
		Calls: uint32(l.CallsInFlight), Message: uint32(l.MessageBytes),
		Window: uint32(l.WindowBytes), IdleSeconds: uint32(l.Idle / time.Second),
	}
	if err := w.Check(); err != nil {
		return wire.Limits{}, fmt.Errorf("broker: limits: %w", err)
	}
	return w, nil
}

func limitsOf(w wire.Limits) Limits {
	return Limits{
		CallsInFlight: int(w.Calls), MessageBytes: int(w.Message),
		WindowBytes: int(w.Window), Idle: time.Duration(w.IdleSeconds) * time.Second,
	}
}
