package validator

import (
	"strings"
	"unicode"

	"github.com/xdg-go/scram"
)

// Limits of what is typed as identification.
const (
	maxPassphrase = 1024
	maxLogin      = 64
)

// An Identification is a second factor that a Default understands: a Passphrase, a
// Login or, on the daemon's side, a StoredIdent.
type Identification interface{ identification() }

// Passphrase makes the identification of whoever knows a passphrase, without a name.
func Passphrase(text string) Secret { return newSecret(text) }

// A Login is an identification with a name. The name reaches objects as the caller's
// user.
type Login struct {
	Name       string
	Passphrase Secret
}

func (Secret) identification()      {}
func (Login) identification()       {}
func (StoredIdent) identification() {}

// login takes apart an identification in the clear.
func login(ident any) (Login, error) {
	switch i := ident.(type) {
	case Secret:
		return Login{Passphrase: i}, nil
	case Login:
		if err := checkLogin(i.Name); err != nil {
			return Login{}, err
		}
		return i, nil
	case StoredIdent:
		return Login{}, failf("validator.Passphrase or validator.Login", "a stored identification, from which no proof can be made")
	}
	// Not the value: it may be a passphrase as a plain string.
	return Login{}, failf("validator.Passphrase or validator.Login, or a validator that understands it", "an identification of type %T", ident)
}

// checkLogin checks the name of a Login. In printable ASCII a name has one form, so
// that both sides mean the same.
func checkLogin(name string) error {
	if name == "" {
		return failf("a name, or validator.Passphrase alone", "a login without a name")
	}
	if len(name) > maxLogin {
		return failf("", "login name %s %s", quote(name), over(len(name), maxLogin, "bytes"))
	}
	for i := range len(name) {
		if name[i] <= ' ' || name[i] > '~' {
			return failf("printable ASCII without spaces", "login name %s", quote(name))
		}
	}
	return nil
}

// scramClient makes of a login what can compute proofs and stored keys. Errors say
// nothing of the passphrase.
func scramClient(l Login) (*scram.Client, error) {
	text := l.Passphrase.Reveal()
	switch {
	case strings.IndexFunc(text, visible) < 0:
		return nil, failf("", "an empty passphrase")
	case len(text) > maxPassphrase:
		return nil, failf("", "a passphrase that %s", over(len(text), maxPassphrase, "bytes"))
	}
	c, err := scram.SHA256.NewClient(l.Name, text, "")
	if err != nil {
		return nil, failf("letters, digits, punctuation and spaces", "a passphrase with characters that SASLprep (RFC 4013) does not allow")
	}
	return c.WithMinIterations(minIterations), nil
}

// visible characters are those that SASLprep maps neither to a space nor to nothing.
func visible(r rune) bool { return unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S) }

// MungeIdent checks a Passphrase or Login before it is used, and leaves it as it is.
// The form in which a daemon keeps identifications is made by Munge.
func (d *Default) MungeIdent(ident any) (any, error) {
	if ident == nil {
		return nil, nil
	}
	l, err := login(ident)
	if err != nil {
		return nil, err
	}
	if _, err := scramClient(l); err != nil {
		return nil, err
	}
	return ident, nil
}
