package ca

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyrossl/pyrossl/certs"
)

func server(name string) Request {
	return Request{Name: name, SANs: []string{"dns:" + name + ".example"}, Purposes: []Purpose{Server}}
}

func ensure(t *testing.T, dir string, r Request, o EnsureOptions, want Action) Result {
	t.Helper()
	res, err := Ensure(dir, r, o)
	if err != nil {
		t.Fatalf("Ensure(%s): %v", r.Name, err)
	}
	if res.Action != want {
		t.Fatalf("Ensure(%s): %s, want %s", r.Name, res.Action, want)
	}
	return res
}

func TestEnsureTwiceChangesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	first := ensure(t, dir, server("a"), EnsureOptions{}, Issue)
	if !first.MadeCA || first.Entry.Serial == "" || first.Cert != filepath.Join(dir, "a.crt") {
		t.Errorf("got %+v", first)
	}
	if m := mode(t, first.Key); m != 0o600 {
		t.Errorf("the key has mode %#o", m)
	}
	if _, err := certs.Load(first.Cert, first.Key, first.CA); err != nil {
		t.Errorf("package certs: %v", err)
	}
	before := snapshot(t, dir)
	again := ensure(t, dir, server("a"), EnsureOptions{}, UpToDate)
	if again.MadeCA || again.Entry.Serial != first.Entry.Serial {
		t.Errorf("got %+v, then %+v", first, again)
	}
	if !slices.Equal(before, snapshot(t, dir)) {
		t.Error("files have changed")
	}
	// The names may come in another order and spelling.
	r := server("a")
	r.SANs = []string{"A.example.", "a.example"}
	ensure(t, dir, r, EnsureOptions{}, UpToDate)
}

// A certificate is renewed, with another key, when a third of its life is left.
func TestEnsureRenews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := server("a")
		r.TTL = 3 * time.Hour
		first := ensure(t, dir, r, EnsureOptions{}, Issue)
		key := readFile(t, first.Key)
		time.Sleep(r.TTL*2/3 - 2*time.Minute)
		ensure(t, dir, r, EnsureOptions{}, UpToDate)
		time.Sleep(4 * time.Minute)
		second := ensure(t, dir, r, EnsureOptions{}, Renew)
		if second.Entry.Serial == first.Entry.Serial || second.Entry.SPKI == first.Entry.SPKI || readFile(t, second.Key) == key {
			t.Error("the certificate or its key is the old one")
		}
		if m := mode(t, second.Key); m != 0o600 {
			t.Errorf("the new key has mode %#o", m)
		}
		ensure(t, dir, r, EnsureOptions{}, UpToDate)
		ensure(t, dir, r, EnsureOptions{RenewBefore: 4 * time.Hour}, Renew)
		ensure(t, dir, r, EnsureOptions{RenewBefore: time.Minute}, UpToDate)
		time.Sleep(5 * time.Hour) // expired
		ensure(t, dir, r, EnsureOptions{RenewBefore: time.Minute}, Renew)
		all, err := List(dir)
		if err != nil || len(all) != 4 || all[0].Serial != first.Entry.Serial {
			t.Errorf("the index has %d entries, %v, want 4 beginning with the first", len(all), err)
		}
	})
}

// A certificate ends with its CA at the latest, and what was asked for is not
// forgotten. When the intermediate has ended, another one takes its place, in the same
// directory.
func TestEnsureAtTheEndOfTheCA(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := server("a")
		r.TTL = 30 * 24 * time.Hour
		ensure(t, dir, r, EnsureOptions{}, Issue)
		authority, err := Open(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		end := authority.Intermediate().NotAfter
		time.Sleep(IntermediateTTL - time.Hour)
		res := ensure(t, dir, r, EnsureOptions{}, Renew)
		if res.Entry.NotAfter.After(end) || !strings.Contains(res.Warning, "the CA ends then") || !strings.Contains(res.Warning, "mkcerts renew --ca") {
			t.Errorf("valid until %v, warning %q; the CA ends on %v", res.Entry.NotAfter, res.Warning, end)
		}
		time.Sleep(2 * time.Hour)
		_, err = Ensure(dir, server("b"), EnsureOptions{})
		wantError(t, err, "expired", "mkcerts renew --ca")
		if exists(filepath.Join(dir, "b.crt")) || exists(filepath.Join(dir, "b.key")) {
			t.Error("something was written")
		}
		if _, err := RenewIntermediate(dir, RenewOptions{}); err != nil {
			t.Fatal(err)
		}
		ensure(t, dir, server("b"), EnsureOptions{}, Issue)
		all, err := RenewLeaves(dir, []string{"a"}, RenewOptions{})
		if err != nil || len(all) != 1 {
			t.Fatalf("renewed %+v, %v", all, err)
		}
		if got := all[0].Entry.NotAfter.Sub(all[0].Entry.NotBefore) - backdate; got != r.TTL || all[0].Warning != "" {
			t.Errorf("the next one is valid for %v (%q), want the %v that were asked for", got, all[0].Warning, r.TTL)
		}
	})
}

func TestEnsureLeavesWhatDiffers(t *testing.T) {
	otherCA := t.TempDir()
	other := ensure(t, otherCA, server("a"), EnsureOptions{}, Issue)
	for what, c := range map[string]struct {
		ask    func(*Request)
		change func(t *testing.T, r Result)
		want   string
	}{
		"names":    {func(r *Request) { r.SANs = append(r.SANs, "b.example") }, nil, "its names are dns:a.example, asked for dns:a.example dns:b.example"},
		"purposes": {func(r *Request) { r.Purposes = []Purpose{Client} }, nil, "its purposes are serverAuth, asked for clientAuth"},
		"more":     {func(r *Request) { r.Purposes = append(r.Purposes, Client) }, nil, "asked for clientAuth serverAuth"},
		"key":      {func(r *Request) { r.KeyType = Ed25519 }, nil, "its key is ecdsa-p256, asked for ed25519"},
		"no key":   {nil, func(t *testing.T, r Result) { os.Remove(r.Key) }, "is missing"},
		"loose":    {nil, func(t *testing.T, r Result) { os.Chmod(r.Key, 0o644) }, "mode 0644"},
		"rubbish":  {nil, func(t *testing.T, r Result) { writeFile(t, r.Cert, "mine", 0o644) }, "a.crt"},
		"foreign key": {nil, func(t *testing.T, r Result) {
			writeFile(t, r.Key, readFile(t, other.Key), 0o600)
		}, "a.crt"},
		"foreign key alone": {nil, func(t *testing.T, r Result) {
			os.Remove(r.Cert)
			writeFile(t, r.Key, readFile(t, other.Key), 0o600)
		}, "without its certificate"},
		"another CA": {nil, func(t *testing.T, r Result) {
			writeFile(t, r.Key, readFile(t, other.Key), 0o600)
			writeFile(t, r.Cert, readFile(t, other.Cert), 0o644)
		}, "it is from another CA"},
		"no CA at all": {nil, func(t *testing.T, r Result) {
			for _, name := range []string{rootCert, rootKey, interCert, interKey, TrustFile} {
				os.Remove(filepath.Join(filepath.Dir(r.Cert), name))
			}
		}, "it is from another CA"},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			made := ensure(t, dir, server("a"), EnsureOptions{}, Issue)
			if c.change != nil {
				c.change(t, made)
			}
			r := server("a")
			if c.ask != nil {
				c.ask(&r)
			}
			before := snapshot(t, dir)
			for _, dry := range []bool{true, false} {
				_, err := Ensure(dir, r, EnsureOptions{DryRun: dry})
				if !errors.Is(err, ErrDiffers) {
					t.Fatalf("got %v, want ErrDiffers", err)
				}
				wantError(t, err, c.want, "--force")
			}
			if !slices.Equal(before, snapshot(t, dir)) {
				t.Error("files have changed")
			}
			res := ensure(t, dir, r, EnsureOptions{Force: true}, Replace)
			if _, err := certs.Load(res.Cert, res.Key, res.CA); err != nil {
				t.Errorf("after --force: %v", err)
			}
			ensure(t, dir, r, EnsureOptions{}, UpToDate)
		})
	}
}

// A run may end at any moment between its writes; the next one sets it right by
// itself, and does not take a stranger's file for its own.
func TestEnsureAfterARunCutShort(t *testing.T) {
	dir := t.TempDir()
	// Of a first run, the certificate is missing.
	res := ensure(t, dir, server("a"), EnsureOptions{}, Issue)
	if err := os.Remove(res.Cert); err != nil {
		t.Fatal(err)
	}
	ensure(t, dir, server("a"), EnsureOptions{}, Issue)
	ensure(t, dir, server("a"), EnsureOptions{}, UpToDate)

	// Of a renewal, too: the old certificate stands beside the new key.
	old := readFile(t, res.Cert)
	ensure(t, dir, server("a"), EnsureOptions{Force: true}, Replace)
	writeFile(t, res.Cert, old, 0o644)
	ensure(t, dir, server("a"), EnsureOptions{}, Issue)
	ensure(t, dir, server("a"), EnsureOptions{}, UpToDate)

	// For another request, the user is asked.
	ensure(t, dir, server("a"), EnsureOptions{Force: true}, Replace)
	writeFile(t, res.Cert, old, 0o644)
	r := server("a")
	r.SANs = []string{"b.example"}
	if _, err := Ensure(dir, r, EnsureOptions{}); !errors.Is(err, ErrDiffers) {
		t.Errorf("got %v, want ErrDiffers", err)
	}
	// As for a certificate that we have not issued under this name.
	b := ensure(t, dir, server("b"), EnsureOptions{}, Issue)
	writeFile(t, res.Cert, readFile(t, b.Cert), 0o644)
	if _, err := Ensure(dir, server("a"), EnsureOptions{}); !errors.Is(err, ErrDiffers) {
		t.Errorf("got %v, want ErrDiffers", err)
	}

	// A line of the index that was cut short is passed over, and swallows no other.
	f, err := os.OpenFile(filepath.Join(dir, indexFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"name":"cut","serial":"1`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	ensure(t, dir, server("c"), EnsureOptions{}, Issue)
	all, err := List(dir)
	if err != nil || len(all) == 0 || all[len(all)-1].Name != "c" || slices.ContainsFunc(all, func(e Entry) bool { return e.Name == "cut" }) {
		t.Errorf("the index has %+v, %v", all, err)
	}
}

func TestEnsureDryRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	res := ensure(t, dir, server("a"), EnsureOptions{DryRun: true}, Issue)
	if !res.MadeCA || exists(dir) {
		t.Errorf("got %+v, and the directory is there: %t", res, exists(dir))
	}
	ensure(t, dir, server("a"), EnsureOptions{}, Issue)
	before := snapshot(t, dir)
	ensure(t, dir, server("a"), EnsureOptions{DryRun: true}, UpToDate)
	ensure(t, dir, server("a"), EnsureOptions{DryRun: true, Force: true}, Replace)
	ensure(t, dir, server("a"), EnsureOptions{DryRun: true, RenewBefore: 48 * time.Hour}, Renew)
	if !slices.Equal(before, snapshot(t, dir)) {
		t.Error("a dry run has changed files")
	}
}

func TestEnsureElsewhere(t *testing.T) {
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "service", "pki")
	res := ensure(t, dir, server("a"), EnsureOptions{Out: out}, Issue)
	if names := namesIn(t, out); !slices.Equal(names, []string{"a.crt", "a.key", "ca.crt"}) {
		t.Errorf("got %q", names)
	}
	if m := mode(t, out); m != 0o700 {
		t.Errorf("the directory has mode %#o", m)
	}
	// What peers need is restored.
	if err := os.Remove(res.CA); err != nil {
		t.Fatal(err)
	}
	ensure(t, dir, server("a"), EnsureOptions{Out: out}, UpToDate)
	if readFile(t, res.CA) != readFile(t, filepath.Join(dir, TrustFile)) {
		t.Error("ca.crt is not the CA's")
	}
	// A file that trusts others too is fine, one that trusts others only is not.
	other := t.TempDir()
	if _, err := Create(other, Options{}); err != nil {
		t.Fatal(err)
	}
	roots := readFile(t, filepath.Join(other, TrustFile))
	writeFile(t, res.CA, roots+readFile(t, filepath.Join(dir, TrustFile)), 0o644)
	ensure(t, dir, server("b"), EnsureOptions{Out: out}, Issue)
	writeFile(t, res.CA, roots, 0o644)
	_, err := Ensure(dir, server("c"), EnsureOptions{Out: out})
	if !errors.Is(err, ErrDiffers) {
		t.Errorf("got %v, want ErrDiffers", err)
	}
	if exists(filepath.Join(out, "c.key")) || readFile(t, res.CA) != roots {
		t.Error("files have changed")
	}
}

func namesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	for _, s := range snapshot(t, dir) {
		name, _, _ := strings.Cut(s, "\n")
		names = append(names, name)
	}
	return names
}

// Two runs at once give one CA, and one certificate for each name.
func TestEnsureAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	var group sync.WaitGroup
	for n := range 16 {
		group.Go(func() {
			if _, err := Ensure(dir, server([]string{"a", "b"}[n%2]), EnsureOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	all, err := List(dir)
	if err != nil || len(all) != 2 {
		t.Errorf("issued %d certificates, %v, want 2", len(all), err)
	}
	ensure(t, dir, server("a"), EnsureOptions{}, UpToDate)
	ensure(t, dir, server("b"), EnsureOptions{}, UpToDate)
}

func TestListWithoutCA(t *testing.T) {
	if _, err := List(t.TempDir()); !errors.Is(err, ErrNoCA) {
		t.Errorf("got %v, want ErrNoCA", err)
	}
}
