package main

import (
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
)

type verifyFlags struct {
	ca, host       string
	client, server bool
}

func (a *app) verifyCommand() *cobra.Command {
	var f verifyFlags
	c := &cobra.Command{
		Use:   "verify FILE [flags]",
		Short: "check a certificate as its peers will",
		Long: `Check the certificate in FILE, with the intermediates behind it, as a daemon or a client
at the other end of a connection would: chain, dates, purpose, and for a server the
host. The key FILE.key beside it is checked to belong to it, if it is there.

Without --client or --server, it is checked for each purpose that it has. The chain is
printed, and the first thing that is wrong.`,
		Example: `  mkcerts verify pki/server.crt --host localhost
  mkcerts verify alice.crt --ca pki/ca.crt --client`,
		Args: exactly(1, "a FILE"),
		RunE: func(_ *cobra.Command, args []string) error { return a.verify(args[0], &f) },
	}
	c.Flags().StringVar(&f.ca, "ca", "", "`FILE` with the trusted roots; ca.crt beside the certificate, or pki/ca.crt, when empty")
	c.Flags().StringVar(&f.host, "host", "", "`HOST` of the URI that clients use; for a server")
	c.Flags().BoolVar(&f.client, "client", false, "as a daemon checks a client")
	c.Flags().BoolVar(&f.server, "server", false, "as a client checks a daemon")
	return c
}

func (a *app) verify(path string, f *verifyFlags) error {
	chain, err := readChain(path)
	if err != nil {
		return err
	}
	if f.ca == "" {
		if f.ca = filepath.Join(filepath.Dir(path), ca.TrustFile); !fileExists(f.ca) {
			f.ca = filepath.Join("pki", ca.TrustFile)
		}
	}
	roots, err := readChain(f.ca)
	if err != nil {
		return err
	}
	purposes, err := f.purposes(chain[0])
	if err != nil {
		return err
	}
	a.printChain(chain, roots)
	wrong := func(hint, format string, args ...any) error {
		return &certs.Error{File: path, Reason: fmt.Sprintf(format, args...), Fix: hint}
	}
	for _, p := range purposes {
		if d := certs.CheckLeaf(chain[0], p, time.Now()); d != nil {
			return wrong(d.Check.Fix(), "%s: got %s, want %s", d.Check, d.Got, d.Want)
		}
	}
	if err := verifyChain(chain, roots, f.ca); err != nil {
		return wrong("use the roots of the CA that issued it, with the intermediates in "+path, "%v", err)
	}
	if f.host != "" {
		if err := certs.Covers(chain[0], f.host); err != nil {
			return wrong("issue one for this host, or use a host that it has", "%s", strings.TrimPrefix(err.Error(), "certs: "))
		}
	}
	if err := a.verifyKey(path, chain, roots); err != nil {
		return err
	}
	a.say("%s is good for %s, until %s", path, describe(purposes, f.host), day(chain[0].NotAfter))
	return nil
}

func describe(purposes []certs.Purpose, host string) string {
	var all []string
	for _, p := range purposes {
		if p == certs.ServerAuth {
			all = append(all, "a server"+map[bool]string{true: "", false: " at " + host}[host == ""])
		} else {
			all = append(all, "a client")
		}
	}
	return strings.Join(all, " and ")
}

// purposes are those asked for, or those that the certificate has.
func (f *verifyFlags) purposes(leaf *x509.Certificate) (all []certs.Purpose, err error) {
	if f.server || f.host != "" && !f.client {
		all = append(all, certs.ServerAuth)
	}
	if f.client {
		all = append(all, certs.ClientAuth)
	}
	if len(all) > 0 {
		return all, nil
	}
	if slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) {
		all = append(all, certs.ServerAuth)
	}
	if slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) {
		all = append(all, certs.ClientAuth)
	}
	if len(all) == 0 {
		return nil, wrongUsage("pass --client or --server to see why it is refused", "the certificate is for neither a client nor a server")
	}
	return all, nil
}

func verifyChain(chain, roots []*x509.Certificate, caFile string) error {
	pool, between := x509.NewCertPool(), x509.NewCertPool()
	for _, r := range roots {
		pool.AddCert(r)
	}
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: pool, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	var unknown x509.UnknownAuthorityError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unknown) && len(chain) == 1:
		return fmt.Errorf("chain: no CA in %s has signed it, and no intermediate is in the file; it was issued by %s", caFile, chain[0].Issuer)
	case errors.As(err, &unknown):
		return fmt.Errorf("chain: it does not lead to a CA in %s; it ends at %s", caFile, chain[len(chain)-1].Issuer)
	}
	return fmt.Errorf("chain: %s", strings.TrimPrefix(err.Error(), "x509: "))
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
	if e, ok := err.(*certs.Error); ok && e.File == "" {
		of := *e
		of.File = keyPath
		return &of
	}
	return err
}

func (a *app) printChain(chain, roots []*x509.Certificate) {
	for i, c := range chain {
		fmt.Fprintf(a.stdout, "%s%s, until %s\n", strings.Repeat("  ", i), printable(c.Subject.String()), day(c.NotAfter))
	}
	last := chain[len(chain)-1]
	for _, r := range roots {
		if last.CheckSignatureFrom(r) == nil && !last.Equal(r) {
			fmt.Fprintf(a.stdout, "%s%s, until %s, trusted\n", strings.Repeat("  ", len(chain)), printable(r.Subject.String()), day(r.NotAfter))
		}
	}
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
