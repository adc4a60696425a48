package attack

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
)

// printed is everything that daemons, clients and errors of this package's tests have
// said: logs, audit logs, incidents, metrics, errors in every form. It is searched for
// secrets whenever a world ends, and then forgotten.
var printed capture

type capture struct {
	mu    sync.Mutex
	text  []byte
	bytes int64 // of all that came
}

func (c *capture) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes += int64(len(p))
	c.text = append(append(c.text, p...), '\n')
	return len(p), nil
}

// value keeps anything that somebody could print, as somebody could.
func (c *capture) value(v any) {
	fmt.Fprintf(c, "%v\n%+v\n%#v\n%s\n%x", v, v, v, v, v)
	slog.New(slog.NewJSONHandler(c, nil)).Info("value", "it", v)
	slog.New(slog.NewTextHandler(c, nil)).Info("value", "it", v)
	if data, err := json.Marshal(v); err == nil {
		c.Write(data)
	} else {
		c.error(err)
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(v); err != nil {
		c.error(err)
	}
	c.Write(b.Bytes())
}

// dump keeps what a process shows of itself: the stacks of all goroutines, and profiles.
func (c *capture) dump() {
	for _, p := range pprof.Profiles() {
		for debug := range 3 {
			p.WriteTo(c, debug)
		}
	}
}

// error keeps an error in every form that somebody could print it in.
func (c *capture) error(err error) {
	for e := err; e != nil; e = errors.Unwrap(e) {
		fmt.Fprintf(c, "%s\n%+v\n%#v\n%q", e, e, e, e)
	}
}

// take returns what has come since the last time.
func (c *capture) take() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := c.text
	c.text = nil
	return text
}

// canaries are the secrets of this package's tests, in all forms in which they could be
// printed by mistake.
var canaries = newCanarySet()

// window is how much of a form is looked up, and enough of most forms that no other text
// has it.
const window = 16

// wider forms need more characters for as many bytes.
var wider = map[string]int{"hexadecimal": 24, "HEXADECIMAL": 24, "decimal": 28, "base32": 20, "% x": 36, "%v": 42, "%#v": 72}

type canarySet struct {
	mu      sync.Mutex
	needles map[[window]byte][]needle
	secrets map[string]bool
}

// needle is the beginning of a secret in one of its forms.
type needle struct{ what, text string }

func newCanarySet() *canarySet {
	return &canarySet{needles: make(map[[window]byte][]needle), secrets: make(map[string]bool)}
}

// add has a secret searched for from now on. Forms that are shorter than the window
// are left out.
func (s *canarySet) add(what string, secret []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.secrets[string(secret)] {
		return
	}
	s.secrets[string(secret)] = true
	for form, text := range forms(secret) {
		if len(text) >= window {
			begin := [window]byte([]byte(text))
			text = text[:min(len(text), max(window, wider[form]))]
			s.needles[begin] = append(s.needles[begin], needle{what + ", " + form, text})
		}
	}
}

// forms are the ways in which bytes are printed.
func forms(secret []byte) map[string]string {
	all := map[string]string{
		"as it is": string(secret), "hexadecimal": hex.EncodeToString(secret), "HEXADECIMAL": strings.ToUpper(hex.EncodeToString(secret)),
		"backwards": reversed(secret), "decimal": new(big.Int).SetBytes(secret).String(),
		"%v": strings.Trim(fmt.Sprint(secret), "[]"), "%#v": strings.TrimPrefix(fmt.Sprintf("%#v", secret), "[]byte{"),
		"% x": fmt.Sprintf("% x", secret), "%q": strings.Trim(fmt.Sprintf("%q", secret), `"`), "base32": base32.StdEncoding.EncodeToString(secret),
	}
	// In the middle of a longer encoding the bytes may begin at any of three places.
	for shift := range 3 {
		padded := append(make([]byte, shift), secret...)
		for name, e := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			text := e.EncodeToString(padded)
			if shift > 0 {
				text = text[shift+1:] // letters that depend on what stands before
			}
			all[fmt.Sprint(name, " at ", shift)] = text
		}
	}
	return all
}

func reversed(b []byte) string {
	r := make([]byte, len(b))
	for i, c := range b {
		r[len(b)-1-i] = c
	}
	return string(r)
}

// addSigner adds a private key.
func (s *canarySet) addSigner(tb testing.TB, key crypto.Signer) {
	tb.Helper()
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		d, err := k.Bytes()
		if err != nil {
			tb.Fatal(err)
		}
		s.add("private EC key", d)
	case ed25519.PrivateKey:
		s.add("private Ed25519 key", k.Seed())
	case *rsa.PrivateKey:
		s.add("private RSA exponent", k.D.Bytes())
		for _, p := range k.Primes {
			s.add("prime of an RSA key", p.Bytes())
		}
	default:
		tb.Fatalf("no canary for a key of type %T", key)
	}
}

// passphrase makes a passphrase that is searched for from now on. It is marked, since the
// first words could stand in any sentence.
func (s *canarySet) passphrase(text string) string {
	mark := sha256.Sum256([]byte(text))
	text = fmt.Sprintf("%x %s", mark[:6], text)
	s.add("passphrase", []byte(text))
	return text
}

// in finds secrets in a text.
func (s *canarySet) in(text []byte) (found []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := 0; i+window <= len(text); i++ {
		for _, n := range s.needles[[window]byte(text[i:])] {
			if bytes.HasPrefix(text[i:], []byte(n.text)) {
				found = append(found, fmt.Sprintf("%s in %q", n.what, text[max(0, i-80):min(len(text), i+window+80)]))
			}
		}
	}
	return found
}

// search fails the test if a secret has been printed.
func (s *canarySet) search(tb testing.TB) {
	tb.Helper()
	for _, found := range s.in(printed.take()) {
		tb.Error("a secret was printed: ", found)
	}
}
