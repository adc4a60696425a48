package ca

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/smallstep/certificates/cas/apiv1"
	"github.com/smallstep/certificates/cas/softcas"

	"github.com/pyrossl/pyrossl/certs"
)

// RenewIntermediate gives a CA another intermediate, with another key, below the same
// root: peers need not be told, since each leaf brings its intermediate along. Leaves
// by the old one stay good until their end, or until the old one's. It is done when a
// third of the intermediate's life is left, or what RenewOptions say, or when it was
// revoked; else Action is UpToDate. The root's key is needed.
//
// Where there are revocation lists, the new intermediate's is written before it signs.
func RenewIntermediate(dir string, o RenewOptions) (Intermediate, error) {
	if err := o.check(); err != nil {
		return Intermediate{}, err
	}
	if o.KeepKey {
		return Intermediate{}, asRequest(mend(reasonf("an intermediate always gets another key"), "leave --rekey=false out"))
	}
	if o.Within == 0 && o.Part == 0 {
		o.Part = 1.0 / 3
	}
	s, leave, err := enterSite(dir, !o.DryRun)
	if err != nil {
		return Intermediate{}, err
	}
	defer leave()
	return s.renewIntermediate(o)
}

// Intermediate is what RenewIntermediate found or made.
type Intermediate struct {
	Action   Action    `json:"action"` // UpToDate or Renew
	Cert     string    `json:"cert"`   // path
	Key      string    `json:"key"`    // path
	Subject  string    `json:"subject"`
	NotAfter time.Time `json:"not_after"`
	Lists    CRLs      `json:"lists"` // that were written, if there are any
}

func describeIntermediate(a *authorityCerts, action Action) Intermediate {
	return Intermediate{Action: action, Cert: a.path(interCert), Key: a.path(interKey), Subject: a.intermediate.Subject.String(), NotAfter: a.intermediate.NotAfter.UTC(), Lists: noLists()}
}

func (s *site) renewIntermediate(o RenewOptions) (Intermediate, error) {
	old := s.issuing()
	if roll := s.roles.Roll; roll != nil {
		return Intermediate{}, &failure{Reason: fmt.Sprintf("the CA is being rolled to %s, which has an intermediate of its own", s.authority(roll.To).root.Subject), Fix: "go on with that: mkcerts ca roll"}
	}
	if !o.due(old.intermediate) && s.ledger.revokedAuthority(old) == nil {
		return describeIntermediate(old, UpToDate), nil
	}
	life := min(IntermediateTTL, time.Until(old.root.NotAfter).Truncate(time.Second))
	if life < minTTL {
		return Intermediate{}, &failure{File: old.path(rootCert), Reason: "the root itself ends on " + day(old.root.NotAfter), Fix: "roll to another CA: mkcerts ca roll"}
	}
	if o.DryRun {
		return describeIntermediate(old, Renew), nil
	}
	phrase := onePhrase{ask: o.Passphrase}
	defer phrase.forget()
	var err error
	next := s.pending(old.root)
	if next == nil {
		if next, err = s.makeIntermediate(old, life, phrase.once()); err != nil {
			return Intermediate{}, err
		}
	}
	res := describeIntermediate(next, Renew)
	s.adopt(next)
	if err := s.saveRoles(); err != nil {
		return res, err
	}
	// Peers that check lists refuse an intermediate without one: it comes first.
	if res.Lists, err = s.refreshLists(phrase.once()); err != nil {
		return res, err
	}
	s.roles.Issuing = next.number
	return res, s.saveRoles()
}

// refreshLists writes the lists if the CA publishes any.
func (s *site) refreshLists(ask func() ([]byte, error)) (CRLs, error) {
	if !exists(filepath.Join(s.dir, CRLFile)) {
		return noLists(), nil
	}
	w, err := s.listWriter(CRLOptions{}, ask)
	if err != nil {
		return noLists(), err
	}
	return w.write()
}

// makeIntermediate makes one below the root of an authority.
func (s *site) makeIntermediate(old *authorityCerts, life time.Duration, ask func() ([]byte, error)) (*authorityCerts, error) {
	path := s.rootKeyOf(old.root)
	if !exists(path) {
		return nil, &failure{File: path, Reason: "the root's key is not here, and only it can sign an intermediate", Fix: "put it there for as long as this takes"}
	}
	root, err := readKeyOf(path, old.root, "the root", ask)
	if err != nil {
		return nil, err
	}
	// The new key is as well kept as the old one: encrypted, with a passphrase that is
	// known to be right.
	if _, err := s.keyOfAuthority(old, ask); err != nil {
		return nil, err
	}
	creator, err := softcas.New(context.Background(), apiv1.Options{IsCreator: true, KeyManager: keys})
	if err != nil {
		return nil, &failure{Reason: fmt.Sprintf("cannot set up a CA: %v", err), Err: err}
	}
	number := s.nextNumber()
	role := fmt.Sprintf("intermediate %d", number)
	o := Options{Name: shortened(caName(old.root), maxCommonName-len(" ")-len(role)), KeyType: keyTypeOf(old.intermediate.PublicKey), Permit: permitted(old.root)}
	made, key, err := authority(creator, o, role, life, &apiv1.CreateCertificateAuthorityResponse{Certificate: old.root, Signer: root})
	if err != nil {
		return nil, err
	}
	return s.writeAuthority(number, &newborn{CA: &CA{root: old.root, intermediate: made.Certificate}, key: key}, ask)
}

// maxCommonName is of RFC 5280, appendix A.1.
const maxCommonName = 64

func shortened(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// keyOfAuthority reads the key of an authority's intermediate, if it is there.
func (s *site) keyOfAuthority(a *authorityCerts, ask func() ([]byte, error)) (*certs.PrivateKey, error) {
	if !exists(a.path(interKey)) {
		return nil, nil
	}
	return readKeyOf(a.path(interKey), a.intermediate, interCert, ask)
}

// nextNumber is that of an authority to come. A directory that is there and not listed
// is left alone: of a run that was cut short, or of a time after the copy of
// authoritiesFile that was put back.
func (s *site) nextNumber() int {
	n := s.roles.All[len(s.roles.All)-1] + 1
	for exists(authorityDir(s.dir, n)) {
		n++
	}
	return n
}

// adopt lists an authority.
func (s *site) adopt(a *authorityCerts) {
	if slices.Contains(s.roles.All, a.number) {
		return
	}
	s.roles.Version = 1
	s.roles.All = append(s.roles.All, a.number)
	s.authorities = append(s.authorities, a)
	slices.Sort(s.roles.All)
	slices.SortFunc(s.authorities, func(a, b *authorityCerts) int { return a.number - b.number })
}

// pending finds an intermediate that a run has made which ended before it signed.
func (s *site) pending(root *x509.Certificate) *authorityCerts {
	for _, a := range s.authorities {
		if a.number > s.roles.Issuing && a.root.Equal(root) && exists(a.path(interKey)) &&
			s.ledger.revokedAuthority(a) == nil && time.Until(a.intermediate.NotAfter) > IntermediateTTL/2 {
			return a
		}
	}
	return nil
}

// writeAuthority writes the files of a new authority into a directory of its own, which
// is there as a whole or not at all. The root's key is written if it is new too.
func (s *site) writeAuthority(number int, made *newborn, ask func() ([]byte, error)) (*authorityCerts, error) {
	var phrase []byte
	if ask != nil {
		var err error
		if phrase, err = ask(); err != nil {
			return nil, err
		}
		defer clear(phrase)
	}
	dir := authorityDir(s.dir, number)
	tmp, err := os.MkdirTemp(s.dir, tempPrefix(dir)+"*") // 0700
	if err != nil {
		return nil, fileError(s.dir, "cannot be written", err)
	}
	defer os.RemoveAll(tmp) // gone when all went well
	s.sweepAuthorities(tmp)
	ik, err := made.key.encode(phrase)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{interKey: ik, interCert: encode(made.intermediate), rootCert: encode(made.root)}
	if made.rootKey.PrivateKey != nil {
		if files[rootKey], err = made.rootKey.encode(phrase); err != nil {
			return nil, err
		}
	}
	for name, data := range files {
		mode := os.FileMode(0o644)
		if strings.HasSuffix(name, ".key") {
			mode = 0o600
			defer clear(data)
		}
		if err := writeNew(filepath.Join(tmp, name), data, mode); err != nil {
			return nil, err
		}
	}
	// A directory cannot be renamed to one that has files in it.
	if err := os.Rename(tmp, dir); err != nil {
		return nil, fileError(dir, "cannot be made", err)
	}
	if err := done("authority", dir); err != nil {
		return nil, err
	}
	return readAuthority(s.dir, number)
}

// sweepAuthorities removes what runs that were cut short have left: keys that have
// signed nothing. Whoever else writes here holds the lock, and that is us.
func (s *site) sweepAuthorities(but string) {
	all, err := os.ReadDir(s.dir)
	if err != nil {
		return
	}
	for _, e := range all {
		if path := filepath.Join(s.dir, e.Name()); e.IsDir() && strings.HasPrefix(e.Name(), ".ca-") && path != but {
			os.RemoveAll(path)
		}
	}
}
