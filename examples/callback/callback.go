// Package callback is what server and client of the example share.
package callback

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/pyrossl/pyrossl/broker"
)

// Hops is how long a conversation of bouncers is.
const Hops = 100

// ErrTooLoud is an error of the client, which keeps its meaning at the server.
var ErrTooLoud = errors.New("too loud")

// Errors is given to both sides.
var Errors = broker.Errors{"callback.too-loud": ErrTooLoud}

// A Bouncer calls whoever calls it, until there were enough calls. None of them returns
// before the last one: in the end 100 are in flight, on one connection.
type Bouncer struct{ Count atomic.Int32 }

func (b *Bouncer) Bounce(ctx context.Context, hop int, partner *broker.Proxy) error {
	b.Count.Add(1)
	if hop == Hops {
		return nil
	}
	// A new object for each hop, which the partner alone can call.
	me, err := broker.Export(ctx, "bouncer", b)
	if err != nil {
		return err
	}
	defer me.End()
	return partner.Call(ctx, "Bounce", nil, hop+1, me)
}
