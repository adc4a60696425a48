package broker

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/session"
	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

// A session lives no longer than its reasons, and neither does anything that it has
// opened. When certificates, revocation lists, authorities, mapping rules, allowed
// identifications or the rules about calls change, and when a chain is good no longer,
// reevaluate goes over everything that lives because of a decision. What would not be
// allowed now ends, with the reason.

// grounds are what a connection was accepted by.
type grounds struct {
	presented []*x509.Certificate // as the peer sent them
	verified  []*x509.Certificate // with the trust anchor last
	exchange  *validator.Exchange // of the second factor
}

// Grounds tell what is still allowed, at one moment.
type Grounds struct {
	d          *Daemon
	ctx        context.Context
	authorizer validator.Authorizer
}

// May asks the authorizer whether a peer may still call a method.
func (g *Grounds) May(p *Peer, object, method string, kind validator.CallKind) validator.Decision {
	return p.callee.ask(g.ctx, g.authorizer, object, method, kind)
}

// Still says why a peer would not be accepted now, nil if it would: for things that outlive
// their connection.
func (g *Grounds) Still(p *Peer) *validator.Denial { return g.d.criteria().lost(g.ctx, p, p.grounds) }

// liveKind is a kind of thing that lives because of a decision.
type liveKind struct {
	name string
	// review ends what may not go on, and returns how many that were.
	review func(g *Grounds) int
}

type liveKinds struct {
	mu    sync.Mutex
	added []*liveKind
}

// Reevaluate has a function called whenever something has changed that decisions depend
// on, after connections and calls were gone over. It is for objects that keep something
// for their callers beyond a call, such as a subscription: review must end what is not
// allowed any more, tell whom it concerns, and return how many that were. A connection
// that has ended is noticed by Config.OnDisconnect. remove takes the function away.
func (d *Daemon) Reevaluate(name string, review func(*Grounds) int) (remove func()) {
	k := &liveKind{name, review}
	d.live.mu.Lock()
	defer d.live.mu.Unlock()
	d.live.added = append(d.live.added, k)
	return func() {
		d.live.mu.Lock()
		defer d.live.mu.Unlock()
		d.live.added = slices.DeleteFunc(slices.Clone(d.live.added), func(other *liveKind) bool { return other == k })
	}
}

// builtIn are the kinds of the broker itself, in the order in which they are gone over.
// What belongs to a connection ends with it: its calls in both directions, streams,
// objects that were exported over it and references to them. A handshake checks for
// itself whether something has changed since it began (handshake.still), before it
// welcomes and after it has.
var builtIn = []liveKind{
	{"connection", (*Grounds).connections},
	{"call", (*Grounds).calls},
}

// reevaluate goes over everything that lives.
func (d *Daemon) reevaluate(why string) {
	d.counters.reviews.Add(1)
	d.changes.Add(1) // before looking: a handshake that ends meanwhile looks again
	ctx, cancel := context.WithTimeout(context.Background(), reviewTime)
	defer cancel()
	g := &Grounds{d: d, ctx: ctx, authorizer: d.config.Authorizer}
	d.live.mu.Lock()
	added := d.live.added
	d.live.mu.Unlock()
	ended := make([]any, 0, 2*len(builtIn))
	for _, k := range builtIn {
		ended = append(ended, k.name, k.review(g))
	}
	for _, k := range added {
		n := 0
		if err := contained(func() error { n = k.review(g); return nil }); err != nil {
			d.log.Error("a review panicked", "kind", k.name, "panic", err)
		}
		ended = append(ended, k.name, n)
	}
	d.log.Info("reevaluated", append([]any{"because", why}, ended...)...)
}

const (
	// watchEvery is how often a daemon or client looks whether something has changed
	// that decisions depend on.
	watchEvery = 200 * time.Millisecond
	// reviewTime bounds the time of custom validators and authorizers in a review.
	reviewTime = 10 * time.Second
	// reviewers is how many connections are gone over side by side.
	reviewers = 8
)

// basis is what decisions depend on.
type basis struct {
	material  *certs.Material
	validator uint64
	rules     uint64
}

func (d *Daemon) basis() basis {
	b := basis{material: d.config.Certs.Current(), validator: d.steps.Version()}
	if d.versioned != nil {
		b.rules = d.versioned.Version()
	}
	return b
}

// differs says what is different, "" if nothing.
func (b basis) differs(from basis) (what string) {
	for _, c := range []struct {
		changed bool
		what    string
	}{
		{b.material != from.material, "certificates"}, {b.validator != from.validator, "identities"}, {b.rules != from.rules, "rules"},
	} {
		if c.changed && what != "" {
			what += ", "
		}
		if c.changed {
			what += c.what
		}
	}
	return what
}

// watch notices changes. The basis is that of before the daemon served.
func (d *Daemon) watch() {
	defer d.running.Done()
	known := d.basis()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-d.ctx.Done():
			return
		case <-tick.C:
		}
		now := d.basis()
		if what := now.differs(known); what != "" {
			known = now
			d.reevaluate(what + " changed")
		}
	}
}

// connections ends those whose peers would not be accepted now.
func (g *Grounds) connections() int {
	open := g.d.connections()
	next := make(chan *connection)
	ended := make(chan int, reviewers)
	for range reviewers {
		go func() { // ends when all are gone over
			n := 0
			for c := range next {
				if c.review(g.ctx) {
					n++
				}
			}
			ended <- n
		}()
	}
	for _, c := range open {
		next <- c
	}
	close(next)
	sum := 0
	for range reviewers {
		sum += <-ended
	}
	return sum
}

// recheck goes over one connection.
func (c *connection) recheck() {
	ctx, cancel := context.WithTimeout(context.Background(), reviewTime)
	defer cancel()
	c.review(ctx)
}

// review ends a connection that would not be accepted now, and reports whether it has.
func (c *connection) review(ctx context.Context) bool {
	if denial := c.daemon.criteria().lost(ctx, c.peer, &c.grounds); denial != nil {
		go c.end(denial) // waits until the peer has read the reason
		return true
	}
	c.daemon.mu.Lock()
	defer c.daemon.mu.Unlock()
	if c.expiry != nil {
		c.expires = certs.ValidUntil(c.grounds.verified, c.daemon.config.Certs.Current())
		c.expiry.Reset(max(time.Until(c.expires), time.Millisecond))
	}
	return false
}

// criteria are what a peer is accepted by.
type criteria struct {
	material *certs.Material
	steps    validator.Steps
}

// criteria are those of this moment.
func (d *Daemon) criteria() criteria { return criteria{d.config.Certs.Current(), d.steps} }

// lost says why a peer that was accepted would not be now; nil if it would.
func (c criteria) lost(ctx context.Context, p *Peer, g *grounds) *validator.Denial {
	chain, denial := verified(g.presented, c.material)
	if denial != nil {
		return denial
	}
	if denial := c.steps.AcceptHost(ctx, p.Address.Addr()); denial != nil {
		return denial
	}
	id, denial := c.steps.CheckCertificate(ctx, chain)
	switch {
	case denial != nil:
		return denial
	case id.Principal != p.Identity.Principal || id.Name != p.Identity.Name || !slices.Equal(id.Roles, p.Identity.Roles):
		return &validator.Denial{Code: validator.DeniedSecurity, Check: validator.CheckIdentity,
			Got: fmt.Sprintf("a session of %s, whose certificate is mapped to another identity now", p.Identity.String()), Want: "a new connection"}
	}
	return c.steps.StillIdentified(g.exchange)
}

// calls refuses those in flight that would not be allowed now.
func (g *Grounds) calls() (ended int) {
	for _, c := range g.d.connections() {
		c.session.Each(func(in *session.Incoming, mark any) {
			r := mark.(*running)
			decision := g.May(c.peer, r.method.object, r.method.name, r.kind)
			if decision.Allowed {
				return
			}
			if in.Refuse(c.denied(g.ctx, r.method.object, r.method.name, decision)) {
				ended++
			}
		})
	}
	return ended
}

// goAway is the last frame of a connection that ends for a reason.
func goAway(d *validator.Denial, incident string) wire.GoAwayBody {
	return wire.GoAwayBody{Reason: reason(d), Check: string(d.Check), Incident: incident}
}

// reason is why a session ends, in a sentence that may be shown to the peer.
func reason(d *validator.Denial) string {
	text := string(d.Check) + ": " + d.Got
	if d.Want != "" {
		text += ", want " + d.Want
	}
	return text
}
