package ca

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/pyrossl/pyrossl/certs"
)

// What callers may want to tell apart, with errors.Is.
var (
	// ErrExists means that a file is there and was not to be replaced.
	ErrExists = errors.New("exists")
	// ErrDiffers means that a file is there and is not what was asked for.
	ErrDiffers = errors.New("differs")
	// ErrNoCA means that a directory holds no CA.
	ErrNoCA = errors.New("no CA")
	// ErrRequest means that nobody could issue what a Request or Options ask for.
	ErrRequest = errors.New("request")
	// ErrPassphrase means that a key is encrypted and was not opened.
	ErrPassphrase = errors.New("passphrase")
	// ErrRevoked means that a certificate, its key or its CA was revoked.
	ErrRevoked = errors.New("revoked")
	// ErrUnknown means that a CA's directory knows no such certificate.
	ErrUnknown = errors.New("unknown")
	// ErrInUse means that certificates in use hang on what was to be removed.
	ErrInUse = errors.New("in use")
)

// failure is the error of this package: what is wrong and how to mend it, without a
// byte of any key.
type failure = certs.Error

func reasonf(format string, args ...any) *failure {
	return &failure{Reason: fmt.Sprintf(format, args...)}
}

// mend is reasonf with the way out.
func mend(e *failure, format string, args ...any) *failure {
	e.Fix = fmt.Sprintf(format, args...)
	return e
}

// withFix adds a way out where there is none.
func withFix(err error, fix string) error {
	e, ok := err.(*failure)
	if !ok || e.Fix != "" {
		return err
	}
	of := *e
	of.Fix = fix
	return &of
}

// asRequest makes an error one of what was asked for.
func asRequest(err error) error {
	e, ok := err.(*failure)
	if !ok {
		return err
	}
	of := *e
	of.Err = ErrRequest
	if e.Err != nil {
		of.Err = fmt.Errorf("%w: %w", ErrRequest, e.Err)
	}
	return &of
}

// fileError is about a file that could not be read or written.
func fileError(path, what string, err error) error {
	return &failure{File: path, Reason: what + ": " + cause(err), Err: err}
}

// cause is the text of an error about a file whose path is said already.
func cause(err error) string {
	var pe *fs.PathError
	var le *os.LinkError
	switch {
	case errors.As(err, &pe):
		err = pe.Err
	case errors.As(err, &le):
		err = le.Err
	}
	return err.Error()
}
