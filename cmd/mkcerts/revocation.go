package main

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/certs/ca"
)

// lists reads the revocation lists and the deny list that verify goes by: those that
// were named, or those beside the trusted roots. It gives nil if there are none.
func (f *verifyFlags) lists() (*certs.Revocations, error) {
	crls, deny := f.crls, f.deny
	if len(crls) == 0 && deny == "" {
		dir := filepath.Dir(f.ca)
		if path := filepath.Join(dir, ca.CRLFile); fileExists(path) {
			crls = []string{path}
		}
		if path := filepath.Join(dir, ca.DenyFile); fileExists(path) {
			deny = path
		}
	}
	var config certs.RevocationConfig
	for _, path := range crls {
		data, err := readList(path)
		if err != nil {
			return nil, err
		}
		lists, err := certs.ParseCRLs(data)
		if err != nil {
			return nil, inFile(path, err)
		}
		config.CRLs = append(config.CRLs, lists...)
	}
	if deny != "" {
		data, err := readList(deny)
		if err != nil {
			return nil, err
		}
		if config.Deny, err = certs.ParseDenyList(data); err != nil {
			return nil, inFile(deny, err)
		}
	}
	return certs.NewRevocations(config)
}

func readList(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &certs.Error{File: path, Reason: "cannot be read: " + strings.TrimPrefix(err.Error(), "open "+path+": "), Err: err}
	}
	return data, nil
}

// checkRevocation accepts what one of the chains is good for, as peers do.
func (v *verification) checkRevocation(chains [][]*x509.Certificate) error {
	var first error
	for _, chain := range chains {
		d := v.revoked.Check(chain, time.Now())
		if d == nil {
			return nil
		}
		if first == nil {
			first = v.wrong(d.Check.Fix(), "%s: got %s, want %s", d.Check, d.Got, d.Want)
		}
	}
	return first
}

// tellState says what peers cannot know yet.
func (a *app) tellState(e *ca.Entry) {
	switch {
	case e == nil:
	case e.State == ca.StateRevoked && e.Unlisted:
		a.say("warning: it was %s, and no revocation list says so yet", stateText(e.State, e.RevokedAt, e.Reason))
		a.next("mkcerts crl")
	case e.State == ca.StateRevoked:
		a.say("warning: it was %s, which these lists do not say", stateText(e.State, e.RevokedAt, e.Reason))
	case e.State == ca.StateRenewed:
		a.say("it was renewed: %s holds another one", e.File)
	}
}
