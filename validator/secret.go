package validator

import (
	"fmt"
	"io"
	"log/slog"
	"unique"
)

// secretText stands wherever a secret would otherwise be printed.
const secretText = "[secret]"

// A Secret is a text that does not print: fmt with any verb, log/slog and
// encoding/json and their like show "[secret]". Two Secrets are equal when their
// texts are. The zero Secret is empty.
type Secret struct {
	// A handle, because reflection looks through a string: fmt prints one in an
	// unexported field of somebody's structure, where it cannot call our Format.
	text unique.Handle[string]
}

var (
	_ fmt.Formatter  = Secret{}
	_ slog.LogValuer = Secret{}
)

// Reveal gives the text.
func (s Secret) Reveal() string {
	if s == (Secret{}) {
		return ""
	}
	return s.text.Value()
}

func newSecret(text string) Secret { return Secret{unique.Make(text)} }

// String gives "[secret]".
func (Secret) String() string { return secretText }

// GoString gives "[secret]".
func (Secret) GoString() string { return secretText }

// Format writes "[secret]" for every verb.
func (Secret) Format(s fmt.State, _ rune) { io.WriteString(s, secretText) }

// LogValue gives "[secret]" to log/slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(secretText) }

// MarshalText gives "[secret]". It also serves JSON, XML and YAML.
func (Secret) MarshalText() ([]byte, error) { return []byte(secretText), nil }
