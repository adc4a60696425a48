package validator

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"
)

// The PBKDF2 work factor. The default is what OWASP advises for PBKDF2 with
// HMAC-SHA-256 (2023). A client pays it once for each daemon and passphrase, a daemon
// only when a passphrase is set in the clear. The maximum is what a client lets a
// daemon ask of it: under a second or two of work, within the time for a handshake.
const (
	minIterations     = 4096
	defaultIterations = 600_000
	maxIterations     = 2_000_000
)

const (
	storedScheme = "SCRAM-SHA-256"
	saltSize     = 16
	keySize      = 32 // of SHA-256
)

// A StoredIdent is what a daemon keeps of an identification: salted keys, from which
// the passphrase cannot be computed, and with which nobody can log in. They do allow
// guessing passphrases offline and posing as the daemon's second factor: keep them as
// a password file is kept. They do not print; Text gives the form to be stored.
type StoredIdent struct {
	name string
	text Secret
}

// Name is the login's name; empty for a passphrase alone.
func (s StoredIdent) Name() string { return s.name }

// Text gives "SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY", as PostgreSQL and
// others store it.
func (s StoredIdent) Text() string { return s.text.Reveal() }

// String gives the name only.
func (s StoredIdent) String() string { return fmt.Sprintf("stored identification %q", s.name) }

// ParseStoredIdent reads what Text gives. The name is empty for a passphrase alone.
func ParseStoredIdent(name, text string) (StoredIdent, error) {
	if name != "" {
		if err := checkLogin(name); err != nil {
			return StoredIdent{}, err
		}
	}
	s := StoredIdent{name: name, text: newSecret(text)}
	_, err := s.credentials()
	return s, err
}

// Munge makes the stored form of identifications, so that a daemon can be configured
// without knowing passphrases. iterations is the work factor, 0 for the default.
// Passphrases without a name must share a salt to be allowed together: give all of
// them in one call.
func Munge(iterations int, idents ...Identification) ([]StoredIdent, error) {
	if iterations == 0 {
		iterations = defaultIterations
	}
	if err := checkIterations(iterations); err != nil {
		return nil, err
	}
	shared := randomSalt()
	var all []StoredIdent
	for i, ident := range idents {
		if s, ok := ident.(StoredIdent); ok {
			all = append(all, s)
			continue
		}
		l, err := login(ident)
		if err != nil {
			return nil, failf("", "identification %d: %s", i+1, inner(err))
		}
		salt := shared
		if l.Name != "" {
			salt = randomSalt()
		}
		c, err := stretch(l, scram.KeyFactors{Salt: salt, Iters: iterations})
		if err != nil {
			return nil, failf("", "identification %d: %s", i+1, inner(err))
		}
		all = append(all, StoredIdent{name: l.Name, text: newSecret(storedText(c))})
	}
	return all, nil
}

func randomSalt() string {
	b := make([]byte, saltSize)
	rand.Read(b) // never fails, by its documentation
	return string(b)
}

// stretch computes the keys of a passphrase. It is slow on purpose.
func stretch(l Login, kf scram.KeyFactors) (scram.StoredCredentials, error) {
	c, err := scramClient(l)
	if err != nil {
		return scram.StoredCredentials{}, err
	}
	keys, err := c.GetStoredCredentialsWithError(kf)
	if err != nil {
		return scram.StoredCredentials{}, failf("", "the passphrase's keys cannot be computed")
	}
	return keys, nil
}

func checkIterations(n int) error {
	if n < minIterations || n > maxIterations {
		return failf(fmt.Sprintf("%d–%d", minIterations, maxIterations), "%d iterations", n)
	}
	return nil
}

func storedText(c scram.StoredCredentials) string {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("%s$%d:%s$%s:%s", storedScheme, c.Iters, b64([]byte(c.Salt)), b64(c.StoredKey), b64(c.ServerKey))
}

// credentials reads the text. Errors say nothing of the keys.
func (s StoredIdent) credentials() (c scram.StoredCredentials, err error) {
	bad := failf(`"SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY" in base64`, "stored identification %q cannot be read", s.name)
	parts := strings.Split(s.Text(), "$")
	if len(parts) != 3 || parts[0] != storedScheme {
		return c, bad
	}
	digits, salt, ok1 := strings.Cut(parts[1], ":")
	stored, server, ok2 := strings.Cut(parts[2], ":")
	if !ok1 || !ok2 {
		return c, bad
	}
	if c.Iters, err = strconv.Atoi(digits); err != nil || strconv.Itoa(c.Iters) != digits {
		return c, bad
	}
	if err := checkIterations(c.Iters); err != nil {
		return c, failf("", "stored identification %q: %s", s.name, inner(err))
	}
	saltBytes, err1 := base64.StdEncoding.Strict().DecodeString(salt)
	c.StoredKey, err = base64.StdEncoding.Strict().DecodeString(stored)
	var err2 error
	c.ServerKey, err2 = base64.StdEncoding.Strict().DecodeString(server)
	if err1 != nil || err != nil || err2 != nil || len(c.StoredKey) != keySize || len(c.ServerKey) != keySize ||
		len(saltBytes) < 8 || len(saltBytes) > 64 {
		return c, bad
	}
	c.Salt = string(saltBytes)
	if storedText(c) != s.Text() { // line breaks, which base64 skips
		return c, bad
	}
	return c, nil
}
