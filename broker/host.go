package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"reflect"
	"sync"
	"time"

	"github.com/pyrossl/pyrossl/broker/uri"
	"github.com/pyrossl/pyrossl/validator"
)

// kinds are the tables of the kinds of objects that are exported to single
// connections. They are kept, so that what was decided about a method holds for all
// objects of its kind.
type kinds struct {
	mu   sync.Mutex
	of   map[string]*kindOf
	held holders
}

type kindOf struct {
	table *table
	reg   *registration
}

func (k *kinds) get(kind string, value any, opts []RegisterOption) (*table, *registration, error) {
	typ := reflect.TypeOf(value)
	if typ == nil {
		return nil, nil, fmt.Errorf("broker: object of kind %q is nil", kind)
	}
	if _, ok := value.(*instances); ok {
		return nil, nil, fmt.Errorf("broker: object of kind %q: what is exported to one connection has one instance", kind)
	}
	if err := checkPeerName(kind + ".0"); err != nil {
		return nil, nil, fmt.Errorf("broker: kind %q of an object: %w", kind, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if known := k.of[kind]; known != nil {
		if known.table.typ != typ {
			return nil, nil, fmt.Errorf("broker: an object of kind %q is a %v, the first one was a %v", kind, typ, known.table.typ)
		}
		return known.table, known.reg, nil
	}
	reg, err := newRegistration(kind, opts)
	if err != nil {
		return nil, nil, err
	}
	t, err := newTable(kind, typ, reg)
	if err != nil {
		return nil, nil, err
	}
	if k.of == nil {
		k.of = make(map[string]*kindOf)
	}
	k.of[kind] = &kindOf{t, reg}
	return t, reg, nil
}

// A daemon is the host of its connections.
var _ host = (*Daemon)(nil)

func (d *Daemon) find(name []byte) *object { return (*d.objects.Load())[string(name)] }

func (d *Daemon) authorizer() (validator.Authorizer, validator.Versioned) {
	return d.config.Authorizer, d.versioned
}

func (d *Daemon) counted(c *callee) {
	d.counters.calls.Add(1)
	c.tally.calls.Add(1)
}

func (d *Daemon) noted(i Incident) {
	if i.Event == callDenied {
		d.counters.callsDenied.Add(1)
	}
	d.record.add(i)
}

func (d *Daemon) audited(c *callee, object, method string, kind validator.CallKind, decision validator.Decision) {
	if d.config.Audit == nil {
		return
	}
	d.config.Audit.LogAttrs(context.Background(), slog.LevelInfo, "call",
		slog.Bool("allowed", decision.Allowed), slog.String("rule", decision.Rule), slog.String("reason", decision.Reason),
		slog.String("session", c.peer.Session), slog.String("identity", c.peer.Identity.Name), slog.String("principal", c.peer.Identity.Principal.String()),
		slog.String("object", object), slog.String("method", method), slog.String("kind", kind.String()))
}

func (d *Daemon) follow(c *callee, text string) (*Proxy, error) {
	if d.config.Client == nil {
		return nil, fmt.Errorf("broker: reference %q: this daemon follows no references to other daemons; its Config.Client would", text)
	}
	return d.config.Client.followed(uri.URI{}, text)
}

func (d *Daemon) peerProxy(c *callee, name string) *Proxy { return newPeerProxy(c, name, &d.side) }

func (d *Daemon) reference(value any) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.urls.get(value)
}

func (d *Daemon) table(kind string, value any, opts []RegisterOption) (*table, *registration, error) {
	return d.kinds.get(kind, value, opts)
}

func (d *Daemon) holders() *holders { return &d.kinds.held }

// clientHost is the host of a connection that a client has made.
type clientHost struct {
	client *Client
	dialed *dialed
}

var _ host = (*clientHost)(nil)

func (h *clientHost) find([]byte) *object { return nil }

func (h *clientHost) authorizer() (validator.Authorizer, validator.Versioned) {
	return h.client.config.Authorizer, h.client.versioned
}

func (h *clientHost) counted(*callee) {}
func (h *clientHost) noted(Incident)  {}
func (h *clientHost) audited(*callee, string, string, validator.CallKind, validator.Decision) {
}

func (h *clientHost) follow(_ *callee, text string) (*Proxy, error) {
	return h.client.followed(h.dialed.uri, text)
}

func (h *clientHost) peerProxy(c *callee, name string) *Proxy {
	return newPeerProxy(c, name, &h.client.side)
}

func (h *clientHost) reference(any) string { return "" }

func (h *clientHost) table(kind string, value any, opts []RegisterOption) (*table, *registration, error) {
	return h.client.kinds.get(kind, value, opts)
}

func (h *clientHost) holders() *holders { return &h.client.kinds.held }

// callbackTimeout bounds a call to an object of the peer's whose context has no
// deadline.
const callbackTimeout = 30 * time.Second

func newPeerProxy(c *callee, name string, side *caller) *Proxy {
	return &Proxy{
		uri: uri.URI{Object: name}, address: c.peer.Identity.Name, peer: c, side: side,
		timeout: callbackTimeout, idempotent: map[string]bool{},
	}
}

// followed makes a proxy of a reference to another daemon's object.
func (c *Client) followed(from uri.URI, text string) (*Proxy, error) {
	u, err := uri.Parse(text)
	if err != nil {
		return nil, err
	}
	if u.Scheme != uri.PYROSSL {
		return nil, fmt.Errorf("broker: reference %q, want a PYROSSL:// URI", text)
	}
	if u.Host != from.Host || u.Port != from.Port {
		if err := c.vet(from, u); err != nil {
			return nil, err
		}
	} else if u.ID == "" {
		u.ID = from.ID // the same daemon, whose name its certificate need not have
	}
	return c.proxy(u, nil)
}

func (c *Client) vet(from, to uri.URI) error {
	if c.config.References == nil {
		return fmt.Errorf("broker: reference %q leads to another daemon; ClientConfig.References decides about those, and is not set", to)
	}
	if err := c.config.References(from, to); err != nil {
		return fmt.Errorf("broker: reference %q: %w", to, err)
	}
	return nil
}

// daemonPeer describes the daemon that a client is connected to, to its callbacks.
func daemonPeer(cs tls.ConnectionState, u uri.URI, raw net.Conn, id string) *Peer {
	leaf := cs.PeerCertificates[0]
	principal, err := validator.ParsePrincipal(u.ID)
	if u.ID == "" || err != nil {
		principal = validator.Principal{Kind: validator.DNS, Value: u.Host}
	}
	if len(cs.VerifiedChains) > 0 {
		principal.Issuer = validator.IssuerOf(last(cs.VerifiedChains[0]))
	}
	addr, _ := netip.ParseAddrPort(raw.RemoteAddr().String())
	return &Peer{
		Identity: validator.Identity{
			Principal: principal, Name: principal.String(), Principals: []validator.Principal{principal},
			Serial: leaf.SerialNumber.Text(16), NotAfter: leaf.NotAfter,
		},
		Certificate: leaf, Address: addr, Session: id, Since: time.Now(),
	}
}

// CallbackErrors tells f of the errors of an object's methods, beside the caller, who
// gets them in any case: Pyro's callback objects raise on both sides.
func CallbackErrors(f func(method string, err error)) RegisterOption {
	return func(r *registration) error {
		if f == nil {
			return errors.New("CallbackErrors(nil), want a function")
		}
		r.failed = f
		return nil
	}
}

// Events of incidents.
const (
	connectionDenied = "connection denied"
	callDenied       = "call denied"
	sessionEnded     = "session ended"
	methodPanicked   = "method panicked"
	resultUncarried  = "result cannot be carried"
)

func cipherName(id uint16) string { return tls.CipherSuiteName(id) }

func last[T any](s []T) T { return s[len(s)-1] }
