package ca

import (
	"crypto/x509"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A roll replaces a CA while everything goes on. Each step is written down in
// authoritiesFile before what follows from it is done, so that the same step, run
// again, finishes what a run before has begun:
//
//	add      a new root and intermediate; trust files get the new root beside the old
//	reissue  the new intermediate signs; all live leaves are renewed by it
//	remove   trust files lose the old root

// RollAdd begins a roll: it makes another root with an intermediate beside the CA that
// is there, and adds the root to the trust files, [TrustFile] in the CA's directory and
// those beside the certificates that it has issued. Until [RollReissue], the old CA goes
// on to sign. Those files have to reach everybody who trusts the old CA before that.
//
// Fields of Options that are zero are as the old CA has them; the name gets a number.
// Its Passphrase must open the old CA's keys, if they are encrypted, and encrypts the
// new ones. Once a roll has begun, RollAdd finishes its first step and makes no third CA.
func RollAdd(dir string, o Options) (Roll, error) {
	if _, err := o.canonical(); err != nil {
		return Roll{}, err
	}
	return change(dir, func(s *site) (CRLs, error) {
		phrase := onePhrase{ask: o.Passphrase}
		defer phrase.forget()
		if s.roles.Roll != nil {
			if err := s.sameRoll(o); err != nil {
				return noLists(), err
			}
		} else if err := s.beginRoll(o, phrase.once()); err != nil {
			return noLists(), err
		}
		return s.finishAdd(phrase.once())
	})
}

// change runs one step under the lock, and gives the status after it.
func change(dir string, step func(*site) (CRLs, error)) (Roll, error) {
	s, leave, err := enterSite(dir, true)
	if err != nil {
		return Roll{}, err
	}
	defer leave()
	lists, failed := step(s)
	st, err := s.rollStatus()
	st.Lists = lists
	if failed != nil {
		err = failed
	}
	return st, err
}

// beginRoll makes the new CA and writes down that it is there.
func (s *site) beginRoll(o Options, ask func() ([]byte, error)) error {
	old := s.issuing()
	// A wrong passphrase would leave two CAs with two passphrases.
	if _, err := s.keyOfAuthority(old, ask); err != nil {
		return err
	}
	o, err := s.asBefore(o).canonical()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(s.roots(), func(r *x509.Certificate) bool { return r.Subject.CommonName == o.Name+" root" }) {
		return asRequest(mend(reasonf("name %q is that of a CA that is here already: the two could be taken for each other", o.Name), "choose another one"))
	}
	made, err := newCA(o)
	if err != nil {
		return err
	}
	next, err := s.writeAuthority(s.nextNumber(), made, ask)
	if err != nil {
		return err
	}
	s.adopt(next)
	s.roles.Roll = &rolling{From: old.number, To: next.number, Step: RollAdded}
	return s.saveRoles()
}

// sameRoll refuses what the new CA, which is there already, does not have.
func (s *site) sameRoll(asked Options) error {
	next := s.authority(s.roles.Roll.To)
	o, err := asked.canonical()
	switch {
	case err != nil:
		return err
	case asked.Name != "" && next.root.Subject.CommonName != o.Name+" root",
		asked.KeyType != "" && keyTypeOf(next.intermediate.PublicKey) != o.KeyType,
		len(asked.Permit) > 0 && !sameSet(permitted(next.root), o.Permit):
		return asRequest(mend(reasonf("the CA is being rolled already, to %s, which is not what was asked for", next.root.Subject), "finish that roll: mkcerts ca roll"))
	}
	return nil
}

// asBefore fills in what the old CA has.
func (s *site) asBefore(o Options) Options {
	old := s.issuing()
	if o.KeyType == "" {
		o.KeyType = keyTypeOf(old.intermediate.PublicKey)
	}
	if len(o.Permit) == 0 {
		o.Permit = permitted(old.root)
	}
	if o.Name == "" {
		o.Name = nextName(caName(old.root))
	}
	return o
}

// nextName counts: two roots with one name could be taken for each other.
func nextName(name string) string {
	n := 2
	if i := strings.LastIndexByte(name, ' '); i > 0 {
		last, err := strconv.Atoi(name[i+1:])
		if err == nil && last >= 2 && len(name)-i <= len(" 999") && name[i+1] != '0' { // else it is of the name itself
			name, n = name[:i], last+1
		}
	}
	number := " " + strconv.Itoa(n)
	return shortened(name, maxCAName-len(number)) + number
}

// finishAdd brings the new root to the trust files, and its intermediate's list to
// where lists are.
func (s *site) finishAdd(ask func() ([]byte, error)) (CRLs, error) {
	if s.roles.Roll.Step == RollRemoving {
		return noLists(), &failure{Reason: fmt.Sprintf("the CA has been rolled to %s, and the old one is being removed", s.authority(s.roles.Roll.To).root.Subject), Fix: "finish that: mkcerts ca roll remove"}
	}
	if err := s.fixAllTrust(); err != nil {
		return noLists(), err
	}
	if s.isListed(s.authority(s.roles.Roll.To)) {
		return noLists(), nil
	}
	return s.refreshLists(ask)
}

// isAdded is an error while the first step of a roll is not done. The next one does not
// do it on the way: those who follow the files need time to take them up.
func (s *site) isAdded() error {
	next := s.authority(s.roles.Roll.To)
	undone := func(path, what string) error {
		return &failure{File: path, Reason: what, Fix: "mkcerts ca roll add; and once everybody has got the files, mkcerts ca roll reissue", Err: ErrInUse}
	}
	index, err := s.index()
	if err != nil {
		return err
	}
	files, err := s.trustFiles(index)
	if err != nil {
		return err
	}
	for _, f := range files {
		if !f.holds([]*x509.Certificate{next.root}) {
			return undone(f.path, "it does not hold the new root yet")
		}
	}
	if !s.isListed(next) {
		return undone(filepath.Join(s.dir, CRLFile), "it has no list of the new intermediate yet")
	}
	return nil
}

// isListed reports whether an authority's intermediate has a list, or needs none since
// the CA publishes none.
func (s *site) isListed(a *authorityCerts) bool {
	path := filepath.Join(s.dir, CRLFile)
	lists, _ := readLists(path) // a damaged file is written anew
	return !exists(path) || slices.ContainsFunc(lists, func(l *x509.RevocationList) bool { return l.CheckSignatureFrom(a.intermediate) == nil })
}

// RollReissue has the new CA sign from now on, and renews all live certificates that
// hang on the old one, as [RenewLeaves] does. It refuses while a trust file that we know
// of lacks the new root, with an error that wraps ErrInUse: then [RollAdd] was cut short.
// Run again, it goes on with those that are
// left: because a run was cut short, or because something was wrong with them, which
// the error says.
//
// Certificates whose files are not at their place, because they were copied elsewhere
// and removed, cannot be renewed here; [RollStatus] lists them as hanging.
func RollReissue(dir string, o RenewOptions) ([]Result, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	phrase := onePhrase{ask: o.Passphrase}
	defer phrase.forget()
	o.Passphrase = phrase.once()
	r := renewing{dir: dir, o: o, which: hangs}
	r.begin = func(s *site) error {
		roll := s.roles.Roll
		switch {
		case roll == nil:
			return noRoll()
		case roll.Step == RollRemoving || o.DryRun:
			return nil
		}
		if err := s.isAdded(); err != nil {
			return err
		}
		if roll.Step == RollReissuing && s.roles.Issuing == roll.To {
			return nil
		}
		// From here on, whatever is issued is by the new one.
		roll.Step, s.roles.Issuing = RollReissuing, roll.To
		return s.saveRoles()
	}
	return r.run()
}

func noRoll() error {
	return &failure{Reason: "the CA is not being rolled", Fix: "begin with: mkcerts ca roll add", Err: ErrUnknown}
}

// hangs reports whether a certificate in use hangs on the CA that is being left.
func hangs(s *site, e Entry) bool {
	of := s.issuerOf(e.Issuer)
	return of != nil && of.root.Equal(s.authority(s.roles.Roll.From).root) && (e.State == StateLive || e.State == StateCut)
}

// RemoveOptions say how RollRemove goes about it. The zero value is good.
type RemoveOptions struct {
	// Force removes the old CA although certificates in use hang on it: nobody accepts
	// them any more.
	Force bool
	// DryRun writes nothing; the status says what would be cut.
	DryRun bool
}

// RollRemove ends a roll: it takes the old root out of the trust files, which hold the
// new one only. It refuses, with an error that wraps ErrInUse, while certificates in use
// hang on the old CA. Run again, it finishes what was cut short; without a roll there is
// nothing to do.
//
// The old CA's keys stay where they are: they sign the lists of what it has issued. The
// status is that of before the removal.
func RollRemove(dir string, o RemoveOptions) (Roll, error) {
	if o.DryRun {
		return RollStatus(dir)
	}
	var before Roll
	_, err := change(dir, func(s *site) (CRLs, error) {
		var err error
		if before, err = s.rollStatus(); err != nil || s.roles.Roll == nil {
			return noLists(), err
		}
		return noLists(), s.endRoll(before, o.Force)
	})
	return before, err
}

func (s *site) endRoll(st Roll, force bool) error {
	roll := s.roles.Roll
	if roll.Step != RollRemoving {
		if n := len(st.Hanging); n > 0 && !force {
			return &failure{Reason: fmt.Sprintf("%s by %s in use: %s", counted(n, "certificate"), st.Old.Subject, namesOf(st.Hanging)),
				Fix: "renew what is there: mkcerts ca roll reissue; see all: mkcerts ca roll status; cut them off: --force", Err: ErrInUse}
		}
		roll.Step, s.roles.Issuing = RollRemoving, roll.To
		if err := s.saveRoles(); err != nil {
			return err
		}
	}
	if err := s.fixAllTrust(); err != nil {
		return err
	}
	s.roles.Roll = nil
	return s.saveRoles()
}

// namesOf lists certificates for a message, the first few.
func namesOf(all []Entry) string {
	const few = 5
	var names []string
	for _, e := range all[:min(len(all), few)] {
		names = append(names, fmt.Sprintf("%s (%s)", e.Name, e.File))
	}
	if more := len(all) - few; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
