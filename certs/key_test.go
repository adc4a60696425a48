package certs_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"testing"

	"github.com/pyrossl/pyrossl/certs"
)

// secret is a key together with the texts under which its secret part could show up.
type secret struct {
	name   string
	key    *certs.PrivateKey
	signer crypto.Signer
	traces []string
}

func tracesOf(secrets ...[]byte) []string {
	var all []string
	for _, b := range secrets {
		n := new(big.Int).SetBytes(b)
		numbers := strings.Trim(strings.ReplaceAll(fmt.Sprint(b[:8]), " ", ","), "[]")
		all = append(all, string(b), hex.EncodeToString(b[:8]), strings.ToUpper(hex.EncodeToString(b[:8])), n.String(), n.Text(16),
			numbers, strings.ReplaceAll(numbers, ",", " "), strings.ReplaceAll(numbers, ",", ", "), fmt.Sprintf("%#v", b[:4])[len("[]byte{"):24])
	}
	return all
}

func secrets(t *testing.T) []secret {
	t.Helper()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecBytes, err := ec.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	all := []secret{
		{name: "ECDSA", signer: ec, traces: tracesOf(ecBytes)},
		{name: "Ed25519", signer: ed, traces: tracesOf(ed.Seed(), ed)},
		{name: "RSA", signer: rs, traces: tracesOf(rs.D.Bytes(), rs.Primes[0].Bytes(), rs.Primes[1].Bytes())},
	}
	for i := range all {
		if all[i].key, err = certs.NewPrivateKey(all[i].signer); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func (s secret) check(t *testing.T, how, shown string) {
	t.Helper()
	for _, trace := range s.traces {
		if trace != "" && strings.Contains(shown, trace) {
			t.Fatalf("%s key shows its secret %s: %q", s.name, how, shown)
		}
	}
}

type holder struct {
	Name   string
	Key    *certs.PrivateKey
	Value  certs.PrivateKey
	hidden *certs.PrivateKey
	inside certs.PrivateKey
	any    any
}

// TestTracesAreFound shows that the search of this file would find a secret.
func TestTracesAreFound(t *testing.T) {
	for _, s := range secrets(t) {
		found := false
		for _, shown := range []string{fmt.Sprintf("%v", s.signer), fmt.Sprintf("%x", s.signer), fmt.Sprintf("%#v", s.signer), fmt.Sprintf("%d", s.signer)} {
			for _, trace := range s.traces {
				found = found || strings.Contains(shown, trace)
			}
		}
		if !found {
			t.Errorf("%s: no trace of the secret in the plain key's text", s.name)
		}
	}
}

func TestPrivateKeyIsNeverPrinted(t *testing.T) {
	verbs := "vTtbcdoOqxXUeEfFgGsp"
	flags := []string{"", "+", "#", "-", " ", "0", "+#", "40", ".3", "-40.60"}
	for _, s := range secrets(t) {
		h := holder{"n", s.key, *s.key, s.key, *s.key, *s.key}
		values := map[string]any{
			"pointer": s.key, "value": *s.key, "holder": h, "pointer to holder": &h, "slice": []any{s.key, *s.key},
			"map": map[string]certs.PrivateKey{"k": *s.key}, "error": fmt.Errorf("wrapped: %v", s.key),
			"joined": errors.Join(fmt.Errorf("a %+v", h), fmt.Errorf("b %#v", &h)), "pointer to pointer": &h.Key,
		}
		for what, v := range values {
			for _, verb := range verbs {
				for _, flag := range flags {
					format := "%" + flag + string(verb)
					s.check(t, what+" with "+format, fmt.Sprintf(format, v))
				}
			}
			s.check(t, what+" with Sprint", fmt.Sprint(v))
		}
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10s", "%z"} {
			if got := fmt.Sprintf(format, s.key); got != "[private key]" {
				t.Errorf("%s of a key gives %q, want [private key]", format, got)
			}
			if got := fmt.Sprintf(format, *s.key); got != "[private key]" {
				t.Errorf("%s of a key value gives %q, want [private key]", format, got)
			}
		}
		if s.key.String() != "[private key]" || s.key.GoString() != "[private key]" {
			t.Errorf("String %q, GoString %q, want [private key]", s.key.String(), s.key.GoString())
		}
	}
}

func TestPrivateKeyIsNeverLogged(t *testing.T) {
	for _, s := range secrets(t) {
		h := holder{"n", s.key, *s.key, s.key, *s.key, *s.key}
		for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
			"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
			"json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		} {
			var out bytes.Buffer
			log := slog.New(handler(&out)).With("with", s.key)
			log.Info("m", "pointer", s.key, "value", *s.key, "holder", h, "pointer to holder", &h, "group", slog.GroupValue(slog.Any("k", s.key)), "error", fmt.Errorf("with %v", s.key))
			s.check(t, "in slog's "+name+" handler", out.String())
			if n := strings.Count(out.String(), "[private key]"); n < 5 {
				t.Errorf("slog %s handler shows [private key] %d times, want at least 5: %s", name, n, out.String())
			}
		}
	}
}

func TestPrivateKeyIsNeverMarshalled(t *testing.T) {
	for _, s := range secrets(t) {
		for what, v := range map[string]any{"pointer": s.key, "value": *s.key, "exported fields": struct {
			A *certs.PrivateKey
			B certs.PrivateKey
		}{s.key, *s.key}, "holder": holder{Key: s.key, Value: *s.key}} {
			js, err := json.Marshal(v)
			if err != nil || !strings.Contains(string(js), `"[private key]"`) {
				t.Errorf("json of %s: %s, %v", what, js, err)
			}
			s.check(t, "in JSON", string(js))
			if x, err := xml.Marshal(v); err == nil {
				s.check(t, "in XML", string(x))
			}
			var out bytes.Buffer
			if err := gob.NewEncoder(&out).Encode(v); err == nil {
				t.Errorf("gob of %s: no error", what)
			}
			s.check(t, "in gob", out.String())
		}
		if b, err := s.key.MarshalBinary(); err == nil || b != nil {
			t.Errorf("MarshalBinary gives %q, %v, want an error", b, err)
		}
		if y, err := s.key.MarshalYAML(); err != nil || y != "[private key]" {
			t.Errorf("MarshalYAML gives %v, %v, want [private key]", y, err)
		}
		if der, err := x509.MarshalPKCS8PrivateKey(s.key); err == nil {
			t.Errorf("x509 marshals a key: %d bytes", len(der))
		}
	}
}

func TestPrivateKeySigns(t *testing.T) {
	digest := sha256.Sum256([]byte("hello"))
	for _, s := range secrets(t) {
		input, opts := digest[:], crypto.SignerOpts(crypto.SHA256)
		if s.name == "Ed25519" {
			input, opts = []byte("hello"), crypto.Hash(0)
		}
		sig, err := s.key.Sign(rand.Reader, input, opts)
		if err != nil {
			t.Fatal(err)
		}
		ok := false
		switch public := s.key.Public().(type) {
		case *ecdsa.PublicKey:
			ok = ecdsa.VerifyASN1(public, input, sig)
		case ed25519.PublicKey:
			ok = ed25519.Verify(public, input, sig)
		case *rsa.PublicKey:
			ok = rsa.VerifyPKCS1v15(public, crypto.SHA256, input, sig) == nil
		}
		if !ok {
			t.Errorf("%s: signature does not verify", s.name)
		}
	}
}

func TestPrivateKeyEqual(t *testing.T) {
	a, b := secrets(t), secrets(t)
	for i := range a {
		for j := range a {
			if got := a[i].key.Equal(a[j].key); got != (i == j) {
				t.Errorf("%s equal to %s: %v", a[i].name, a[j].name, got)
			}
		}
		if !a[i].key.Equal(*a[i].key) || !a[i].key.Equal(a[i].signer) {
			t.Errorf("%s: not equal to itself by value or as its signer", a[i].name)
		}
		var none *certs.PrivateKey
		for _, other := range []any{b[i].key, b[i].signer, nil, none, certs.PrivateKey{}, "key", 7} {
			if a[i].key.Equal(other) {
				t.Errorf("%s equal to %T", a[i].name, other)
			}
		}
		if (certs.PrivateKey{}).Equal(certs.PrivateKey{}) {
			t.Error("empty keys are equal")
		}
	}
}

func TestNewPrivateKeyRefuses(t *testing.T) {
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		signer crypto.Signer
		want   string
	}{
		{"nil", nil, "private key is nil"},
		{"nil ECDSA", (*ecdsa.PrivateKey)(nil), "private key is nil"},
		{"nil PrivateKey", (*certs.PrivateKey)(nil), "private key is empty"},
		{"empty PrivateKey", &certs.PrivateKey{}, "private key is empty"},
		{"empty PrivateKey value", certs.PrivateKey{}, "not supported"},
		{"P-224", p224, "curve P-224"},
		{"RSA 1024", small, "RSA key has 1024 bits, want at least 2048"},
	} {
		key, err := certs.NewPrivateKey(c.signer)
		if err == nil || key != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, %v, want error with %q", c.name, key, err, c.want)
		}
	}
	if _, err := (certs.PrivateKey{}).Sign(rand.Reader, nil, crypto.SHA256); err == nil {
		t.Error("an empty key signs")
	}
}
