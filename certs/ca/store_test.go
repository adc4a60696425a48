package ca

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func phrase(s string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(s), nil }
}

func TestCreateAndOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "pki")
	if Exists(dir) {
		t.Fatal("there is a CA in a directory that does not exist")
	}
	_, err := Open(dir, nil)
	if !errors.Is(err, ErrNoCA) {
		t.Errorf("Open without a CA: %v, want ErrNoCA", err)
	}
	bad := Options{Permit: []string{"bank.example"}}
	if _, err := Create(dir, bad); !errors.Is(err, ErrRequest) {
		t.Errorf("Create with a bad limit: %v, want ErrRequest", err)
	}
	if _, err := Ensure(dir, server("a"), EnsureOptions{CA: bad}); !errors.Is(err, ErrRequest) {
		t.Errorf("Ensure with a bad limit: %v, want ErrRequest", err)
	}
	if exists(dir) {
		t.Error("a request that cannot be makes the directory")
	}
	made, err := Create(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if m := mode(t, dir); m != 0o700 {
		t.Errorf("the directory has mode %#o", m)
	}
	for name, want := range map[string]os.FileMode{rootKey: 0o600, interKey: 0o600, rootCert: 0o644, interCert: 0o644, TrustFile: 0o644} {
		if m := mode(t, filepath.Join(dir, name)); m != want {
			t.Errorf("%s has mode %#o, want %#o", name, m, want)
		}
	}
	if readFile(t, filepath.Join(dir, TrustFile)) != readFile(t, filepath.Join(dir, rootCert)) {
		t.Error("ca.crt is not the root")
	}
	before := snapshot(t, dir)
	if _, err := Create(dir, Options{}); !errors.Is(err, ErrExists) {
		t.Errorf("Create twice: %v, want ErrExists", err)
	}
	if !slices.Equal(before, snapshot(t, dir)) {
		t.Error("to create a CA twice changes files")
	}
	// The root's key may be elsewhere.
	if err := os.Remove(filepath.Join(dir, rootKey)); err != nil {
		t.Fatal(err)
	}
	opened, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	i := issue(t, opened, Request{Name: "x", SANs: []string{"x.example"}, Purposes: []Purpose{Server}})
	if out, ok := opensslVerify(t, made, i.Leaf(), "sslserver"); !ok {
		t.Errorf("openssl: %s", out)
	}
}

// snapshot gives names and contents of a directory's files, but for the lock.
func snapshot(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != lockFile && !e.IsDir() {
			all = append(all, e.Name()+"\n"+readFile(t, filepath.Join(dir, e.Name())))
		}
	}
	return all
}

// snapshotTree is snapshot with the directories below.
func snapshotTree(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			all = append(all, e.Name()+"/")
			all = append(all, snapshotTree(t, filepath.Join(dir, e.Name()))...)
		}
	}
	return append(all, snapshot(t, dir)...)
}

// rootIn gives the root that signs in a directory.
func rootIn(t *testing.T, dir string) *x509.Certificate {
	t.Helper()
	c, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.Root()
}

func TestNoTemporaryFilesStay(t *testing.T) {
	dir := t.TempDir()
	if _, err := Ensure(dir, server("x"), EnsureOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Ensure(dir, server("x"), EnsureOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range snapshot(t, dir) {
		name, _, _ := strings.Cut(s, "\n")
		names = append(names, name)
	}
	if want := []string{"ca.crt", "index.jsonl", "intermediate.crt", "intermediate.key", "root.crt", "root.key", "x.crt", "x.key"}; !slices.Equal(names, want) {
		t.Errorf("files %q, want %q", names, want)
	}
}

// Each use of a passphrase takes its time, with the race detector seconds: that is why
// one test looks at everything.
func TestPassphrase(t *testing.T) {
	dir := t.TempDir()
	given := []byte("correct horse battery staple")
	ensure(t, dir, server("a"), EnsureOptions{CA: Options{Passphrase: func() ([]byte, error) { return given, nil }}}, Issue)
	if !bytes.Equal(given, make([]byte, len(given))) {
		t.Error("the passphrase was not overwritten")
	}
	right := filepath.Join(t.TempDir(), "right")
	writeFile(t, right, "correct horse battery staple\n", 0o600)
	wrong := filepath.Join(t.TempDir(), "wrong")
	writeFile(t, wrong, "incorrect\n", 0o600)
	for _, name := range []string{rootKey, interKey} {
		path := filepath.Join(dir, name)
		if data := readFile(t, path); !strings.HasPrefix(data, "-----BEGIN ENCRYPTED PRIVATE KEY-----\n") {
			t.Errorf("%s is not encrypted PKCS#8: %.60s", name, data)
		}
		if out, ok := openssl(t, "pkey", "-in", path, "-passin", "file:"+right, "-noout"); !ok {
			t.Errorf("openssl does not open %s: %s", name, out)
		}
		if _, ok := openssl(t, "pkey", "-in", path, "-passin", "file:"+wrong, "-noout"); ok {
			t.Errorf("openssl opens %s with the wrong passphrase", name)
		}
	}
	der := filepath.Join(t.TempDir(), "der")
	if out, ok := openssl(t, "asn1parse", "-in", filepath.Join(dir, interKey), "-out", der); !ok || !strings.Contains(out, "PBES2") || !strings.Contains(out, "PBKDF2") {
		t.Errorf("the key is not encrypted with PBES2: %s", out)
	}
	ensure(t, dir, server("b"), EnsureOptions{CA: Options{Passphrase: phrase("correct horse battery staple")}}, Issue)
	// Nothing has to be signed, so that the key stays closed.
	ensure(t, dir, server("a"), EnsureOptions{}, UpToDate)
	if _, err := Ensure(dir, server("c"), EnsureOptions{}); !errors.Is(err, ErrPassphrase) {
		t.Errorf("got %v, want ErrPassphrase", err)
	}
	refused := errors.New("nobody at the keyboard")
	for what, c := range map[string]struct {
		ask  func() ([]byte, error)
		want error
	}{
		"none":  {nil, ErrPassphrase},
		"wrong": {phrase("incorrect"), ErrPassphrase},
		"empty": {phrase(""), ErrPassphrase},
		"error": {func() ([]byte, error) { return nil, refused }, refused},
	} {
		_, err := Open(dir, c.ask)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", what, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "incorrect") {
			t.Errorf("%s: the error %q quotes the passphrase", what, err)
		}
	}
	if _, err := Create(t.TempDir(), Options{Passphrase: phrase("")}); !errors.Is(err, ErrPassphrase) {
		t.Errorf("an empty passphrase for a new CA: %v", err)
	}
	// The passphrase is not asked for where there is nothing to open.
	plain := t.TempDir()
	if _, err := Create(plain, Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(plain, func() ([]byte, error) { t.Error("asked"); return nil, refused }); err != nil {
		t.Error(err)
	}
}

// A damaged key is an error, wherever the damage is: the library below panics at some.
// The key is encrypted by openssl, with few rounds, so that many can be tried.
func TestDamagedEncryptedKey(t *testing.T) {
	k, err := generate(ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := k.encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	in, out := filepath.Join(t.TempDir(), "in"), filepath.Join(t.TempDir(), "out")
	writeFile(t, in, string(plain), 0o600)
	if text, ok := openssl(t, "pkcs8", "-topk8", "-iter", "16", "-in", in, "-passout", "pass:x", "-out", out); !ok {
		t.Fatal(text)
	}
	block, _ := pem.Decode([]byte(readFile(t, out)))
	if key, err := decrypt(pem.EncodeToMemory(block), phrase("x")); err != nil || !key.Equal(k.PrivateKey) {
		t.Fatalf("the key that openssl encrypted does not open: %v", err)
	}
	for n := range block.Bytes {
		for _, flip := range []byte{0x01, 0x80, 0xff} {
			bad := *block
			bad.Bytes = slices.Clone(block.Bytes)
			bad.Bytes[n] ^= flip
			if manyRounds(bad.Bytes) {
				continue
			}
			key, err := decrypt(pem.EncodeToMemory(&bad), phrase("x"))
			if err == nil && key == nil {
				t.Fatalf("byte %d: neither key nor error", n)
			}
			if err != nil && strings.Contains(err.Error(), "panic") {
				t.Errorf("byte %d: %v", n, err)
			}
		}
		if _, err := decrypt(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes[:n]}), phrase("x")); !errors.Is(err, ErrPassphrase) {
			t.Errorf("the first %d bytes: %v, want ErrPassphrase", n, err)
		}
	}
}

// manyRounds reports whether a damaged key asks for so many rounds that the test
// would take long: the number is behind the salt, INTEGER 16 when it is whole.
func manyRounds(der []byte) bool { return !bytes.Contains(der, []byte{0x02, 0x01, 0x10}) }

func TestOpenRefuses(t *testing.T) {
	other := t.TempDir()
	if _, err := Create(other, Options{}); err != nil {
		t.Fatal(err)
	}
	from := func(name string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			writeFile(t, filepath.Join(dir, name), readFile(t, filepath.Join(other, name)), 0o600)
		}
	}
	for what, c := range map[string]struct {
		change func(t *testing.T, dir string)
		want   string
	}{
		"a key that others can read": {func(t *testing.T, dir string) {
			if err := os.Chmod(filepath.Join(dir, interKey), 0o640); err != nil {
				t.Fatal(err)
			}
		}, "mode 0640, want 0600"},
		"another's key":          {from(interKey), "it is not the key of intermediate.crt"},
		"another's intermediate": {from(interCert), "root.crt does not vouch for it"},
		"another's root":         {from(rootCert), "root.crt does not vouch for it"},
		"no key":                 {func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, interKey)) }, `intermediate.key": cannot be read: no such file`},
		"no intermediate":        {func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, interCert)) }, `intermediate.crt": cannot be read`},
		"a root that is none":    {func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, rootCert), "x", 0o600) }, "root.crt"},
		"a key that is none":     {func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, interKey), "x", 0o600) }, "intermediate.key"},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			if _, err := Create(dir, Options{}); err != nil {
				t.Fatal(err)
			}
			c.change(t, dir)
			_, err := Open(dir, nil)
			wantError(t, err, c.want)
			if err != nil && strings.Contains(err.Error(), "FILE") {
				t.Errorf("%q does not say which file", err)
			}
		})
	}
}

func TestCreateBesideRemains(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, interKey), "mine", 0o600)
	_, err := Create(dir, Options{})
	wantError(t, err, "left of a CA that is not complete", "rm "+filepath.Join(dir, interKey)+";")
	if readFile(t, filepath.Join(dir, interKey)) != "mine" {
		t.Error("the file was changed")
	}
	if Exists(dir) {
		t.Error("there is a CA")
	}
}

// Without links, files are still created exclusively.
func TestFileSystemWithoutLinks(t *testing.T) {
	link = func(string, string) error { return errors.ErrUnsupported }
	t.Cleanup(func() { link = os.Link })
	path := filepath.Join(t.TempDir(), "x")
	if err := writeNew(path, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeNew(path, []byte("two"), 0o600); !errors.Is(err, ErrExists) {
		t.Errorf("to create it twice: %v, want ErrExists", err)
	}
	if got := readFile(t, path); got != "one" || mode(t, path) != 0o600 {
		t.Errorf("got %q, mode %#o", got, mode(t, path))
	}
}
