//go:build unix

package certs_test

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
)

// TestLoadPipe sees that a pipe, which would block for ever, is not opened.
func TestLoadPipe(t *testing.T) {
	dir := t.TempDir()
	ca := testca.New(t)
	cert, _ := ca.Server(t, "bank.example").WriteFiles(t, dir, "bank")
	root := write(t, filepath.Join(dir, "ca.crt"), ca.RootPEM(), 0o644)
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := certs.Load(cert, pipe, root); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
		t.Errorf("a pipe as key: %v", err)
	}
}
