package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"strings"
)

// wanted is what a file should hold.
type wanted int

const (
	wantCertificate wanted = iota
	wantKey
	wantCRL
)

func (w wanted) String() string {
	switch w {
	case wantKey:
		return "private key"
	case wantCRL:
		return "revocation list"
	}
	return "certificate"
}

func (w wanted) label() string {
	switch w {
	case wantKey:
		return "PRIVATE KEY"
	case wantCRL:
		return "X509 CRL"
	}
	return "CERTIFICATE"
}

// limit is how long a file may be.
func (w wanted) limit() int {
	if w == wantCRL {
		return maxList
	}
	return maxFile
}

// notText refuses what cannot be PEM at all, by what it seems to be.
func notText(data []byte, want wanted) *Error {
	switch {
	case len(data) > want.limit():
		return reasonf("is larger than %d KiB, want a %s in PEM form", want.limit()>>10, want)
	case len(bytes.TrimSpace(data)) == 0:
		return reasonf("is empty, want a %s in PEM form", want)
	case bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")):
		return reasonf("is UTF-16 text, want plain ASCII").fix("PowerShell's > writes this: use Set-Content -Encoding ascii")
	}
	if e := isDER(data, want); e != nil {
		return e
	}
	if bytes.IndexByte(data, 0) >= 0 {
		return reasonf("is binary data, want a %s in PEM form", want)
	}
	return nil
}

// isDER refuses a file that is one ASN.1 sequence. A text that begins with "0", as
// such a sequence does, is none.
func isDER(data []byte, want wanted) *Error {
	var seq asn1.RawValue
	if rest, err := asn1.Unmarshal(data, &seq); err != nil || seq.Tag != asn1.TagSequence || len(bytes.TrimSpace(rest)) > 0 {
		return nil
	}
	if _, err := x509.ParseCertificate(data); err == nil {
		if want == wantKey {
			return reasonf("holds a certificate in DER form, want a private key in PEM form").fix("give the key's file")
		}
		if want == wantCRL {
			return reasonf("holds a certificate in DER form, want a revocation list")
		}
		return reasonf("is DER, want PEM").fix("convert it: openssl x509 -inform DER -in FILE -out NEW.crt")
	}
	var version int
	rest, err := asn1.Unmarshal(seq.Bytes, &version)
	if err == nil && version == 3 { // RFC 7292, section 4: PFX ::= SEQUENCE { version INTEGER {v3(3)}, ...
		var contents asn1.RawValue
		if _, err := asn1.Unmarshal(rest, &contents); err == nil && contents.Tag == asn1.TagSequence {
			return reasonf("is a PKCS#12 bundle, want PEM").
				fix("split it: (umask 077; openssl pkcs12 -in FILE -nodes -nocerts -out NEW.key; openssl pkcs12 -in FILE -nokeys -out NEW.crt)")
		}
	}
	if want == wantKey {
		return reasonf("is DER, want PEM").fix("convert it: (umask 077; openssl pkey -inform DER -in FILE -out NEW.key)")
	}
	return reasonf("is binary (ASN.1), but not a %s; want a %s in PEM form", want, want)
}

// wrongLabel explains a block of another type than wanted.
func wrongLabel(b pemBlock, want wanted) *Error {
	isKey := strings.HasSuffix(b.label, "PRIVATE KEY")
	switch {
	case want == wantCertificate && isKey:
		return reasonf("line %d: holds a private key, want certificates only", b.line).
			fix("keep the key in a file of its own with mode 0600, and check that the two file names are not swapped")
	case want == wantCRL && isKey:
		return reasonf("line %d: holds a private key, want revocation lists only", b.line).
			fix("keep the key in a file of its own with mode 0600, and check that the file names are not swapped")
	case want == wantKey && strings.HasSuffix(b.label, "CERTIFICATE"):
		return reasonf("line %d: holds a certificate, want a private key only", b.line).
			fix("keep the certificate in a file of its own, and check that the two file names are not swapped")
	}
	at := reasonf("line %d: holds %s, want %s", b.line, short(b.label), want)
	if want == wantCRL {
		return at
	}
	switch b.label {
	case "ENCRYPTED PRIVATE KEY":
		return reasonf("line %d: private key is encrypted with a passphrase; a program that starts unattended cannot ask for it", b.line).
			fix("take the passphrase off, into a new file that only its user can read: (umask 077; openssl pkey -in FILE -out NEW.key)")
	case "OPENSSH PRIVATE KEY":
		return reasonf("line %d: private key is in OpenSSH's own format, want PKCS#8", b.line).
			fix("convert a copy in place: cp -p FILE NEW.key && ssh-keygen -p -m PKCS8 -f NEW.key")
	case "DSA PRIVATE KEY":
		return reasonf("line %d: DSA keys are not supported, want ECDSA, Ed25519 or RSA", b.line)
	case "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST":
		return reasonf("line %d: holds a certificate request, want %s", b.line, want).fix("have an authority sign it first")
	case "TRUSTED CERTIFICATE":
		return reasonf("line %d: holds a certificate in OpenSSL's own TRUSTED form, want CERTIFICATE", b.line).
			fix("convert it: openssl x509 -in FILE -out NEW.crt")
	case "PKCS7", "CMS":
		return reasonf("line %d: holds a PKCS#7 bundle, want CERTIFICATE blocks", b.line).
			fix("convert it: openssl pkcs7 -in FILE -print_certs -out NEW.crt")
	case "PUBLIC KEY", "RSA PUBLIC KEY":
		return reasonf("line %d: holds a public key, want a %s", b.line, want)
	case "EC PARAMETERS":
		return reasonf("line %d: holds EC parameters, want a %s", b.line, want)
	case "X509 CRL":
		return reasonf("line %d: holds a revocation list, want a %s", b.line, want)
	}
	return at
}

// Object identifiers of keys: RFC 3279 (RSA, EC, DSA) and RFC 8410 (the rest).
var (
	oidRSA     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidEC      = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidEd25519 = asn1.ObjectIdentifier{1, 3, 101, 112}
)

var otherKeys = map[string]string{
	"1.2.840.10040.4.1":       "DSA",
	"1.2.840.113549.1.1.10":   "RSA-PSS",
	"1.2.840.113549.1.3.1":    "Diffie-Hellman",
	"1.3.101.110":             "X25519, which cannot sign",
	"1.3.101.111":             "X448, which cannot sign",
	"1.3.101.113":             "Ed448",
	"2.16.840.1.101.3.4.3.17": "ML-DSA-44",
	"2.16.840.1.101.3.4.3.18": "ML-DSA-65",
	"2.16.840.1.101.3.4.3.19": "ML-DSA-87",
}

func knownKey(oid asn1.ObjectIdentifier) bool {
	return oid.Equal(oidRSA) || oid.Equal(oidEC) || oid.Equal(oidEd25519)
}

func unsupportedKey(b pemBlock, oid asn1.ObjectIdentifier) *Error {
	name, ok := otherKeys[oid.String()]
	if !ok {
		name = "of unknown kind " + oid.String()
	}
	return reasonf("line %d: private key is %s, want ECDSA (P-256, P-384, P-521), Ed25519 or RSA", b.line, name).
		fix(wayToKey)
}
