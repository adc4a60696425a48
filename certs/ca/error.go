package ca

import (
	"errors"
	"fmt"
	"io/fs"

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
	var pe *fs.PathError
	cause := err
	if errors.As(err, &pe) {
		cause = pe.Err // the path is in the text already
	}
	return &failure{File: path, Reason: fmt.Sprintf("%s: %v", what, cause), Err: err}
}
