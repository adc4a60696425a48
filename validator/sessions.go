package validator

import (
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// busyRetry is when a place may have become free.
const busyRetry = time.Second

// sessions counts those who got through all steps. Connections that are still being
// set up do not count: whoever shows no certificate must not take places from those
// who have one.
type sessions struct {
	max, perIdentity, perAddress int

	mu         sync.Mutex
	total      int
	identities map[identityKey]int
	addresses  map[netip.Prefix]int
}

// identityKey includes the issuer: without mapping rules, two authorities can issue
// the same name.
type identityKey struct{ name, issuer string }

// addressKey is the address, or for IPv6 the network of 64 bits that a host has for
// itself.
func addressKey(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // the zero Prefix for the zero Addr
	return p
}

// take counts one session, or says which limit it would go beyond.
func (s *sessions) take(id *Identity, addr netip.Addr) (release func(), d *Denial) {
	name, address := identityKey{id.Name, id.Principal.Issuer}, addressKey(addr)
	most := s.max
	if most == 0 {
		most = DefaultMaxConnections
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.total >= most:
		return nil, tooBusy(s.total, "")
	case s.perIdentity > 0 && s.identities[name] >= s.perIdentity:
		return nil, tooBusy(s.identities[name], " of this identity")
	case s.perAddress > 0 && s.addresses[address] >= s.perAddress:
		return nil, tooBusy(s.addresses[address], " from this address")
	}
	if s.identities == nil {
		s.identities, s.addresses = make(map[identityKey]int), make(map[netip.Prefix]int)
	}
	s.total++
	s.identities[name]++
	s.addresses[address]++
	return sync.OnceFunc(func() { s.give(name, address) }), nil
}

func (s *sessions) give(name identityKey, address netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if s.identities[name]--; s.identities[name] == 0 {
		delete(s.identities, name)
	}
	if s.addresses[address]--; s.addresses[address] == 0 {
		delete(s.addresses, address)
	}
}

func tooBusy(n int, whose string) *Denial {
	return &Denial{Code: DeniedServerTooBusy, Check: CheckBusy, Got: fmt.Sprintf("%d connections%s already", n, whose), Want: "fewer", RetryAfter: busyRetry}
}
