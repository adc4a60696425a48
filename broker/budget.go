package broker

import (
	"net/netip"
	"sync"
)

// budget bounds the connections that have no verdict yet, in all and from one
// address, before anything is allocated for them.
type budget struct {
	mu         sync.Mutex
	all        int
	perAddress int
	inUse      int
	from       map[netip.Addr]int
}

func newBudget(all, perAddress int) *budget {
	return &budget{all: all, perAddress: perAddress, from: make(map[netip.Addr]int)}
}

// take reports whether one more connection from addr may begin its handshake.
func (b *budget) take(addr netip.Addr) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.inUse >= b.all || b.from[addr] >= b.perAddress {
		return false
	}
	b.inUse++
	b.from[addr]++
	return true
}

func (b *budget) give(addr netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inUse--
	if b.from[addr]--; b.from[addr] == 0 {
		delete(b.from, addr)
	}
}
