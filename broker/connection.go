package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/session"
	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/validator"
)

// connection is an accepted client, as the daemon sees it: a session and who is
// at its other end.
type connection struct {
	callee
	daemon  *Daemon
	grounds grounds
	tls     *tls.Conn
	expires time.Time // when to check the grounds again; guarded by daemon.mu
	expiry  *time.Timer
	release func()
}

// accepted makes a connection of a handshake that succeeded.
func (h *handshake) accepted() *connection {
	d := h.daemon
	c := &connection{daemon: d, grounds: h.grounds, tls: h.tls, expires: h.review, release: h.release}
	c.callee = callee{peer: h.peer, host: d, errors: d.errors, log: d.log, intercept: d.side.intercept}
	h.peer.callee, h.peer.grounds = &c.callee, &c.grounds
	c.callee.session = session.New(session.Config{
		TLS: h.tls, Conn: h.conn, Side: wire.ServerSide, Local: d.limits,
		Inline: true, Monitor: &d.monitor,
		Handler: c.serve,
		Base:    context.WithValue(context.Background(), callerKey{}, h.peer),
	})
	return c
}

// enter lists a connection. It reports false when the daemon is stopping.
func (d *Daemon) enter(c *connection) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.draining {
		return false
	}
	d.open[c] = struct{}{}
	d.running.Add(1)
	return true
}

// handlerGrace is how long the end of a connection waits for methods that do not
// heed their context.
const handlerGrace = time.Second

// run serves the connection until it ends.
func (c *connection) run() {
	c.log.Debug("connected", "session", c.peer.Session, "address", c.peer.Address,
		"identity", c.peer.Identity.Name, "principal", c.peer.Identity.Principal.String())
	// A certificate that expires ends what it has opened.
	c.daemon.mu.Lock()
	c.expiry = time.AfterFunc(time.Until(c.expires), c.recheck)
	c.daemon.mu.Unlock()
	c.session.Serve(c.ended)
}

// ended cleans up after the connection.
func (c *connection) ended(err error) {
	d := c.daemon
	defer d.running.Done()
	c.session.Close()
	c.waitHandlers()
	c.endExports()
	d.mu.Lock()
	delete(d.open, c)
	c.expiry.Stop()
	d.mu.Unlock()
	received, sent := c.session.Bytes()
	d.counters.received.Add(received)
	d.counters.sent.Add(sent)
	c.release()
	d.hookEnded(c.peer, err)
	if session.IsClosed(err) {
		d.log.Debug("disconnected", "session", c.peer.Session)
		return
	}
	var bad *session.ProtocolError
	if errors.As(err, &bad) {
		d.log.Warn("connection ended", "session", c.peer.Session, "identity", c.peer.Identity.Name, "address", c.peer.Address, "error", err)
		return
	}
	d.log.Info("connection ended", "session", c.peer.Session, "identity", c.peer.Identity.Name, "address", c.peer.Address, "error", err)
}

func (c *connection) waitHandlers() {
	done := make(chan struct{})
	go func() { // ends when the last method returns
		c.session.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(handlerGrace):
		c.daemon.log.Warn("a method goes on although its call has ended", "session", c.peer.Session)
	}
}

// endError is why this daemon ended a connection.
type endError struct{ reason, incident string }

func (e *endError) Error() string { return e.reason }

// end closes the connection and tells the peer the reason.
func (c *connection) end(denial *validator.Denial) {
	incident := newIncident()
	c.daemon.counters.ended.Add(1)
	c.daemon.record.add(Incident{ID: incident, Time: time.Now().UTC(), Event: sessionEnded}.of(c.peer).because(denial))
	c.daemon.auditConnection(sessionEnded, incident, c.peer, denial)
	c.log.Info(sessionEnded, "incident", incident, "session", c.peer.Session, "identity", c.peer.Identity.Name,
		"principal", c.peer.Identity.Principal.String(), "check", denial.Check, "got", denial.Got, "want", denial.Want)
	c.session.End(goAway(denial, incident), &endError{reason(denial), incident})
}

func (c *connection) close(reason string) {
	c.session.End(wire.GoAwayBody{Reason: reason}, session.ErrClosed)
}

// drain refuses new calls, waits for those in flight, and then for the client to
// leave, so that a call it sent meanwhile still gets its refusal. It reports whether
// all calls were answered.
func (c *connection) drain(ctx context.Context) (answered bool) {
	idle := c.session.Drain("the daemon is shutting down")
	select {
	case <-idle:
	case <-c.session.Done():
		return true // the client has left, and with it whoever waited
	case <-ctx.Done():
		return false
	}
	select {
	case <-c.session.Done():
	case <-ctx.Done():
	case <-time.After(drainGrace):
	}
	return true
}

// drainGrace is how long a client may take to leave after its last answer.
const drainGrace = 500 * time.Millisecond

// auditConnection notes a decision about a connection; denial is nil for one that was
// accepted.
func (d *Daemon) auditConnection(event, incident string, p *Peer, denial *validator.Denial) {
	if d.config.Audit == nil {
		return
	}
	attrs := []slog.Attr{
		slog.Bool("allowed", denial == nil), slog.String("session", p.Session), slog.String("address", p.Address.String()),
		slog.String("identity", p.Identity.Name), slog.String("principal", p.Identity.Principal.String()), slog.String("user", p.User),
	}
	if p.Certificate != nil {
		attrs = append(attrs, slog.String("serial", p.Certificate.SerialNumber.Text(16)))
	}
	if denial != nil {
		attrs = append(attrs, slog.String("incident", incident), slog.String("code", denial.Code.String()), slog.String("check", string(denial.Check)),
			slog.String("got", denial.Got), slog.String("want", denial.Want))
	}
	d.config.Audit.LogAttrs(context.Background(), slog.LevelInfo, event, attrs...)
}

// hookEnded tells OnDisconnect of a connection that OnConnect has seen.
func (d *Daemon) hookEnded(p *Peer, err error) {
	if d.config.OnDisconnect == nil {
		return
	}
	if session.IsClosed(err) {
		err = nil
	}
	if failed := contained(func() error { d.config.OnDisconnect(p, err); return nil }); failed != nil {
		d.log.Error("OnDisconnect panicked", "session", p.Session, "panic", failed)
	}
}
