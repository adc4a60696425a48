package ca

import (
	"crypto/x509"
	"net/netip"
	"net/url"
	"strings"

	"github.com/pyrossl/pyrossl/validator"
)

// kinds are the prefixes of names.
var kinds = []string{"dns", "ip", "uri", "email"}

// ParseSAN reads a name that a certificate shall prove, as kind:value or the bare
// value: with "://" it is a URI, with "@" an e-mail name, an IP address is one, and
// anything else is a DNS name. It gives kind:value in the one spelling of the name:
// DNS names in lower case and without a dot at the end, addresses in their short form.
// It takes what a broker takes for an identity, and IP addresses.
func ParseSAN(s string) (string, error) {
	kind, value := splitSAN(s)
	switch kind {
	case "ip":
		return parseIP(value)
	case "dns":
		value = strings.TrimSuffix(lower(value), ".")
	case "email":
		if local, domain, ok := strings.Cut(value, "@"); ok {
			value = local + "@" + lower(domain)
		}
	}
	p, err := validator.ParsePrincipal(kind + ":" + value)
	if err == nil {
		return p.String(), nil
	}
	e := &failure{Reason: strings.TrimPrefix(err.Error(), "validator: "), Err: err}
	switch {
	case kind == "dns" && strings.HasPrefix(value, "["):
		e = mend(e, "write an IPv6 address without brackets, like ip:::1")
	case kind == "dns" && strings.Contains(value, "*"):
		e = mend(e, "list each host; a certificate may have %d names", maxNames)
	case kind == "dns" && strings.IndexFunc(value, notASCII) >= 0:
		e = mend(e, "write it in its ASCII form, which begins with xn--")
	}
	return "", e
}

func notASCII(r rune) bool { return r > 0x7f }

// splitSAN finds the kind of a name. Letters of other scripts never become ASCII here.
func splitSAN(s string) (kind, value string) {
	for _, k := range kinds {
		if v, ok := strings.CutPrefix(s, k+":"); ok {
			return k, v
		}
	}
	_, err := netip.ParseAddr(s)
	switch {
	case strings.Contains(s, "://"):
		return "uri", s
	case strings.Contains(s, "@"):
		return "email", s
	case err == nil:
		return "ip", s
	}
	return "dns", s
}

func parseIP(s string) (string, error) {
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		return "", mend(reasonf("IP address %q does not parse", s), "write it like ip:192.0.2.1 or ip:2001:db8::1")
	case a.Zone() != "":
		return "", reasonf("IP address %q has a zone, which means something on one machine only", s)
	}
	a = a.Unmap()
	if a.IsUnspecified() || a.IsMulticast() {
		return "", reasonf("IP address %q is not that of one host", s)
	}
	return "ip:" + a.String(), nil
}

// lower folds ASCII letters only: strings.ToLower would turn the Kelvin sign into a
// k, and so one name into another.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

// setSANs puts canonical names into a template.
func setSANs(t *x509.Certificate, sans []string) error {
	for _, s := range sans {
		kind, value, _ := strings.Cut(s, ":")
		switch kind {
		case "dns":
			t.DNSNames = append(t.DNSNames, value)
		case "email":
			t.EmailAddresses = append(t.EmailAddresses, value)
		case "ip":
			a, err := netip.ParseAddr(value)
			if err != nil {
				return reasonf("internal error: address %q", value)
			}
			t.IPAddresses = append(t.IPAddresses, a.AsSlice())
		case "uri":
			u, err := url.Parse(value)
			if err != nil || u.String() != value {
				return reasonf("URI %q cannot be put into a certificate as it is written", value)
			}
			t.URIs = append(t.URIs, u)
		}
	}
	return nil
}

// sansOf gives the names of a certificate as kind:value.
func sansOf(c *x509.Certificate) []string {
	var all []string
	for _, n := range c.DNSNames {
		all = append(all, "dns:"+n)
	}
	for _, n := range c.IPAddresses {
		if a, ok := netip.AddrFromSlice(n); ok {
			all = append(all, "ip:"+a.Unmap().String())
		}
	}
	for _, n := range c.URIs {
		all = append(all, "uri:"+n.String())
	}
	for _, n := range c.EmailAddresses {
		all = append(all, "email:"+n)
	}
	return all
}
