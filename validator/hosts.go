package validator

import (
	"context"
	"net/netip"
	"strings"
)

// hostRule says which addresses a text means: an address, a range, or a host name
// that is looked up.
type hostRule struct {
	text   string
	prefix netip.Prefix // when name is nil
	name   *lookup
}

// parseHosts reads a list of addresses, ranges and host names.
func parseHosts(list string, hosts []string, r Resolver) ([]hostRule, error) {
	var rules []hostRule
	for _, h := range hosts {
		rule, err := parseHost(h, r)
		if err != nil {
			return nil, failf("", "%s has %s: %s", list, quote(h), inner(err))
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

func parseHost(s string, r Resolver) (hostRule, error) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return hostRule{}, failf(`a range like "10.0.0.0/8"`, "not an address range")
		}
		// ::ffff:10.0.0.0/104 is 10.0.0.0/8.
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		if p.Masked() != p {
			return hostRule{}, failf(quote(p.Masked().String()), "bits beyond the range's length")
		}
		return hostRule{text: s, prefix: p}, nil
	}
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Zone() != "" {
			return hostRule{}, failf("the address alone", "a zone, which means something on one machine only")
		}
		a = a.Unmap()
		return hostRule{text: s, prefix: netip.PrefixFrom(a, a.BitLen())}, nil
	}
	name, reason := checkDNS(s)
	if reason != "" {
		return hostRule{}, failf("an address, a range like \"10.0.0.0/8\", or a host name", "a name that %s", reason)
	}
	return hostRule{text: s, name: newLookup(name, r)}, nil
}

// hosts are Config.AllowHosts and DenyHosts.
type hosts struct{ allow, deny []hostRule }

// check decides about an address. What denies wins, and a name that cannot be
// resolved is taken for the worse: in DenyHosts it denies everybody until it has been
// resolved once, and denies its last known addresses after that, so that whoever
// controls the name's DNS cannot have everybody else refused by breaking it. In
// AllowHosts it allows nobody.
func (h *hosts) check(ctx context.Context, addr netip.Addr) error {
	if len(h.allow) == 0 && len(h.deny) == 0 {
		return nil
	}
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() {
		return blocked("an unknown address", "", nil)
	}
	if within(h.deny, addr) {
		return blocked(addr.String(), "", nil)
	}
	allowed := len(h.allow) == 0 || within(h.allow, addr)
	// The names that can still matter are all asked for at once.
	start(h.deny)
	if !allowed {
		start(h.allow)
	}
	for _, r := range h.deny {
		if r.name == nil {
			continue
		}
		a := r.name.has(ctx, addr)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case a.has:
			return blocked(addr.String(), "", nil)
		case a.err != nil && !a.ever:
			return blocked(addr.String()+" while a denied host name cannot be looked up", "", failf("", "denied host %q: %s", r.text, inner(a.err)))
		}
	}
	if allowed {
		return nil
	}
	var failed error
	for _, r := range h.allow {
		if r.name == nil {
			continue
		}
		a := r.name.has(ctx, addr)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case a.err != nil:
			failed = failf("", "allowed host %q: %s", r.text, inner(a.err))
		case a.has:
			return nil
		}
	}
	return blocked(addr.String(), "an address that the daemon allows", failed)
}

// within reports whether an address or range of the list covers addr.
func within(rules []hostRule, addr netip.Addr) bool {
	for _, r := range rules {
		if r.name == nil && r.prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// blocked refuses an address. If that is because of a failed lookup, it may go
// better later.
func blocked(got, want string, lookup error) *Denial {
	d := &Denial{Code: DeniedHostBlocked, Check: CheckHost, Got: got, Want: want, Err: lookup}
	if lookup != nil {
		d.RetryAfter = lookupAgain
	}
	return d
}

// start begins the lookups of all names of a list, so that they do not wait for
// each other.
func start(rules []hostRule) {
	for _, r := range rules {
		if r.name != nil {
			r.name.refresh()
		}
	}
}
