package ca

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pyrossl/pyrossl/certs"
)

// EnsureOptions say how Ensure goes about it. The zero value is good.
type EnsureOptions struct {
	// Out is where NAME.crt, NAME.key and ca.crt go; the CA's directory when empty.
	Out string
	// CA says what a CA shall be that has to be made. Its Passphrase also opens one
	// that is there.
	CA Options
	// Force replaces a certificate that differs from the request, or is still good.
	Force bool
	// RenewBefore is when a certificate is renewed, before its end; a third of its
	// life when 0.
	RenewBefore time.Duration
	// DryRun writes nothing and says what would be done.
	DryRun bool
}

// Action is what Ensure did, or would have done.
type Action string

// The actions.
const (
	UpToDate Action = "up to date"
	Issue    Action = "issued"
	Renew    Action = "renewed"
	Replace  Action = "replaced"
)

// Result is what Ensure or RenewLeaves found or made.
type Result struct {
	Cert, Key, CA string // paths
	Action        Action
	Entry         Entry // of the certificate; empty after a dry run that would issue
	MadeCA        bool  // the CA was made too
	// Warning says what is to be seen to, if anything: that the certificate is valid for
	// less long than was asked for, because the CA ends.
	Warning string
}

// Ensure sees to it that a directory has a CA, and a certificate that is as asked
// for. One that is, and has a good part of its life left, is kept: to run it twice
// changes nothing, and needs no right to write. One that differs is left alone, with
// an error that wraps ErrDiffers and says in what; one that was revoked, with one that
// wraps ErrRevoked.
//
// A certificate from another of the CA's authorities is renewed once that is being
// left behind: see [RollReissue].
func Ensure(dir string, r Request, o EnsureOptions) (Result, error) {
	r, err := r.canonical()
	if err != nil {
		return Result{}, err
	}
	if o.CA, err = o.CA.canonical(); err != nil {
		return Result{}, err
	}
	if o.Out == "" {
		o.Out = dir
	}
	e := ensuring{dir: dir, r: r, o: o, res: Result{
		Cert: filepath.Join(o.Out, r.Name+".crt"), Key: filepath.Join(o.Out, r.Name+".key"), CA: filepath.Join(o.Out, TrustFile),
	}}
	if o.DryRun {
		err = e.decide()
		return e.res, err
	}
	// The lock is for those who write: it is a file in a directory that may be
	// read-only. What is read without it may be half changed, and then asks for a change.
	look := e
	lookErr := look.decide()
	if lookErr == nil && look.res.Action == UpToDate && look.trusts() {
		return look.res, nil
	}
	unlock, err := lockDir(dir)
	if err != nil {
		if lookErr != nil {
			return look.res, lookErr
		}
		return look.res, notWritable(err, look.res)
	}
	defer unlock()
	err = e.run()
	return e.res, err
}

// lockDir is lock for a directory that may have to be made.
func lockDir(dir string) (unlock func(), err error) {
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	return lock(dir)
}

// notWritable says what a directory would have to be written for.
func notWritable(err error, res Result) error {
	e, ok := err.(*failure)
	if !ok {
		return err
	}
	of := *e
	of.Reason += fmt.Sprintf(", and %s is to be %s", res.Cert, res.Action)
	if res.Action == UpToDate {
		of.Reason = fmt.Sprintf("%s, and %s is to be written", e.Reason, res.CA)
	}
	return &of
}

// ensuring is one run of Ensure.
type ensuring struct {
	dir string
	r   Request
	o   EnsureOptions
	// replace is whether files that are there are replaced, or must not be there.
	replace bool
	site    *site // nil while there is no CA
	res     Result
}

func (e *ensuring) run() error {
	if err := e.decide(); err != nil {
		return err
	}
	if e.res.Action == UpToDate {
		return e.site.fixTrust(e.res.CA) // somebody may have removed it
	}
	authority, err := e.authority()
	if err != nil {
		return err
	}
	return e.write(authority)
}

// trusts reports whether the trust file is as it must be.
func (e *ensuring) trusts() bool {
	right, err := e.site.trustIsRight(e.res.CA)
	return right && err == nil
}

func (e *ensuring) authority() (authority *CA, err error) {
	if !e.res.MadeCA {
		return e.site.open(e.site.issuing(), e.o.CA.Passphrase)
	}
	if authority, err = create(e.dir, e.o.CA); err != nil {
		return nil, err
	}
	e.site, err = openSite(e.dir)
	return authority, err
}

// decide compares what is there with what was asked for.
func (e *ensuring) decide() (err error) {
	if e.res.MadeCA = !Exists(e.dir); !e.res.MadeCA {
		if e.site, err = openSite(e.dir); err != nil {
			return err
		}
	}
	haveCert, haveKey := exists(e.res.Cert), exists(e.res.Key)
	if !haveCert && !haveKey {
		e.res.Action, e.replace = Issue, false
		return nil
	}
	e.replace = true
	leaf, what := e.existing(haveCert, haveKey)
	var revoked *Revocation
	if leaf != nil {
		e.res.Entry = entryOf(e.r.Name, e.res.Cert, leaf)
		what = append(what, e.differences(leaf)...)
		if e.site != nil {
			revoked = e.site.ledger.of(e.res.Entry)
		}
	}
	switch {
	case len(what) > 0 && e.cutShort():
		e.res.Action = Issue
	case len(what) > 0 && !e.o.Force:
		return &failure{File: e.res.Cert, Reason: "it exists and is not what was asked for: " + strings.Join(what, "; "),
			Fix: "ask for what it is, write elsewhere with --out DIR, or replace it with --force", Err: ErrDiffers}
	case revoked != nil && !e.o.Force:
		return &failure{File: e.res.Cert, Reason: "it " + revoked.text(), Fix: "if its holder shall have another one, with another key, replace it with --force", Err: ErrRevoked}
	case len(what) > 0 || e.o.Force:
		e.res.Action = Replace
	case e.due(leaf), e.site.leftBehind(e.res.Entry):
		e.res.Action = Renew
	default:
		e.res.Action = UpToDate
	}
	return nil
}

// leftBehind reports whether a certificate hangs on an authority that is being given
// up: its intermediate was revoked, its root is trusted no longer, or the CA is being
// rolled and the next one signs already.
func (s *site) leftBehind(e Entry) bool {
	of := s.issuerOf(e.Issuer)
	if !s.isTrusted(of) || s.ledger.revokedAuthority(of) != nil {
		return true
	}
	roll := s.roles.Roll
	return roll != nil && roll.Step == RollReissuing && !of.root.Equal(s.authority(roll.To).root)
}

// cutShort reports whether a run for the same request ended after it had written the
// key and before it had written the certificate: the index has the certificate, and
// nobody else can have this key. To begin again loses nothing.
func (e *ensuring) cutShort() bool {
	key, err := readKey(e.res.Key, nil)
	if err != nil {
		return false
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return false
	}
	if e.site == nil {
		return false
	}
	all, err := e.site.readIndex()
	if err != nil {
		return false
	}
	sum := fingerprint(spki)
	i := slices.IndexFunc(all, func(x line) bool { return x.Name == e.r.Name && x.SPKI == sum })
	if i < 0 || !sameSet(all[i].SANs, e.r.SANs) || !sameSet(all[i].Purposes, e.r.Purposes) {
		return false
	}
	chain, err := readChain(e.res.Cert)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	// What is there instead must be what the run was about to replace.
	return err == nil && slices.ContainsFunc(all[:i], func(x line) bool {
		return x.Name == e.r.Name && x.Serial == serialOf(chain[0])
	})
}

// existing reads the pair that is there, or says why it cannot be used.
func (e *ensuring) existing(haveCert, haveKey bool) (leaf *x509.Certificate, what []string) {
	switch {
	case !haveCert:
		return nil, []string{"there is " + e.res.Key + ", without its certificate"}
	case !haveKey:
		return nil, []string{"its key " + e.res.Key + " is missing"}
	}
	chain, err := readChain(e.res.Cert)
	if err != nil {
		return nil, []string{err.Error()}
	}
	if e.res.MadeCA {
		return chain[0], []string{"it is from another CA"}
	}
	key, err := readKey(e.res.Key, nil)
	if err != nil {
		return chain[0], []string{err.Error()}
	}
	if _, err := certs.NewMaterial(chain, key, e.site.trusted()); err != nil {
		return chain[0], []string{err.Error()}
	}
	if !slices.ContainsFunc(e.site.roots(), func(root *x509.Certificate) bool { return vouches(chain, root) }) {
		return chain[0], []string{"it is from another CA"}
	}
	return chain[0], nil
}

// vouches reports whether the CA has signed the chain, whether or not it has
// expired since.
func vouches(chain []*x509.Certificate, root *x509.Certificate) bool {
	for i, c := range chain {
		parent := root
		if i+1 < len(chain) {
			parent = chain[i+1]
		}
		if c.CheckSignatureFrom(parent) != nil {
			return false
		}
	}
	return true
}

func (e *ensuring) differences(leaf *x509.Certificate) (what []string) {
	differ := func(of string, has, want []string) {
		if !sameSet(has, want) {
			what = append(what, fmt.Sprintf("%s are %s, asked for %s", of, listed(has), listed(want)))
		}
	}
	differ("its names", sansOf(leaf), e.r.SANs)
	differ("its purposes", texts(purposesOf(leaf)), texts(e.r.Purposes))
	if has := keyTypeOf(leaf.PublicKey); has != e.r.KeyType {
		what = append(what, fmt.Sprintf("its key is %s, asked for %s", has, e.r.KeyType))
	}
	return what
}

func listed(all []string) string {
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(slices.Values(all)), " ")
}

func sameSet[S ~string](a, b []S) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

func texts(all []Purpose) (t []string) {
	for _, p := range all {
		t = append(t, string(p))
	}
	return t
}

// due reports whether a certificate is near its end.
func (e *ensuring) due(leaf *x509.Certificate) bool {
	before := e.o.RenewBefore
	if before == 0 {
		before = leaf.NotAfter.Sub(leaf.NotBefore) / 3
	}
	return time.Until(leaf.NotAfter) < before
}

// write issues the certificate and puts it in place.
func (e *ensuring) write(authority *CA) error {
	issued, err := authority.Issue(e.r)
	if err != nil {
		return err
	}
	if err := makeDir(e.o.Out); err != nil {
		return err
	}
	return e.site.deliver(issued, e.r.TTL, e.replace, &e.res)
}

// deliver puts a new certificate in its place: the key first, so that a program that
// follows the files never sees a certificate without its key. asked is how long it was
// to be valid.
func (s *site) deliver(issued *Issued, asked time.Duration, replaces bool, res *Result) error {
	key, err := issued.KeyPEM()
	if err != nil {
		return err
	}
	defer clear(key)
	if err := s.fixTrust(res.CA); err != nil {
		return err
	}
	// The index is written before the files, see cutShort.
	if err := s.enter(issued, asked, res); err != nil {
		return err
	}
	if replaces {
		return replacePair(res.Key, key, res.Cert, issued.CertificatePEM())
	}
	if err := writeNew(res.Key, key, 0o600); err != nil {
		return err
	}
	return writeNew(res.Cert, issued.CertificatePEM(), 0o644)
}

// enter writes a new certificate into the index, and the result.
func (s *site) enter(issued *Issued, asked time.Duration, res *Result) error {
	leaf := issued.Leaf()
	res.Entry = entryOf(issued.Request.Name, res.Cert, leaf)
	if issued.Request.TTL == asked {
		return record(s.dir, res.Entry, 0)
	}
	of := &CA{root: s.issuing().root, intermediate: issued.Chain[1]}
	res.Warning = fmt.Sprintf("%s is valid until %s only, not for %v: the CA ends then; %s", res.Cert, day(leaf.NotAfter), asked, of.wayOn())
	return record(s.dir, res.Entry, asked)
}

// text completes "the certificate".
func (r *Revocation) text() string {
	text := "was revoked on " + day(r.At)
	if r.Reason != Unspecified && r.Reason != "" {
		text += " (" + string(r.Reason) + ")"
	}
	return text
}
