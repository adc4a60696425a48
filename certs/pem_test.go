package certs_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
)

func block(label string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
}

func TestParseCertificates(t *testing.T) {
	pair := testca.New(t).Server(t, "bank.example")
	chain := string(pair.CertPEM())
	for name, text := range map[string]string{
		"as written":       chain,
		"Windows lines":    strings.ReplaceAll(chain, "\n", "\r\n"),
		"byte order mark":  "\xef\xbb\xbf" + chain,
		"text before":      "Certificate:\n    Data: 0\n\n" + chain,
		"text between":     strings.ReplaceAll(chain, "-----BEGIN", "subject=CN = x\n-----BEGIN"),
		"no last newline":  strings.TrimSuffix(chain, "\n"),
		"blank lines":      "\n\n" + chain + "\n \n\t\n",
		"trailing spaces":  strings.ReplaceAll(chain, "\n", "  \n"),
		"zero as first":    "0 is how this text begins\n" + chain,
		"one line of body": oneLine(chain),
	} {
		got, err := certs.ParseCertificates([]byte(text))
		if err != nil || len(got) != 2 || !got[0].Equal(pair.Chain[0]) || !got[1].Equal(pair.Chain[1]) {
			t.Errorf("%s: got %d certificates, %v", name, len(got), err)
		}
	}
}

// oneLine joins the base64 of each block to one line.
func oneLine(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "-----END") {
			b.WriteString("\n")
		}
		if strings.HasPrefix(line, "-----") {
			b.WriteString(line)
		} else {
			b.WriteString(strings.TrimSpace(line))
		}
	}
	return b.String()
}

// broken is one way in which a PEM can be wrong, and words of the error for it.
type broken struct {
	name, text, want string
}

// everywhere are the ways that certificates and keys share.
func everywhere(good string) []broken {
	lines := strings.Split(strings.TrimSuffix(good, "\n"), "\n")
	with := func(i int, line string) string {
		changed := append([]string(nil), lines...)
		changed[i] = line
		return strings.Join(changed, "\n") + "\n"
	}
	last := len(lines) - 1
	wide := []byte("\xff\xfe")
	for _, u := range utf16.Encode([]rune(good)) {
		wide = append(wide, byte(u), byte(u>>8))
	}
	return []broken{
		{"empty", "", "is empty"},
		{"blank", " \n\t\n", "is empty"},
		{"text only", "hello\n", "holds no PEM block"},
		{"base64 only", strings.Join(lines[1:last], "\n"), "holds no PEM block"},
		{"UTF-16", string(wide), "is UTF-16 text"},
		{"binary", "\x7fELF\x00\x01", "is binary data"},
		{"too large", strings.Repeat("x", 1<<20+1), "is larger than 1024 KiB"},
		{"garbage base64", with(2, "!!!! not base64 !!!!"), "is not valid base64"},
		{"base64 cut", with(last-1, lines[last-1][:len(lines[last-1])-1]), "is not valid base64"},
		{"line lost", strings.Join(append(append([]string(nil), lines[:2]...), lines[3:]...), "\n"), "does not hold exactly one ASN.1 item"},
		{"no body", lines[0] + "\n" + lines[last] + "\n", "block is empty"},
		{"no end", strings.Join(lines[:last], "\n") + "\n", "has no END line, the file is cut off"},
		{"no beginning", strings.Join(lines[1:], "\n") + "\n", "a block ends that never began"},
		{"other end", with(last, "-----END OTHER-----"), "ends under another name"},
		{"damaged end", with(last, lines[last][:len(lines[last])-2]), "ends under another name"},
		{"damaged begin", with(0, lines[0][:len(lines[0])-2]), "a BEGIN or END line is damaged"},
		{"indented", "  " + strings.ReplaceAll(good, "\n", "\n  "), "the block is indented"},
		{"begin in block", strings.Join(lines[:last], "\n") + "\n" + good, "has no END line before line"},
		{"joined without newline", strings.TrimSuffix(good, "\n") + good, "put a line break between"},
		{"trailing garbage", good + "garbage\n", "text after the last PEM block"},
		{"header", lines[0] + "\nComment: x\n\n" + strings.Join(lines[1:], "\n") + "\n", "has no header lines"},
		{"NUL in text", "a\x00b\n" + good, "is binary data"},
		{"escape in label", "-----BEGIN A\x1b[31m-----\nAAAA\n-----END A\x1b[31m-----\n", `"A\x1b[31m"`},
	}
}

func checkBroken(t *testing.T, all []broken, parse func([]byte) error) {
	t.Helper()
	for _, b := range all {
		err := parse([]byte(b.text))
		var e *certs.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), b.want) {
			t.Errorf("%s: got error %v, want one with %q", b.name, err, b.want)
			continue
		}
		if !strings.HasPrefix(err.Error(), "certs: ") || strings.Count(err.Error(), "certs: ") != 1 || strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("%s: error reads %q", b.name, err)
		}
	}
}

func TestParseCertificatesRefuses(t *testing.T) {
	ca := testca.New(t)
	pair := ca.Server(t, "bank.example")
	leaf := pair.Chain[0]
	good := block("CERTIFICATE", leaf.Raw)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"a.example"}}, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(leaf.Raw)
	damaged[5] ^= 0x1f
	checkBroken(t, append(everywhere(good), []broken{
		{"DER", string(leaf.Raw), "openssl x509 -inform DER -in FILE"},
		{"PKCS#12", "\x30\x0a\x02\x01\x03\x30\x05\x06\x03\x2a\x03\x04", "is a PKCS#12 bundle"},
		{"key in DER", string(keyDER(t, pair.Key)), "is binary (ASN.1), but not a certificate"},
		{"key", string(pair.KeyPEM()), "holds a private key, want certificates only"},
		{"certificate and key", good + string(pair.KeyPEM()), "holds a private key, want certificates only"},
		{"encrypted key", block("ENCRYPTED PRIVATE KEY", []byte{0x30, 0}), "holds a private key, want certificates only"},
		{"request", block("CERTIFICATE REQUEST", csr), "holds a certificate request"},
		{"trusted", block("TRUSTED CERTIFICATE", leaf.Raw), "OpenSSL's own TRUSTED form"},
		{"PKCS#7", block("PKCS7", []byte{0x30, 0}), "openssl pkcs7 -in FILE"},
		{"public key", block("PUBLIC KEY", leaf.RawSubjectPublicKeyInfo), "holds a public key"},
		{"revocation list", block("X509 CRL", []byte{0x30, 0}), "holds a revocation list"},
		{"parameters", block("EC PARAMETERS", []byte{0x06, 0}), "holds EC parameters"},
		{"other", block("PICTURE", []byte{0x30, 0}), "holds PICTURE, want certificate"},
		{"not a certificate", block("CERTIFICATE", []byte{0x30, 0}), "certificate 1 does not parse"},
		{"two in one block", block("CERTIFICATE", append(bytes.Clone(leaf.Raw), leaf.Raw...)), "does not hold exactly one ASN.1 item"},
		{"second does not parse", good + block("CERTIFICATE", []byte{0x30, 0}), "certificate 2 does not parse"},
		{"damaged", block("CERTIFICATE", damaged), "certificate"},
	}...), func(b []byte) error {
		list, err := certs.ParseCertificates(b)
		if err != nil && list != nil {
			t.Errorf("got both certificates and %v", err)
		}
		return err
	})
}

func keyDER(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestParseKey(t *testing.T) {
	for _, s := range secrets(t) {
		forms := map[string]string{"PKCS#8": block("PRIVATE KEY", keyDER(t, s.signer))}
		switch k := s.signer.(type) {
		case *ecdsa.PrivateKey:
			der, err := x509.MarshalECPrivateKey(k)
			if err != nil {
				t.Fatal(err)
			}
			forms["SEC 1"] = block("EC PRIVATE KEY", der)
			forms["SEC 1 with parameters"] = block("EC PARAMETERS", []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}) + forms["SEC 1"]
		case *rsa.PrivateKey:
			forms["PKCS#1"] = block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k))
		}
		for form, text := range forms {
			key, err := certs.ParseKey([]byte(text))
			if err != nil || !key.Equal(s.signer) {
				t.Errorf("%s as %s: %v, %v", s.name, form, key, err)
			}
		}
	}
}

func TestParseKeyRefuses(t *testing.T) {
	pair := testca.New(t).Client(t, "alice@bank.example")
	good := string(pair.KeyPEM())
	ec := keyDER(t, pair.Key)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	oldWay := "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAA\n-----END EC PRIVATE KEY-----\n"
	algorithm := func(oid ...byte) []byte { // PKCS#8 with another algorithm and an empty key
		id := append([]byte{0x06, byte(len(oid))}, oid...)
		body := append([]byte{0x02, 1, 0, 0x30, byte(len(id))}, id...)
		body = append(body, 0x04, 2, 0x04, 0)
		return append([]byte{0x30, byte(len(body))}, body...)
	}
	checkBroken(t, append(everywhere(good), []broken{
		{"DER", string(ec), "openssl pkey -inform DER -in FILE"},
		{"certificate in DER", string(pair.Chain[0].Raw), "holds a certificate in DER form, want a private key"},
		{"PKCS#12", "\x30\x0a\x02\x01\x03\x30\x05\x06\x03\x2a\x03\x04", "is a PKCS#12 bundle"},
		{"certificate", string(pair.CertPEM()), "holds a certificate, want a private key only"},
		{"key and certificate", good + string(pair.CertPEM()), "holds a certificate, want a private key only"},
		{"two keys", good + good, "more than one private key, at lines 1 and 6"},
		{"PBES2", block("ENCRYPTED PRIVATE KEY", []byte{0x30, 0}), "is encrypted with a passphrase"},
		{"DEK-Info", oldWay, "old DEK-Info way"},
		{"OpenSSH", block("OPENSSH PRIVATE KEY", []byte{0x30, 0}), "ssh-keygen -p -m PKCS8"},
		{"DSA", block("DSA PRIVATE KEY", []byte{0x30, 0}), "DSA keys are not supported"},
		{"public", block("PUBLIC KEY", pair.Chain[0].RawSubjectPublicKeyInfo), "holds a public key, want a private key"},
		{"request", block("CERTIFICATE REQUEST", []byte{0x30, 0}), "holds a certificate request, want private key"},
		{"parameters only", block("EC PARAMETERS", []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}), "EC parameters but no private key"},
		{"PKCS#8 labelled SEC 1", block("EC PRIVATE KEY", ec), "labelled EC PRIVATE KEY does not hold a valid key of that kind"},
		{"PKCS#8 labelled PKCS#1", block("RSA PRIVATE KEY", ec), "labelled RSA PRIVATE KEY does not hold a valid key of that kind"},
		{"empty PKCS#8", block("PRIVATE KEY", []byte{0x30, 0}), "does not hold a valid key of that kind"},
		{"trailing", block("PRIVATE KEY", append(bytes.Clone(ec), 0)), "does not hold exactly one ASN.1 item"},
		{"RSA 1024", block("PRIVATE KEY", keyDER(t, small)), "RSA key has 1024 bits, want at least 2048"},
		{"P-224", block("PRIVATE KEY", keyDER(t, p224)), "curve P-224"},
		{"Ed448", block("PRIVATE KEY", algorithm(0x2b, 0x65, 0x71)), "private key is Ed448"},
		{"X25519", block("PRIVATE KEY", algorithm(0x2b, 0x65, 0x6e)), "private key is X25519, which cannot sign"},
		{"unknown", block("PRIVATE KEY", algorithm(0x2a, 0x03, 0x04)), "of unknown kind 1.2.3.4"},
		{"wrong size", block("PRIVATE KEY", algorithm(0x2b, 0x65, 0x70)), "does not hold a valid key of that kind"},
	}...), func(b []byte) error {
		key, err := certs.ParseKey(b)
		if err != nil && key != nil {
			t.Errorf("got both a key and %v", err)
		}
		return err
	})
}

// TestKeyErrorsHoldNoSecret cuts and changes a key in many places: no error may
// quote a part of it.
func TestKeyErrorsHoldNoSecret(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text := block("PRIVATE KEY", keyDER(t, ed))
	body := strings.Split(text, "\n")[1]
	for i := range len(text) {
		for _, changed := range []string{text[:i], text[i:], text[:i] + "~" + text[i+1:], text[:i] + ":" + text[i:], text[:i] + "\n" + text[i:]} {
			_, err := certs.ParseKey([]byte(changed))
			if err == nil {
				continue
			}
			for j := 0; j+8 <= len(body); j++ {
				if strings.Contains(err.Error(), body[j:j+8]) {
					t.Fatalf("error quotes the key: %v", err)
				}
			}
		}
	}
}

func FuzzParsePEM(f *testing.F) {
	for _, seed := range []string{"", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "text\n-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n", "0\x82", "-----BEGIN A----------END A-----"} {
		f.Add([]byte(seed))
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(ed)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(block("PRIVATE KEY", der)))
	f.Fuzz(func(t *testing.T, data []byte) {
		// What we accept, encoding/pem accepts, and sees nothing more in it.
		list, err := certs.ParseCertificates(data)
		if (err == nil) != (len(list) > 0) {
			t.Fatalf("%d certificates with error %v", len(list), err)
		}
		rest := bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
		for i, c := range list {
			var b *pem.Block
			if b, rest = pem.Decode(rest); b == nil || !bytes.Equal(b.Bytes, c.Raw) {
				t.Fatalf("certificate %d differs from encoding/pem's reading", i)
			}
		}
		if b, _ := pem.Decode(rest); len(list) > 0 && b != nil {
			t.Fatalf("encoding/pem sees another block %s", b.Type)
		}
		key, err := certs.ParseKey(data)
		if (err == nil) != (key != nil) || err == nil && len(list) > 0 {
			t.Fatalf("key %v, error %v, %d certificates", key, err, len(list))
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\x00\x1b") {
			t.Fatalf("error holds control characters: %q", err)
		}
	})
}
