package ocsp

import (
	"bytes"
	"crypto"
	_ "crypto/sha1" // of names and keys in questions and answers, where nothing hangs on it
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	xocsp "golang.org/x/crypto/ocsp"
)

const (
	// maxSkew is how far the responder's clock may be ahead of ours.
	maxSkew = 5 * time.Minute
	// freshFor is how long an answer without nextUpdate counts. Such a responder says
	// that it always knows the newest (RFC 6960, section 2.4), but whoever has
	// recorded its answer may send it again.
	freshFor = 10 * time.Minute
)

// judge reads a response and decides whether it counts as an answer about cert.
func judge(response []byte, cert, issuer *x509.Certificate, now time.Time) (*answer, error) {
	// The signature is ours to check: ParseResponseForCert would take any certificate
	// of the issuer for a responder's, and not the issuer's own if it was sent along.
	r, err := xocsp.ParseResponseForCert(response, cert, nil)
	if err != nil {
		return nil, fmt.Errorf("response does not parse, or is an error: %w", err)
	}
	if err := checkSigner(r, issuer, now); err != nil {
		return nil, err
	}
	if err := checkSubject(r, cert, issuer); err != nil {
		return nil, err
	}
	switch r.Status {
	case xocsp.Revoked:
		// At whatever time it was said: who was revoked stays so.
		return &answer{revoked: &revoked{at: r.RevokedAt, reason: r.RevocationReason, notAfter: cert.NotAfter}}, nil
	case xocsp.Good:
	default:
		return nil, errors.New("says that it does not know the certificate")
	}
	until := r.NextUpdate
	if until.IsZero() {
		until = r.ThisUpdate.Add(freshFor)
	}
	switch {
	case now.Add(maxSkew).Before(r.ThisUpdate):
		return nil, fmt.Errorf("answer is from the future, %s: compare the clocks", day(r.ThisUpdate))
	case now.After(until):
		return nil, fmt.Errorf("answer is of %s and was good until %s", day(r.ThisUpdate), day(until))
	}
	return &answer{until: until}, nil
}

// checkSigner checks that the authority has signed the response, or a responder that
// it has appointed (RFC 6960, section 4.2.2.2).
func checkSigner(r *xocsp.Response, issuer *x509.Certificate, now time.Time) error {
	by := r.Certificate
	if by == nil {
		if err := r.CheckSignatureFrom(issuer); err != nil {
			return fmt.Errorf("response is not signed by %s: %w", subject(issuer), err)
		}
		return nil
	}
	// ParseResponseForCert has checked that the response is signed by this one. It may
	// be the authority itself, also by another certificate for its key.
	if bytes.Equal(by.RawSubjectPublicKeyInfo, issuer.RawSubjectPublicKeyInfo) {
		return nil
	}
	switch err := issuer.CheckSignature(by.SignatureAlgorithm, by.RawTBSCertificate, by.Signature); {
	case !bytes.Equal(by.RawIssuer, issuer.RawSubject) || err != nil:
		return fmt.Errorf("response is signed by %s, which %s has not issued", subject(by), subject(issuer))
	case !slices.Contains(by.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return fmt.Errorf("response is signed by %s, which may not answer for its authority (no extended key usage OCSPSigning)", subject(by))
	case by.KeyUsage != 0 && by.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return fmt.Errorf("response is signed by %s, which may not sign (key usage)", subject(by))
	case now.Before(by.NotBefore) || now.After(by.NotAfter):
		return fmt.Errorf("response is signed by %s, which is valid from %s to %s only", subject(by), day(by.NotBefore), day(by.NotAfter))
	}
	return nil
}

// checkSubject checks that the answer is about a certificate of this authority: two
// may have given out the same number. ParseResponseForCert compares numbers only, and
// takes the first that fits; so do we.
func checkSubject(r *xocsp.Response, cert, issuer *x509.Certificate) error {
	id, err := certID(r.TBSResponseData, cert.SerialNumber)
	if err != nil {
		return err
	}
	h, ok := hashes[id.HashAlgorithm.Algorithm.String()]
	if !ok {
		return errors.New("answer names the authority by an unknown hash")
	}
	var spki struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(issuer.RawSubjectPublicKeyInfo, &spki); err != nil {
		return fmt.Errorf("key of %s: %w", subject(issuer), err)
	}
	sum := func(data []byte) []byte {
		hash := h.New()
		hash.Write(data)
		return hash.Sum(nil)
	}
	if !bytes.Equal(id.NameHash, sum(issuer.RawSubject)) || !bytes.Equal(id.KeyHash, sum(spki.Key.RightAlign())) {
		return errors.New("answer is about a certificate of another authority with the same serial number")
	}
	return nil
}

// hashes by which an authority may be named.
var hashes = map[string]crypto.Hash{
	"1.3.14.3.2.26":          crypto.SHA1,
	"2.16.840.1.101.3.4.2.1": crypto.SHA256,
	"2.16.840.1.101.3.4.2.2": crypto.SHA384,
	"2.16.840.1.101.3.4.2.3": crypto.SHA512,
}

// subjectID is CertID of RFC 6960, section 4.1.1.
type subjectID struct {
	HashAlgorithm pkix.AlgorithmIdentifier
	NameHash      []byte
	KeyHash       []byte
	Serial        *big.Int
}

// certID finds the first answer for a number in ResponseData (RFC 6960, section
// 4.2.1), whose fields before the list of answers are not sequences.
func certID(data []byte, serial *big.Int) (id subjectID, err error) {
	damaged := errors.New("response cannot be read")
	var all asn1.RawValue
	if rest, err := asn1.Unmarshal(data, &all); err != nil || len(rest) > 0 {
		return id, damaged
	}
	for rest := all.Bytes; len(rest) > 0; {
		var field asn1.RawValue
		if rest, err = asn1.Unmarshal(rest, &field); err != nil {
			return id, damaged
		}
		if field.Class != asn1.ClassUniversal || field.Tag != asn1.TagSequence {
			continue
		}
		for answers := field.Bytes; len(answers) > 0; {
			var single asn1.RawValue
			if answers, err = asn1.Unmarshal(answers, &single); err != nil {
				return id, damaged
			}
			if _, err := asn1.Unmarshal(single.Bytes, &id); err != nil {
				return id, damaged
			}
			if id.Serial.Cmp(serial) == 0 {
				return id, nil
			}
		}
		break
	}
	return id, damaged
}
