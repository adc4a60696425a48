// Package filetransfer has what both ends of a file transfer share. Directory server
// keeps files, directory client gets them and puts them there; a transfer that was
// interrupted goes on where it stopped.
package filetransfer

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/pyrossl/pyrossl/broker"
)

// File is a file, and what is in it.
type File struct {
	Name string `json:"name"`
	Size int64  `json:"size"`          // bytes
	Sum  string `json:"sum,omitempty"` // SHA-256, hexadecimal
}

// Errors that callers tell apart.
var (
	ErrNoFile  = errors.New("store: no such file")
	ErrExists  = errors.New("store: the file exists")
	ErrRefused = errors.New("store: cannot be kept")
	ErrChanged = errors.New("store: this is not what was announced")
)

// Errors is the table that the server and its clients share.
var Errors = broker.Errors{
	"store.no-file": ErrNoFile,
	"store.exists":  ErrExists,
	"store.refused": ErrRefused,
	"store.changed": ErrChanged,
}

// Check refuses what no honest peer sends. Either side does it before a name is made of
// the sum.
func (f File) Check() error {
	if sum, err := hex.DecodeString(f.Sum); err != nil || len(sum) != sha256.Size {
		return fmt.Errorf("%w: %q has a sum of %d characters, want %d of 0-9, a-f", ErrRefused, f.Name, len(f.Sum), 2*sha256.Size)
	}
	if f.Size < 0 {
		return fmt.Errorf("%w: %q has %d bytes", ErrRefused, f.Name, f.Size)
	}
	return nil
}

// PartName is where what has arrived of a file waits for the rest. The sum keeps it from
// going on with other content of the same name.
func PartName(name, sum string) string { return "." + name + "." + sum[:16] + ".part" }

// Sum reads all that r has.
func Sum(r io.Reader) (string, error) {
	h := sha256.New()
	_, err := io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil)), err
}

// Chunks streams what r has, 64 KiB at a time. They share a buffer: a chunk has been
// sent when the next one is asked for.
func Chunks(r io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		buf := make([]byte, 64<<10)
		for {
			n, err := r.Read(buf)
			if n > 0 && !yield(buf[:n], nil) || err == io.EOF {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
		}
	}
}
