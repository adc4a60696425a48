package ca

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Entry is one certificate in the index of a CA's directory.
type Entry struct {
	Name      string    `json:"name"`
	Serial    string    `json:"serial"` // hexadecimal
	SANs      []string  `json:"sans"`   // kind:value
	Purposes  []Purpose `json:"purposes"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	SPKI      string    `json:"spki_sha256"` // of its public key, hexadecimal
	File      string    `json:"file"`        // its certificate
}

func entryOf(name, file string, c *x509.Certificate) Entry {
	return Entry{
		Name: name, Serial: serialOf(c), SANs: sansOf(c), Purposes: purposesOf(c),
		NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), SPKI: fingerprint(c.RawSubjectPublicKeyInfo), File: file,
	}
}

func serialOf(c *x509.Certificate) string { return fmt.Sprintf("%x", c.SerialNumber) }

func fingerprint(spki []byte) string {
	sum := sha256.Sum256(spki)
	return hex.EncodeToString(sum[:])
}

// purposesOf gives the purposes of a certificate that this package knows.
func purposesOf(c *x509.Certificate) (all []Purpose) {
	for _, p := range purposes {
		for _, u := range c.ExtKeyUsage {
			if u == p.usage {
				all = append(all, p.purpose)
			}
		}
	}
	return all
}

// record adds to the index, which keeps every certificate that was ever issued.
func record(dir string, e Entry) error {
	path := filepath.Join(dir, indexFile)
	line, err := json.Marshal(e)
	if err != nil {
		return fileError(path, "cannot be written", err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fileError(path, "cannot be opened", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > 0 {
		// A line that a crash cut short must not swallow this one.
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' {
			line = append([]byte{'\n'}, line...)
		}
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		return fileError(path, "cannot be written", err)
	}
	if err := f.Sync(); err != nil {
		return fileError(path, "cannot be written", err)
	}
	return nil
}

// List gives what a directory's CA has issued, oldest first. A line that a crash
// cut short is passed over; the certificate itself had not been written then.
func List(dir string) ([]Entry, error) {
	path := filepath.Join(dir, indexFile)
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && Exists(dir):
		return nil, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, &failure{File: filepath.Join(dir, rootCert), Reason: "there is no CA in this directory", Fix: "mkcerts init", Err: ErrNoCA}
	case err != nil:
		return nil, fileError(path, "cannot be read", err)
	}
	var all []Entry
	s := bufio.NewScanner(bytes.NewReader(data))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var e Entry
		if json.Unmarshal(s.Bytes(), &e) == nil && e.Serial != "" {
			all = append(all, e)
		}
	}
	if err := s.Err(); err != nil {
		return nil, fileError(path, "cannot be read", err)
	}
	return all, nil
}
