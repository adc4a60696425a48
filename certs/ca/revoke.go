package ca

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// RevokeOptions say what is revoked, and why. The zero value is good.
type RevokeOptions struct {
	Reason Reason // zero is Unspecified
	// Key revokes the key too: with every certificate that was issued for it, and no
	// other one is issued for it any more. It is implied by the reason KeyCompromise.
	Key bool
	// Principal revokes the names too: with every certificate that proves one of them,
	// and no other one is issued that does, until [Readmit]. If the target is a principal
	// it is that one, else all names of the certificates but addresses.
	Principal bool
	// Intermediate revokes an intermediate, and with it all that it has signed. The
	// target is then its file or serial number, or "" for the one that signs now. The
	// root's key is needed.
	Intermediate bool
	// Lists says how the revocation lists are written that follow.
	Lists CRLOptions
	// DryRun writes nothing and says what would be done.
	DryRun bool
}

// Revoked is what Revoke did, or would have done.
type Revoked struct {
	New    []Revocation `json:"revoked"` // revoked now, or for another reason than before
	Before []Revocation `json:"before"`  // were revoked already
	Keys   []string     `json:"keys"`    // SHA-256 of the public keys that were revoked, hexadecimal
	// Principals are the names that were revoked, as kind:value.
	Principals []string `json:"principals"`
	// Spared are certificates under the same names that go on to be accepted.
	Spared []Entry `json:"spared"`
	Lists  CRLs    `json:"lists"`
}

// Revoke records that certificates must no longer be accepted, and writes the
// revocation lists: when it returns without an error, both are on the disk. The target
// is a name, which stands for all its certificates that have not expired, a serial
// number, a principal as kind:value, or the file of a certificate.
//
// To revoke twice changes nothing but the lists. What was revoked cannot be taken back.
// The keys that sign the lists are opened first: where that fails, nothing is recorded.
// If the program ends after the revocation was recorded and before the lists were
// written, the next [WriteCRLs] or Revoke writes them.
func Revoke(dir, target string, o RevokeOptions) (Revoked, error) {
	why, err := ParseReason(string(o.Reason))
	if err != nil {
		return Revoked{}, err
	}
	if o.Intermediate && (o.Key || o.Principal) {
		return Revoked{}, asRequest(mend(reasonf("an intermediate is revoked with its key, and proves no name"), "leave one of the two out"))
	}
	if o.Lists, err = o.Lists.check(); err != nil {
		return Revoked{}, err
	}
	s, leave, err := enterSite(dir, !o.DryRun)
	if err != nil {
		return Revoked{}, err
	}
	defer leave()
	index, err := s.index()
	if err != nil {
		return Revoked{}, err
	}
	r := revoking{site: s, index: index, now: time.Now().UTC().Truncate(time.Second), why: why, res: Revoked{Lists: noLists()}}
	if o.Intermediate {
		err = r.intermediate(target)
	} else {
		err = r.leaves(target, o)
	}
	if err == nil && !o.DryRun {
		err = r.write(o.Lists)
	}
	return r.res, err
}

// revoking is one run of Revoke.
type revoking struct {
	site  *site
	index []line
	now   time.Time
	why   Reason
	// lifted are entries of the deny list that are not to stay.
	lifted []string
	res    Revoked
}

func (r *revoking) leaves(target string, o RevokeOptions) error {
	found, principal, err := r.site.find(target, r.index)
	if err != nil && (principal == "" || !o.Principal) { // a name is refused though its certificates have expired
		return err
	}
	if o.Principal {
		if err := r.principals(found, principal); err != nil {
			return err
		}
	}
	key := o.Key || r.why == KeyCompromise
	if !key && !o.Principal && !slices.ContainsFunc(found, func(e Entry) bool { return e.State != StateExpired }) {
		return expired(target)
	}
	for _, e := range found {
		if key {
			r.key(e)
		}
	}
	// Others may have the same keys and names.
	for _, e := range entriesOf(r.index) {
		sameKey := key && slices.ContainsFunc(found, func(f Entry) bool { return f.SPKI == e.SPKI })
		sameName := r.site.ledger.principal(e.SANs) != nil && r.site.ledger.certificate(e.Issuer, e.Serial) == nil
		if e.State != StateExpired && (sameKey || sameName) && !slices.ContainsFunc(found, e.is) {
			found = append(found, e)
		}
	}
	for _, e := range found {
		r.certificate(revocationOf(e, r.now, r.why))
	}
	r.spared(found)
	return nil
}

// is reports whether two entries are of one certificate.
func (e Entry) is(o Entry) bool { return e.Serial == o.Serial && e.Issuer == o.Issuer }

// principals revokes a name, or all names of certificates when it is empty.
func (r *revoking) principals(found []Entry, principal string) error {
	names := []string{principal}
	if principal == "" {
		names = nil
		for _, e := range found {
			names = append(names, deniable(e.SANs)...)
		}
	}
	if len(deniable(names)) == 0 {
		return asRequest(mend(reasonf("nothing that it proves is a name that a daemon takes for an identity"), "revoke the certificate, or its key with --key"))
	}
	l := r.site.ledger
	for _, p := range deniable(names) {
		if l.principal([]string{p}) == nil {
			l.Principals = append(l.Principals, revokedPrincipal{p, r.now, r.why})
			r.res.Principals = append(r.res.Principals, p)
		}
	}
	return nil
}

// key revokes the key of a certificate.
func (r *revoking) key(e Entry) {
	l := r.site.ledger
	switch k := l.key(e.SPKI); {
	case k == nil:
		l.Keys = append(l.Keys, revokedKey{e.SPKI, r.now, r.why})
	case r.why == KeyCompromise && k.Reason != KeyCompromise:
		k.Reason = r.why
	default:
		return
	}
	r.res.Keys = append(r.res.Keys, e.SPKI)
}

// certificate revokes one. The first reason stays, unless the key turns out to be in
// other hands.
func (r *revoking) certificate(c Revocation) {
	l := r.site.ledger
	had := l.certificate(c.Issuer, c.Serial)
	switch {
	case had == nil:
		l.Certificates = append(l.Certificates, c)
		r.res.New = append(r.res.New, c)
	case (c.Reason == KeyCompromise || c.Reason == CACompromise) && had.Reason != c.Reason:
		had.Reason = c.Reason
		r.res.New = append(r.res.New, *had)
	default:
		r.res.Before = append(r.res.Before, *had)
	}
}

// spared finds what goes on under the names of what was revoked, or proving the same.
func (r *revoking) spared(found []Entry) {
	for _, e := range entriesOf(r.index) {
		if e.State != StateLive && e.State != StateRenewed || r.site.ledger.of(e) != nil {
			continue
		}
		if slices.ContainsFunc(found, func(f Entry) bool {
			return f.Name == e.Name || slices.ContainsFunc(f.SANs, func(n string) bool { return slices.Contains(e.SANs, n) })
		}) {
			r.res.Spared = append(r.res.Spared, e)
		}
	}
}

func (r *revoking) intermediate(target string) error {
	a, err := r.site.findIntermediate(target)
	if err != nil {
		return err
	}
	r.certificate(revocationOfAuthority(a, r.now, r.why))
	return nil
}

func revocationOfAuthority(a *authorityCerts, at time.Time, why Reason) Revocation {
	e := entryOf(a.intermediate.Subject.String(), "", a.intermediate)
	return revocationOf(e, at, why)
}

// write puts it all on the disk.
func (r *revoking) write(o CRLOptions) error {
	phrase := onePhrase{ask: o.Passphrase}
	defer phrase.forget()
	w, err := r.site.listWriter(o, phrase.once())
	if err != nil {
		return err
	}
	w.lifted = r.lifted
	if err := r.site.ledger.save(r.site.dir); err != nil {
		return err
	}
	if r.res.Lists, err = w.write(); err != nil {
		return recorded(err)
	}
	return nil
}

// recorded says that an error has come after the revocation was on the disk.
func recorded(err error) error {
	e, ok := err.(*failure)
	if !ok {
		return fmt.Errorf("it is recorded as revoked, but the list could not be written: %w", err)
	}
	of := *e
	of.Reason = "it is recorded as revoked, but the list could not be written: " + e.Reason
	return withFix(&of, "when that is mended: mkcerts crl")
}

// Readmit takes back what RevokeOptions.Principal has revoked: the name may be proven
// again, by certificates that are issued from now on. Those that were revoked with it
// stay revoked.
func Readmit(dir, principal string, o CRLOptions) (CRLs, error) {
	o, err := o.check()
	if err != nil {
		return CRLs{}, err
	}
	if principal, err = ParseSAN(principal); err != nil {
		return CRLs{}, asRequest(err)
	}
	s, leave, err := enterSite(dir, true)
	if err != nil {
		return CRLs{}, err
	}
	defer leave()
	r := revoking{site: s, lifted: []string{"principal " + principal}}
	// Where a run was cut short, only the file has it still.
	list, err := readDeny(filepath.Join(dir, DenyFile))
	if err != nil {
		return CRLs{}, err
	}
	if s.ledger.principal([]string{principal}) == nil && (list == nil || len(foreign(list, nil)) == len(foreign(list, r.lifted))) {
		return CRLs{}, &failure{Reason: principal + " was not revoked as a name", Fix: "a certificate that was stays revoked: have another one issued, with mkcerts issue --force", Err: ErrUnknown}
	}
	s.ledger.Principals = slices.DeleteFunc(s.ledger.Principals, func(p revokedPrincipal) bool { return p.Principal == principal })
	err = r.write(o)
	return r.res.Lists, err
}
