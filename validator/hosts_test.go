package validator

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// zone is a Resolver with answers of its own.
type zone struct {
	mu      sync.Mutex
	addrs   map[string][]netip.Addr
	err     error
	hang    chan struct{} // lookups wait until it is closed, whatever their context says
	lookups int
}

func (z *zone) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	z.mu.Lock()
	z.lookups++
	hang, err, addrs := z.hang, z.err, z.addrs[host]
	z.mu.Unlock()
	if hang != nil {
		<-hang
	}
	if err != nil {
		return nil, err
	}
	if len(addrs) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return append([]netip.Addr(nil), addrs...), nil
}

func (z *zone) set(f func()) { z.mu.Lock(); defer z.mu.Unlock(); f() }

func hostSteps(t *testing.T, allow, deny []string, r Resolver) Steps {
	t.Helper()
	d, err := New(Config{AllowHosts: allow, DenyHosts: deny, Resolver: r})
	if err != nil {
		t.Fatal(err)
	}
	return must(StepsOf(d))
}

func TestHostRules(t *testing.T) {
	z := &zone{addrs: map[string][]netip.Addr{
		"office.example": {netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")},
		"evil.example":   {netip.MustParseAddr("::ffff:198.51.100.9")},
	}}
	for _, c := range []struct {
		allow, deny []string
		addr        string
		want        bool
	}{
		{nil, nil, "192.0.2.1", true},
		{[]string{"192.0.2.0/24"}, nil, "192.0.2.1", true},
		{[]string{"192.0.2.0/24"}, nil, "192.0.3.1", false},
		{[]string{"192.0.2.0/24"}, nil, "::ffff:192.0.2.1", true},
		{[]string{"::ffff:192.0.2.0/120"}, nil, "192.0.2.1", true},
		{[]string{"192.0.2.1"}, nil, "192.0.2.1", true},
		{[]string{"192.0.2.1"}, nil, "192.0.2.2", false},
		{[]string{"::ffff:192.0.2.1"}, nil, "192.0.2.1", true},
		{[]string{"fe80::/10"}, nil, "fe80::1%eth0", true},
		{[]string{"fe80::1"}, nil, "fe80::1%eth0", true},
		{[]string{"2001:db8::/32"}, nil, "2001:db9::1", false},
		{[]string{"::/0"}, nil, "192.0.2.1", false}, // IPv4 is not a part of IPv6
		{[]string{"0.0.0.0/0"}, []string{"192.0.2.1"}, "192.0.2.1", false},
		{nil, []string{"192.0.2.0/24"}, "192.0.2.1", false},
		{nil, []string{"192.0.2.0/24"}, "::ffff:192.0.2.1", false},
		{nil, []string{"fe80::1"}, "fe80::1%eth0", false},
		{nil, []string{"192.0.2.0/24"}, "192.0.3.1", true},
		{[]string{"office.example"}, nil, "192.0.2.7", true},
		{[]string{"Office.Example"}, nil, "2001:db8::7", true},
		{[]string{"office.example"}, nil, "192.0.2.8", false},
		{[]string{"office.example", "192.0.2.8"}, nil, "192.0.2.8", true},
		{[]string{"nowhere.example"}, nil, "192.0.2.7", false},
		{[]string{"nowhere.example", "office.example"}, nil, "192.0.2.7", true},
		{nil, []string{"evil.example"}, "198.51.100.9", false},
		{nil, []string{"evil.example"}, "198.51.100.8", true},
		{nil, []string{"nowhere.example"}, "198.51.100.8", false}, // who knows
		{[]string{"198.51.100.0/24"}, []string{"evil.example"}, "198.51.100.9", false},
	} {
		d := hostSteps(t, c.allow, c.deny, z).AcceptHost(t.Context(), netip.MustParseAddr(c.addr))
		if got := d == nil; got != c.want {
			t.Errorf("allow %q deny %q: %s accepted %v (%v), want %v", c.allow, c.deny, c.addr, got, d, c.want)
		}
		if d != nil && (d.Code != DeniedHostBlocked || d.Check != CheckHost) {
			t.Errorf("allow %q deny %q: %s is denied as %v", c.allow, c.deny, c.addr, d)
		}
	}
	if d := hostSteps(t, nil, []string{"192.0.2.1"}, z).AcceptHost(t.Context(), netip.Addr{}); d == nil {
		t.Error("an unknown address passes host rules")
	}
	if d := hostSteps(t, nil, nil, z).AcceptHost(t.Context(), netip.Addr{}); d != nil {
		t.Errorf("an unknown address without host rules: %v", d)
	}
}

func TestNewRefusesHosts(t *testing.T) {
	for host, want := range map[string]string{
		"":                "empty",
		"10.0.0.1/8":      `want "10.0.0.0/8"`,
		"10.0.0.0/33":     "not an address range",
		"fe80::1%eth0":    "zone",
		"*.bank.example":  "wildcard",
		"bank example":    "other characters",
		"300.1.1.1":       "like an address",
		"bank.example.":   `ends with a "."`,
		"fe80::1%eth0/64": "not an address range",
	} {
		for _, c := range []Config{{AllowHosts: []string{host}}, {DenyHosts: []string{host}}} {
			if d, err := New(c); err == nil || d != nil || !strings.Contains(err.Error(), want) {
				t.Errorf("host %q: got %v, want an error with %q", host, err, want)
			}
		}
	}
}

func TestLookupsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
		z := &zone{addrs: map[string][]netip.Addr{"h.example": {a}}}
		allow, deny := hostSteps(t, []string{"h.example"}, nil, z), hostSteps(t, nil, []string{"h.example"}, z)
		expect := func(when string, s Steps, addr netip.Addr, want bool) {
			t.Helper()
			if d := s.AcceptHost(t.Context(), addr); (d == nil) != want {
				t.Errorf("%s: %v accepted %v (%v), want %v", when, addr, d == nil, d, want)
			}
		}
		for range 10 {
			expect("at first", allow, a, true)
			expect("at first", deny, a, false)
		}
		if n := z.count(); n != 2 {
			t.Errorf("%d lookups, want one for each list", n)
		}
		z.set(func() { z.addrs["h.example"] = []netip.Addr{b} })
		time.Sleep(lookupKeep + time.Second)
		expect("moved", allow, a, false)
		expect("moved", allow, b, true)
		expect("moved", deny, a, true)
		expect("moved", deny, b, false)
		// Now the name cannot be resolved: it no longer allows, and what it denied
		// stays denied, others not.
		z.set(func() { z.err = errors.New("SERVFAIL") })
		time.Sleep(lookupKeep + time.Second)
		expect("failing", allow, b, false)
		expect("failing", deny, b, false)
		expect("failing", deny, a, true)
		z.set(func() { z.err = nil })
		time.Sleep(lookupAgain + time.Second)
		expect("back", allow, b, true)
	})
}

func TestLookupThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{hang: make(chan struct{}), addrs: map[string][]netip.Addr{"h.example": {netip.MustParseAddr("192.0.2.1")}}}
		s := hostSteps(t, []string{"h.example"}, nil, z)
		addr := netip.MustParseAddr("192.0.2.1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if d := s.AcceptHost(ctx, addr); d == nil || d.Check != CheckTimeout || time.Since(start) != time.Second {
			t.Errorf("denied as %v after %v, want the context's second", d, time.Since(start))
		}
		if d := s.AcceptHost(t.Context(), addr); d == nil || d.Check != CheckHost || d.RetryAfter == 0 || time.Since(start) != lookupTimeout {
			t.Errorf("denied as %v after %v, want the lookup's timeout", d, time.Since(start))
		}
		// However many come meanwhile, one lookup hangs.
		for range 100 {
			time.Sleep(time.Second)
			if s.AcceptHost(t.Context(), addr) == nil {
				t.Fatal("accepted by a name that was never resolved")
			}
		}
		if n := z.count(); n != 1 {
			t.Errorf("%d lookups hang, want 1", n)
		}
		z.set(func() { close(z.hang); z.hang = nil })
		time.Sleep(lookupAgain + time.Second)
		if d := s.AcceptHost(t.Context(), addr); d != nil {
			t.Errorf("after the resolver is back: %v", d)
		}
	})
}

type panicking struct{}

func (panicking) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	panic("resolver")
}

func TestLookupThatPanics(t *testing.T) {
	if d := hostSteps(t, []string{"h.example"}, nil, panicking{}).AcceptHost(t.Context(), netip.MustParseAddr("192.0.2.1")); d == nil {
		t.Error("accepted")
	}
}

func (z *zone) count() int { z.mu.Lock(); defer z.mu.Unlock(); return z.lookups }
