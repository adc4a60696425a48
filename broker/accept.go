package broker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/session"
	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

// accept runs until the listener is closed. It never waits for a peer, and a
// lack of file descriptors only slows it down.
func (d *Daemon) accept() error {
	const longest = time.Second
	var wait time.Duration
	for {
		raw, err := d.listener.Accept()
		if err != nil {
			if d.ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				d.stopAccepting()
				return fmt.Errorf("broker: the listener was closed: %w", err)
			}
			wait = min(max(2*wait, 5*time.Millisecond), longest)
			d.log.Warn("accept failed", "error", err, "retry_in", wait)
			select {
			case <-time.After(wait):
				continue
			case <-d.ctx.Done():
				return nil
			}
		}
		wait = 0
		addr := addressOf(raw)
		if !d.budget.take(addr.Addr()) {
			d.counters.denied.Add(1)
			d.counters.droppedEarly.Add(1)
			d.log.Debug("connection closed before TLS", "address", addr, "reason", "too many handshakes")
			raw.Close()
			continue
		}
		d.mu.Lock()
		if d.draining {
			d.mu.Unlock()
			d.budget.give(addr.Addr())
			raw.Close()
			continue
		}
		d.running.Add(1)
		d.mu.Unlock()
		go d.admit(raw, addr)
	}
}

// addressOf returns the peer's address, with IPv4 in its own form.
func addressOf(c net.Conn) netip.AddrPort {
	a, _ := netip.ParseAddrPort(c.RemoteAddr().String())
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// admit takes one socket from accept to the verdict, and hands an accepted one
// to a goroutine of its own: a handshake needs a large stack, which ends here.
func (d *Daemon) admit(raw net.Conn, addr netip.AddrPort) {
	defer d.running.Done()
	defer d.budget.give(addr.Addr())
	d.counters.handshakes.Add(1)
	defer d.counters.handshakes.Add(-1)
	deadline := time.Now().Add(d.config.HandshakeTimeout)
	ctx, cancel := context.WithDeadline(d.ctx, deadline)
	defer cancel()
	raw.SetDeadline(deadline)
	// Whatever ends the handshake early must not reach into an accepted connection.
	cut := make(chan struct{})
	disarm := context.AfterFunc(ctx, func() { raw.SetDeadline(time.Unix(1, 0)); close(cut) })
	defer disarm()
	h := &handshake{daemon: d, raw: raw, peer: &Peer{Address: addr, Session: newSessionID(), Since: time.Now()}}
	if err := h.run(ctx); err != nil {
		if !disarm() {
			<-cut // it must not cut off the reason either
		}
		h.refuse(err)
		return
	}
	if !disarm() { // the daemon stops, or the time was up just now
		h.release()
		d.hookEnded(h.peer, nil)
		raw.Close()
		return
	}
	raw.SetDeadline(time.Time{})
	c := h.accepted()
	if !d.enter(c) {
		c.release()
		d.hookEnded(h.peer, nil)
		raw.Close()
		return
	}
	d.counters.accepted.Add(1)
	d.auditConnection("connection", "", c.peer, nil)
	go c.run()
	if d.changes.Load() != h.seen {
		c.recheck() // what changed while it was welcomed may not have found it
	}
}

// handshake is a connection that has no verdict yet.
type handshake struct {
	daemon  *Daemon
	raw     net.Conn
	conn    *session.Conn
	tls     *tls.Conn
	peer    *Peer
	seen    uint64 // what the daemon went by when this began
	grounds grounds
	expires time.Time // when the first certificate of the peer's chain does
	review  time.Time // when the grounds must be looked at again
	proof   []byte
	release func() // of the place that the validator granted
}

// run is the order of the steps. A validator cannot change it. DESIGN: accept,
// AcceptHost, TLS, CheckCertificate, identification, verdict.
func (h *handshake) run(ctx context.Context) error {
	// Whoever is blocked by address is told so only inside TLS, and only if its
	// certificate is good: before that nothing can be said safely.
	h.seen = h.daemon.changes.Load()
	blocked := h.daemon.steps.AcceptHost(ctx, h.peer.Address.Addr())
	if err := h.secure(ctx); err != nil {
		return err
	}
	if blocked != nil {
		return blocked
	}
	if err := h.identify(ctx); err != nil {
		return err
	}
	if err := h.challenge(ctx); err != nil {
		return err
	}
	release, denial := h.daemon.steps.Admit(h.peer.Identity, h.peer.Address.Addr())
	if denial != nil {
		return denial
	}
	h.release = release
	err := h.connected(ctx)
	if err == nil {
		err = h.still(ctx)
	}
	if err == nil {
		if err = h.welcome(); err == nil {
			return nil
		}
		h.daemon.hookEnded(h.peer, err)
	}
	release()
	return err
}

// connected asks the daemon's hook.
func (h *handshake) connected(ctx context.Context) error {
	hook := h.daemon.config.OnConnect
	if hook == nil {
		return nil
	}
	err := contained(func() error { return hook(ctx, h.peer) })
	var denial *validator.Denial
	if err == nil || errors.As(err, &denial) {
		return err
	}
	return &validator.Denial{Code: validator.DeniedUnspecified, Check: validator.CheckAdmission,
		Got: "a client for whom the daemon could not prepare", Want: "another attempt later, or a look into the daemon's log", Err: err}
}

// secure does the TLS handshake.
func (h *handshake) secure(ctx context.Context) error {
	h.conn = session.NewConn(h.raw)
	t := tls.Server(h.conn, h.daemon.tls)
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	h.tls = t
	return nil
}

// identify checks the chain by the material of this moment, which the handshake may
// not have seen, and maps it to an identity.
func (h *handshake) identify(ctx context.Context) error {
	h.grounds.presented = h.tls.ConnectionState().PeerCertificates
	h.peer.Certificate = h.grounds.presented[0]
	material := h.daemon.config.Certs.Current()
	chain, denial := verified(h.grounds.presented, material)
	if denial != nil {
		return denial
	}
	id, denial := h.daemon.steps.CheckCertificate(ctx, chain)
	if denial != nil {
		return denial
	}
	h.peer.Identity, h.grounds.verified = id, chain
	h.review, h.expires = certs.ValidUntil(chain, material), earliest(chain)
	return nil
}

// verified is the chain by which a client is accepted: one that is not revoked, where
// there are several.
func verified(presented []*x509.Certificate, m *certs.Material) ([]*x509.Certificate, *validator.Denial) {
	chain, err := certs.VerifyPeer(presented, m, certs.ClientAuth, time.Now())
	if err == nil {
		return chain, nil
	}
	if denial := certs.ServerRefusal(err, m); denial != nil {
		return nil, denial
	}
	return nil, &validator.Denial{Code: validator.DeniedSecurity, Check: validator.CheckChain, Err: err}
}

// earliest is when the first certificate of a chain expires.
func earliest(chain []*x509.Certificate) time.Time {
	first := chain[0].NotAfter
	for _, c := range chain[1:] {
		if c.NotAfter.Before(first) {
			first = c.NotAfter
		}
	}
	return first
}

// still checks once more what has changed since the handshake began.
func (h *handshake) still(ctx context.Context) error {
	if h.daemon.changes.Load() == h.seen {
		return nil
	}
	if denial := h.daemon.criteria().lost(ctx, h.peer, &h.grounds); denial != nil {
		return denial
	}
	return nil
}

// maxRounds bounds the messages of an identification.
const maxRounds = 4

// challenge runs the second factor, if the validator asks for one.
func (h *handshake) challenge(ctx context.Context) error {
	binding, err := channelBinding(h.tls)
	if err != nil {
		return err
	}
	ex := &validator.Exchange{Identity: h.peer.Identity, Addr: h.peer.Address.Addr(), ChannelBinding: binding}
	h.grounds.exchange = ex
	message, denial := h.daemon.steps.Challenge(ctx, ex)
	if denial != nil {
		return denial
	}
	if message == nil {
		return nil
	}
	for range maxRounds {
		if err := h.send(wire.Challenge, message); err != nil {
			return err
		}
		token, err := readHandshakeFrame(h.tls, wire.Ident)
		if err != nil {
			return err
		}
		var done bool
		if message, done, denial = h.daemon.steps.AcceptIdentification(ctx, ex, token); denial != nil {
			return denial
		}
		if done {
			h.proof, h.peer.User = message, ex.User
			return nil
		}
	}
	return &validator.Denial{Code: validator.DeniedSecurity, Check: validator.CheckIdentification,
		Got: fmt.Sprintf("%d messages without an end", maxRounds), Want: "a complete identification"}
}

// channelBinding is RFC 9266's tls-exporter: 32 bytes that no other connection
// has.
func channelBinding(t *tls.Conn) ([]byte, error) {
	cs := t.ConnectionState()
	b, err := cs.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	if err != nil {
		return nil, fmt.Errorf("broker: channel binding: %w", err)
	}
	return b, nil
}

func (h *handshake) send(t wire.Type, payload []byte) error {
	frame := wire.AppendHeader(nil, wire.Header{Length: len(payload), Type: t})
	_, err := h.tls.Write(append(frame, payload...))
	return err
}

func (h *handshake) welcome() error {
	id := &h.peer.Identity
	frame, err := wire.AppendControl(nil, wire.Welcome, 0, &wire.WelcomeBody{
		Version: wire.Version, Session: h.peer.Session, Principal: id.Principal.String(), Name: id.Name,
		Roles: id.Roles, User: h.peer.User, NotAfter: h.expires.Unix(), Limits: h.daemon.limits, Proof: h.proof,
	})
	if err != nil {
		return err
	}
	_, err = h.tls.Write(frame)
	return err
}

// lingerTimeout is how long a refused peer may take to read why.
const lingerTimeout = time.Second

// refuse ends the connection. A peer that got through TLS is told the check
// that failed; a stranger has got its alert from crypto/tls. The log has the
// rest under the same incident id.
func (h *handshake) refuse(err error) {
	d := h.daemon
	defer h.raw.Close()
	incident := newIncident()
	denial := h.denialOf(err)
	if h.tls == nil {
		if probe(err) {
			d.log.Debug("connection without a handshake", "address", h.peer.Address, "error", err)
			return
		}
		d.counters.refused(denial)
		d.record.add(Incident{ID: incident, Time: time.Now().UTC(), Event: connectionDenied, Error: err.Error()}.of(h.peer).because(denial))
		d.auditConnection("connection", incident, h.peer, denial)
		d.log.Warn("TLS handshake refused", "incident", incident, "address", h.peer.Address, "check", denial.Check, "got", denial.Got, "want", denial.Want, "error", err)
		return
	}
	d.counters.refused(denial)
	d.record.add(Incident{ID: incident, Time: time.Now().UTC(), Event: connectionDenied}.of(h.peer).because(denial))
	d.auditConnection("connection", incident, h.peer, denial)
	attrs := []any{"incident", incident, "address", h.peer.Address, "code", denial.Code.String(), "check", denial.Check, "got", denial.Got, "want", denial.Want}
	if leaf := h.tls.ConnectionState().PeerCertificates[0]; leaf != nil {
		attrs = append(attrs, "subject", leaf.Subject.String(), "serial", leaf.SerialNumber.String())
	}
	if denial.Err != nil {
		attrs = append(attrs, slog.Any("error", denial.Err))
	}
	d.log.Warn("connection denied", attrs...)
	frame, err := wire.AppendControl(nil, wire.Deny, 0, &wire.DenyBody{
		Code: uint8(denial.Code), Check: string(denial.Check), Got: denial.Got, Want: denial.Want,
		Incident: incident, RetryAfterMillis: uint32(min(denial.RetryAfter.Milliseconds(), 1<<32-1)),
	})
	if err != nil {
		return
	}
	h.raw.SetDeadline(time.Now().Add(lingerTimeout))
	if _, err := h.tls.Write(frame); err != nil {
		return
	}
	// Closing with unread bytes would reset the connection and take the reason
	// with it: wait until the peer has read it and closed.
	if h.tls.CloseWrite() == nil {
		io.Copy(io.Discard, io.LimitReader(h.tls, wire.MaxHandshake))
	}
}

// denialOf finds the reason in err. What has none is a failed handshake.
func (h *handshake) denialOf(err error) *validator.Denial {
	var denial *validator.Denial
	if errors.As(err, &denial) {
		return denial
	}
	if denial := certs.ServerRefusal(err, h.daemon.config.Certs.Current()); denial != nil {
		return denial
	}
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		return &validator.Denial{Code: validator.DeniedUnspecified, Check: validator.CheckChain, Err: err}
	}
	missing := "complete TLS handshake"
	if h.tls != nil {
		missing = "identification"
	}
	return &validator.Denial{Code: validator.DeniedUnspecified, Check: validator.CheckTimeout, Err: err,
		Got: fmt.Sprintf("no %s within %v", missing, h.daemon.config.HandshakeTimeout), Want: "a connection that is set up in that time"}
}

// probe reports whether the peer said nothing that could be refused: a port
// scan, or a load balancer's check.
func probe(err error) bool { return errors.Is(err, io.EOF) }

// readHandshakeFrame reads one whole frame of at most MaxHandshake bytes.
func readHandshakeFrame(r io.Reader, want ...wire.Type) ([]byte, error) {
	_, payload, err := readAnyHandshakeFrame(r, want...)
	return payload, err
}

func readAnyHandshakeFrame(r io.Reader, want ...wire.Type) (wire.Type, []byte, error) {
	var head [wire.HeaderSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	h, err := wire.ParseHeader(head[:])
	if err != nil {
		return 0, nil, protocolDenial(err.Error(), want)
	}
	known := false
	for _, t := range want {
		known = known || t == h.Type
	}
	switch {
	case !known:
		return 0, nil, protocolDenial(fmt.Sprintf("a %v frame", h.Type), want)
	case h.Length > wire.MaxHandshake:
		return 0, nil, protocolDenial(fmt.Sprintf("a %v frame of %d bytes", h.Type, h.Length), want)
	}
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, err
	}
	return h.Type, payload, nil
}

func protocolDenial(got string, want []wire.Type) error {
	return &validator.Denial{Code: validator.DeniedSecurity, Check: validator.CheckProtocol,
		Got: got, Want: fmt.Sprintf("one of %v, at most %d bytes", want, wire.MaxHandshake)}
}
