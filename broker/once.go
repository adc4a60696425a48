package broker

import (
	"context"

	"github.com/pyrossl/pyrossl/broker/internal/session"
	"github.com/pyrossl/pyrossl/broker/internal/wire"
)

// What package pool needs of a proxy: a call that is sent once, and a say in how long its
// connection lives.

// CallOnce is [Proxy.Call] for who has other daemons to try: it sends the call once, and
// leaves it to its caller whether to call again, here or there. With again, the daemon is
// told that the method may have run before, maybe elsewhere; it then runs it only if it
// was declared with [IdempotentMethods]. No argument may be a stream.
func (p *Proxy) CallOnce(ctx context.Context, again bool, method string, result any, args ...any) error {
	if p.side.intercept == nil {
		return p.plainOnce(ctx, again, method, result, args)
	}
	info := p.info(method, false)
	return p.side.intercept(ctx, &info, func(ctx context.Context) error { return p.plainOnce(ctx, again, method, result, args) })
}

func (p *Proxy) plainOnce(ctx context.Context, again bool, method string, result any, args []any) error {
	timeout := deadline(ctx, p.timeout)
	if timeout == 0 {
		return p.failure(KindDeadline, method, context.DeadlineExceeded, again)
	}
	var flags wire.Flags
	if again {
		flags = wire.Retry
	}
	resp, c, err := p.once(ctx, method, flags, nil, payload{args: args}, timeout)
	if err != nil {
		return everRun(err, flags)
	}
	defer resp.Release()
	if resp.Type == wire.Error {
		return everRun(p.remoteError(method, resp.Payload), flags)
	}
	if err := c.decodeResult(resp, result); err != nil {
		return p.failure(KindResult, method, err, true)
	}
	return nil
}

// OnewayOnce is [Proxy.Oneway] for who has other daemons to try: an error means that the
// call was not sent.
func (p *Proxy) OnewayOnce(ctx context.Context, method string, args ...any) error {
	if p.side.intercept == nil {
		return p.plainOnewayOnce(ctx, method, args)
	}
	info := p.info(method, true)
	return p.side.intercept(ctx, &info, func(ctx context.Context) error { return p.plainOnewayOnce(ctx, method, args) })
}

func (p *Proxy) plainOnewayOnce(ctx context.Context, method string, args []any) error {
	timeout := deadline(ctx, p.timeout)
	if timeout == 0 {
		return p.failure(KindDeadline, method, context.DeadlineExceeded, false)
	}
	_, _, err := p.once(ctx, method, wire.Oneway, p.unanswered(method), payload{args: args}, timeout)
	return err
}

// unanswered logs what became of a oneway call that failed.
func (p *Proxy) unanswered(method string) func(*session.Response) {
	return func(resp *session.Response) {
		var err error
		switch {
		case resp == nil:
			err = p.failure(KindLost, method, nil, true)
		case resp.Type == wire.Error:
			err = p.remoteError(method, resp.Payload)
		default:
			return
		}
		p.side.log.Warn("oneway call failed", "error", err)
	}
}

// Session is the id of the connection that is in use, empty when there is none, and for a
// proxy that goes by a name.
func (p *Proxy) Session() string {
	if p.peer != nil {
		return p.peer.peer.Session
	}
	if l := p.link; l != nil {
		if d := l.alive(); d != nil {
			return d.info.Session
		}
	}
	return ""
}

// Renew replaces the connection that p shares with the client's other proxies for the
// same daemon, make before break: calls go over the new one when it is there, and those
// on the old one finish. It returns at once, and reports false when there is nothing to
// replace: no connection, or one over which objects were exported, which would end with
// it. When no new connection can be made the old one stays.
func (p *Proxy) Renew() bool {
	if p.link == nil {
		return false
	}
	d := p.link.alive()
	if d == nil || d.sticky() {
		return false
	}
	p.link.renew(d)
	return true
}

// Disconnect closes the connection that p shares with the client's other proxies for the
// same daemon, when the calls on it have been answered. It returns at once. The next call
// makes a new connection.
func (p *Proxy) Disconnect() {
	if p.link == nil {
		return
	}
	l := p.link
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.current.Load()
	if d == nil || l.closed || !l.current.CompareAndSwap(d, nil) {
		return
	}
	a := l.attempt
	if a != nil && a.instead != d {
		a = nil // somebody else's who needs one; who wants d gone does not want its successor
	}
	l.client.wg.Add(1)
	go func() { // ends when the connection's calls have
		defer l.client.wg.Done()
		if a != nil {
			if <-a.done; a.got != nil && l.current.CompareAndSwap(a.got, nil) {
				a.got.retire(l.client)
			}
		}
		d.retire(l.client)
	}()
}

// retire closes a connection when its calls have been answered, or with the client.
func (d *dialed) retire(c *Client) {
	stop := context.AfterFunc(c.ctx, d.session.Kill)
	defer stop()
	d.session.Retire(retireTime)
}
