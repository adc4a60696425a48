package ca

import (
	"crypto/x509"
	"time"
)

// RollStep says how far a roll from one CA to another has come.
type RollStep string

// The steps.
const (
	RollNone      RollStep = "none"      // there is one CA, and no other
	RollAdded     RollStep = "added"     // peers are to trust both; the old one signs
	RollReissuing RollStep = "reissuing" // the new one signs
	RollRemoving  RollStep = "removing"  // the old one is being taken out of the trust files
)

// Roll is where a roll from one CA to another stands.
type Roll struct {
	Step RollStep `json:"step"`
	Old  Root     `json:"old"` // empty when there is no roll
	New  Root     `json:"new"` // the only one when there is no roll
	// Hanging are certificates in use that the old CA has signed: once it is removed,
	// nobody accepts them. Renewed are those whose files hold another one by now; a copy
	// may be in use somewhere. Neither has those that were revoked or have expired.
	Hanging []Entry `json:"hanging"`
	Renewed []Entry `json:"renewed"`
	// TrustFiles are those that we know of: the CA's own, and those beside certificates.
	TrustFiles []TrustStatus `json:"trust_files"`
	// Lists are the revocation lists, if the step has written any.
	Lists CRLs `json:"lists"`
}

// Root is a root's certificate for people.
type Root struct {
	Subject  string    `json:"subject,omitempty"`
	KeyID    string    `json:"key_id,omitempty"` // hexadecimal
	NotAfter time.Time `json:"not_after,omitzero"`
	Cert     string    `json:"cert,omitempty"` // path
	Key      string    `json:"key,omitempty"`  // path, whether or not it is there
}

// TrustStatus is which of the two roots a trust file holds.
type TrustStatus struct {
	File string `json:"file"`
	Old  bool   `json:"old"`
	New  bool   `json:"new"`
}

// RollStatus says where a roll stands. It writes nothing.
func RollStatus(dir string) (Roll, error) {
	s, err := openSite(dir)
	if err != nil {
		return Roll{}, err
	}
	return s.rollStatus()
}

func (s *site) rollStatus() (Roll, error) {
	st := Roll{Step: RollNone, New: s.rootOf(s.issuing()), Hanging: []Entry{}, Renewed: []Entry{}, TrustFiles: []TrustStatus{}, Lists: noLists()}
	index, err := s.index()
	if err != nil {
		return st, err
	}
	files, err := s.trustFiles(index)
	if err != nil {
		return st, err
	}
	var from, to *x509.Certificate
	if roll := s.roles.Roll; roll != nil {
		old, next := s.authority(roll.From), s.authority(roll.To)
		from, to = old.root, next.root
		st.Step, st.Old, st.New = roll.Step, s.rootOf(old), s.rootOf(next)
	} else {
		to = s.issuing().root
	}
	for _, f := range files {
		st.TrustFiles = append(st.TrustFiles, TrustStatus{f.path, from != nil && f.holds([]*x509.Certificate{from}), f.holds([]*x509.Certificate{to})})
	}
	p := placesOf(index)
	for _, l := range index {
		switch of := s.issuerOf(l.Issuer); {
		case from == nil || of == nil || !of.root.Equal(from):
		case l.State == StateRenewed, l.State == StateCut && !p.holds(l.Entry):
			st.Renewed = append(st.Renewed, l.Entry)
		case l.State == StateLive, l.State == StateCut:
			st.Hanging = append(st.Hanging, l.Entry)
		}
	}
	return st, nil
}

func noLists() CRLs { return CRLs{Lists: []CRL{}, Warnings: []string{}} }

func (s *site) rootOf(a *authorityCerts) Root {
	return Root{
		Subject: a.root.Subject.String(), KeyID: issuerID(a.root), NotAfter: a.root.NotAfter.UTC(), Cert: a.path(rootCert), Key: s.rootKeyOf(a.root),
	}
}
