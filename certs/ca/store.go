package ca

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pyrossl/pyrossl/certs"
)

// The files of a CA's directory. A leaf NAME is NAME.crt, with the intermediate
// behind it, and NAME.key.
const (
	rootCert  = "root.crt"
	rootKey   = "root.key" // not needed to issue; may be kept elsewhere
	interCert = "intermediate.crt"
	interKey  = "intermediate.key"
	indexFile = "index.jsonl"
	lockFile  = ".lock"

	// TrustFile holds the root: what programs are given as their CA file. While a CA is
	// rolled, it holds the old root and the new one.
	TrustFile = "ca.crt"
	// CRLFile holds the revocation lists, once there are any.
	CRLFile = "crl.pem"
	// DenyFile says the same as a deny list of package certs, and holds keys and names
	// that were revoked too.
	DenyFile = "deny.list"
)

// Exists reports whether a directory has a CA.
func Exists(dir string) bool {
	// Once it was rolled, the files of the first authority may be gone.
	return exists(filepath.Join(dir, rootCert)) || exists(filepath.Join(dir, authoritiesFile))
}

// Create makes a CA in a directory, which must have none. The error wraps
// ErrExists when it has one.
func Create(dir string, o Options) (*CA, error) {
	o, err := o.canonical()
	if err != nil {
		return nil, err
	}
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	unlock, err := lock(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return create(dir, o)
}

func create(dir string, o Options) (*CA, error) {
	// The root's certificate is written last: without it there is no CA.
	files := []string{rootKey, interKey, interCert, TrustFile, rootCert}
	var remains []string
	for _, name := range files {
		if path := filepath.Join(dir, name); exists(path) {
			remains = append(remains, path)
		}
	}
	switch {
	case Exists(dir):
		return nil, &failure{File: filepath.Join(dir, rootCert), Reason: "there is a CA already", Err: ErrExists}
	case len(remains) > 0:
		return nil, &failure{File: remains[0], Reason: "it is left of a CA that is not complete",
			Fix: "if nothing else needs them, rm " + strings.Join(remains, " ") + "; or begin in another directory", Err: ErrExists}
	}
	made, err := newCA(o)
	if err != nil {
		return nil, err
	}
	var phrase []byte
	if o.Passphrase != nil {
		if phrase, err = askPassphrase(o.Passphrase); err != nil {
			return nil, err
		}
		defer clear(phrase)
	}
	rk, err := made.rootKey.encode(phrase)
	if err != nil {
		return nil, err
	}
	ik, err := made.key.encode(phrase)
	if err != nil {
		return nil, err
	}
	root := encode(made.root)
	for i, data := range [][]byte{rk, ik, encode(made.intermediate), root, root} {
		mode := os.FileMode(0o644)
		if files[i] == rootKey || files[i] == interKey {
			mode = 0o600
		}
		if err := writeNew(filepath.Join(dir, files[i]), data, mode); err != nil {
			return nil, err
		}
	}
	return made.CA, nil
}

// Open reads the CA in a directory, with the intermediate that signs leaves now. The
// passphrase is asked for only when the key is encrypted. The root's key is not needed.
// The error wraps ErrNoCA when there is no CA.
func Open(dir string, passphrase func() ([]byte, error)) (*CA, error) {
	s, err := openSite(dir)
	if err != nil {
		return nil, err
	}
	return s.open(s.issuing(), passphrase)
}

// open gives the CA that signs with the intermediate of an authority.
func (s *site) open(a *authorityCerts, passphrase func() ([]byte, error)) (*CA, error) {
	if err := verify([]*x509.Certificate{a.intermediate}, a.root); err != nil {
		of := &CA{root: a.root, intermediate: a.intermediate}
		return nil, &failure{File: a.path(interCert), Reason: fmt.Sprintf("%s does not vouch for it: %v", rootCert, err), Fix: of.wayOn(), Err: err}
	}
	key, err := readKeyOf(a.path(interKey), a.intermediate, interCert, passphrase)
	if err != nil {
		return nil, err
	}
	c, err := assemble(a.root, a.intermediate, key)
	if err != nil {
		return nil, err
	}
	c.trusted, c.ledger, c.revoked = s.trusted(), s.ledger, s.ledger.revokedAuthority(a)
	return c, nil
}

// readKeyOf reads the key of a certificate; name is what that is called.
func readKeyOf(path string, c *x509.Certificate, name string, passphrase func() ([]byte, error)) (*certs.PrivateKey, error) {
	key, err := readKey(path, passphrase)
	if err != nil {
		return nil, err
	}
	if pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(c.PublicKey) {
		return nil, &failure{File: path, Reason: "it is not the key of " + name}
	}
	return key, nil
}

func readCert(path string) (*x509.Certificate, error) {
	all, err := readChain(path)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

func readAll(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fileError(path, "cannot be read", err)
	}
	return data, nil
}

func readChain(path string) ([]*x509.Certificate, error) {
	data, err := readAll(path)
	if err != nil {
		return nil, err
	}
	all, err := certs.ParseCertificates(data)
	if err != nil {
		return nil, named(path, err)
	}
	return all, nil
}

// readKey reads a key file that only we can read.
func readKey(path string, passphrase func() ([]byte, error)) (*certs.PrivateKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fileError(path, "cannot be read", err)
	}
	if looseMode(info.Mode()) {
		return nil, &failure{File: path, Reason: fmt.Sprintf("key file has mode %#o, want 0600", info.Mode().Perm()), Fix: "chmod 600 " + path}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fileError(path, "cannot be read", err)
	}
	defer clear(data)
	var key *certs.PrivateKey
	if encrypted(data) {
		key, err = decrypt(data, passphrase)
	} else {
		key, err = certs.ParseKey(data)
	}
	if err != nil {
		return nil, named(path, err)
	}
	return key, nil
}

// named says which file an error is about, also in the command that mends it, where
// FILE stands for it.
func named(path string, err error) error {
	if e, ok := err.(*failure); ok && e.File == "" {
		of := *e
		of.File, of.Fix = path, strings.ReplaceAll(e.Fix, "FILE", path)
		return &of
	}
	return err
}
