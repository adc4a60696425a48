package certs

import (
	"crypto/x509"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxShown bounds every text from a certificate that we show.
const maxShown = 100

// short makes a text from outside fit to be shown: bounded, and with everything
// escaped that could move a terminal's cursor or pass for another character.
func short(s string) string {
	if len(s) > maxShown {
		s = strings.ToValidUTF8(s[:maxShown], "") + "..."
	}
	for _, r := range s {
		if r < ' ' || r == utf8.RuneError || !strconv.IsPrint(r) {
			return strconv.QuoteToASCII(s)
		}
	}
	return s
}

// names gives the subject alternative names of a certificate as "kind:value",
// most specific kinds first, at most max of them. They are for people to read:
// whoever decides by them uses validator.Principals.
func names(c *x509.Certificate, most int) []string {
	var all []string
	for _, n := range c.DNSNames {
		all = append(all, "dns:"+short(n))
	}
	for _, n := range c.IPAddresses {
		all = append(all, "ip:"+n.String())
	}
	for _, n := range c.URIs {
		all = append(all, "uri:"+short(n.String()))
	}
	for _, n := range c.EmailAddresses {
		all = append(all, "email:"+short(n))
	}
	if len(all) > most {
		all = append(all[:most:most], fmt.Sprintf("and %d more", len(all)-most))
	}
	return all
}

// namesOf is names as a text, with the common name where there is nothing else.
func namesOf(c *x509.Certificate) string {
	if all := names(c, 5); len(all) > 0 {
		return strings.Join(all, ", ")
	}
	if c.Subject.CommonName != "" {
		return fmt.Sprintf("common name %q", short(c.Subject.CommonName))
	}
	return "nobody (it has no name)"
}

// subject names a certificate in a message, also an authority's.
func subject(c *x509.Certificate) string { return dn(c.Subject.String(), c) }

// issuer names who signed a certificate.
func issuer(c *x509.Certificate) string {
	if s := c.Issuer.String(); s != "" {
		return short(s)
	}
	return "an authority without a name"
}

func dn(s string, c *x509.Certificate) string {
	if s != "" {
		return short(s)
	}
	return namesOf(c)
}

// nearest gives the one of the candidates that is most like s, or "" when none is
// like enough to be a misspelling.
func nearest(s string, candidates []string) string {
	best, bestAt := "", 3
	if len(s) > 8 {
		bestAt = 1 + len(s)/3
	}
	for _, c := range candidates {
		if len(c) > 253 { // longer than any DNS name
			continue
		}
		if d := distance(strings.ToLower(s), strings.ToLower(c)); d < bestAt {
			best, bestAt = c, d
		}
	}
	return best
}

// distance is the number of letters to insert, remove or replace (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
