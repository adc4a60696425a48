package ca

import (
	"context"
	"crypto/x509"
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

func add(t *testing.T, dir string, o Options) Roll {
	t.Helper()
	st, err := RollAdd(dir, o)
	if err != nil {
		t.Fatalf("RollAdd(%+v): %v", o, err)
	}
	return st
}

func reissue(t *testing.T, dir string) []Result {
	t.Helper()
	all, err := RollReissue(dir, RenewOptions{})
	if err != nil {
		t.Fatalf("RollReissue: %v", err)
	}
	return all
}

func remove(t *testing.T, dir string, o RemoveOptions) Roll {
	t.Helper()
	st, err := RollRemove(dir, o)
	if err != nil {
		t.Fatalf("RollRemove(%+v): %v", o, err)
	}
	return st
}

// status checks where a roll stands.
func status(t *testing.T, dir string, step RollStep, hanging, renewed int) Roll {
	t.Helper()
	st, err := RollStatus(dir)
	if err != nil || st.Step != step || len(st.Hanging) != hanging || len(st.Renewed) != renewed {
		t.Errorf("the roll stands at %q with %d hanging and %d renewed, %v; want %q, %d, %d", st.Step, len(st.Hanging), len(st.Renewed), err, step, hanging, renewed)
	}
	return st
}

func rootsIn(t *testing.T, path string) int {
	t.Helper()
	all, err := readChain(path)
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func TestRoll(t *testing.T) {
	t.Parallel()
	dir, out := t.TempDir(), t.TempDir()
	a := ensure(t, dir, server("a"), EnsureOptions{CA: Options{Name: "Bank", KeyType: Ed25519, Permit: []string{"dns:example"}}}, Issue)
	b := ensure(t, dir, server("b"), EnsureOptions{Out: out}, Issue)
	revoke(t, dir, ensure(t, dir, server("c"), EnsureOptions{}, Issue).Entry.Serial, RevokeOptions{})
	oldRoot := rootIn(t, dir)
	oldFiles := snapshot(t, dir)
	status(t, dir, RollNone, 0, 0)
	if _, err := RollReissue(dir, RenewOptions{}); !errors.Is(err, ErrUnknown) {
		t.Errorf("to reissue before the beginning: %v", err)
	}
	if st := remove(t, dir, RemoveOptions{}); st.Step != RollNone || !slices.Equal(oldFiles, snapshot(t, dir)) {
		t.Errorf("to remove before the beginning: %+v", st)
	}

	st := add(t, dir, Options{})
	if st.Step != RollAdded || st.New.Subject != "CN=Bank 2 root" || len(st.TrustFiles) != 2 || len(st.Lists.Lists) != 2 {
		t.Errorf("after add: %+v", st)
	}
	for _, f := range st.TrustFiles {
		if !f.Old || !f.New || rootsIn(t, f.File) != 2 {
			t.Errorf("trust file %+v", f)
		}
	}
	for name := range strings.SplitSeq("root.key intermediate.key", " ") {
		if m := mode(t, filepath.Join(dir, "ca-2", name)); m != 0o600 {
			t.Errorf("the new %s has mode %#o", name, m)
		}
	}
	if again := add(t, dir, Options{Name: "Bank 2"}); again.New != st.New {
		t.Errorf("again: %+v", again)
	}
	for _, o := range []Options{{Name: "Other"}, {KeyType: RSA2048}, {Permit: []string{"dns:example.org"}}} {
		if _, err := RollAdd(dir, o); !errors.Is(err, ErrRequest) {
			t.Errorf("another one now: %v, want ErrRequest", err)
		}
	}
	// Until then, the old one signs; what is there stays.
	ensure(t, dir, server("a"), EnsureOptions{}, UpToDate)
	if d := ensure(t, dir, server("d"), EnsureOptions{}, Issue); d.Entry.Issuer != a.Entry.Issuer {
		t.Error("the new one signs already")
	}
	status(t, dir, RollAdded, 3, 0)
	if _, err := RollRemove(dir, RemoveOptions{}); !errors.Is(err, ErrInUse) {
		t.Errorf("to remove now: %v, want ErrInUse", err)
	}
	if _, err := RenewIntermediate(dir, RenewOptions{Within: 2 * IntermediateTTL}); err == nil {
		t.Error("the intermediate of a CA that is being left was renewed")
	}

	before := snapshotTree(t, dir)
	if all, err := RollReissue(dir, RenewOptions{DryRun: true}); err != nil || len(all) != 3 || !slices.Equal(before, snapshotTree(t, dir)) {
		t.Errorf("a dry run: %+v, %v", all, err)
	}
	// One cannot be renewed: it is said which, and the rest goes on.
	key := readFile(t, b.Key)
	os.Remove(b.Key)
	all, err := RollReissue(dir, RenewOptions{})
	wantError(t, err, b.Key)
	if len(all) != 2 {
		t.Errorf("reissued %+v", all)
	}
	if st := status(t, dir, RollReissuing, 1, 2); len(st.Hanging) == 1 && st.Hanging[0].Name != "b" {
		t.Errorf("hanging %+v", st.Hanging)
	}
	_, err = RollRemove(dir, RemoveOptions{})
	if !errors.Is(err, ErrInUse) {
		t.Errorf("to remove while one hangs: %v, want ErrInUse", err)
	}
	wantError(t, err, "1 certificate by CN=Bank root", "b ("+b.Cert+")")
	if st := remove(t, dir, RemoveOptions{DryRun: true}); len(st.Hanging) != 1 || rootsIn(t, a.CA) != 2 {
		t.Errorf("a dry run: %+v", st)
	}
	writeFile(t, b.Key, key, 0o600)
	if all := reissue(t, dir); len(all) != 1 || all[0].Cert != b.Cert {
		t.Errorf("reissued %+v", all)
	}
	if all := reissue(t, dir); len(all) != 0 {
		t.Errorf("once more: %+v", all)
	}
	status(t, dir, RollReissuing, 0, 3)

	remove(t, dir, RemoveOptions{})
	status(t, dir, RollNone, 0, 0)
	for _, path := range []string{a.CA, b.CA} {
		if roots, err := readChain(path); err != nil || len(roots) != 1 || roots[0].Equal(oldRoot) {
			t.Errorf("%s holds %d roots, %v", path, len(roots), err)
		}
	}
	writeCRLs(t, dir, CRLOptions{})
	for _, cert := range []string{a.Cert, b.Cert} {
		if out, ok := opensslChecks(t, dir, cert); !ok {
			t.Errorf("openssl: %s", out)
		}
	}
	chain, err := readChain(a.Cert)
	if err != nil || keyTypeOf(chain[1].PublicKey) != Ed25519 || !slices.Equal(permitted(chain[1]), []string{"dns:example"}) {
		t.Errorf("the new CA is not as the old one: %v", err)
	}
	states(t, dir, "a cut off", "b cut off", "c revoked", "d cut off", "a live", "d live", "b live")
	// What has been done can be done again.
	if st := add(t, dir, Options{}); st.New.Subject != "CN=Bank 3 root" || st.Old.Subject != "CN=Bank 2 root" {
		t.Errorf("the next roll: %+v", st)
	}
	reissue(t, dir)
	remove(t, dir, RemoveOptions{})
	// The files of the first one are needed by nobody now.
	for _, name := range []string{rootCert, rootKey, interCert, interKey} {
		os.Remove(filepath.Join(dir, name))
	}
	ensure(t, dir, server("e"), EnsureOptions{}, Issue)
	writeCRLs(t, dir, CRLOptions{})
}

// states checks what has become of each certificate, as "name state".
func states(t *testing.T, dir string, want ...string) {
	t.Helper()
	all, err := List(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range all {
		got = append(got, e.Name+" "+string(e.State))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("states %q, want %q", got, want)
	}
}

// Whoever hangs on the old CA when it is removed by force is cut off, and can be renewed.
func TestRollRemoveByForce(t *testing.T) {
	dir := t.TempDir()
	a := ensure(t, dir, server("a"), EnsureOptions{}, Issue)
	add(t, dir, Options{})
	if st := remove(t, dir, RemoveOptions{Force: true}); len(st.Hanging) != 1 || st.Hanging[0].Name != "a" {
		t.Errorf("removed with %+v", st.Hanging)
	}
	states(t, dir, "a cut off")
	ensure(t, dir, server("a"), EnsureOptions{}, Renew)
	states(t, dir, "a cut off", "a live")
	chain, err := readChain(a.Cert)
	if err != nil || verify(chain, rootIn(t, dir)) != nil {
		t.Errorf("the next one does not verify: %v", err)
	}
}

// A trust file that holds others' roots too keeps them; one of others only is no
// business of ours.
func TestRollLeavesOthersRoots(t *testing.T) {
	dir, shared, foreign, other := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
	if _, err := Create(other, Options{}); err != nil {
		t.Fatal(err)
	}
	theirs := "# theirs\n" + readFile(t, filepath.Join(other, TrustFile))
	a := ensure(t, dir, server("a"), EnsureOptions{Out: shared}, Issue)
	b := ensure(t, dir, server("b"), EnsureOptions{Out: foreign}, Issue)
	writeFile(t, a.CA, readFile(t, a.CA)+theirs, 0o640)
	writeFile(t, b.CA, theirs, 0o644)
	add(t, dir, Options{})
	all, err := RollReissue(dir, RenewOptions{})
	if len(all) != 1 || !errors.Is(err, ErrDiffers) {
		t.Errorf("reissued %+v, %v", all, err)
	}
	remove(t, dir, RemoveOptions{Force: true})
	if text := readFile(t, a.CA); !strings.HasPrefix(text, theirs) || rootsIn(t, a.CA) != 2 || mode(t, a.CA) != 0o640 {
		t.Errorf("the shared file has mode %#o and is\n%s", mode(t, a.CA), text)
	}
	if readFile(t, b.CA) != theirs {
		t.Error("others' file has changed")
	}
}

// Daemons and clients that follow their files make and take connections all along: not
// one fails. Their lists are followed too.
func TestRollUnderTraffic(t *testing.T) {
	t.Parallel()
	dir, out := t.TempDir(), t.TempDir()
	daemon := ensure(t, dir, server("a"), EnsureOptions{}, Issue)
	alice := ensure(t, dir, clientOf("alice", "alice@bank.example"), EnsureOptions{Out: out}, Issue)
	writeCRLs(t, dir, CRLOptions{})
	crl, deny := filepath.Join(dir, CRLFile), filepath.Join(dir, DenyFile)
	s, c := follow(t, daemon, certs.ServerAuth, crl, deny), follow(t, alice, certs.ClientAuth, crl, deny)
	ctx, stop := context.WithCancel(context.Background())
	var group sync.WaitGroup
	var shaken int
	group.Go(func() {
		for ctx.Err() == nil {
			if err := shake(context.Background(), s, c, "a.example"); err != nil {
				t.Errorf("connection %d: %v", shaken, err)
				return
			}
			shaken++
		}
	})
	defer group.Wait()
	defer stop()
	// until waits as the user does who is told to bring the files to all.
	until := func(what string, holds func(m *certs.Material) bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !holds(s.Current()) || !holds(c.Current()); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: daemon %q, client %q", what, s.Status().LastError, c.Status().LastError)
			}
		}
	}
	old := s.Current().Roots[0]
	add(t, dir, Options{})
	until("both roots", func(m *certs.Material) bool { return len(m.Roots) == 2 })
	reissue(t, dir)
	until("new certificates", func(m *certs.Material) bool { return m.Chain[1].CheckSignatureFrom(old) != nil })
	remove(t, dir, RemoveOptions{})
	until("the old root gone", func(m *certs.Material) bool { return len(m.Roots) == 1 && !m.Roots[0].Equal(old) })
	writeCRLs(t, dir, CRLOptions{})
	if err := errors.Join(s.Reload(), c.Reload(), shake(t.Context(), s, c, "a.example")); err != nil {
		t.Error(err)
	}
	stop()
	group.Wait()
	if shaken == 0 {
		t.Error("no connection was made")
	}
	revoke(t, dir, "alice", RevokeOptions{})
	if err := errors.Join(s.Reload(), c.Reload()); err != nil {
		t.Error(err)
	}
	wantError(t, shake(t.Context(), s, c, "a.example"), "revocation: ")
}

// Each step may end at any moment; at each of them the certificates that are in place
// are good for those who trust the files in place, and the same step again ends well.
func TestRollCutShort(t *testing.T) {
	t.Parallel()
	var a, b Result
	begin := func(t *testing.T, steps ...func(*testing.T, string)) string {
		dir := t.TempDir()
		a = ensure(t, dir, server("a"), EnsureOptions{}, Issue)
		b = ensure(t, dir, server("b"), EnsureOptions{Out: t.TempDir()}, Issue)
		writeCRLs(t, dir, CRLOptions{})
		for _, step := range steps {
			step(t, dir)
		}
		return dir
	}
	// To reissue does not do what add has left out: nobody would have had the time to take
	// it up.
	t.Run("reissue before add is done", func(t *testing.T) {
		dir := begin(t, func(t *testing.T, dir string) { add(t, dir, Options{}) })
		writeFile(t, b.CA, readFile(t, filepath.Join(dir, rootCert)), 0o644)
		before := snapshotTree(t, dir)
		_, err := RollReissue(dir, RenewOptions{})
		wantError(t, err, b.CA, "does not hold the new root yet", "mkcerts ca roll add")
		if !errors.Is(err, ErrInUse) || !slices.Equal(before, snapshotTree(t, dir)) {
			t.Errorf("got %v, or files have changed", err)
		}
		add(t, dir, Options{})
		reissue(t, dir)
	})
	toAdd := func(t *testing.T, dir string) { add(t, dir, Options{}) }
	toReissue := func(t *testing.T, dir string) { reissue(t, dir) }
	look := func(t *testing.T, dir string) {
		for _, leaf := range []Result{a, b} {
			chain, err := readChain(leaf.Cert)
			if err != nil {
				t.Fatal(err)
			}
			for _, trust := range []string{a.CA, b.CA} {
				roots, err := readChain(trust)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.ContainsFunc(roots, func(r *x509.Certificate) bool { return verify(chain, r) == nil }) {
					t.Errorf("%s is not good for those with %s", leaf.Cert, trust)
				}
			}
		}
		finishRoll(t, dir)
		for _, leaf := range []Result{a, b} {
			if _, err := certs.Load(leaf.Cert, leaf.Key, leaf.CA); err != nil {
				t.Error(err)
			}
			if n := rootsIn(t, leaf.CA); n != 1 {
				t.Errorf("%s holds %d roots", leaf.CA, n)
			}
			if out, ok := opensslChecks(t, dir, leaf.Cert); !ok {
				t.Errorf("openssl: %s", out)
			}
		}
	}
	t.Run("add", func(t *testing.T) {
		atEachStep(t, func(t *testing.T) string { return begin(t) }, look, "add")
	})
	t.Run("reissue", func(t *testing.T) {
		atEachStep(t, func(t *testing.T) string { return begin(t, toAdd) }, look, "reissue")
	})
	t.Run("remove", func(t *testing.T) {
		atEachStep(t, func(t *testing.T) string { return begin(t, toAdd, toReissue) }, look, "remove")
	})
}

// finishRoll does what is left to do. Where the trust files lack the new root, no
// certificate is renewed before they have it.
func finishRoll(t *testing.T, dir string) {
	t.Helper()
	st, err := RollStatus(dir)
	if err != nil {
		t.Fatal(err)
	}
	if ended := st.Step == RollNone && readRolesOf(t, dir).Issuing != firstAuthority; ended {
		return
	}
	if _, err := RollReissue(dir, RenewOptions{}); err != nil {
		if !errors.Is(err, ErrInUse) && !errors.Is(err, ErrUnknown) {
			t.Error(err)
		}
		add(t, dir, Options{})
	}
	reissue(t, dir)
	remove(t, dir, RemoveOptions{})
	status(t, dir, RollNone, 0, 0)
}

func readRolesOf(t *testing.T, dir string) roles {
	t.Helper()
	r, err := readRoles(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRollWithDamagedRoles(t *testing.T) {
	dir := t.TempDir()
	ensure(t, dir, server("a"), EnsureOptions{}, Issue)
	add(t, dir, Options{})
	for _, damaged := range []string{
		"", "{", `{"version":2,"authorities":[1],"issuing":1}`, `{"version":1,"authorities":[],"issuing":1}`, `{"version":1,"authorities":[2,1],"issuing":1}`,
		`{"version":1,"authorities":[1],"issuing":2}`, `{"version":1,"authorities":[1],"issuing":1,"roll":{"from":1,"to":2,"step":"added"}}`,
		`{"version":1,"authorities":[1,2],"issuing":1,"roll":{"from":1,"to":2,"step":"none"}}`, `{"version":1,"authorities":[1],"issuing":1,"more":1}`,
	} {
		writeFile(t, filepath.Join(dir, authoritiesFile), damaged, 0o644)
		for what, do := range map[string]func() error{
			"status":  func() error { _, err := RollStatus(dir); return err },
			"add":     func() error { _, err := RollAdd(dir, Options{}); return err },
			"reissue": func() error { _, err := RollReissue(dir, RenewOptions{}); return err },
			"remove":  func() error { _, err := RollRemove(dir, RemoveOptions{}); return err },
			"issue":   func() error { _, err := Ensure(dir, server("b"), EnsureOptions{}); return err },
			"open":    func() error { _, err := Open(dir, nil); return err },
			"revoke":  func() error { _, err := Revoke(dir, "a", RevokeOptions{}); return err },
		} {
			wantError(t, do(), authoritiesFile, "put back the last copy")
			if t.Failed() {
				t.Fatalf("%s with %s", what, damaged)
			}
		}
	}
	if _, err := RollAdd(t.TempDir(), Options{}); !errors.Is(err, ErrNoCA) {
		t.Errorf("without a CA: %v", err)
	}
}

// fewRounds encrypts the keys of an authority again, with few rounds: to open one that
// we have written takes a second with the race detector.
func fewRounds(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{rootKey, interKey} {
		path := filepath.Join(dir, name)
		if !exists(path) {
			continue
		}
		out := path + "2"
		if text, ok := openssl(t, "pkcs8", "-topk8", "-iter", "16", "-in", path, "-passin", "pass:correct horse", "-passout", "pass:correct horse", "-out", out); !ok {
			t.Fatal(text)
		}
		if err := os.Rename(out, path); err != nil {
			t.Fatal(err)
		}
	}
}

// An encrypted CA stays one, whatever is made beside it; each passphrase is asked for
// once.
func TestLifeOfAnEncryptedCA(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	asked := 0
	ask := func() ([]byte, error) { asked++; return []byte("correct horse"), nil }
	ensure(t, dir, server("a"), EnsureOptions{}, Issue)
	fewRounds(t, dir)
	lists := CRLOptions{Passphrase: ask}
	for what, do := range map[string]func(func() ([]byte, error)) error{
		"revoke": func(p func() ([]byte, error)) error {
			_, err := Revoke(dir, "a", RevokeOptions{Lists: CRLOptions{Passphrase: p}})
			return err
		},
		"crl": func(p func() ([]byte, error)) error { _, err := WriteCRLs(dir, CRLOptions{Passphrase: p}); return err },
		"renew": func(p func() ([]byte, error)) error {
			_, err := RenewLeaves(dir, nil, RenewOptions{Passphrase: p})
			return err
		},
		"intermediate": func(p func() ([]byte, error)) error {
			_, err := RenewIntermediate(dir, RenewOptions{Passphrase: p, Within: 2 * IntermediateTTL})
			return err
		},
		"add": func(p func() ([]byte, error)) error { _, err := RollAdd(dir, Options{Passphrase: p}); return err },
	} {
		before := snapshotTree(t, dir)
		for _, p := range []func() ([]byte, error){nil, phrase("wrong")} {
			if err := do(p); !errors.Is(err, ErrPassphrase) {
				t.Errorf("%s: %v, want ErrPassphrase", what, err)
			}
		}
		if !slices.Equal(before, snapshotTree(t, dir)) {
			t.Errorf("%s has changed files", what)
		}
	}
	once := func(what string, err error) {
		t.Helper()
		if err != nil || asked != 1 {
			t.Errorf("%s: asked %d times, %v", what, asked, err)
		}
		asked = 0
	}
	asked = 0
	_, err := WriteCRLs(dir, CRLOptions{Passphrase: ask, Root: true})
	once("crl", err)
	_, err = RenewIntermediate(dir, RenewOptions{Passphrase: ask, Within: 2 * IntermediateTTL})
	once("intermediate", err)
	if data := readFile(t, filepath.Join(dir, "ca-2", interKey)); !strings.HasPrefix(data, "-----BEGIN ENCRYPTED PRIVATE KEY-----\n") {
		t.Error("the new intermediate's key is not encrypted")
	}
	fewRounds(t, filepath.Join(dir, "ca-2"))
	_, err = RollAdd(dir, Options{Passphrase: ask})
	once("add", err)
	for _, name := range []string{"ca-3/intermediate.key", "ca-3/root.key"} {
		if data := readFile(t, filepath.Join(dir, name)); !strings.HasPrefix(data, "-----BEGIN ENCRYPTED PRIVATE KEY-----\n") {
			t.Errorf("%s is not encrypted", name)
		}
	}
	fewRounds(t, filepath.Join(dir, "ca-3"))
	_, err = RollReissue(dir, RenewOptions{Passphrase: ask})
	once("reissue", err)
	_, err = RollRemove(dir, RemoveOptions{})
	if asked != 0 || err != nil {
		t.Errorf("remove: asked %d times, %v", asked, err)
	}
	_, err = Revoke(dir, "a", RevokeOptions{Lists: lists})
	once("revoke", err)
}

// A root that is about to end is rolled, also after its end.
func TestRollAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a := ensure(t, dir, server("a"), EnsureOptions{}, Issue)
		time.Sleep(RootTTL + time.Hour)
		_, err := Ensure(dir, server("a"), EnsureOptions{})
		wantError(t, err, "mkcerts ca roll")
		add(t, dir, Options{})
		reissue(t, dir)
		remove(t, dir, RemoveOptions{})
		ensure(t, dir, server("a"), EnsureOptions{}, Renew)
		chain, err := readChain(a.Cert)
		if err != nil || verify(chain, rootIn(t, dir)) != nil {
			t.Errorf("the next one does not verify: %v", err)
		}
	})
}

func TestNextName(t *testing.T) {
	long := strings.Repeat("x", maxCAName)
	for in, want := range map[string]string{
		"Bank": "Bank 2", "Bank 2": "Bank 3", "Bank 99": "Bank 100", "Pyrossl CA 012345": "Pyrossl CA 012345 2", "Bank CA 2027": "Bank CA 2027 2",
		"2": "2 2", long: long[:maxCAName-2] + " 2",
	} {
		if got := nextName(in); got != want {
			t.Errorf("nextName(%q) = %q, want %q", in, got, want)
		}
	}
}
