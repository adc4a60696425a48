package validator

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/xdg-go/scram"
)

func TestStoredText(t *testing.T) {
	// As PostgreSQL stores "pencil": computed here from the definitions of RFC 5802.
	s := must(Munge(minIterations, Login{"user", Passphrase("pencil")}))[0]
	c := must(s.credentials())
	mac := func(key, data []byte) []byte { m := hmac.New(sha256.New, key); m.Write(data); return m.Sum(nil) }
	u := mac([]byte("pencil"), append([]byte(c.Salt), 0, 0, 0, 1))
	salted := bytes.Clone(u)
	for range minIterations - 1 {
		u = mac([]byte("pencil"), u)
		for i := range salted {
			salted[i] ^= u[i]
		}
	}
	storedKey := sha256.Sum256(mac(salted, []byte("Client Key")))
	b64 := base64.StdEncoding.EncodeToString
	want := fmt.Sprintf("SCRAM-SHA-256$4096:%s$%s:%s", b64([]byte(c.Salt)), b64(storedKey[:]), b64(mac(salted, []byte("Server Key"))))
	if s.Text() != want || s.Name() != "user" {
		t.Errorf("got %s for %q, want %s", s.Text(), s.Name(), want)
	}
	// RFC 7677 section 3 gives another one.
	rfc := must(ParseStoredIdent("user", "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="))
	client := must(scram.SHA256.NewClient("user", "pencil", ""))
	k := must(rfc.credentials())
	if got := must(client.GetStoredCredentialsWithError(k.KeyFactors)); !bytes.Equal(got.StoredKey, k.StoredKey) || !bytes.Equal(got.ServerKey, k.ServerKey) {
		t.Errorf("the keys of RFC 7677's example are %x and %x", got.StoredKey, got.ServerKey)
	}

	parts := strings.FieldsFunc(want, func(r rune) bool { return r == '$' || r == ':' })
	for what, text := range map[string]string{
		"empty":              "",
		"plain":              "pencil",
		"other scheme":       strings.Replace(want, "256", "1", 1),
		"no keys":            strings.Join(parts[:2], "$"),
		"few iterations":     strings.Replace(want, "4096", "4095", 1),
		"many iterations":    strings.Replace(want, "4096", "2000001", 1),
		"sign":               strings.Replace(want, "4096", "+4096", 1),
		"short key":          strings.Replace(want, parts[3], "AAAA", 1),
		"newline in base64":  strings.Replace(want, parts[4], parts[4][:4]+"\n"+parts[4][4:], 1),
		"newline at the end": want + "\n",
		"short salt":         strings.Replace(want, parts[2], "AAAA", 1),
		"one more field":     want + "$",
		"not base64":         strings.Replace(want, parts[2], "!"+parts[2][1:], 1),
		"long salt":          strings.Replace(want, parts[2], b64(make([]byte, 65)), 1),
	} {
		if got, err := ParseStoredIdent("user", text); err == nil {
			t.Errorf("%s: read as %v", what, got)
		} else if text != "" && len(parts[3]) > 0 && strings.Contains(err.Error(), parts[3]) {
			t.Errorf("%s: the error shows a key", what)
		}
	}
	if _, err := Munge(1, Passphrase("x")); err == nil {
		t.Error("Munge takes 1 iteration")
	}
}

// The default work factor is what is advised, and the client pays it once.
func TestDefaultIterations(t *testing.T) {
	d := new(Default)
	if err := d.SetAllowedIdentifications([]Identification{Passphrase("one")}); err != nil {
		t.Fatal(err)
	}
	server, client := must(StepsOf(d)), must(StepsOf(new(Default)))
	if f := serverFirst(t, server, ""); !strings.HasSuffix(f, ",i=600000") {
		t.Errorf("the daemon asks for %q", f)
	}
	var took [2]time.Duration
	for i := range took {
		start := time.Now()
		if _, denied, err := conversation(t, server, client, Passphrase("one"), binding(1), binding(1)); denied != nil || err != nil {
			t.Fatal(denied, err)
		}
		took[i] = time.Since(start)
	}
	if took[1] > took[0]/2 {
		t.Errorf("the first identification takes %v, the second %v", took[0], took[1])
	}
}

// A client keeps a bounded number of keys, whatever daemons make it compute.
func TestClientKeysAreBounded(t *testing.T) {
	d := new(Default)
	for i := range 3 * maxClients {
		must(d.keysOf(Login{fmt.Sprint("u", i), Passphrase("x")}))
	}
	if len(d.clients) > maxClients {
		t.Errorf("%d logins are kept", len(d.clients))
	}
	client := must(StepsOf(d))
	l := Login{"u", Passphrase("x")}
	for i := range 3 * maxFactors {
		ex := &Exchange{Ident: l, ChannelBinding: binding(1)}
		first := string(must(client.CreateAuthToken(t.Context(), ex, []byte(mechanism))))
		_, nonce, _ := strings.Cut(first, ",r=")
		salt := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "salt number %d", i))
		if _, err := client.CreateAuthToken(t.Context(), ex, []byte("r="+nonce+"x,s="+salt+",i=4096")); err != nil {
			t.Fatal(err)
		}
		if k := d.clients[l]; k != nil && len(k.factors) > maxFactors {
			t.Fatalf("keys for %d salts are kept", len(k.factors))
		}
	}
}
