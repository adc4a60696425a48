package validator

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
)

func identity(name string) Identity {
	return Identity{Name: name, Principal: Principal{Kind: CN, Value: name}}
}

func TestSessionLimits(t *testing.T) {
	s := must(StepsOf(must(New(Config{MaxConnections: 5, MaxPerIdentity: 3, MaxPerAddress: 2}))))
	take := func(name, addr string, want Check) func() {
		t.Helper()
		release, d := s.Admit(identity(name), netip.MustParseAddr(addr))
		switch {
		case want == "" && d != nil:
			t.Errorf("%s from %s: %v", name, addr, d)
		case want != "" && (d == nil || d.Code != DeniedServerTooBusy || d.Check != want || d.RetryAfter <= 0 || release != nil):
			t.Errorf("%s from %s: got %v, want busy", name, addr, d)
		}
		return release
	}
	first := take("a", "192.0.2.1", "")
	take("b", "::ffff:192.0.2.1", "")
	take("c", "192.0.2.1", CheckBusy) // address
	first()
	first()
	first() // once is enough
	take("c", "192.0.2.1", "")
	take("d", "192.0.2.1", CheckBusy)
	// A host has a whole network in IPv6.
	take("d", "2001:db8::1", "")
	take("d", "2001:db8::ffff%eth0", "")
	take("e", "2001:db8::2", CheckBusy)
	take("d", "2001:db8:0:1::1", "")
	take("f", "192.0.2.9", CheckBusy) // all
	if s.base.sessions.total != 5 {
		t.Errorf("%d sessions count, want 5", s.base.sessions.total)
	}
}

func TestSessionsPerIdentity(t *testing.T) {
	s := must(StepsOf(must(New(Config{MaxPerIdentity: 1}))))
	a := identity("a")
	release, d := s.Admit(a, netip.Addr{})
	if d != nil {
		t.Fatal(d)
	}
	if _, d := s.Admit(a, netip.Addr{}); d == nil {
		t.Error("a second session passes")
	}
	byOther := a
	byOther.Principal.Issuer = "other"
	if _, d := s.Admit(byOther, netip.Addr{}); d != nil {
		t.Errorf("another authority's name counts for the first one's: %v", d)
	}
	release()
	if _, d := s.Admit(a, netip.Addr{}); d != nil {
		t.Error(d)
	}
}

func TestDefaultMaxConnections(t *testing.T) {
	s := must(StepsOf(new(Default)))
	for i := range DefaultMaxConnections {
		if _, d := s.Admit(identity("a"), netip.MustParseAddr("192.0.2.1")); d != nil {
			t.Fatalf("session %d: %v", i+1, d)
		}
	}
	if _, d := s.Admit(identity("b"), netip.MustParseAddr("192.0.2.2")); d == nil {
		t.Errorf("session %d passes", DefaultMaxConnections+1)
	}
}

func TestSessionsConcurrently(t *testing.T) {
	const most, perIdentity = 20, 7
	d := must(New(Config{MaxConnections: most, MaxPerIdentity: perIdentity}))
	s := must(StepsOf(d))
	var live, peak, admitted atomic.Int64
	var each [4]atomic.Int64
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for range 200 {
				who := rand.IntN(len(each))
				release, denial := s.Admit(identity(fmt.Sprint(who)), netip.AddrFrom4([4]byte{10, 0, 0, byte(who)}))
				if denial != nil {
					continue
				}
				admitted.Add(1)
				if n := live.Add(1); n > most {
					t.Errorf("%d sessions at once", n)
				} else if n > peak.Load() {
					peak.Store(n)
				}
				if n := each[who].Add(1); n > perIdentity {
					t.Errorf("%d sessions of one identity at once", n)
				}
				each[who].Add(-1)
				live.Add(-1)
				var twice sync.WaitGroup
				for range 2 {
					twice.Go(release)
				}
				twice.Wait()
			}
		})
	}
	all.Wait()
	if admitted.Load() == 0 || peak.Load() == 0 {
		t.Error("nobody was admitted")
	}
	if n := &d.sessions; n.total != 0 || len(n.identities) != 0 || len(n.addresses) != 0 {
		t.Errorf("left over: %d, %v, %v", n.total, n.identities, n.addresses)
	}
}
