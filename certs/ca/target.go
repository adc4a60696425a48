package ca

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
)

// find gives the certificates that are meant by a NAME, a serial number, a principal
// as kind:value, or a file. A name stands for all certificates under it that are still
// valid, renewed ones too: their keys may live on somewhere. principal is set when that
// was meant.
func (s *site) find(target string, index []line) (found []Entry, principal string, err error) {
	valid := func(match func(Entry) bool) (all []Entry) {
		for _, e := range entriesOf(index) {
			if match(e) && e.State != StateExpired {
				all = append(all, e)
			}
		}
		return all
	}
	byName := func(e Entry) bool { return e.Name == target }
	serial, isSerial := parseSerial(strings.TrimPrefix(target, "serial:"))
	bySerial := func(e Entry) bool {
		n, ok := parseSerial(e.Serial)
		return isSerial && ok && n.Cmp(serial) == 0
	}
	entries := entriesOf(index)
	named, numbered := slices.ContainsFunc(entries, byName), slices.ContainsFunc(entries, bySerial)
	switch {
	case named && numbered && !strings.HasPrefix(target, "serial:"):
		return nil, "", asRequest(mend(reasonf("%q is both a name and a serial number", target), "write serial:%s for the number, or give the file of the certificate", target))
	case numbered:
		return slices.DeleteFunc(entries, func(e Entry) bool { return !bySerial(e) }), "", nil
	case named:
		if all := valid(byName); len(all) > 0 {
			return all, "", nil
		}
		return nil, "", expired(target)
	}
	if principal, err := ParseSAN(target); err == nil && !exists(target) {
		proves := func(e Entry) bool { return slices.Contains(e.SANs, principal) }
		if all := valid(proves); len(all) > 0 {
			return all, principal, nil
		} else if slices.ContainsFunc(entries, proves) {
			return nil, principal, expired(target)
		}
	}
	if exists(target) {
		found, err = s.findFile(target, entries)
		return found, "", err
	}
	return nil, "", &failure{Reason: fmt.Sprintf("nothing under %q was issued by the CA in %s, and there is no such file", target, s.dir), Fix: "see what was: mkcerts list", Err: ErrUnknown}
}

func expired(target string) error {
	return &failure{Reason: fmt.Sprintf("all certificates of %q have expired: nobody accepts them any more", target),
		Fix: "to have a key refused for good, give a serial number from mkcerts list, and --key", Err: ErrUnknown}
}

// findFile reads a certificate that one of our intermediates has signed, whether or not
// the index knows it.
func (s *site) findFile(path string, entries []Entry) ([]Entry, error) {
	chain, err := readChain(path)
	if err != nil {
		return nil, err
	}
	leaf := chain[0]
	e := entryOfCertificate(leaf)
	if i := slices.IndexFunc(entries, e.is); i >= 0 {
		return entries[i : i+1], nil
	}
	of := s.issuerOf(e.Issuer)
	switch {
	case slices.ContainsFunc(s.authorities, func(a *authorityCerts) bool { return leaf.Equal(a.intermediate) }):
		return nil, asRequest(&failure{File: path, Reason: "it is an intermediate of this CA", Fix: "say that it is meant: mkcerts revoke --intermediate " + path})
	case of == nil || !signedBy(leaf, of.intermediate):
		return nil, &failure{File: path, Reason: fmt.Sprintf("the CA in %s has not signed it; it was issued by %s", s.dir, leaf.Issuer), Fix: "say where its CA is: --dir DIR", Err: ErrUnknown}
	}
	if r := s.ledger.of(e); r != nil {
		e.RevokedAt, e.Reason = r.At, r.Reason
	}
	e.File = path
	return []Entry{e}, nil
}

func signedBy(c, parent *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, parent.RawSubject) && c.CheckSignatureFrom(parent) == nil
}

// findIntermediate gives the authority whose intermediate is meant: by its file, its
// serial number, or "" for the one that signs now.
func (s *site) findIntermediate(target string) (*authorityCerts, error) {
	if target == "" {
		return s.issuing(), nil
	}
	if serial, ok := parseSerial(strings.TrimPrefix(target, "serial:")); ok {
		for _, a := range s.authorities {
			if a.intermediate.SerialNumber.Cmp(serial) == 0 {
				return a, nil
			}
		}
	}
	if exists(target) {
		c, err := readCert(target)
		if err != nil {
			return nil, err
		}
		for _, a := range s.authorities {
			if a.intermediate.Equal(c) {
				return a, nil
			}
		}
	}
	return nil, &failure{Reason: fmt.Sprintf("%q is no intermediate of the CA in %s", target, s.dir), Fix: "give its file or its serial number, or neither for the one that signs now", Err: ErrUnknown}
}
