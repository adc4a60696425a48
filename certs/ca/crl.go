package ca

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"path/filepath"
	"slices"
	"time"

	"github.com/pyrossl/pyrossl/certs"
)

const (
	// CRLTTL is how long revocation lists are good for unless said otherwise.
	CRLTTL = 24 * time.Hour
	// RootCRLTTL is how long the list of a root is good for, at least: its key is not
	// at hand every day, and a list that is out of date closes all doors.
	RootCRLTTL = 30 * 24 * time.Hour
)

// CRLOptions say how the revocation lists are written. The zero value is good.
type CRLOptions struct {
	// TTL is how long the lists are good for; zero is what was asked for last, at first
	// [CRLTTL]. New ones must be written and spread before.
	TTL time.Duration
	// Out is a file that gets the lists too; empty for none.
	Out string
	// Root has the root publish a list too, from now on, for peers that check whole
	// chains. It does so in any case once an intermediate was revoked.
	Root bool
	// Passphrase opens the CA's keys if they are encrypted, as in [Open]. It is asked
	// once.
	Passphrase func() ([]byte, error)
}

func (o CRLOptions) check() (CRLOptions, error) {
	if o.TTL != 0 && (o.TTL < minTTL || o.TTL > RootTTL) {
		return o, asRequest(reasonf("a list cannot be good for %v, want %v to %v", o.TTL, minTTL, RootTTL))
	}
	o.TTL = o.TTL.Truncate(time.Second)
	return o, nil
}

// CRLs are the revocation lists that were written.
type CRLs struct {
	File  string `json:"file"`           // CRLFile in the CA's directory
	Copy  string `json:"copy,omitempty"` // CRLOptions.Out
	Lists []CRL  `json:"lists"`
	Deny  Deny   `json:"deny"`
	// Warnings say what is to be seen to.
	Warnings []string `json:"warnings"`
}

// CRL is one of them.
type CRL struct {
	Issuer     string    `json:"issuer"`
	IssuerID   string    `json:"issuer_key_id"` // hexadecimal
	Number     uint64    `json:"number"`
	ThisUpdate time.Time `json:"this_update"`
	NextUpdate time.Time `json:"next_update"`
	Revoked    int       `json:"revoked"` // how many certificates it lists
	// Kept is whether it is the list of before: the key is elsewhere.
	Kept bool `json:"kept,omitempty"`
}

// WriteCRLs writes the revocation lists (RFC 5280, version 2): one of each intermediate
// that has not expired, and of roots where CRLOptions.Root says so or an intermediate
// was revoked, all in one file, [CRLFile] in the CA's directory. Their numbers increase
// with every writing and are never used twice, also when the program ends in between.
// The deny list, [DenyFile], is written too.
//
// A certificate is listed until a list has been written after its end (RFC 5280,
// section 3.3). Whatever the file before has listed and nobody knows why stays listed.
func WriteCRLs(dir string, o CRLOptions) (CRLs, error) {
	o, err := o.check()
	if err != nil {
		return CRLs{}, err
	}
	s, leave, err := enterSite(dir, true)
	if err != nil {
		return CRLs{}, err
	}
	defer leave()
	phrase := onePhrase{ask: o.Passphrase}
	defer phrase.forget()
	w, err := s.listWriter(o, phrase.once())
	if err != nil {
		return CRLs{}, err
	}
	return w.write()
}

// listWriter writes all lists once.
type listWriter struct {
	site    *site
	o       CRLOptions
	index   []Entry
	now     time.Time
	signers []*listSigner
	lifted  []string // entries of the deny list that are not to stay
	res     CRLs
}

// listSigner is who signs one list.
type listSigner struct {
	cert   *x509.Certificate
	id     string
	isRoot bool
	// spent is whether nobody relies on what it has signed: its root was removed, or it
	// was revoked itself.
	spent   bool
	keyPath string
	key     *certs.PrivateKey    // nil if there is no such file
	before  *x509.RevocationList // its list so far, may be nil
	entries []x509.RevocationListEntry
}

// listWriter opens the keys and collects what must be listed. It writes nothing.
func (s *site) listWriter(o CRLOptions, ask func() ([]byte, error)) (*listWriter, error) {
	all, err := s.readIndex()
	if err != nil {
		return nil, err
	}
	w := &listWriter{site: s, o: o, index: entriesOf(all), now: time.Now(), res: CRLs{File: filepath.Join(s.dir, CRLFile), Copy: o.Out, Lists: []CRL{}, Warnings: []string{}}}
	s.ledger.take(w.index)
	before, err := readLists(w.res.File)
	if err != nil {
		w.warn("%v: its numbers and entries are not known", err)
	}
	w.findSigners()
	for _, k := range w.signers {
		if exists(k.keyPath) {
			if k.key, err = readKeyOf(k.keyPath, k.cert, k.cert.Subject.String(), ask); err != nil {
				return nil, err
			}
		}
		w.carryOver(k, before)
		if k.entries, err = w.entries(k); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *listWriter) warn(format string, args ...any) {
	w.res.Warnings = append(w.res.Warnings, fmt.Sprintf(format, args...))
}

// findSigners lists the intermediates, that which signs leaves first, and the roots
// that publish lists.
func (w *listWriter) findSigners() {
	s := w.site
	for _, a := range s.authorities {
		if w.now.After(a.intermediate.NotAfter) {
			continue
		}
		k := &listSigner{cert: a.intermediate, id: issuerID(a.intermediate), keyPath: a.path(interKey)}
		k.spent = !s.isTrusted(a) || s.ledger.revokedAuthority(a) != nil
		if w.signers = append(w.signers, k); a == s.issuing() {
			w.signers[0], w.signers[len(w.signers)-1] = k, w.signers[0]
		}
	}
	for _, root := range s.roots() {
		id := issuerID(root)
		trusted := slices.ContainsFunc(s.trusted(), root.Equal)
		if w.o.Root && trusted && !slices.Contains(s.ledger.Roots, id) {
			s.ledger.Roots = append(s.ledger.Roots, id)
		}
		has := slices.ContainsFunc(s.ledger.Certificates, func(c Revocation) bool { return c.Issuer == id && !w.over(id, c.NotAfter) })
		if (has || slices.Contains(s.ledger.Roots, id)) && !w.now.After(root.NotAfter) {
			w.signers = append(w.signers, &listSigner{cert: root, id: id, isRoot: true, spent: !trusted, keyPath: s.rootKeyOf(root)})
		}
	}
}

// over reports whether a certificate need not be listed any more: it had expired when
// the last list was written.
func (w *listWriter) over(issuer string, notAfter time.Time) bool {
	return w.now.After(notAfter) && w.site.ledger.Lists[issuer].Issued.After(notAfter)
}

// readLists reads the lists that are there.
func readLists(path string) (all []*x509.RevocationList, err error) {
	if !exists(path) {
		return nil, nil
	}
	data, err := readAll(path)
	if err != nil {
		return nil, err
	}
	for len(data) > 0 {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return all, &failure{File: path, Reason: "holds something else than revocation lists: " + err.Error(), Err: err}
		}
		if list.Number != nil && list.Number.IsUint64() { // ours are
			all = append(all, list)
		}
	}
	return all, nil
}

// carryOver finds the signer's list so far. What it lists and the ledger does not know,
// because that is an old copy, stays revoked.
func (w *listWriter) carryOver(k *listSigner, before []*x509.RevocationList) {
	for _, list := range before {
		if list.CheckSignatureFrom(k.cert) == nil && (k.before == nil || list.Number.Cmp(k.before.Number) > 0) {
			k.before = list
		}
	}
	if k.before == nil {
		return
	}
	n := 0
	for _, x := range k.before.RevokedCertificateEntries {
		serial := fmt.Sprintf("%x", x.SerialNumber)
		if w.site.ledger.certificate(k.id, serial) != nil {
			continue
		}
		r := Revocation{Name: "from an earlier list", Serial: serial, Issuer: k.id, NotAfter: k.cert.NotAfter.UTC()}
		if i := slices.IndexFunc(w.index, func(e Entry) bool { return e.Issuer == k.id && e.Serial == serial }); i >= 0 {
			r = revocationOf(w.index[i], time.Time{}, "")
		}
		r.At, r.Reason = x.RevocationTime.UTC(), reasonOf(x.ReasonCode)
		w.site.ledger.Certificates = append(w.site.ledger.Certificates, r)
		n++
	}
	if n > 0 {
		w.warn("%s has listed %d certificates that %s does not know of: they stay revoked; has an old copy been put back?", w.res.File, n, ledgerFile)
	}
}

// entries are what a signer's list must hold.
func (w *listWriter) entries(k *listSigner) (all []x509.RevocationListEntry, err error) {
	for _, c := range w.site.ledger.Certificates {
		if c.Issuer != k.id || w.over(k.id, c.NotAfter) {
			continue
		}
		serial, ok := parseSerial(c.Serial)
		if !ok {
			return nil, &failure{File: filepath.Join(w.site.dir, ledgerFile), Reason: fmt.Sprintf("serial number %q cannot be read", c.Serial)}
		}
		all = append(all, x509.RevocationListEntry{SerialNumber: serial, RevocationTime: c.At, ReasonCode: c.Reason.code()})
	}
	return all, nil
}

// write writes the revocation lists and the deny list. Where the one fails, the other
// is still written.
func (w *listWriter) write() (CRLs, error) {
	err := w.writeLists()
	if denyErr := w.writeDeny(); err == nil {
		err = denyErr
	}
	return w.res, err
}

// writeLists signs the revocation lists and puts them in place.
func (w *listWriter) writeLists() error {
	l := w.site.ledger
	ttl := w.ttl()
	for _, k := range w.signers {
		if k.key == nil {
			continue
		}
		last := l.Lists[k.id]
		if k.before != nil {
			last.Number = max(last.Number, k.before.Number.Uint64())
		}
		l.Lists[k.id] = listRecord{Number: last.Number + 1, Issued: last.Issued}
	}
	// The numbers are used up from here on, whatever happens.
	if err := l.save(w.site.dir); err != nil {
		return err
	}
	var file []byte
	var unsigned error
	for _, k := range w.signers {
		der, err := w.sign(k, ttl)
		if err != nil {
			unsigned = err
		}
		if der != nil {
			file = append(file, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})...)
		}
	}
	if len(file) == 0 {
		return unsigned
	}
	for _, path := range []string{w.res.File, w.o.Out} {
		if path != "" {
			if err := replace(path, file, 0o644); err != nil {
				return err
			}
		}
	}
	for _, k := range w.signers {
		if k.key != nil {
			l.Lists[k.id] = listRecord{Number: l.Lists[k.id].Number, Issued: w.now.UTC()}
		}
	}
	if err := l.save(w.site.dir); err != nil {
		return err
	}
	return unsigned
}

// ttl is how long the lists are good for, and remembers it.
func (w *listWriter) ttl() time.Duration {
	l := w.site.ledger
	if w.o.TTL != 0 {
		l.ListSeconds = int64(w.o.TTL / time.Second)
	}
	if l.ListSeconds <= 0 {
		return CRLTTL
	}
	return time.Duration(l.ListSeconds) * time.Second
}

// sign makes one list. Without the key, the list so far is kept; it is an error if that
// lacks something and matters.
func (w *listWriter) sign(k *listSigner, ttl time.Duration) ([]byte, error) {
	if k.key == nil {
		return w.keep(k)
	}
	if k.isRoot {
		ttl = max(ttl, RootCRLTTL)
	}
	number := w.site.ledger.Lists[k.id].Number
	t := &x509.RevocationList{
		Number: new(big.Int).SetUint64(number), ThisUpdate: w.now.Add(-backdate), NextUpdate: w.now.Add(ttl), RevokedCertificateEntries: k.entries,
	}
	der, err := x509.CreateRevocationList(rand.Reader, t, k.cert, k.key)
	if err != nil {
		return nil, &failure{Reason: fmt.Sprintf("cannot sign the list of %s: %v", k.cert.Subject, err), Err: err}
	}
	w.res.Lists = append(w.res.Lists, CRL{
		Issuer: k.cert.Subject.String(), IssuerID: k.id, Number: number, Revoked: len(k.entries),
		ThisUpdate: t.ThisUpdate.UTC().Truncate(time.Second), NextUpdate: t.NextUpdate.UTC().Truncate(time.Second),
	})
	return der, nil
}

// keep gives the list so far of a signer whose key is not here.
func (w *listWriter) keep(k *listSigner) ([]byte, error) {
	var der []byte
	missing := len(k.entries)
	if k.before != nil {
		der = k.before.Raw
		for _, e := range k.entries {
			if slices.ContainsFunc(k.before.RevokedCertificateEntries, func(x x509.RevocationListEntry) bool { return x.SerialNumber.Cmp(e.SerialNumber) == 0 }) {
				missing--
			}
		}
		w.res.Lists = append(w.res.Lists, CRL{
			Issuer: k.cert.Subject.String(), IssuerID: k.id, Number: k.before.Number.Uint64(), Revoked: len(k.before.RevokedCertificateEntries),
			ThisUpdate: k.before.ThisUpdate.UTC(), NextUpdate: k.before.NextUpdate.UTC(), Kept: true,
		})
	}
	switch {
	case k.spent:
	case missing > 0:
		return der, &failure{File: k.keyPath, Reason: fmt.Sprintf("the key of %s is not here, and its list lacks %d certificates", k.cert.Subject, missing), Fix: "put the key there and run: mkcerts crl"}
	case k.before == nil:
		w.warn("the key of %s is not here, %s: it has no list", k.cert.Subject, k.keyPath)
	default:
		w.warn("the key of %s is not here, %s: its list is the one of before, good until %s", k.cert.Subject, k.keyPath, day(k.before.NextUpdate))
	}
	return der, nil
}
