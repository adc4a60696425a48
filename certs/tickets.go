package certs

import (
	"crypto/rand"
	"crypto/tls"
	"sync"
	"time"
)

// ticketLife is how long a server's key makes new tickets. It takes them for as long
// again, then they cannot be read any more by anyone.
const ticketLife = time.Hour

// ResumeSessions lets clients resume a session by a ticket, which saves both sides
// the signatures of a handshake (0-RTT data is never taken). It is off without this
// option, since a resumed session proves that the client was here before, and not
// anew that it has its private key.
//
// A ticket is good for one material only: a new certificate of ours, other
// authorities, other revocation lists make all earlier tickets useless, and the
// client then goes through a full handshake. So does an hour or two. On a connection
// that resumes, chain, purpose, dates and revocation are checked as on every other.
func ResumeSessions() ServerOption {
	return func(o *serverOptions) { o.resume = true }
}

// ticketKey makes tickets, for one material.
type ticketKey struct {
	key  [32]byte
	made time.Time
}

func newTicketKey(now time.Time) (k ticketKey) {
	rand.Read(k.key[:]) // never fails
	k.made = now
	return k
}

// old reports whether it is time for another key. A clock that was set back is a
// reason, too.
func (k *ticketKey) old(now time.Time) bool {
	return now.Before(k.made) || now.Sub(k.made) >= ticketLife
}

// use has the key make the config's tickets. Those by the last key are taken as well
// if it was for the same material and has only just become old.
func (k *ticketKey) use(config *tls.Config, last *serverConfig, m *Material) {
	keys := [][32]byte{k.key}
	if last != nil && last.material == m {
		if age := k.made.Sub(last.tickets.made); age >= 0 && age < 2*ticketLife {
			keys = append(keys, last.tickets.key)
		}
	}
	config.SessionTicketsDisabled = false
	// Setting keys also stops crypto/tls from making its own, which would outlive
	// the material.
	config.SetSessionTicketKeys(keys)
}

// Sessions keeps the tickets that servers gave to a client, for [ResumeWith]. It is
// safe for concurrent use.
type Sessions struct {
	capacity int

	mu       sync.Mutex
	material *Material // the tickets are from connections with this one
	tickets  tls.ClientSessionCache
}

// NewSessions makes an empty store for the tickets of up to capacity servers; 64 if
// it is less than one.
func NewSessions(capacity int) *Sessions {
	if capacity < 1 {
		capacity = 64
	}
	return &Sessions{capacity: capacity}
}

// ResumeWith lets a client resume sessions that it had before, if the server gives out
// tickets ([ResumeSessions] has the reasons against it). A ticket is used with the
// same material only and for the same expectation: after any change of our
// certificate, the authorities or the revocation lists all are forgotten. The
// certificate that the server showed when it gave the ticket is checked again, as on
// a full handshake. One Sessions serves all dials of a client.
func ResumeWith(s *Sessions) ClientOption {
	return func(o *clientOptions) { o.sessions = s }
}

// resume completes the settings of a client.
func (o *clientOptions) resume(config *tls.Config, m *Material, expect Expect) {
	if o.sessions == nil {
		return
	}
	config.SessionTicketsDisabled = false
	config.ClientSessionCache = o.sessions.of(m, expect)
}

// of gives the tickets for one server. Those of earlier material are forgotten, also
// by connections that still have it: they go on to fill a store that nobody asks.
func (s *Sessions) of(m *Material, expect Expect) tls.ClientSessionCache {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.material != m {
		s.material, s.tickets = m, tls.NewLRUClientSessionCache(s.capacity)
	}
	return ticketsOf{s.tickets, expect.Host + "\x00" + expect.ID + "\x00"}
}

// ticketsOf is the part of a store that is for one expectation.
type ticketsOf struct {
	all    tls.ClientSessionCache
	prefix string
}

func (t ticketsOf) Get(key string) (*tls.ClientSessionState, bool) { return t.all.Get(t.prefix + key) }
func (t ticketsOf) Put(key string, s *tls.ClientSessionState)      { t.all.Put(t.prefix+key, s) }
