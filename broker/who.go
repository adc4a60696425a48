package broker

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pyrossl/pyrossl/validator"
)

// LiveConnection is a connection as its daemon sees it.
type LiveConnection struct {
	Session     string    `json:"session"`
	Identity    string    `json:"identity"`
	Principal   string    `json:"principal"`
	Roles       []string  `json:"roles,omitempty"`
	User        string    `json:"user,omitempty"` // proved by the second factor
	Address     string    `json:"address"`
	Since       time.Time `json:"since"`
	Issuer      string    `json:"issuer"`       // who signed the certificate
	Anchor      string    `json:"anchor"`       // the authority that we trust, as validator.IssuerOf gives it
	Serial      string    `json:"serial"`       // hexadecimal
	NotAfter    time.Time `json:"not_after"`    // of the certificate
	ValidUntil  time.Time `json:"valid_until"`  // when its grounds are looked at again, at the latest
	KeyExchange string    `json:"key_exchange"` // TLS group
	Cipher      string    `json:"cipher"`
	Calls       uint64    `json:"calls"`
	InFlight    int       `json:"in_flight"` // calls of the client
	Callbacks   int       `json:"callbacks"` // calls of the daemon to the client, in flight
	Exports     int       `json:"exports"`   // objects that the client alone may call
	Received    uint64    `json:"received"`  // bytes of TLS records
	Sent        uint64    `json:"sent"`
	// Used are the rights that were used: object.method, as the authorizer was asked. Only
	// an authorizer with a version lets the daemon know.
	Used []string `json:"used,omitempty"`
	// LastDenial is the incident of the last call that was denied.
	LastDenial string `json:"last_denial,omitempty"`
}

// tally counts what a connection does.
type tally struct {
	calls      atomic.Uint64
	lastDenial atomic.Pointer[string]
}

// live describes the connection.
func (c *connection) live() LiveConnection {
	cs := c.tls.ConnectionState()
	received, sent := c.session.Bytes()
	incoming, outgoing := c.session.InFlight()
	p := c.peer
	l := LiveConnection{
		Session: p.Session, Identity: p.Identity.Name, Principal: p.Identity.Principal.String(), Roles: p.Identity.Roles, User: p.User,
		Address: p.Address.String(), Since: p.Since.UTC(),
		Issuer: p.Certificate.Issuer.String(), Anchor: validator.IssuerOf(last(c.grounds.verified)), Serial: p.Identity.Serial,
		NotAfter: p.Certificate.NotAfter.UTC(), KeyExchange: cs.CurveID.String(), Cipher: cipherName(cs.CipherSuite),
		Calls: c.tally.calls.Load(), InFlight: incoming, Callbacks: outgoing, Received: received, Sent: sent,
	}
	c.daemon.mu.Lock()
	l.ValidUntil = c.expires.UTC()
	c.daemon.mu.Unlock()
	c.mu.Lock()
	l.Exports = len(c.own)
	c.mu.Unlock()
	if id := c.tally.lastDenial.Load(); id != nil {
		l.LastDenial = *id
	}
	if known := c.decisions.p.Load(); known != nil {
		for key, d := range known.of {
			if d.Allowed {
				l.Used = append(l.Used, key.method.object+"."+key.method.name)
			}
		}
		slices.Sort(l.Used)
		l.Used = slices.Compact(l.Used)
	}
	return l
}

// connections are those that are open.
func (d *Daemon) connections() []*connection {
	d.mu.Lock()
	defer d.mu.Unlock()
	open := make([]*connection, 0, len(d.open))
	for c := range d.open {
		open = append(open, c)
	}
	return open
}

// who lists the open connections, by identity and age.
func (d *Daemon) who() []LiveConnection {
	open := d.connections()
	all := make([]LiveConnection, len(open))
	for i, c := range open {
		all[i] = c.live()
	}
	slices.SortFunc(all, func(a, b LiveConnection) int {
		return cmp.Or(cmp.Compare(a.Identity, b.Identity), a.Since.Compare(b.Since), cmp.Compare(a.Session, b.Session))
	})
	return all
}
