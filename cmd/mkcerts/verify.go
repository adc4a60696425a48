package main

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/certs/ca"
	"github.com/pyrossl/pyrossl/validator"
)

type verifyFlags struct {
	ca, host, client, deny string
	crls                   []string
	json                   bool
}

func (a *app) verifyCommand() *cobra.Command {
	var f verifyFlags
	c := &cobra.Command{
		Use:   "verify FILE [flags]",
		Short: "check a certificate as its peers will",
		Long: `Check the certificate in FILE, with the intermediates behind it, as a daemon or a client
at the other end of a connection would: purpose, dates, chain, revocation, and the host
or identity. The key FILE.key beside it is checked to belong to it, if it is there.

Without --host or --client, it is checked for each purpose that it has. Without --crl
and --deny, the lists beside the trusted roots are used, if there are any. The chain is
printed, and the first thing that is wrong.`,
		Example: `  mkcerts verify pki/server.crt --host localhost
  mkcerts verify alice.crt --ca pki/ca.crt --client alice@bank.example`,
		Args: exactly(1, "a FILE"),
		RunE: func(_ *cobra.Command, args []string) error { return a.verify(args[0], &f) },
	}
	c.Flags().StringVar(&f.ca, "ca", "", "`FILE` with the trusted roots; ca.crt beside the certificate, or pki/ca.crt, when empty")
	c.Flags().StringArrayVar(&f.crls, "crl", nil, "`FILE` with revocation lists; may be repeated")
	c.Flags().StringVar(&f.deny, "deny", "", "`FILE` with a deny list")
	c.Flags().StringVar(&f.host, "host", "", "as clients check a daemon whose URI has this `HOST`")
	c.Flags().StringVar(&f.client, "client", "", "as a daemon checks a client whose identity is to be `ID`: alice@bank.example, or a URI")
	c.Flags().BoolVar(&f.json, "json", false, "print the result as JSON")
	return c
}

// verification is one run of verify.
type verification struct {
	path    string
	f       *verifyFlags
	client  string // f.client as kind:value
	chain   []*x509.Certificate
	roots   []*x509.Certificate
	revoked *certs.Revocations // nil if there are no lists
	entry   *ca.Entry          // what the CA beside the roots knows of it; may be nil
}

func (a *app) verify(path string, f *verifyFlags) error {
	v := &verification{path: path, f: f}
	if err := v.read(); err != nil {
		return err
	}
	if !f.json {
		a.printChain(v.chain, v.roots)
	}
	purposes := v.purposes()
	failed := v.check(purposes)
	if failed == nil {
		failed = a.verifyKey(path, v.chain, v.roots)
	}
	if f.json {
		if err := a.printJSON(v.verdict(purposes, failed)); err != nil {
			return err
		}
	}
	if failed != nil || f.json {
		return failed
	}
	if names, err := validator.Principals(v.chain); err == nil && len(names) > 1 && slices.Contains(purposes, certs.ClientAuth) {
		a.say("it has %d names: a broker takes it only where a mapping rule says who that is", len(names))
	}
	a.tellState(v.entry)
	a.say("%s is good for %s, until %s", path, strings.Join(v.describe(purposes), " and "), day(v.chain[0].NotAfter))
	return nil
}

// read reads the files.
func (v *verification) read() (err error) {
	f := v.f
	if f.client != "" {
		if v.client, err = ca.ParseSAN(f.client); err != nil {
			return asUsage(err)
		}
	}
	if v.chain, err = readChain(v.path); err != nil {
		return err
	}
	if f.ca == "" {
		if f.ca = filepath.Join(filepath.Dir(v.path), ca.TrustFile); !fileExists(f.ca) {
			f.ca = filepath.Join("pki", ca.TrustFile)
		}
	}
	if v.roots, err = readChain(f.ca); err != nil {
		return err
	}
	if v.revoked, err = f.lists(); err != nil {
		return err
	}
	if dir := filepath.Dir(f.ca); ca.Exists(dir) {
		v.entry, err = ca.Look(dir, v.chain[0])
	}
	return err
}

// verdict is the result as JSON.
type verdict struct {
	File     string    `json:"file"`
	Good     bool      `json:"good"`
	Problem  string    `json:"problem,omitempty"`
	Hint     string    `json:"hint,omitempty"`
	For      []string  `json:"for"`
	NotAfter time.Time `json:"not_after"`
	Entry    *ca.Entry `json:"certificate,omitempty"` // what its CA knows of it
	Chain    []facts   `json:"chain"`
}

func (v *verification) verdict(purposes []certs.Purpose, failed error) verdict {
	r := verdict{File: v.path, Good: failed == nil, For: v.describe(purposes), NotAfter: v.chain[0].NotAfter.UTC(), Entry: v.entry}
	if failed != nil {
		r.Problem, r.Hint, _ = explain(failed)
	}
	for _, c := range v.chain {
		r.Chain = append(r.Chain, factsOf(c, v.chain))
	}
	return r
}

// check runs the checks in the order in which peers make them.
func (v *verification) check(purposes []certs.Purpose) error {
	leaf := v.chain[0]
	if len(purposes) == 0 {
		return v.wrong(validator.CheckPurpose.Fix(), "purpose: got %s, want serverAuth or clientAuth", or(strings.Join(extendedUsages(leaf), " "), "none"))
	}
	for _, p := range purposes {
		if d := certs.CheckLeaf(leaf, p, time.Now()); d != nil {
			return v.wrong(d.Check.Fix(), "%s: got %s, want %s", d.Check, d.Got, d.Want)
		}
	}
	if err := v.checkChain(); err != nil {
		return err
	}
	for _, p := range purposes {
		var err error
		if p == certs.ServerAuth {
			err = v.checkHost()
		} else {
			err = v.checkIdentity()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (v *verification) wrong(hint, format string, args ...any) error {
	return &certs.Error{File: v.path, Reason: fmt.Sprintf(format, args...), Fix: hint}
}

// purposes are those asked for, or those that the certificate has.
func (v *verification) purposes() (all []certs.Purpose) {
	has := func(u x509.ExtKeyUsage) bool {
		return v.f.host == "" && v.client == "" && slices.Contains(v.chain[0].ExtKeyUsage, u)
	}
	if v.f.host != "" || has(x509.ExtKeyUsageServerAuth) {
		all = append(all, certs.ServerAuth)
	}
	if v.client != "" || has(x509.ExtKeyUsageClientAuth) {
		all = append(all, certs.ClientAuth)
	}
	return all
}

func (v *verification) describe(purposes []certs.Purpose) []string {
	all := []string{}
	for _, p := range purposes {
		switch {
		case p == certs.ClientAuth:
			all = append(all, "a client"+prefixed(" that is ", v.client))
		default:
			all = append(all, "a server"+prefixed(" at ", v.f.host))
		}
	}
	return all
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

func (v *verification) checkChain() error {
	pool, between := x509.NewCertPool(), x509.NewCertPool()
	for _, r := range v.roots {
		pool.AddCert(r)
	}
	for _, c := range v.chain[1:] {
		between.AddCert(c)
	}
	chains, err := v.chain[0].Verify(x509.VerifyOptions{Roots: pool, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	hint := "use the roots of the CA that issued it, with the intermediates in " + v.path
	last := v.chain[len(v.chain)-1]
	var unknown x509.UnknownAuthorityError
	switch {
	case err == nil:
		return v.checkRevocation(chains)
	case errors.As(err, &unknown) && len(v.chain) == 1 && bytes.Equal(last.RawIssuer, last.RawSubject):
		return v.wrong("have a CA issue it: mkcerts issue", "chain: it vouches for itself, and is not in %s", v.f.ca)
	case errors.As(err, &unknown) && len(v.chain) == 1:
		return v.wrong(hint, "chain: no CA in %s has signed it, and no intermediate is in the file; it was issued by %s", v.f.ca, last.Issuer)
	case errors.As(err, &unknown):
		return v.wrong(hint, "chain: it does not lead to a CA in %s; it ends at %s", v.f.ca, last.Issuer)
	}
	return v.wrong(hint, "chain: %s", strings.TrimPrefix(err.Error(), "x509: "))
}

func (v *verification) checkHost() error {
	leaf := v.chain[0]
	if len(leaf.DNSNames) == 0 && len(leaf.IPAddresses) == 0 {
		return v.wrong("have it issued with the host as an alternative name: mkcerts issue NAME --dns HOST --server",
			"name: it proves no host; a common name does not count, and that is %q", leaf.Subject.CommonName)
	}
	if v.f.host == "" {
		return nil
	}
	if err := certs.Covers(leaf, v.f.host); err != nil {
		return v.wrong("have one issued for this host, or use a host that it has", "name: %s", strings.TrimPrefix(err.Error(), "certs: "))
	}
	return nil
}

// checkIdentity sees to it that a broker finds a name, and the one that was asked for.
func (v *verification) checkIdentity() error {
	names, err := validator.Principals(v.chain)
	hint := "have it issued with an e-mail name or a URI: mkcerts issue NAME --email alice@bank.example --client"
	switch {
	case err != nil:
		return v.wrong(hint, "identity: %s", strings.TrimPrefix(err.Error(), "validator: "))
	case len(names) == 0:
		return v.wrong(hint, "identity: it names nobody; a common name counts only where a mapping rule asks for it, and that is %q", v.chain[0].Subject.CommonName)
	case v.client == "":
		return nil
	}
	var all []string
	for _, n := range names {
		if n.String() == v.client {
			return nil
		}
		all = append(all, n.String())
	}
	return v.wrong("have one issued for "+v.client+", or admit the identity that it has", "identity: got %s, want %s", strings.Join(all, " "), v.client)
}

// verifyKey checks the key beside the certificate.
func (a *app) verifyKey(path string, chain, roots []*x509.Certificate) error {
	keyPath := strings.TrimSuffix(path, filepath.Ext(path)) + ".key"
	if !fileExists(keyPath) {
		a.say("there is no %s: that the key belongs to it was not checked", keyPath)
		return nil
	}
	data, err := os.ReadFile(keyPath)
	if err != nil {
		return &certs.Error{File: keyPath, Reason: "cannot be read", Err: err}
	}
	key, err := certs.ParseKey(data)
	if err == nil {
		_, err = certs.NewMaterial(chain, key, roots)
	}
	return inFile(keyPath, err)
}

// inFile says which file an error is about, also in the command that mends it, where
// FILE stands for it.
func inFile(path string, err error) error {
	e, ok := err.(*certs.Error)
	if !ok || e.File != "" {
		return err
	}
	of := *e
	of.File, of.Fix = path, strings.ReplaceAll(e.Fix, "FILE", path)
	return &of
}

func (a *app) printChain(chain, roots []*x509.Certificate) {
	for i, c := range chain {
		fmt.Fprintf(a.stdout, "%s%s, until %s\n", strings.Repeat("  ", i), subjectOf(c), day(c.NotAfter))
	}
	last := chain[len(chain)-1]
	for _, r := range roots {
		if last.CheckSignatureFrom(r) == nil && !last.Equal(r) {
			fmt.Fprintf(a.stdout, "%s%s, until %s, trusted\n", strings.Repeat("  ", len(chain)), printable(r.Subject.String()), day(r.NotAfter))
		}
	}
}

// subjectOf names a certificate, also one without a subject.
func subjectOf(c *x509.Certificate) string {
	return printable(or(c.Subject.String(), or(strings.Join(sansOf(c), " "), "without a name")))
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func sorted(all []string) []string {
	slices.Sort(all)
	return all
}

// printable keeps names in certificates from steering a terminal.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.QuoteToASCII(s)
	}
	return s
}
