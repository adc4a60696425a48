package ca

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pyrossl/pyrossl/certs"
)

// RenewOptions say how Renew goes about it. The zero value is good: it renews at once,
// with another key.
type RenewOptions struct {
	// KeepKey keeps the key, for peers that have pinned it. Whoever has got hold of it
	// then keeps what it is good for.
	KeepKey bool
	// Within renews only what ends within this time. If it is 0, Part says it as a part
	// of each certificate's life: 1.0/3 is what a daemon does by itself. If both are 0,
	// everything is renewed.
	Within time.Duration
	Part   float64
	// Passphrase opens the CA's key if it is encrypted, as in [Open].
	Passphrase func() ([]byte, error)
	// DryRun writes nothing and says what would be done.
	DryRun bool
}

// check refuses what cannot be meant.
func (o RenewOptions) check() error {
	if o.Within < 0 || o.Part < 0 || o.Part > 1 {
		return asRequest(reasonf("to renew within %v or %v of a life makes no sense, want 0 or more, and a part of at most 1", o.Within, o.Part))
	}
	return nil
}

// due reports whether a certificate is to be renewed.
func (o RenewOptions) due(c *x509.Certificate) bool {
	before := o.Within
	if before == 0 {
		if o.Part == 0 {
			return true
		}
		before = time.Duration(o.Part * float64(c.NotAfter.Sub(c.NotBefore)))
	}
	return time.Until(c.NotAfter) < before
}

// RenewLeaves gives certificates another life: the same names, purposes, kind of key and
// length of life, and another key unless RenewOptions.KeepKey says otherwise. Names are
// as in the index, or the paths of certificates; without any, all certificates are
// renewed whose files are in place and which were not revoked.
//
// The files are replaced at their place, the key first: a program that follows them
// keeps the last pair until both are there. Their modes and owners stay. Where one
// certificate cannot be renewed, RenewLeaves goes on with the others; the error joins
// all that went wrong, and the results are of those that went well. Those that were
// revoked are refused with an error that wraps ErrRevoked.
func RenewLeaves(dir string, names []string, o RenewOptions) ([]Result, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	r := renewing{dir: dir, names: names, o: o}
	return r.run()
}

// renewing is one run of RenewLeaves.
type renewing struct {
	dir   string
	names []string
	o     RenewOptions
	// which says which of the certificates in place are meant; nil for all.
	which func(*site, Entry) bool
	// begin, if not nil, is called under the lock before anything else.
	begin func(*site) error

	site      *site
	authority *CA // opened when it is first needed
	unopened  error
}

func (r *renewing) run() ([]Result, error) {
	s, leave, err := enterSite(r.dir, !r.o.DryRun)
	if err != nil {
		return nil, err
	}
	defer leave()
	r.site = s
	if r.begin != nil {
		if err := r.begin(r.site); err != nil {
			return nil, err
		}
	}
	meant, err := r.meant()
	if err != nil {
		return nil, err
	}
	all := []Result{}
	var failed []error
	for _, l := range meant {
		res, err := r.one(l)
		switch {
		case r.unopened != nil:
			return all, r.unopened // nor will it open for the next
		case err != nil:
			failed = append(failed, err)
		default:
			all = append(all, res)
		}
	}
	return all, errors.Join(failed...)
}

// meant are the entries whose certificates are to be renewed.
func (r *renewing) meant() (all []line, err error) {
	index, err := r.site.index()
	if err != nil {
		return nil, err
	}
	p := placesOf(index)
	for _, l := range index {
		switch {
		case !p.inPlace(l.Entry), slices.ContainsFunc(all, l.sameFile):
		case slices.ContainsFunc(r.names, l.goesBy),
			len(r.names) == 0 && l.State != StateRevoked && (r.which == nil || r.which(r.site, l.Entry)):
			all = append(all, l)
		}
	}
	for _, name := range r.names {
		if slices.ContainsFunc(all, func(l line) bool { return l.goesBy(name) }) {
			continue
		}
		i := slices.IndexFunc(index, func(l line) bool { return l.goesBy(name) })
		if i < 0 {
			return nil, &failure{Reason: fmt.Sprintf("nothing under %q was issued by the CA in %s", name, r.dir), Fix: "see what was: mkcerts list", Err: ErrUnknown}
		}
		return nil, &failure{File: index[i].File, Reason: fmt.Sprintf("the certificate of %q is not there any more", name), Fix: "have it made again: mkcerts issue", Err: ErrUnknown}
	}
	return all, nil
}

func (l line) sameFile(o line) bool { return fullPath(o.File) == fullPath(l.File) }

// goesBy reports whether an entry is meant by a name or by the path of its file.
func (l line) goesBy(name string) bool { return l.Name == name || fullPath(name) == fullPath(l.File) }

// one renews one certificate.
func (r *renewing) one(l line) (Result, error) {
	res := Result{Cert: l.File, Key: keyBeside(l.File), CA: trustBeside(l.File), Action: Renew, Entry: l.Entry}
	chain, err := readChain(l.File)
	if err != nil {
		return res, err
	}
	leaf := chain[0]
	switch {
	case l.State == StateRevoked:
		return res, &failure{File: l.File, Reason: "it " + r.site.ledger.of(l.Entry).text(), Fix: "if its holder shall have another one, with another key: mkcerts issue with --force", Err: ErrRevoked}
	case serialOf(leaf) != l.Serial:
		return res, &failure{File: l.File, Reason: "it was changed in the meantime"}
	case !r.o.due(leaf) && !r.site.leftBehind(l.Entry):
		res.Action = UpToDate
		return res, nil
	case !exists(res.Key):
		return res, &failure{File: res.Key, Reason: "there is no key beside the certificate, so that a new one could not be put in its place", Fix: "renew it where its key is"}
	}
	var key *certs.PrivateKey
	if r.o.KeepKey {
		if key, err = readKeyOf(res.Key, leaf, l.File, nil); err != nil {
			return res, withFix(err, "renew it with another key: --rekey=true")
		}
	}
	if r.o.DryRun {
		return res, nil
	}
	if r.authority == nil {
		if r.authority, r.unopened = r.site.open(r.site.issuing(), r.o.Passphrase); r.unopened != nil {
			return res, r.unopened
		}
	}
	request := requestOf(l, leaf)
	issued, err := r.authority.issue(request, key)
	switch {
	case err != nil:
		return res, named(l.File, err)
	case key == nil:
		return res, r.site.deliver(issued, request.TTL, true, &res)
	}
	return res, r.site.deliverCert(issued, request.TTL, &res)
}

// keyBeside is the key that goes with a certificate.
func keyBeside(cert string) string { return strings.TrimSuffix(cert, ".crt") + ".key" }

// deliverCert is deliver where the key stays.
func (s *site) deliverCert(issued *Issued, asked time.Duration, res *Result) error {
	if err := s.fixTrust(res.CA); err != nil {
		return err
	}
	if err := s.enter(issued, asked, res); err != nil {
		return err
	}
	return replace(res.Cert, issued.CertificatePEM(), 0o644)
}

// requestOf is what a certificate was issued for.
func requestOf(l line, leaf *x509.Certificate) Request {
	ttl := leaf.NotAfter.Sub(leaf.NotBefore) - backdate
	if l.AskedSeconds > 0 {
		ttl = time.Duration(l.AskedSeconds) * time.Second
	}
	return Request{Name: l.Name, SANs: sansOf(leaf), Purposes: purposesOf(leaf), KeyType: keyTypeOf(leaf.PublicKey), TTL: ttl}
}
