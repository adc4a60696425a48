package certs_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
)

// Identifiers of extensions, RFC 5280.
var (
	idCRLNumber  = asn1.ObjectIdentifier{2, 5, 29, 20}
	idDelta      = asn1.ObjectIdentifier{2, 5, 29, 27}
	idPoint      = asn1.ObjectIdentifier{2, 5, 29, 28}
	idCertIssuer = asn1.ObjectIdentifier{2, 5, 29, 29}
	idUnknown    = asn1.ObjectIdentifier{1, 2, 3, 4, 5}
)

// crafted signs a list that crypto/x509 would not make.
func crafted(t testing.TB, ca *testca.CA, version int, nextUpdate bool, extensions []pkix.Extension) []byte {
	t.Helper()
	type algorithm struct{ ID asn1.ObjectIdentifier }
	ecdsaSHA256 := algorithm{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}}
	now := time.Now().UTC().Truncate(time.Second)
	type list struct {
		Version    int `asn1:"optional,default:0"`
		Algorithm  algorithm
		Issuer     asn1.RawValue
		ThisUpdate time.Time
		NextUpdate time.Time        `asn1:"optional"`
		Extensions []pkix.Extension `asn1:"tag:0,optional,explicit"`
	}
	tbs := list{Version: version, Algorithm: ecdsaSHA256, Issuer: asn1.RawValue{FullBytes: ca.IntermediateCert().RawSubject}, ThisUpdate: now, Extensions: extensions}
	if nextUpdate {
		tbs.NextUpdate = now.Add(time.Hour)
	}
	body, err := asn1.Marshal(tbs)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(body)
	signature, err := ecdsa.SignASN1(rand.Reader, ca.IntermediateKey().(*ecdsa.PrivateKey), sum[:])
	if err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(struct {
		TBS       asn1.RawValue
		Algorithm algorithm
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: body}, ecdsaSHA256, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func extension(t testing.TB, id asn1.ObjectIdentifier, critical bool, value any) pkix.Extension {
	t.Helper()
	der, ok := value.([]byte)
	if !ok {
		var err error
		if der, err = asn1.Marshal(value); err != nil {
			t.Fatal(err)
		}
	}
	return pkix.Extension{Id: id, Critical: critical, Value: der}
}

// tlv is one DER item with a context-specific tag, constructed or not.
func tlv(t testing.TB, tag int, constructed bool, content ...[]byte) []byte {
	t.Helper()
	der, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: constructed, Bytes: bytes.Join(content, nil)})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// point is an issuing distribution point of these fields.
func point(t testing.TB, fields ...[]byte) pkix.Extension {
	t.Helper()
	der, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: bytes.Join(fields, nil)})
	if err != nil {
		t.Fatal(err)
	}
	return extension(t, idPoint, true, der)
}

// pointURI is the field with the place where the list is published.
func pointURI(t testing.TB, uris ...string) []byte {
	var names [][]byte
	for _, u := range uris {
		names = append(names, tlv(t, 6, false, []byte(u)))
	}
	return tlv(t, 0, true, tlv(t, 0, true, names...))
}

var yes = []byte{0xff}

func TestParseCRLs(t *testing.T) {
	ca := testca.New(t)
	one, two := ca.CRL(t, testca.List{Number: 1}), ca.CRL(t, testca.List{Number: 2, ByRoot: true})
	text := string(testca.CRLPEM(one, two))
	for name, c := range map[string]struct {
		data string
		n    int
	}{
		"DER":             {string(one), 1},
		"PEM":             {string(testca.CRLPEM(one)), 1},
		"two":             {text, 2},
		"Windows lines":   {strings.ReplaceAll(text, "\n", "\r\n"), 2},
		"text before":     {"Certificate Revocation List (CRL):\n    Version 2\n" + text, 2},
		"byte order mark": {"\xef\xbb\xbf" + text, 2},
	} {
		if all, err := certs.ParseCRLs([]byte(c.data)); err != nil || len(all) != c.n {
			t.Errorf("%s: %d lists, %v", name, len(all), err)
		}
	}
}

// TestCRLsThatAreRefused says for each why.
func TestCRLsThatAreRefused(t *testing.T) {
	ca := testca.New(t)
	pair := ca.Server(t, "bank.example")
	good := ca.CRL(t, testca.List{Number: 1})
	with := func(x ...pkix.Extension) []byte {
		return ca.CRL(t, testca.List{Number: 1, Modify: func(l *x509.RevocationList) { l.ExtraExtensions = x }})
	}
	entry := func(x ...pkix.Extension) []byte {
		return ca.CRL(t, testca.List{Number: 1, Entries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(0x1f2a), RevocationTime: time.Now(), ExtraExtensions: x}}})
	}
	number := func(n int64) pkix.Extension { return extension(t, idCRLNumber, false, big.NewInt(n)) }
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "is empty"},
		{"no PEM", []byte("revoked: none\n"), "holds no PEM block, want -----BEGIN X509 CRL-----"},
		{"cut off", testca.CRLPEM(good)[:100], "cut off"},
		{"cut off DER", good[:len(good)-5], "is binary data"},
		{"more behind DER", append(bytes.Clone(good), 0, 1), "is binary"},
		{"two in DER", append(bytes.Clone(good), good...), "is binary"},
		{"certificate", pair.CertPEM(), "holds CERTIFICATE, want revocation list"},
		{"certificate in DER", pair.Chain[0].Raw, "holds a certificate, want a revocation list"},
		{"certificate under the wrong label", []byte(block("X509 CRL", pair.Chain[0].Raw)), "holds a certificate, want a revocation list"},
		{"private key", pair.KeyPEM(), "holds a private key, want revocation lists only"},
		{"other ASN.1", []byte{0x30, 3, 2, 1, 5}, "does not parse"},
		{"version 1", crafted(t, ca, 0, true, nil), "is not of version 2"},
		{"no number", crafted(t, ca, 1, true, nil), "has no number (RFC 5280, section 5.2.3)"},
		{"negative number", crafted(t, ca, 1, true, []pkix.Extension{number(-1)}), "has the number -1"},
		{"huge number", crafted(t, ca, 1, true, []pkix.Extension{extension(t, idCRLNumber, false, new(big.Int).Lsh(big.NewInt(1), 200))}), "at most 20 bytes"},
		{"two numbers", crafted(t, ca, 1, true, []pkix.Extension{number(1), number(2)}), "has the extension 2.5.29.20 twice"},
		{"delta", with(extension(t, idDelta, true, big.NewInt(1))), "is a delta list"},
		{"delta that is not critical", with(extension(t, idDelta, false, big.NewInt(1))), "is a delta list"},
		{"unknown critical extension", with(extension(t, idUnknown, true, 1)), "has the critical extension 1.2.3.4.5"},
		{"unknown critical extension of an entry", entry(extension(t, idUnknown, true, 1)), "has, at serial number 1f2a, the critical extension 1.2.3.4.5"},
		{"entry of another authority", entry(extension(t, idCertIssuer, true, 1)), "is an indirect list: the entry for serial number 1f2a"},
		{"indirect", with(point(t, tlv(t, 4, false, yes))), "is an indirect list"},
		{"some reasons", with(point(t, tlv(t, 3, false, []byte{1, 2}))), "is for some reasons only"},
		{"attribute certificates", with(point(t, tlv(t, 5, false, yes))), "is for attribute certificates only"},
		{"relative distribution point", with(point(t, tlv(t, 0, true, tlv(t, 1, true)))), "not given by URI"},
		{"distribution point by name", with(point(t, tlv(t, 0, true, tlv(t, 0, true, tlv(t, 4, true))))), "not given by URI"},
		{"both kinds", with(point(t, tlv(t, 1, false, yes), tlv(t, 2, false, yes))), "cannot be read"},
		{"fields out of order", with(point(t, tlv(t, 2, false, yes), tlv(t, 1, false, yes))), "cannot be read"},
		{"truth of another kind", with(point(t, tlv(t, 1, false, []byte{1}))), "cannot be read"},
		{"unknown field", with(point(t, tlv(t, 6, false, yes))), "cannot be read"},
		{"damaged distribution point", with(extension(t, idPoint, true, []byte{0x30, 5, 0})), "cannot be read"},
	} {
		all, err := certs.ParseCRLs(c.data)
		if err == nil || len(all) > 0 || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "certs: ") {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	// What is unknown but not critical may be passed over.
	for name, data := range map[string][]byte{"list": with(extension(t, idUnknown, false, 1)), "entry": entry(extension(t, idUnknown, false, 1))} {
		if _, err := certs.ParseCRLs(data); err != nil {
			t.Errorf("unknown extension of a %s: %v", name, err)
		}
	}
}

// FuzzParseCRLs: what cannot be used has an error to show, and only what the authority
// has signed vouches for anyone or revokes anyone.
func FuzzParseCRLs(f *testing.F) {
	ca := testca.New(f)
	leaf := ca.Client(f, "alice@a.example")
	lists := [][]byte{
		ca.CRL(f, testca.List{Number: 7, Revoked: leaf.Chain[:1]}),
		ca.CRL(f, testca.List{Modify: func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{point(f, pointURI(f, "http://a/1"))}
		}}),
		ca.CRL(f, testca.List{Number: 8}),
		crafted(f, ca, 1, false, []pkix.Extension{extension(f, idCRLNumber, false, big.NewInt(3))}),
	}
	var signed [][]byte
	for _, der := range lists {
		l, err := x509.ParseRevocationList(der)
		if err != nil {
			f.Fatal(err)
		}
		signed = append(signed, l.RawTBSRevocationList)
		f.Add(der)
	}
	f.Add(testca.CRLPEM(lists...))
	chain := append(leaf.Chain, ca.RootCert())
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := certs.ParseCRLs(data)
		if err != nil {
			if len(all) > 0 || len(err.Error()) > 4096 || strings.ContainsAny(err.Error(), "\n\x00\x1b") {
				t.Errorf("%d lists with error %q", len(all), err)
			}
			return
		}
		r, err := certs.NewRevocations(certs.RevocationConfig{CRLs: all, MaxAge: time.Hour})
		if err != nil || bytes.HasPrefix(data, []byte("---")) {
			return
		}
		d := r.Check(chain, time.Now())
		if (d == nil || strings.Contains(d.Got, "was revoked on")) && !slices.ContainsFunc(signed, func(tbs []byte) bool { return bytes.Contains(data, tbs) }) {
			t.Errorf("a list that the authority has not signed gives %v", d)
		}
	})
}
