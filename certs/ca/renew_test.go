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

func renew(t *testing.T, dir string, names []string, o RenewOptions) []Result {
	t.Helper()
	all, err := RenewLeaves(dir, names, o)
	if err != nil {
		t.Fatalf("RenewLeaves(%q, %+v): %v", names, o, err)
	}
	return all
}

func TestRenewKeepsWhatItWas(t *testing.T) {
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "service")
	r := Request{Name: "x", SANs: []string{"dns:x.example", "ip:192.0.2.1", "uri:spiffe://x.example/x", "email:x@x.example"},
		Purposes: []Purpose{Server, Client, CodeSigning}, KeyType: Ed25519, TTL: 7 * time.Hour}
	first := ensure(t, dir, r, EnsureOptions{Out: out}, Issue)
	other := ensure(t, dir, server("a"), EnsureOptions{}, Issue)
	if err := os.Chmod(first.Cert, 0o640); err != nil {
		t.Fatal(err)
	}
	before := readFile(t, first.Cert)
	if all := renew(t, dir, []string{"x"}, RenewOptions{DryRun: true}); len(all) != 1 || all[0].Action != Renew || all[0].Cert != first.Cert || readFile(t, first.Cert) != before {
		t.Errorf("a dry run: %+v", all)
	}
	for _, name := range []string{"x", first.Cert} {
		was, key := readFile(t, first.Cert), readFile(t, first.Key)
		all := renew(t, dir, []string{name}, RenewOptions{})
		if len(all) != 1 || all[0].Cert != first.Cert || all[0].Action != Renew {
			t.Fatalf("renewed %+v", all)
		}
		if readFile(t, first.Cert) == was || readFile(t, first.Key) == key {
			t.Error("certificate or key is the old one")
		}
		if mode(t, first.Cert) != 0o640 || mode(t, first.Key) != 0o600 {
			t.Errorf("modes %#o and %#o", mode(t, first.Cert), mode(t, first.Key))
		}
		m, err := certs.Load(first.Cert, first.Key, first.CA)
		if err != nil {
			t.Fatal(err)
		}
		leaf := m.Leaf()
		if !sameSet(sansOf(leaf), r.SANs) || !sameSet(purposesOf(leaf), r.Purposes) || keyTypeOf(leaf.PublicKey) != Ed25519 || leaf.NotAfter.Sub(leaf.NotBefore) != r.TTL+backdate {
			t.Errorf("the new one has %v, %v, %v, %v", sansOf(leaf), purposesOf(leaf), keyTypeOf(leaf.PublicKey), leaf.NotAfter.Sub(leaf.NotBefore))
		}
	}
	// All is the other one too, and each once.
	if all := renew(t, dir, nil, RenewOptions{}); len(all) != 2 || all[0].Cert != other.Cert || all[1].Cert != first.Cert {
		t.Errorf("renewed %+v", all)
	}
	key := readFile(t, other.Key)
	if all := renew(t, dir, []string{"a"}, RenewOptions{KeepKey: true}); len(all) != 1 || readFile(t, other.Key) != key || all[0].Entry.SPKI == "" {
		t.Errorf("with its key: %+v", all)
	}
	if _, err := certs.Load(other.Cert, other.Key, other.CA); err != nil {
		t.Error(err)
	}
	ensure(t, dir, r, EnsureOptions{Out: out}, UpToDate)
}

// A timer renews what is due and nothing else.
func TestRenewWhatIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		short, long := server("short"), server("long")
		short.TTL, long.TTL = 3*time.Hour, 30*time.Hour
		ensure(t, dir, short, EnsureOptions{}, Issue)
		ensure(t, dir, long, EnsureOptions{}, Issue)
		actions := func(o RenewOptions) (all []Action) {
			for _, res := range renew(t, dir, nil, o) {
				all = append(all, res.Action)
			}
			return all
		}
		third := RenewOptions{Part: 1.0 / 3}
		if got := actions(third); !slices.Equal(got, []Action{UpToDate, UpToDate}) {
			t.Errorf("at first: %q", got)
		}
		time.Sleep(2*time.Hour + time.Minute)
		if got := actions(third); !slices.Equal(got, []Action{Renew, UpToDate}) {
			t.Errorf("after two hours: %q", got)
		}
		if got := actions(RenewOptions{Within: 29 * time.Hour}); !slices.Equal(got, []Action{Renew, Renew}) && !slices.Equal(got, []Action{UpToDate, Renew}) {
			t.Errorf("within 29 hours: %q", got)
		}
		time.Sleep(40 * time.Hour) // both have expired
		if got := actions(third); !slices.Equal(got, []Action{Renew, Renew}) {
			t.Errorf("after their end: %q", got)
		}
	})
}

func TestRenewRefuses(t *testing.T) {
	dir := t.TempDir()
	a := ensure(t, dir, server("a"), EnsureOptions{}, Issue)
	b := ensure(t, dir, server("b"), EnsureOptions{}, Issue)
	c := ensure(t, dir, server("c"), EnsureOptions{}, Issue)
	if err := os.Remove(b.Key); err != nil {
		t.Fatal(err)
	}
	revoke(t, dir, "c", RevokeOptions{})
	// One that cannot be renewed keeps no other from it; who is revoked is not among all.
	all, err := RenewLeaves(dir, nil, RenewOptions{})
	wantError(t, err, b.Key, "there is no key beside the certificate")
	if len(all) != 1 || all[0].Cert != a.Cert {
		t.Errorf("renewed %+v", all)
	}
	if err := os.Remove(a.Cert); err != nil {
		t.Fatal(err)
	}
	for what, r := range map[string]struct {
		names []string
		o     RenewOptions
		want  error
	}{
		"unknown":  {[]string{"nobody"}, RenewOptions{}, ErrUnknown},
		"gone":     {[]string{"a"}, RenewOptions{}, ErrUnknown},
		"revoked":  {[]string{"c"}, RenewOptions{}, ErrRevoked},
		"by path":  {[]string{c.Cert}, RenewOptions{}, ErrRevoked},
		"its key":  {[]string{"c"}, RenewOptions{KeepKey: true}, ErrRevoked},
		"negative": {nil, RenewOptions{Within: -1}, ErrRequest},
		"part":     {nil, RenewOptions{Part: 2}, ErrRequest},
	} {
		if _, err := RenewLeaves(dir, r.names, r.o); !errors.Is(err, r.want) {
			t.Errorf("%s: %v, want %v", what, err, r.want)
		}
	}
	if _, err := RenewLeaves(t.TempDir(), nil, RenewOptions{}); !errors.Is(err, ErrNoCA) {
		t.Errorf("without a CA: %v", err)
	}
}

// Whoever reads while files are replaced finds whole files, and a program that follows
// them never has a key without its certificate.
func TestRenewUnderReaders(t *testing.T) {
	dir := t.TempDir()
	a := ensure(t, dir, server("a"), EnsureOptions{}, Issue)
	src := follow(t, a, certs.ServerAuth, "", "")
	stop := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, path := range []string{a.Cert, a.CA} {
				if _, err := readChain(path); err != nil {
					t.Error(err)
				}
			}
			if _, err := readKey(a.Key, nil); err != nil {
				t.Error(err)
			}
			src.Reload() // between the two files it keeps the last pair
			m := src.Current()
			if _, err := certs.NewMaterial(m.Chain, m.Key, m.Roots); err != nil {
				t.Error(err)
			}
		}
	})
	for range 25 {
		renew(t, dir, []string{"a"}, RenewOptions{})
	}
	close(stop)
	group.Wait()
	if err := src.Reload(); err != nil {
		t.Error(err)
	}
	if got, want := src.Status().Serial, serialOf(src.Current().Leaf()); got != want {
		t.Errorf("serial number %s, want %s", got, want)
	}
}

// A run that ends between its steps leaves a pair that does not fit at worst; the next
// run mends it.
func TestRenewCutShort(t *testing.T) {
	t.Parallel()
	var res Result
	for what, again := range map[string]func(dir string) error{
		"renew": func(dir string) error { _, err := RenewLeaves(dir, []string{"a"}, RenewOptions{}); return err },
		"issue": func(dir string) error { _, err := Ensure(dir, server("a"), EnsureOptions{}); return err },
	} {
		t.Run(what, func(t *testing.T) {
			atEachStep(t, func(t *testing.T) string {
				dir := t.TempDir()
				res = ensure(t, dir, server("a"), EnsureOptions{}, Issue)
				return dir
			}, func(t *testing.T, dir string) {
				if err := again(dir); err != nil {
					t.Error(err)
				}
				if _, err := certs.Load(res.Cert, res.Key, res.CA); err != nil {
					t.Error(err)
				}
				ensure(t, dir, server("a"), EnsureOptions{}, UpToDate)
			}, "renew", "a")
		})
	}
}

// An intermediate that is about to end, or has ended, is replaced below the same root:
// nobody who trusts ca.crt has to know.
func TestRenewIntermediate(t *testing.T) {
	for what, wait := range map[string]time.Duration{
		"a third is left": IntermediateTTL*2/3 + time.Hour,
		"after its end":   IntermediateTTL + 24*time.Hour,
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				a := ensure(t, dir, server("a"), EnsureOptions{CA: Options{Name: "Bank", KeyType: Ed25519, Permit: []string{"dns:example"}}}, Issue)
				trust := readFile(t, a.CA)
				writeCRLs(t, dir, CRLOptions{})
				res, err := RenewIntermediate(dir, RenewOptions{})
				if err != nil || res.Action != UpToDate {
					t.Fatalf("at first: %+v, %v", res, err)
				}
				time.Sleep(wait)
				before := snapshotTree(t, dir)
				if res, err = RenewIntermediate(dir, RenewOptions{DryRun: true}); err != nil || res.Action != Renew {
					t.Errorf("a dry run: %+v, %v", res, err)
				}
				if !slices.Equal(before, snapshotTree(t, dir)) {
					t.Error("a dry run has changed files")
				}
				if res, err = RenewIntermediate(dir, RenewOptions{}); err != nil || res.Action != Renew || res.Subject != "CN=Bank intermediate 2" {
					t.Fatalf("got %+v, %v", res, err)
				}
				if m := mode(t, res.Key); m != 0o600 {
					t.Errorf("its key has mode %#o", m)
				}
				if again, err := RenewIntermediate(dir, RenewOptions{}); err != nil || again.Action != UpToDate || again.Cert != res.Cert {
					t.Errorf("again: %+v, %v", again, err)
				}
				renew(t, dir, nil, RenewOptions{})
				if readFile(t, a.CA) != trust {
					t.Error("the trust file has changed")
				}
				chain, err := readChain(a.Cert)
				if err != nil || chain[1].Subject.String() != res.Subject || keyTypeOf(chain[1].PublicKey) != Ed25519 || !slices.Equal(permitted(chain[1]), []string{"dns:example"}) {
					t.Errorf("the leaf is by %v, %v", chain[1].Subject, err)
				}
				if err := verify(chain, rootIn(t, dir)); err != nil {
					t.Error(err)
				}
				if lists := writeCRLs(t, dir, CRLOptions{}); len(lists.Lists) == 0 || lists.Lists[0].Issuer != res.Subject {
					t.Errorf("lists %+v", lists.Lists)
				}
			})
		})
	}
}

// With certificates of now, openssl has the last word.
func TestRenewedIntermediateForOpenSSL(t *testing.T) {
	dir := t.TempDir()
	a := ensure(t, dir, server("a"), EnsureOptions{}, Issue)
	b := ensure(t, dir, server("b"), EnsureOptions{}, Issue)
	revoke(t, dir, "b", RevokeOptions{})
	if _, err := RenewIntermediate(dir, RenewOptions{Within: 2 * IntermediateTTL}); err != nil {
		t.Fatal(err)
	}
	if out, ok := opensslChecks(t, dir, a.Cert); !ok {
		t.Errorf("by the old one: %s", out)
	}
	renew(t, dir, []string{"a"}, RenewOptions{})
	if out, ok := opensslChecks(t, dir, a.Cert); !ok {
		t.Errorf("by the new one: %s", out)
	}
	if out, ok := opensslChecks(t, dir, b.Cert); ok || !strings.Contains(out, "certificate revoked") {
		t.Errorf("revoked by the old one: %t, %s", ok, out)
	}
	all, err := List(dir)
	if err != nil || len(all) != 3 || all[0].State != StateRenewed || all[1].State != StateRevoked || all[2].State != StateLive {
		t.Errorf("got %+v, %v", all, err)
	}
	// Two of them, of which the last is revoked: it takes a third.
	revoke(t, dir, "", RevokeOptions{Intermediate: true})
	if res, err := RenewIntermediate(dir, RenewOptions{}); err != nil || res.Action != Renew || !strings.HasSuffix(res.Subject, " intermediate 3") {
		t.Errorf("got %+v, %v", res, err)
	}
}

func TestRenewIntermediateRefuses(t *testing.T) {
	now := RenewOptions{Within: 2 * IntermediateTTL}
	dir := t.TempDir()
	ensure(t, dir, server("a"), EnsureOptions{}, Issue)
	if err := os.Rename(filepath.Join(dir, rootKey), filepath.Join(dir, "away")); err != nil {
		t.Fatal(err)
	}
	before := snapshotTree(t, dir)
	_, err := RenewIntermediate(dir, now)
	wantError(t, err, rootKey, "only it can sign an intermediate")
	if !slices.Equal(before, snapshotTree(t, dir)) {
		t.Error("files have changed")
	}
	_, err = RenewIntermediate(dir, RenewOptions{KeepKey: true})
	wantError(t, err, "always gets another key")
	if _, err := RenewIntermediate(t.TempDir(), now); !errors.Is(err, ErrNoCA) {
		t.Errorf("without a CA: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		ensure(t, dir, server("a"), EnsureOptions{}, Issue)
		time.Sleep(RootTTL)
		_, err := RenewIntermediate(dir, RenewOptions{})
		wantError(t, err, "the root itself ends", "mkcerts ca roll")
	})
}

func TestRenewIntermediateCutShort(t *testing.T) {
	t.Parallel()
	atEachStep(t, func(t *testing.T) string {
		dir := t.TempDir()
		ensure(t, dir, server("a"), EnsureOptions{}, Issue)
		writeCRLs(t, dir, CRLOptions{})
		return dir
	}, func(t *testing.T, dir string) {
		ensure(t, dir, server("b"), EnsureOptions{}, Issue) // whoever signs now can
		s, err := openSite(dir)
		if err != nil {
			t.Fatal(err)
		}
		listed := s.isListed(s.issuing())
		if !listed {
			t.Error("an intermediate signs that has no list")
		}
		if _, err := RenewIntermediate(dir, RenewOptions{Within: IntermediateTTL / 2}); err != nil {
			t.Fatal(err)
		}
		if s.roles.Issuing == firstAuthority {
			if _, err := RenewIntermediate(dir, RenewOptions{Within: IntermediateTTL * 2}); err != nil {
				t.Fatal(err)
			}
		}
		b := renew(t, dir, []string{"b"}, RenewOptions{})[0]
		if out, ok := opensslChecks(t, dir, b.Cert); !ok {
			t.Errorf("openssl: %s", out)
		}
		for _, name := range namesIn(t, dir) {
			if strings.HasPrefix(name, ".ca-") {
				t.Errorf("%s is left", name)
			}
		}
	}, "intermediate")
}
