package certs

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ListStatus is one revocation list or deny list, for people.
type ListStatus struct {
	File       string    `json:"file,omitempty"`       // where it came from, empty when not from a file
	Deny       bool      `json:"deny,omitempty"`       // it is a deny list
	Issuer     string    `json:"issuer,omitempty"`     // the authority; empty for a deny list
	Number     string    `json:"number"`               // decimal
	Entries    int       `json:"entries"`              // how many it names
	ThisUpdate time.Time `json:"this_update,omitzero"` // when it was issued; zero for a deny list that does not say
	NextUpdate time.Time `json:"next_update,omitzero"` // when the next one is due; zero where it does not say
	StaleFrom  time.Time `json:"stale_from,omitzero"`  // after this moment it is out of date; zero for never
	Stale      bool      `json:"stale"`                // it is out of date, or from the future: who is not on it is refused
	// Signed is whether the signature has been checked. Until a peer has shown the
	// certificate of an authority that we do not know ourselves, it cannot be.
	Signed bool `json:"signed"`
	// Superseded is whether another list with a larger number counts instead.
	Superseded bool `json:"superseded,omitempty"`
	// LastError is why the file was not taken up again, empty when it was. The list
	// described here, the last good one, stays in use.
	LastError string `json:"last_error,omitempty"`
}

// checking is s with the lists, as they are at the moment. failed has the errors of
// files.
func (s Status) checking(m *Material, failed map[string]string, now time.Time) Status {
	r := m.revocations
	if r == nil {
		return s
	}
	s.Lists, s.StaleListsPass, s.OwnRevoked = r.status(failed, now), r.config.InsecureAllowStaleLists, m.ownRevoked(now)
	return s
}

// ownRevoked looks our own chain up.
func (m *Material) ownRevoked(now time.Time) string {
	chain := slices.Clone(m.Chain)
	for _, root := range m.Roots {
		if top := chain[len(chain)-1]; !root.Equal(top) && issued(root, top) {
			chain = append(chain, root)
			break
		}
	}
	if d := m.revocations.denied(chain); d != nil {
		return d.Got
	}
	for i := range chain[:len(chain)-1] {
		if d, certain := m.revocations.checkOne(chain, i, now); certain {
			return d.Got
		}
	}
	return ""
}

func (r *Revocations) status(failed map[string]string, now time.Time) (all []ListStatus) {
	for _, l := range r.crls {
		s := ListStatus{
			File: l.file, Issuer: l.issuerName, Number: l.number.String(), Entries: len(l.entries),
			ThisUpdate: l.thisUpdate, NextUpdate: l.nextUpdate, StaleFrom: l.until(r.config.MaxAge),
			Signed: l.proof.known() != nil, LastError: failed[l.file],
		}
		for _, used := range r.byIssuer[l.issuer] {
			if used.CRL == l {
				s.Superseded = slices.ContainsFunc(used.newer, func(n *CRL) bool { return n.alike(l) })
			}
		}
		s.Stale = l.early(now) || now.After(s.StaleFrom)
		all = append(all, s)
	}
	if d := r.config.Deny; d != nil {
		s := ListStatus{
			File: d.file, Deny: true, Number: strconv.FormatUint(d.number, 10), Entries: len(d.entries),
			ThisUpdate: d.issued, StaleFrom: d.until(), Signed: true, LastError: failed[d.file],
		}
		s.Stale = !s.StaleFrom.IsZero() && now.After(s.StaleFrom)
		all = append(all, s)
	}
	return all
}

// alike reports whether two lists with one issuer's name are by the same key, as far
// as that is known yet.
func (l *CRL) alike(other *CRL) bool {
	if a, b := l.proof.signer.Load(), other.proof.signer.Load(); a != nil && b != nil {
		return a.key == b.key
	}
	return !l.proof.doubted() && !other.proof.doubted() && (len(l.keyID) == 0 || len(other.keyID) == 0 || bytes.Equal(l.keyID, other.keyID))
}

// String says on one line what the list is, and what is wrong with it.
func (l ListStatus) String() string {
	var b strings.Builder
	if l.File != "" {
		fmt.Fprintf(&b, "%q: ", l.File)
	}
	kind := "revocation list"
	if l.Deny {
		kind = "deny list"
	}
	fmt.Fprintf(&b, "%s number %s", kind, l.Number)
	if l.Issuer != "" {
		fmt.Fprintf(&b, " of %s", l.Issuer)
	}
	fmt.Fprintf(&b, ", %d entries", l.Entries)
	if !l.ThisUpdate.IsZero() {
		fmt.Fprintf(&b, ", issued %s", day(l.ThisUpdate))
	}
	if !l.StaleFrom.IsZero() {
		fmt.Fprintf(&b, ", good until %s", day(l.StaleFrom))
	}
	if l.Stale {
		b.WriteString("; STALE")
	}
	if l.Superseded {
		b.WriteString("; not in force, there is one with a larger number")
	}
	if !l.Signed {
		b.WriteString("; its signature is not checked yet, since no peer has shown the authority's certificate")
	}
	if l.LastError != "" {
		b.WriteString("; its file cannot be taken up, this last good one stays in use: " + strings.TrimPrefix(l.LastError, "certs: "))
	}
	return b.String()
}

// Lines puts the status in words for an operator, one line a fact: the certificate,
// what went wrong last, each list, and what has to be done about stale ones.
func (s Status) Lines() []string {
	names := strings.Join(s.Names, ", ")
	if names == "" {
		names = "nobody"
	}
	lines := []string{
		fmt.Sprintf("certificate for %s, issued by %s, serial number %s, valid %s to %s; generation %d, in use since %s",
			names, s.Issuer, s.Serial, day(s.NotBefore), day(s.NotAfter), s.Generation, day(s.Loaded)),
	}
	if s.LastError != "" {
		lines = append(lines, fmt.Sprintf("the last reload, %s, failed, and the last good files stay in use: %s", day(s.LastAttempt), strings.TrimPrefix(s.LastError, "certs: ")))
	}
	if s.OwnRevoked != "" {
		lines = append(lines, "REVOKED: others will refuse our own "+s.OwnRevoked)
	}
	for _, l := range s.Lists {
		lines = append(lines, l.String())
	}
	for _, l := range s.Lists {
		switch {
		case !l.Stale || l.Superseded:
		case s.StaleListsPass:
			lines = append(lines, fmt.Sprintf("INSECURE: %s is stale, and peers pass nevertheless, since InsecureAllowStaleLists is set", l.name()))
		case l.Deny:
			lines = append(lines, fmt.Sprintf("every peer is refused because %s is stale: issue it anew", l.name()))
		default:
			lines = append(lines, fmt.Sprintf("peers of %s are refused because %s is stale: put the authority's newest list in its place", l.Issuer, l.name()))
		}
	}
	if s.StaleListsPass && len(lines) > 0 {
		lines = append(lines, "INSECURE: stale lists do not refuse anybody (InsecureAllowStaleLists)")
	}
	return lines
}

func (l ListStatus) name() string {
	if l.Deny {
		return "deny list number " + l.Number
	}
	return "revocation list number " + l.Number
}
