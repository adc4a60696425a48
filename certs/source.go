package certs

import (
	"crypto/x509"
	"time"
)

// Source hands out the material of the moment. Its methods are called for every
// connection, from many goroutines: they return at once and never nil.
//
// A source whose material changes should also have the method
//
//	Changed() <-chan struct{}
//
// as [FileSource] has, so that a daemon can check its live connections again.
type Source interface {
	// Current gives the material for connections that begin now.
	Current() *Material
	// Status says how the source fares.
	Status() Status
}

// Status is what a source shows to people. It holds no secrets. [Status.Lines] puts
// it in words.
type Status struct {
	Generation  uint64    // 1 for the first material, one more for each that replaced it
	Loaded      time.Time // when the current material was taken up
	LastAttempt time.Time // when files were last read anew, whether or not it worked
	LastError   string    // why the last attempt failed, also for lists, empty when it worked
	Names       []string  // what the current certificate names, as kind:value
	Issuer      string    // who signed it
	Serial      string    // its serial number in hexadecimal
	NotBefore   time.Time // its dates
	NotAfter    time.Time
	// Lists are the revocation lists and the deny list that peers are checked against.
	Lists []ListStatus
	// OwnRevoked is why others with the same lists would refuse our own certificate as
	// revoked; empty when nothing is known against it.
	OwnRevoked string
	// StaleListsPass is whether InsecureAllowStaleLists is set.
	StaleListsPass bool
}

// describing is s with the facts of a certificate.
func (s Status) describing(c *x509.Certificate) Status {
	s.Names, s.Issuer, s.Serial = names(c, 20), issuer(c), c.SerialNumber.Text(16)
	s.NotBefore, s.NotAfter = c.NotBefore, c.NotAfter
	return s
}

// Static is a source whose material never changes. It panics when m was not made
// by [NewMaterial] or [Load]: that is a mistake in the program, not in its input.
func Static(m *Material) Source {
	if !m.made() {
		panic("certs: Static needs a Material made by NewMaterial or Load")
	}
	now := time.Now()
	return &static{m, Status{Generation: 1, Loaded: now, LastAttempt: now}.describing(m.Leaf())}
}

// made reports whether m has been through newMaterial.
func (m *Material) made() bool { return m != nil && m.pool != nil }

type static struct {
	material *Material
	status   Status
}

func (s *static) Current() *Material { return s.material }
func (s *static) Status() Status     { return s.status.checking(s.material, nil, time.Now()) }
