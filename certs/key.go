package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
)

// Sizes of RSA keys that we accept. Below the first a key is too weak
// (NIST SP 800-131A); above the second crypto/tls refuses the certificate.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// keyText stands wherever a key would otherwise be printed.
const keyText = "[private key]"

// wayToKey is how to come by a key that we accept.
const wayToKey = "make an ECDSA P-256 key: (umask 077; openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out NEW.key)"

var errKeyStays = errors.New("certs: a private key is never marshalled")

// PrivateKey is a key that signs and does nothing else. Whatever it is given to
// (fmt with any verb, log/slog, encoding/json, encoding/gob and their like)
// shows "[private key]" or an error. It may sit in a hardware module: all it
// needs is a crypto.Signer.
//
// Two keys are compared with [PrivateKey.Equal]; == on PrivateKey values does not compile.
type PrivateKey struct {
	// A closure, because reflection looks through every other kind of field:
	// fmt prints the bytes of an Ed25519 key even in an unexported one, where
	// it cannot call our Format.
	signer func() crypto.Signer
	public crypto.PublicKey
}

var (
	_ crypto.Signer  = (*PrivateKey)(nil)
	_ fmt.Formatter  = PrivateKey{}
	_ slog.LogValuer = PrivateKey{}
)

// NewPrivateKey wraps a signer: an *ecdsa.PrivateKey, an ed25519.PrivateKey, an
// *rsa.PrivateKey, or the handle of a key that lives in hardware. It refuses kinds
// and sizes of keys that TLS 1.3 cannot use or that are too weak.
func NewPrivateKey(signer crypto.Signer) (*PrivateKey, error) {
	if signer == nil {
		return nil, reasonf("private key is nil")
	}
	if k, ok := signer.(*PrivateKey); ok {
		if k == nil || k.signer == nil {
			return nil, reasonf("private key is empty")
		}
		return k, nil
	}
	if v := reflect.ValueOf(signer); v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, reasonf("private key is nil")
	}
	public := signer.Public()
	if err := checkPublicKey(public); err != nil {
		return nil, err
	}
	return &PrivateKey{signer: func() crypto.Signer { return signer }, public: public}, nil
}

// Public gives the public half.
func (k PrivateKey) Public() crypto.PublicKey { return k.public }

// Sign signs as crypto.Signer describes.
func (k PrivateKey) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if k.signer == nil {
		return nil, reasonf("private key is empty")
	}
	return k.signer().Sign(rand, digest, opts)
}

// Equal reports whether x is the same key, as a PrivateKey or as any
// crypto.Signer. It compares the public halves, in constant time: they are equal
// exactly when the private ones are, so that no secret takes part.
func (k PrivateKey) Equal(x crypto.PrivateKey) bool {
	other, ok := x.(interface{ Public() crypto.PublicKey })
	if !ok || k.signer == nil {
		return false
	}
	if v := reflect.ValueOf(x); v.Kind() == reflect.Pointer && v.IsNil() {
		return false
	}
	a, errA := x509.MarshalPKIXPublicKey(k.public)
	b, errB := x509.MarshalPKIXPublicKey(other.Public())
	return errA == nil && errB == nil && subtle.ConstantTimeCompare(a, b) == 1
}

// String gives "[private key]".
func (PrivateKey) String() string { return keyText }

// GoString gives "[private key]".
func (PrivateKey) GoString() string { return keyText }

// Format writes "[private key]" for every verb.
func (PrivateKey) Format(s fmt.State, _ rune) { io.WriteString(s, keyText) }

// LogValue gives "[private key]" to log/slog.
func (PrivateKey) LogValue() slog.Value { return slog.StringValue(keyText) }

// MarshalText gives "[private key]". It also serves JSON, XML and YAML, so that a
// structure with a key in it can still be logged.
func (PrivateKey) MarshalText() ([]byte, error) { return []byte(keyText), nil }

// MarshalYAML gives "[private key]".
func (PrivateKey) MarshalYAML() (any, error) { return keyText, nil }

// MarshalBinary refuses.
func (PrivateKey) MarshalBinary() ([]byte, error) { return nil, errKeyStays }

// GobEncode refuses.
func (PrivateKey) GobEncode() ([]byte, error) { return nil, errKeyStays }

// checkPublicKey refuses kinds and sizes of keys that we do not work with.
func checkPublicKey(public crypto.PublicKey) *Error {
	switch k := public.(type) {
	case ed25519.PublicKey:
		return nil
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return nil
		}
		return reasonf("ECDSA key is on curve %s, want P-256, P-384 or P-521", k.Params().Name).fix(wayToKey)
	case *rsa.PublicKey:
		switch bits := k.N.BitLen(); {
		case bits < minRSABits:
			return reasonf("RSA key has %d bits, want at least %d", bits, minRSABits).fix(wayToKey)
		case bits > maxRSABits:
			return reasonf("RSA key has %d bits, want at most %d", bits, maxRSABits).fix(wayToKey)
		}
		return nil
	}
	return reasonf("key type %T is not supported, want ECDSA, Ed25519 or RSA", public).fix(wayToKey)
}
