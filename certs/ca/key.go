package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/pem"
	"fmt"

	kms "go.step.sm/crypto/kms/apiv1"
	"go.step.sm/crypto/kms/softkms"
	"go.step.sm/crypto/pemutil"

	"github.com/pyrossl/pyrossl/certs"
)

// KeyType is a kind of key. The zero value stands for ECDSAP256.
type KeyType string

// The kinds of keys. RSA ones are for peers that know no other.
const (
	ECDSAP256 KeyType = "ecdsa-p256"
	Ed25519   KeyType = "ed25519"
	RSA2048   KeyType = "rsa-2048"
	RSA3072   KeyType = "rsa-3072"
	RSA4096   KeyType = "rsa-4096"
)

// keyTypes are the kinds of keys with what smallstep's key manager calls them: by
// the signatures that they make.
var keyTypes = map[KeyType]struct {
	algorithm kms.SignatureAlgorithm
	bits      int
}{
	ECDSAP256: {kms.ECDSAWithSHA256, 0},
	Ed25519:   {kms.PureEd25519, 0},
	RSA2048:   {kms.SHA256WithRSA, 2048},
	RSA3072:   {kms.SHA256WithRSA, 3072},
	RSA4096:   {kms.SHA256WithRSA, 4096},
}

// keys makes keys in memory. It has no state.
var keys = new(softkms.SoftKMS)

// request asks keys for a key of the kind, which must be one of keyTypes.
func (t KeyType) request() *kms.CreateKeyRequest {
	k := keyTypes[t]
	return &kms.CreateKeyRequest{SignatureAlgorithm: k.algorithm, Bits: k.bits}
}

// ParseKeyType reads the name of a kind of key: "" is ECDSAP256, "ecdsa" too, and
// "rsa" is RSA3072.
func ParseKeyType(s string) (KeyType, error) {
	switch s {
	case "", "ecdsa":
		return ECDSAP256, nil
	case "rsa":
		return RSA3072, nil
	}
	if _, ok := keyTypes[KeyType(s)]; !ok {
		return "", reasonf("unknown kind of key %q, want %s, %s, %s, %s or %s", s, ECDSAP256, Ed25519, RSA2048, RSA3072, RSA4096)
	}
	return KeyType(s), nil
}

// keyTypeOf gives the kind of a public key.
func keyTypeOf(public crypto.PublicKey) KeyType {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return ECDSAP256
		}
		return KeyType("ecdsa-" + k.Curve.Params().Name)
	case ed25519.PublicKey:
		return Ed25519
	case *rsa.PublicKey:
		return KeyType(fmt.Sprintf("rsa-%d", k.N.BitLen()))
	}
	return KeyType(fmt.Sprintf("%T", public))
}

// newKey is a key that was just made and can still be written to a file.
type newKey struct {
	*certs.PrivateKey
	// encode gives the key as PKCS#8, encrypted (PBES2) when there is a passphrase.
	// It is a closure so that nothing that prints a newKey can reach the key.
	encode func(passphrase []byte) ([]byte, error)
}

// generate makes a key of one of keyTypes.
func generate(t KeyType) (newKey, error) {
	made, err := keys.CreateKey(t.request())
	if err != nil {
		return newKey{}, &failure{Reason: fmt.Sprintf("cannot make a key: %v", err), Err: err}
	}
	return wrap(made.CreateSignerRequest.Signer)
}

func wrap(signer crypto.Signer) (newKey, error) {
	private, err := certs.NewPrivateKey(signer)
	if err != nil {
		return newKey{}, err
	}
	return newKey{private, func(passphrase []byte) ([]byte, error) {
		options := []pemutil.Options{pemutil.WithPKCS8(true)} // without it, encryption is that of RFC 1423
		if passphrase != nil {
			options = append(options, pemutil.WithPassword(passphrase))
		}
		block, err := pemutil.Serialize(signer, options...)
		if err != nil {
			return nil, reasonf("cannot encode a key") // the cause might quote it
		}
		return pem.EncodeToMemory(block), nil
	}}, nil
}

// encrypted reports whether a PEM file holds an encrypted key.
func encrypted(data []byte) bool {
	block, _ := pem.Decode(data)
	return block != nil && block.Type == "ENCRYPTED PRIVATE KEY"
}

// decrypt reads an encrypted PKCS#8 key.
func decrypt(data []byte, passphrase func() ([]byte, error)) (key *certs.PrivateKey, err error) {
	if passphrase == nil {
		return nil, &failure{Reason: "the key is encrypted", Fix: "give its passphrase", Err: ErrPassphrase}
	}
	phrase, err := askPassphrase(passphrase)
	if err != nil {
		return nil, err
	}
	defer clear(phrase)
	// The library panics at some damaged files, and takes a wrong passphrase for
	// damage now and then.
	wrong := &failure{Reason: "the passphrase does not open the key, or the file is damaged", Err: ErrPassphrase}
	defer func() {
		if recover() != nil {
			key, err = nil, wrong
		}
	}()
	parsed, err := pemutil.ParseKey(data, pemutil.WithPassword(phrase))
	if err != nil {
		return nil, wrong
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, wrong
	}
	return certs.NewPrivateKey(signer)
}

func askPassphrase(ask func() ([]byte, error)) ([]byte, error) {
	phrase, err := ask()
	if err != nil {
		return nil, &failure{Reason: fmt.Sprintf("no passphrase: %v", err), Err: err}
	}
	if len(phrase) == 0 {
		return nil, &failure{Reason: "the passphrase is empty", Err: ErrPassphrase}
	}
	return phrase, nil
}
