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

// Result is what Ensure found or made.
type Result struct {
	Cert, Key, CA string // paths
	Action        Action
	Entry         Entry // of the certificate; empty after a dry run that would issue
	MadeCA        bool  // the CA was made too
}

// Ensure sees to it that a directory has a CA, and a certificate that is as asked
// for. One that is, and has a good part of its life left, is kept: to run it twice
// changes nothing. One that differs is left alone, with an error that wraps
// ErrDiffers and says in what.
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
	if !o.DryRun {
		if err := makeDir(dir); err != nil {
			return Result{}, err
		}
		unlock, err := lock(dir)
		if err != nil {
			return Result{}, err
		}
		defer unlock()
	}
	e := &ensuring{dir: dir, r: r, o: o, res: Result{
		Cert: filepath.Join(o.Out, r.Name+".crt"), Key: filepath.Join(o.Out, r.Name+".key"), CA: filepath.Join(o.Out, TrustFile),
	}}
	err = e.run()
	return e.res, err
}

// ensuring is one run of Ensure.
type ensuring struct {
	dir string
	r   Request
	o   EnsureOptions
	put func(path string, data []byte, mode fs.FileMode) error // writeNew, or replace
	res Result
}

func (e *ensuring) run() error {
	e.res.MadeCA = !Exists(e.dir)
	if err := e.decide(); err != nil || e.o.DryRun {
		return err
	}
	if e.res.Action == UpToDate {
		return e.trust() // somebody may have removed it
	}
	authority, err := e.authority()
	if err != nil {
		return err
	}
	return e.write(authority)
}

func (e *ensuring) authority() (*CA, error) {
	if e.res.MadeCA {
		return create(e.dir, e.o.CA)
	}
	return Open(e.dir, e.o.CA.Passphrase)
}

// decide compares what is there with what was asked for.
func (e *ensuring) decide() error {
	haveCert, haveKey := exists(e.res.Cert), exists(e.res.Key)
	if !haveCert && !haveKey {
		e.res.Action, e.put = Issue, writeNew
		return nil
	}
	e.put = replace
	leaf, what := e.existing(haveCert, haveKey)
	if leaf != nil {
		e.res.Entry = entryOf(e.r.Name, e.res.Cert, leaf)
		what = append(what, e.differences(leaf)...)
	}
	switch {
	case len(what) > 0 && e.cutShort():
		e.res.Action = Issue
	case len(what) > 0 && !e.o.Force:
		return &failure{File: e.res.Cert, Reason: "it exists and is not what was asked for: " + strings.Join(what, "; "),
			Fix: "ask for what it is, write elsewhere with --out DIR, or replace it with --force", Err: ErrDiffers}
	case len(what) > 0 || e.o.Force:
		e.res.Action = Replace
	case e.due(leaf):
		e.res.Action = Renew
	default:
		e.res.Action = UpToDate
	}
	return nil
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
	all, err := List(e.dir)
	if err != nil {
		return false
	}
	sum := fingerprint(spki)
	i := slices.IndexFunc(all, func(x Entry) bool { return x.Name == e.r.Name && x.SPKI == sum })
	if i < 0 || !sameSet(all[i].SANs, e.r.SANs) || !sameSet(all[i].Purposes, e.r.Purposes) {
		return false
	}
	chain, err := readChain(e.res.Cert)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	// What is there instead must be what the run was about to replace.
	return err == nil && slices.ContainsFunc(all[:i], func(x Entry) bool {
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
	root, err := readCert(filepath.Join(e.dir, rootCert))
	if err != nil {
		return chain[0], []string{err.Error()}
	}
	if _, err := certs.NewMaterial(chain, key, []*x509.Certificate{root}); err != nil {
		return chain[0], []string{err.Error()}
	}
	if !vouches(chain, root) {
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

// write issues the certificate and puts it in place: the key first, so that a
// program that watches the files never sees a certificate without its key.
func (e *ensuring) write(authority *CA) error {
	issued, err := authority.Issue(e.r)
	if err != nil {
		return err
	}
	key, err := issued.KeyPEM()
	if err != nil {
		return err
	}
	defer clear(key)
	if err := makeDir(e.o.Out); err != nil {
		return err
	}
	if err := e.trust(); err != nil {
		return err
	}
	// The index is written before the files, see cutShort.
	e.res.Entry = entryOf(e.r.Name, e.res.Cert, issued.Leaf())
	if err := record(e.dir, e.res.Entry); err != nil {
		return err
	}
	if err := e.put(e.res.Key, key, 0o600); err != nil {
		return err
	}
	return e.put(e.res.Cert, issued.CertificatePEM(), 0o644)
}

// trust puts the root beside the certificate.
func (e *ensuring) trust() error {
	root, err := readCert(filepath.Join(e.dir, rootCert))
	if err != nil {
		return err
	}
	if !exists(e.res.CA) {
		return writeNew(e.res.CA, encode(root), 0o644)
	}
	// It may trust others too: whoever rolls from one CA to another adds them.
	if there, err := readChain(e.res.CA); err == nil && slices.ContainsFunc(there, root.Equal) {
		return nil
	}
	return &failure{File: e.res.CA, Reason: "it does not hold this CA's root", Fix: "write elsewhere with --out DIR, or add " + filepath.Join(e.dir, TrustFile) + " to it by hand", Err: ErrDiffers}
}
