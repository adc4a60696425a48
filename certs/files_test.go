package certs_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// world is a set of files with a source that follows them, on a clock that only
// moves when the test sleeps.
type world struct {
	t             *testing.T
	ca            *testca.CA
	pair          testca.Pair
	cert, key, at string
	src           *certs.FileSource
	mu            sync.Mutex
	reports       []certs.Status
}

func inWorld(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		w := &world{t: t, ca: testca.New(t)}
		w.pair = w.ca.Server(t, "one.example")
		w.cert, w.key = w.pair.WriteFiles(t, dir, "bank")
		w.at = write(t, filepath.Join(dir, "ca.crt"), w.ca.RootPEM(), 0o644)
		w.open(certs.ServerAuth)
		test(t, w)
		w.src.Close()
	})
}

func (w *world) open(purpose certs.Purpose) {
	w.t.Helper()
	src, err := certs.Files(certs.FilesConfig{Cert: w.cert, Key: w.key, CA: w.at, Purpose: purpose, Report: func(s certs.Status) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.reports = append(w.reports, s)
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.src = src
}

// second lets one second pass: what changed before it must be in use after it.
func (w *world) second() {
	time.Sleep(time.Second)
	synctest.Wait()
}

// serves checks which certificate is current, its generation, and the last error.
func (w *world) serves(pair testca.Pair, generation uint64, lastError string) {
	w.t.Helper()
	m, s := w.src.Current(), w.src.Status()
	if !m.Leaf().Equal(pair.Chain[0]) || !m.Key.Equal(pair.Key) {
		w.t.Errorf("source serves %v, want the one for %v", m, pair.Chain[0].DNSNames)
	}
	if s.Generation != generation || (lastError == "") != (s.LastError == "") || !strings.Contains(s.LastError, lastError) {
		w.t.Errorf("status has generation %d and error %q, want %d and %q", s.Generation, s.LastError, generation, lastError)
	}
	if len(s.Names) != 1 || s.Names[0] != "dns:"+pair.Chain[0].DNSNames[0] || !s.NotAfter.Equal(pair.Chain[0].NotAfter) {
		w.t.Errorf("status describes %v until %v", s.Names, s.NotAfter)
	}
}

func (w *world) reported() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.reports)
}

func TestFilesFollowChanges(t *testing.T) {
	for name, replace := range map[string]func(testing.TB, string, []byte, os.FileMode){
		"renamed": rename,
		"written in place": func(t testing.TB, path string, data []byte, mode os.FileMode) {
			write(t, path, data, mode)
		},
		"written in place with the old time": func(t testing.TB, path string, data []byte, mode os.FileMode) {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			write(t, path, data, mode)
			if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
		},
		"removed first": func(t testing.TB, path string, data []byte, mode os.FileMode) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			write(t, path, data, mode)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.second()
				w.serves(w.pair, 1, "")
				changed := w.src.Changed()
				next := w.ca.Server(t, "two.example")
				replace(t, w.cert, next.CertPEM(), 0o644)
				replace(t, w.key, next.KeyPEM(), 0o600)
				select {
				case <-changed:
					t.Error("changed before it was looked at")
				default:
				}
				w.second()
				w.serves(next, 2, "")
				select {
				case <-changed:
				default:
					t.Error("Changed was not closed")
				}
				select {
				case <-w.src.Changed():
					t.Error("the new Changed is closed already")
				default:
				}
				if w.reported() != 1 {
					t.Errorf("%d reports, want 1", w.reported())
				}
			})
		})
	}
}

func TestFilesReplacedOneAfterTheOther(t *testing.T) {
	for name, first := range map[string]string{"key first": "key", "certificate first": "cert"} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				changed := w.src.Changed()
				next := w.ca.Server(t, "two.example")
				if first == "key" {
					rename(t, w.key, next.KeyPEM(), 0o600)
				} else {
					rename(t, w.cert, next.CertPEM(), 0o644)
				}
				for range 10 {
					w.second()
					w.serves(w.pair, 1, "private key does not match the certificate")
				}
				select {
				case <-changed:
					t.Error("a failed reload counts as a change")
				default:
				}
				if w.reported() != 1 {
					t.Errorf("the same failure was reported %d times", w.reported())
				}
				if first == "key" {
					rename(t, w.cert, next.CertPEM(), 0o644)
				} else {
					rename(t, w.key, next.KeyPEM(), 0o600)
				}
				w.second()
				w.serves(next, 2, "")
				if w.reported() != 2 {
					t.Errorf("%d reports, want failed and healed", w.reported())
				}
			})
		})
	}
}

func TestFilesKeepTheLastGoodOne(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		expired := w.ca.Issue(t, testca.Leaf{DNS: []string{"old.example"}, EKU: serverAuth, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)})
		client := w.ca.Client(t, "alice.example")
		good := w.pair
		both := func(p testca.Pair) func() {
			return func() { rename(t, w.cert, p.CertPEM(), 0o644); rename(t, w.key, p.KeyPEM(), 0o600) }
		}
		for _, c := range []struct {
			name  string
			spoil func()
			want  string
		}{
			{"half a certificate", func() { write(t, w.cert, good.CertPEM()[:300], 0o644) }, "cut off"},
			{"empty key", func() { write(t, w.key, nil, 0o600) }, "is empty"},
			{"loose key", func() { write(t, w.key, good.KeyPEM(), 0o640) }, "has mode 0640"},
			{"no CA", func() { os.Remove(w.at) }, "does not exist"},
			{"leaf in CA", func() { write(t, w.at, good.CertPEM(), 0o644) }, "is not an authority's"},
			{"expired", both(expired), "expired on"},
			{"wrong purpose", both(client), "want one issued with extended key usage serverAuth"},
		} {
			c.spoil()
			w.second()
			w.serves(good, 1, c.want)
			if !strings.Contains(w.src.Reload().Error(), c.want) {
				t.Errorf("%s: Reload gives %v", c.name, w.src.Reload())
			}
			rename(t, w.cert, good.CertPEM(), 0o644)
			rename(t, w.key, good.KeyPEM(), 0o600)
			rename(t, w.at, w.ca.RootPEM(), 0o644)
			w.second()
			w.serves(good, 1, "")
		}
	})
}

// TestFilesHealByWaiting is a certificate from a machine whose clock is ahead.
func TestFilesHealByWaiting(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		early := w.ca.Issue(t, testca.Leaf{DNS: []string{"early.example"}, EKU: serverAuth, NotBefore: time.Now().Add(time.Minute)})
		rename(t, w.cert, early.CertPEM(), 0o644)
		rename(t, w.key, early.KeyPEM(), 0o600)
		time.Sleep(50 * time.Second)
		w.serves(w.pair, 1, "is not valid before")
		if n := w.reported(); n != 1 {
			t.Errorf("the same failure was reported %d times", n)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		w.serves(early, 2, "")
	})
}

func TestFilesFollowTheAuthorities(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		other := testca.New(t)
		rename(t, w.at, append(w.ca.RootPEM(), other.RootPEM()...), 0o644)
		w.second()
		w.serves(w.pair, 2, "")
		if n := len(w.src.Current().Roots); n != 2 {
			t.Errorf("%d authorities, want 2", n)
		}
	})
}

// TestFilesFollowSwappedLinks is how Kubernetes replaces a mounted secret: files
// are links into ..data, which is a link to a directory, and is swapped.
func TestFilesFollowSwappedLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, ca := t.TempDir(), testca.New(t)
		put := func(version string, pair testca.Pair) {
			sub := filepath.Join(dir, version)
			if err := os.Mkdir(sub, 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(sub, "tls.crt"), pair.CertPEM(), 0o644)
			write(t, filepath.Join(sub, "tls.key"), pair.KeyPEM(), 0o400)
			write(t, filepath.Join(sub, "ca.crt"), ca.RootPEM(), 0o644)
			if err := os.Symlink(version, filepath.Join(dir, "..data_tmp")); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
				t.Fatal(err)
			}
		}
		one, two := ca.Server(t, "one.example"), ca.Server(t, "two.example")
		put("..2000_1", one)
		for _, name := range []string{"tls.crt", "tls.key", "ca.crt"} {
			if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		w := &world{t: t, cert: filepath.Join(dir, "tls.crt"), key: filepath.Join(dir, "tls.key"), at: filepath.Join(dir, "ca.crt")}
		w.open(certs.ServerAuth)
		defer w.src.Close()
		put("..2000_2", two)
		if err := os.RemoveAll(filepath.Join(dir, "..2000_1")); err != nil {
			t.Fatal(err)
		}
		w.second()
		w.serves(two, 2, "")
	})
}

func TestFilesReload(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		before := w.src.Status().LastAttempt
		time.Sleep(time.Millisecond)
		if err := w.src.Reload(); err != nil {
			t.Fatal(err)
		}
		if s := w.src.Status(); !s.LastAttempt.After(before) || !s.Loaded.Equal(before) {
			t.Errorf("after Reload of the same files: %+v", s)
		}
		w.serves(w.pair, 1, "")
		next := w.ca.Server(t, "two.example")
		rename(t, w.cert, next.CertPEM(), 0o644)
		rename(t, w.key, next.KeyPEM(), 0o600)
		if err := w.src.Reload(); err != nil {
			t.Fatal(err)
		}
		w.serves(next, 2, "")

		var waiting sync.WaitGroup
		for range 8 {
			waiting.Go(func() {
				for range 20 {
					if err := w.src.Reload(); err != nil && !strings.Contains(err.Error(), "is closed") {
						t.Error(err)
					}
					w.src.Current()
					w.src.Status()
				}
			})
		}
		w.src.Close()
		waiting.Wait()
		w.src.Close()
		if err := w.src.Reload(); err == nil || !strings.Contains(err.Error(), "is closed") {
			t.Errorf("Reload after Close gives %v", err)
		}
		w.serves(next, 2, "")
		write(t, w.cert, nil, 0o644)
		w.second()
		w.serves(next, 2, "")
	})
}

func TestFilesRefuseAtTheStart(t *testing.T) {
	ca := testca.New(t)
	dir := t.TempDir()
	root := write(t, filepath.Join(dir, "ca.crt"), ca.RootPEM(), 0o644)
	now := time.Now()
	cert, key := ca.Client(t, "alice@bank.example").WriteFiles(t, dir, "alice")
	oldCert, oldKey := ca.Issue(t, testca.Leaf{DNS: []string{"a"}, NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour)}).WriteFiles(t, dir, "old")
	for _, c := range []struct {
		name    string
		config  certs.FilesConfig
		check   validator.Check
		message string
	}{
		{"nothing", certs.FilesConfig{}, "", "no certificate file was named"},
		{"missing", certs.FilesConfig{Cert: cert + "x", Key: key, CA: root}, "", "does not exist"},
		{"purpose", certs.FilesConfig{Cert: cert, Key: key, CA: root, Purpose: certs.ServerAuth}, validator.CheckPurpose, "want one issued with extended key usage serverAuth"},
		{"expired", certs.FilesConfig{Cert: oldCert, Key: oldKey, CA: root}, validator.CheckDates, "expired on"},
	} {
		src, err := certs.Files(c.config)
		if err == nil || src != nil || !strings.Contains(err.Error(), c.message) {
			t.Fatalf("%s: %v, %v", c.name, src, err)
		}
		var d *validator.Denial
		if errors.As(err, &d) != (c.check != "") || d != nil && d.Check != c.check {
			t.Errorf("%s: %v has denial %v", c.name, err, d)
		}
	}
}
