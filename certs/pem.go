package certs

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"strings"
)

// maxFile bounds what is read and parsed. A chain with RSA-4096 keys takes some
// 8 KiB, a file with all authorities of a large company some 100 KiB.
const maxFile = 1 << 20

// ParseCertificates reads the certificates of a PEM file in their order. It is
// stricter than encoding/pem, which skips what it cannot read: a damaged block,
// one of another type, or anything after the last block is an error. Text before
// and between the blocks is allowed (RFC 7468, section 5.2; openssl writes some).
func ParseCertificates(pem []byte) ([]*x509.Certificate, error) {
	certs, e := parseCertificates(pem)
	if e != nil {
		return nil, e
	}
	return certs, nil
}

// ParseKey reads the one private key of a PEM file: PKCS#8 (PRIVATE KEY), SEC 1
// (EC PRIVATE KEY) or PKCS#1 (RSA PRIVATE KEY), not encrypted. A program that
// starts unattended would need the passphrase beside the key, which protects
// nothing, so encrypted keys are refused.
func ParseKey(pem []byte) (*PrivateKey, error) {
	key, e := parseKey(pem)
	if e != nil {
		return nil, e
	}
	return key, nil
}

func parseCertificates(data []byte) ([]*x509.Certificate, *Error) {
	blocks, e := scanPEM(data, wantCertificate)
	if e != nil {
		return nil, e
	}
	var certs []*x509.Certificate
	for i, b := range blocks {
		if b.label != "CERTIFICATE" {
			return nil, wrongLabel(b, wantCertificate)
		}
		if len(b.headers) > 0 {
			return nil, reasonf("line %d: a certificate block has no header lines", b.line)
		}
		der, e := b.decode()
		if e != nil {
			return nil, e
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			e := reasonf("line %d: certificate %d does not parse: %s", b.line, i+1, strings.TrimPrefix(err.Error(), "x509: "))
			e.Err = err
			return nil, e
		}
		certs = append(certs, c)
	}
	return certs, nil
}

func parseKey(data []byte) (*PrivateKey, *Error) {
	blocks, e := scanPEM(data, wantKey)
	if e != nil {
		return nil, e
	}
	var key *pemBlock
	for _, b := range blocks {
		switch b.label {
		case "EC PARAMETERS": // "openssl ecparam -genkey" puts the curve's name first; the key repeats it.
		case "PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY":
			if key != nil {
				return nil, reasonf("holds more than one private key, at lines %d and %d", key.line, b.line).fix("keep one key per file")
			}
			key = &b
		default:
			return nil, wrongLabel(b, wantKey)
		}
	}
	if key == nil {
		return nil, reasonf("holds EC parameters but no private key").fix(wayToKey)
	}
	if len(key.headers) > 0 {
		for _, h := range key.headers {
			if strings.HasPrefix(h, "DEK-Info:") || strings.HasPrefix(h, "Proc-Type:") {
				return nil, reasonf("line %d: private key is encrypted in the old DEK-Info way, which is weak (its passphrase goes through MD5 once)", key.line).
					fix("take the passphrase off, into a new file that only its user can read: (umask 077; openssl pkey -in FILE -out NEW.key)")
			}
		}
		return nil, reasonf("line %d: a private key block has no header lines", key.line)
	}
	der, e := key.decode()
	if e != nil {
		return nil, e
	}
	signer, e := parseSigner(*key, der)
	if e != nil {
		return nil, e
	}
	k, err := NewPrivateKey(signer)
	if err != nil {
		return nil, err.(*Error)
	}
	return k, nil
}

// parseSigner reads the key itself. Texts of crypto/x509 about it are left out:
// what they would say of a damaged key is of no use, and what later versions
// might quote is not ours to foresee.
func parseSigner(b pemBlock, der []byte) (crypto.Signer, *Error) {
	var key any
	var err error
	switch b.label {
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(der)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(der)
	default:
		var info struct {
			Version   int
			Algorithm struct {
				OID    asn1.ObjectIdentifier
				Params asn1.RawValue `asn1:"optional"`
			}
			Key []byte
		}
		if _, e := asn1.Unmarshal(der, &info); e == nil && !knownKey(info.Algorithm.OID) {
			return nil, unsupportedKey(b, info.Algorithm.OID)
		}
		key, err = x509.ParsePKCS8PrivateKey(der)
	}
	if err != nil {
		if strings.Contains(err.Error(), "unknown elliptic curve") {
			return nil, reasonf("line %d: ECDSA key is on a curve that TLS does not use, want P-256, P-384 or P-521", b.line).fix(wayToKey)
		}
		return nil, reasonf("line %d: the block labelled %s does not hold a valid key of that kind", b.line, b.label).
			fix("see what it is: openssl pkey -in FILE -noout -text_pub")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, reasonf("line %d: key type %T cannot sign, want ECDSA, Ed25519 or RSA", b.line, key)
	}
	return signer, nil
}

// pemBlock is one block as it stands in the file, not yet decoded.
type pemBlock struct {
	label   string
	line    int // of BEGIN, counted from 1
	headers []string
	body    []string
}

// decode gives the bytes of a block, which must be exactly one DER item.
func (b pemBlock) decode() ([]byte, *Error) {
	text := strings.Join(b.body, "")
	if text == "" {
		return nil, reasonf("line %d: the %s block is empty", b.line, b.label)
	}
	der, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, reasonf("line %d: the %s block is not valid base64", b.line, b.label).fix("copy the file again, it is damaged")
	}
	var item asn1.RawValue
	rest, err := asn1.Unmarshal(der, &item)
	if err != nil || len(rest) > 0 {
		return nil, reasonf("line %d: the %s block does not hold exactly one ASN.1 item", b.line, b.label).fix("copy the file again, it is damaged")
	}
	return der, nil
}

const (
	pemBegin = "-----BEGIN "
	pemEnd   = "-----END "
	pemTail  = "-----"
)

// scanPEM splits a file into its blocks (RFC 7468, section 3).
func scanPEM(data []byte, want wanted) ([]pemBlock, *Error) {
	if e := notText(data, want); e != nil {
		return nil, e
	}
	var blocks []pemBlock
	var open *pemBlock
	stray := 0 // line of the first text after the last block
	text := string(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
	for i, line := range strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
		n, line := i+1, strings.TrimRight(line, " \t\r")
		begins := strings.HasPrefix(line, pemBegin) && strings.HasSuffix(line, pemTail) && strings.Count(line, pemTail) == 2
		marker := strings.Contains(line, "-----BEGIN") || strings.Contains(line, "-----END")
		switch {
		case open == nil && begins:
			open, stray = &pemBlock{label: line[len(pemBegin) : len(line)-len(pemTail)], line: n}, 0
		case open != nil && line == pemEnd+open.label+pemTail:
			blocks, open = append(blocks, *open), nil
		case open != nil && begins:
			return nil, reasonf("line %d: the %s block has no END line before line %d", open.line, short(open.label), n).fix("copy the file again, it is damaged")
		case marker:
			return nil, badMarker(line, n, open)
		case open != nil && strings.Contains(line, ":"):
			open.headers = append(open.headers, strings.TrimSpace(line))
		case open != nil:
			open.body = append(open.body, strings.TrimSpace(line))
		case stray == 0 && line != "":
			stray = n
		}
	}
	switch {
	case open != nil:
		return nil, reasonf("line %d: the %s block has no END line, the file is cut off", open.line, short(open.label)).fix("copy the file again")
	case len(blocks) == 0:
		return nil, reasonf("holds no PEM block, want -----BEGIN %s-----", want.label())
	case stray > 0:
		return nil, reasonf("line %d: there is text after the last PEM block", stray).fix("remove it, or copy the file again if it was cut off")
	}
	return blocks, nil
}

// badMarker explains a BEGIN or END that does not stand where it should.
func badMarker(line string, n int, open *pemBlock) *Error {
	switch trimmed := strings.TrimSpace(line); {
	case strings.Contains(line, "-----END") && strings.Contains(line, "-----BEGIN"):
		return reasonf("line %d: one block ends and the next begins on the same line", n).fix("put a line break between the files that were joined here")
	case trimmed != line && strings.HasPrefix(trimmed, "-----"):
		return reasonf("line %d: the block is indented", n).fix("remove the spaces before each line")
	case open != nil && strings.HasPrefix(line, pemEnd):
		return reasonf("line %d: the %s block that began at line %d ends under another name", n, short(open.label), open.line)
	case open == nil && strings.HasPrefix(line, pemEnd):
		return reasonf("line %d: a block ends that never began, the file's beginning is missing", n).fix("copy the file again")
	}
	return reasonf("line %d: a BEGIN or END line is damaged, want -----BEGIN NAME----- alone on its line", n)
}
