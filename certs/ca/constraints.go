package ca

import (
	"crypto/x509"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// nowhere is a domain that never exists (RFC 6761, section 6.4). A certificate that
// names no DNS domains among what it permits permits all of them (RFC 5280, section
// 4.2.1.10). To close a kind of names, this one is permitted: programs disagree on
// how to exclude everything.
const nowhere = "none.invalid"

var everywhere = []string{"0.0.0.0/0", "::/0"}

// constrain limits an authority to the permitted names.
func constrain(t *x509.Certificate, permit []string) error {
	if len(permit) == 0 {
		return nil
	}
	t.PermittedDNSDomainsCritical = true // it goes for the extension as a whole
	for _, p := range permit {
		kind, value, _ := strings.Cut(p, ":")
		switch kind {
		case "dns":
			t.PermittedDNSDomains = append(t.PermittedDNSDomains, value)
		case "email":
			t.PermittedEmailAddresses = append(t.PermittedEmailAddresses, value)
		case "uri":
			t.PermittedURIDomains = append(t.PermittedURIDomains, value)
		case "ip":
			_, n, err := net.ParseCIDR(value)
			if err != nil {
				return reasonf("internal error: addresses %q", value)
			}
			t.PermittedIPRanges = append(t.PermittedIPRanges, n)
		}
	}
	for _, list := range []*[]string{&t.PermittedDNSDomains, &t.PermittedEmailAddresses, &t.PermittedURIDomains} {
		if len(*list) == 0 {
			*list = []string{nowhere}
		}
	}
	if len(t.PermittedIPRanges) == 0 {
		for _, s := range everywhere {
			_, n, _ := net.ParseCIDR(s) // constants
			t.ExcludedIPRanges = append(t.ExcludedIPRanges, n)
		}
	}
	return nil
}

// permitted gives what a certificate permits, as constrain was told.
func permitted(c *x509.Certificate) []string {
	var all []string
	add := func(kind string, values []string) {
		for _, v := range values {
			if v != nowhere {
				all = append(all, kind+":"+v)
			}
		}
	}
	add("dns", c.PermittedDNSDomains)
	for _, n := range c.PermittedIPRanges {
		all = append(all, "ip:"+n.String())
	}
	add("uri", c.PermittedURIDomains)
	add("email", c.PermittedEmailAddresses)
	return all
}

// permits reports whether a CA with such limits may sign for a name, by the letter of
// RFC 5280, section 4.2.1.10. crypto/x509 is more generous with uri and email: to it, a
// host without a "." in front stands for what is below, too. openssl refuses that.
func permits(permit []string, san string) bool {
	if len(permit) == 0 {
		return true
	}
	kind, value, _ := strings.Cut(san, ":")
	return slices.ContainsFunc(permit, func(p string) bool {
		of, limit, _ := strings.Cut(p, ":")
		return of == kind && within(kind, limit, value)
	})
}

func within(kind, limit, value string) bool {
	switch kind {
	case "dns":
		return value == limit || strings.HasSuffix(value, "."+limit)
	case "ip":
		network, err := netip.ParsePrefix(limit)
		if err != nil {
			return false
		}
		address, err := netip.ParseAddr(value)
		return err == nil && network.Contains(address)
	case "email":
		_, value, _ = strings.Cut(value, "@")
	case "uri":
		_, value, _ = strings.Cut(value, "://")
		value, _, _ = strings.Cut(value, "/")
	}
	if strings.HasPrefix(limit, ".") {
		return strings.HasSuffix(value, limit) && value != limit
	}
	return value == limit
}

// canonicalPermit checks a list of permitted names and gives it sorted, each once.
func canonicalPermit(permit []string) ([]string, error) {
	var all []string
	for _, p := range permit {
		c, err := parsePermit(p)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// parsePermit reads dns:DOMAIN, ip:NETWORK, uri:HOST or email:HOST, the latter two
// with a "." in front for what is below the host. The kind is always said: what is
// permitted is not to be guessed.
func parsePermit(s string) (string, error) {
	kind, value, _ := strings.Cut(s, ":")
	wrong := func() (string, error) {
		return "", mend(reasonf("%q is not something that a CA can be limited to", s),
			"write dns:bank.example, ip:10.0.0.0/8, email:bank.example, uri:bank.example, or email:.bank.example for what is below")
	}
	switch kind {
	case "ip":
		if a, err := netip.ParseAddr(value); err == nil && a.Zone() == "" {
			a = a.Unmap()
			return "ip:" + netip.PrefixFrom(a, a.BitLen()).String(), nil
		}
		n, err := netip.ParsePrefix(value)
		if err != nil || n.Addr().Is4In6() {
			return wrong()
		}
		return "ip:" + n.Masked().String(), nil
	case "dns", "email", "uri":
		dot := ""
		if kind != "dns" && strings.HasPrefix(value, ".") {
			dot = "."
		}
		if strings.ContainsAny(value, "@:/") {
			return wrong()
		}
		host, err := ParseSAN("dns:" + value[len(dot):])
		if err != nil {
			return "", err
		}
		return kind + ":" + dot + strings.TrimPrefix(host, "dns:"), nil
	}
	return wrong()
}
