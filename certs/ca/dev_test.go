package ca

import (
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

func TestDev(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "pki")
		d, err := Dev(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Made) != 5+3*2 {
			t.Errorf("made %q", d.Made)
		}
		for _, path := range d.Made {
			if !exists(path) {
				t.Errorf("%s is not there", path)
			}
		}
		server, err := certs.Load(d.ServerCert, d.ServerKey, d.CA)
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range []string{"localhost", "127.0.0.1", "::1"} {
			if err := certs.Covers(server.Leaf(), host); err != nil {
				t.Error(err)
			}
		}
		for want, files := range map[string][2]string{DevClient: {d.ClientCert, d.ClientKey}, DevGuest: {d.GuestCert, d.GuestKey}} {
			m, err := certs.Load(files[0], files[1], d.CA)
			if err != nil {
				t.Fatal(err)
			}
			chain, err := certs.VerifyPeer(m.Chain, server, certs.ClientAuth, time.Now())
			if err != nil {
				t.Errorf("a daemon refuses %s: %v", want, err)
			}
			var none *validator.Mapper
			if id, err := none.Identify(chain); err != nil || id.Principal.String() != want {
				t.Errorf("got %v, %v, want %s", id.Principal, err, want)
			}
		}
		before := snapshot(t, dir)
		if d, err := Dev(dir); err != nil || len(d.Made) > 0 {
			t.Errorf("made again: %q, %v", d.Made, err)
		}
		if !slices.Equal(before, snapshot(t, dir)) {
			t.Error("files have changed")
		}
		time.Sleep(devTTL * 3 / 4)
		again, err := Dev(dir)
		if want := []string{d.ServerCert, d.ServerKey, d.ClientCert, d.ClientKey, d.GuestCert, d.GuestKey}; err != nil || !slices.Equal(again.Made, want) {
			t.Errorf("made %q, %v, want %q", again.Made, err, want)
		}
	})
}

func BenchmarkDevFirst(b *testing.B) {
	dir := b.TempDir()
	for n := 0; b.Loop(); n++ {
		if _, err := Dev(filepath.Join(dir, string(rune('a'+n%26)), time.Duration(n).String())); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDevAgain(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		if _, err := Dev(dir); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIssue(b *testing.B) {
	c := newTestCA(b, Options{})
	for b.Loop() {
		issue(b, c, server("a"))
	}
}
