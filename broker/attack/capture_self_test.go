package attack

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
)

// TestSearchFindsSecrets prints a key and a passphrase in many ways: a search that finds
// nothing must not be one that cannot.
func TestSearchFindsSecrets(t *testing.T) {
	set := newCanarySet()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set.addSigner(t, key)
	pass := set.passphrase("the passphrase of the search itself")
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	d, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(map[string]any{"key": d, "pass": pass})
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{
		fmt.Sprint(d), fmt.Sprintf("%v %+v", key, 1), fmt.Sprintf("%#v", d), fmt.Sprintf("%x", d), fmt.Sprintf("%X", d), fmt.Sprintf("% x", d),
		string(d), string(pkcs8), string(sec1), fmt.Sprintf("%x", pkcs8), base64.StdEncoding.EncodeToString(d), base64.URLEncoding.EncodeToString(sec1),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})), string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})),
		string(asJSON), pass, fmt.Sprintf("%q", pass), fmt.Sprint([]byte(pass)), fmt.Sprintf("%x", pass), base64.StdEncoding.EncodeToString([]byte("x" + pass)),
	} {
		if len(set.in([]byte("before "+text+" after"))) == 0 {
			t.Errorf("form %d is not found: %.60q", i, text)
		}
	}
	if found := set.in([]byte(strings.Repeat("nothing of the kind ", 1000))); len(found) != 0 {
		t.Errorf("found %q where there is nothing", found)
	}
}
