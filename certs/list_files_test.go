package certs_test

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// listWorld is a world with one revocation list and a deny list.
type listWorld struct {
	*world
	crl, deny  string
	alice, bob testca.Pair
}

// inListWorld begins with list number 5, which revokes nobody, and an empty deny list.
func inListWorld(t *testing.T, change func(*certs.FilesConfig), test func(t *testing.T, w *listWorld)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		w := &listWorld{world: &world{t: t, ca: testca.New(t)}}
		w.pair, w.alice, w.bob = w.ca.Server(t, "one.example"), w.ca.Client(t, "alice@a.example"), w.ca.Client(t, "bob@a.example")
		w.cert, w.key = w.pair.WriteFiles(t, dir, "bank")
		w.at = write(t, filepath.Join(dir, "ca.crt"), w.ca.RootPEM(), 0o644)
		w.crl = write(t, filepath.Join(dir, "ca.crl"), w.ca.CRL(t, testca.List{Number: 5}), 0o644)
		w.deny = write(t, filepath.Join(dir, "deny"), []byte("number 1\n"), 0o644)
		config := certs.FilesConfig{Cert: w.cert, Key: w.key, CA: w.at, Purpose: certs.ServerAuth, CRLs: []string{w.crl}, DenyList: w.deny, Report: func(s certs.Status) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.reports = append(w.reports, s)
		}}
		if change != nil {
			change(&config)
		}
		for _, path := range config.CRLs {
			if filepath.Base(path) == "newer.crl" {
				write(t, path, w.ca.CRL(t, testca.List{Number: 9}), 0o644)
			}
		}
		src, err := certs.Files(config)
		if err != nil {
			t.Fatal(err)
		}
		w.src = src
		test(t, w)
		w.src.Close()
	})
}

// checks looks at who is refused now; texts are empty for those who are not.
func (w *listWorld) checks(alice, bob string) {
	w.t.Helper()
	for _, c := range []struct {
		pair testca.Pair
		want string
	}{{w.alice, alice}, {w.bob, bob}} {
		d := certs.Recheck(c.pair.Chain, w.src.Current(), certs.ClientAuth, time.Now())
		if (d == nil) != (c.want == "") || d != nil && !strings.Contains(d.Got, c.want) {
			w.t.Errorf("for %v: %v, want %q", c.pair.Chain[0].EmailAddresses, d, c.want)
		}
	}
}

// list finds the status of a file, which must hold one list.
func (w *listWorld) list(path string) certs.ListStatus {
	w.t.Helper()
	for _, l := range w.src.Status().Lists {
		if l.File == path {
			return l
		}
	}
	w.t.Fatalf("no status of %s", path)
	return certs.ListStatus{}
}

// shows checks number and error of a file's list, and the generation.
func (w *listWorld) shows(path, number, lastError string, generation uint64) {
	w.t.Helper()
	l, s := w.list(path), w.src.Status()
	if l.Number != number || (lastError == "") != (l.LastError == "") || !strings.Contains(l.LastError, lastError) {
		w.t.Errorf("%s is number %s with error %q, want %s and %q", filepath.Base(path), l.Number, l.LastError, number, lastError)
	}
	if s.Generation != generation || !strings.Contains(s.LastError, lastError) {
		w.t.Errorf("generation %d with error %q, want %d and %q", s.Generation, s.LastError, generation, lastError)
	}
}

func TestListFilesFollowChanges(t *testing.T) {
	inListWorld(t, nil, func(t *testing.T, w *listWorld) {
		w.checks("", "")
		w.shows(w.crl, "5", "", 1)
		w.shows(w.deny, "1", "", 1)
		changed := w.src.Changed()
		rename(t, w.crl, testca.CRLPEM(w.ca.CRL(t, testca.List{Number: 6, Revoked: w.alice.Chain[:1]})), 0o644)
		w.second()
		w.checks("says revocation list number 6 of ", "")
		w.shows(w.crl, "6", "", 2)
		select {
		case <-changed:
		default:
			t.Error("Changed was not closed")
		}
		changed = w.src.Changed()
		rename(t, w.deny, []byte("number 2\nprincipal email:bob@a.example # why\n"), 0o644)
		w.second()
		w.checks("says revocation list number 6 of ", "is on the deny list (number 2)")
		w.shows(w.deny, "2", "", 3)
		select {
		case <-changed:
		default:
			t.Error("Changed was not closed")
		}
		if w.reported() != 2 {
			t.Errorf("%d reports, want 2", w.reported())
		}
		// Written in place with the old time, as by rsync.
		info, err := os.Stat(w.crl)
		if err != nil {
			t.Fatal(err)
		}
		write(t, w.crl, w.ca.CRL(t, testca.List{Number: 7}), 0o644)
		if err := os.Chtimes(w.crl, info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
		w.second()
		w.checks("", "is on the deny list")
		// The same bytes again are no change.
		data, err := os.ReadFile(w.crl)
		if err != nil {
			t.Fatal(err)
		}
		changed = w.src.Changed()
		rename(t, w.crl, data, 0o644)
		w.second()
		if err := w.src.Reload(); err != nil {
			t.Error(err)
		}
		w.shows(w.crl, "7", "", 4)
		select {
		case <-changed:
			t.Error("the same list is a change")
		default:
		}
		// Both sides' other files are followed as before, and keep the lists.
		next := w.ca.Server(t, "two.example")
		rename(t, w.cert, next.CertPEM(), 0o644)
		rename(t, w.key, next.KeyPEM(), 0o600)
		w.second()
		w.serves(next, 5, "")
		w.checks("", "is on the deny list")
	})
}

// TestListFilesKeepTheLastGoodOne: what cannot be taken up changes nothing, and is said.
func TestListFilesKeepTheLastGoodOne(t *testing.T) {
	inListWorld(t, nil, func(t *testing.T, w *listWorld) {
		stranger := testca.New(t)
		impostor := stranger.Reissued(t, func(c *x509.Certificate) {
			c.RawSubject, c.SubjectKeyId = w.ca.IntermediateCert().RawSubject, w.ca.IntermediateCert().SubjectKeyId
		})
		good := w.ca.CRL(t, testca.List{Number: 6, Revoked: w.alice.Chain[:1]})
		denied := []byte("number 2\nprincipal email:bob@a.example\n")
		rename(t, w.crl, good, 0o644)
		rename(t, w.deny, denied, 0o644)
		w.second()
		generation := w.src.Status().Generation
		for _, c := range []struct {
			name, path string
			data       []byte
			want       string
		}{
			{"older", w.crl, w.ca.CRL(t, testca.List{Number: 5}), "number 5 of CN=testca intermediate "},
			{"older, says so", w.crl, w.ca.CRL(t, testca.List{Number: 4}), "is older than number 6, which was taken before"},
			{"same number", w.crl, w.ca.CRL(t, testca.List{Number: 6}), "has the number of another list, with other content"},
			{"forged", w.crl, impostor.CRL(t, testca.List{Number: 99}), "has a signature that is not by the key of CN=testca intermediate "},
			{"from the future", w.crl, w.ca.CRL(t, testca.List{Number: 7, ThisUpdate: time.Now().AddDate(1, 0, 0), NextUpdate: time.Now().AddDate(1, 1, 0)}), "was issued in the future"},
			{"damaged", w.crl, good[:len(good)-9], "binary"},
			{"empty", w.crl, nil, "is empty"},
			{"certificate", w.crl, w.pair.CertPEM(), "want revocation list"},
			{"one good and one bad", w.crl, testca.CRLPEM(w.ca.CRL(t, testca.List{Number: 1, ByRoot: true}), w.ca.CRL(t, testca.List{Number: 5})), "is older than number 6"},
			{"older deny list", w.deny, []byte("number 1\n"), "deny list number 1 is older than number 2"},
			{"changed deny list", w.deny, []byte("number 2\n"), "was changed without a new number (change its first line to: number 3)"},
			{"deny list from the future", w.deny, []byte("number 3\nissued 2030-01-01T00:00:00Z\n"), "was issued in the future"},
			{"deny list with an unknown line", w.deny, []byte("number 3\nuser bob\n"), `line 2: begins with "user"`},
			{"empty deny list", w.deny, nil, "has no number"},
		} {
			rename(t, c.path, c.data, 0o644)
			w.second()
			w.checks("says revocation list number 6 of ", "is on the deny list (number 2)")
			if l := w.list(c.path); !strings.Contains(l.LastError, c.want) || !strings.Contains(l.LastError, fmt.Sprintf("%q", c.path)) || !strings.Contains(l.String(), "this last good one stays in use") {
				t.Errorf("%s: list shows %q, want %q", c.name, l, c.want)
			}
			if s := w.src.Status(); s.Generation != generation || !strings.Contains(s.LastError, c.want) {
				t.Errorf("%s: generation %d, error %q", c.name, s.Generation, s.LastError)
			}
			if err := w.src.Reload(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: Reload gives %v", c.name, err)
			}
			rename(t, w.crl, good, 0o644)
			rename(t, w.deny, denied, 0o644)
			w.second()
			if s := w.src.Status(); s.LastError != "" || s.Generation != generation {
				t.Errorf("%s: afterwards generation %d, error %q", c.name, s.Generation, s.LastError)
			}
		}
		os.Remove(w.crl)
		w.second()
		w.shows(w.crl, "6", "does not exist", generation)
		w.checks("says revocation list number 6 of ", "is on the deny list (number 2)")

		// A list that cannot be taken up keeps nothing else from it, and the other way round.
		next := w.ca.Server(t, "two.example")
		rename(t, w.cert, next.CertPEM(), 0o644)
		rename(t, w.key, next.KeyPEM(), 0o600)
		rename(t, w.deny, []byte("number 3\n"), 0o644)
		w.second()
		w.serves(next, generation+1, "does not exist")
		w.checks("says revocation list number 6 of ", "")
		write(t, w.cert, nil, 0o644)
		rename(t, w.crl, w.ca.CRL(t, testca.List{Number: 8}), 0o644)
		w.second()
		w.serves(next, generation+2, "is empty")
		w.checks("", "")
		w.shows(w.crl, "8", "", generation+2)
		os.Remove(w.deny)
		w.second()
		if s := w.src.Status(); !strings.Contains(s.LastError, "is empty") || !strings.Contains(s.LastError, "deny list file does not exist") || strings.Contains(s.LastError, "\n") {
			t.Errorf("two faults: %q", s.LastError)
		}
	})
}

// TestNoWayBack: once another authority's list was in the file, the older one of the
// first is refused all the same.
func TestNoWayBack(t *testing.T) {
	inListWorld(t, nil, func(t *testing.T, w *listWorld) {
		old := w.ca.CRL(t, testca.List{Number: 5, Modify: func(l *x509.RevocationList) { l.ThisUpdate = l.ThisUpdate.Add(time.Second) }})
		rename(t, w.crl, w.ca.CRL(t, testca.List{Number: 6, Revoked: w.alice.Chain[:1]}), 0o644)
		w.second()
		rename(t, w.crl, w.ca.CRL(t, testca.List{Number: 1, ByRoot: true}), 0o644)
		w.second()
		w.checks("there is no revocation list", "there is no revocation list")
		for _, data := range [][]byte{old, testca.CRLPEM(w.ca.CRL(t, testca.List{Number: 2, ByRoot: true}), old)} {
			rename(t, w.crl, data, 0o644)
			w.second()
			w.shows(w.crl, "1", "is older than number 6", 3)
			w.checks("there is no revocation list", "there is no revocation list")
		}
	})
}

// TestListsGetStale: nothing changes but the time.
func TestListsGetStale(t *testing.T) {
	inListWorld(t, func(c *certs.FilesConfig) { c.RevocationMaxAge = 2 * time.Hour }, func(t *testing.T, w *listWorld) {
		write(t, w.deny, fmt.Appendf(nil, "number 2\nissued %s\nmax-age 90m\n", time.Now().UTC().Format(time.RFC3339)), 0o644)
		w.second()
		w.checks("", "")
		before := w.reported()
		time.Sleep(time.Hour - 2*time.Second) // the list was an hour old
		w.checks("", "")
		if w.list(w.crl).Stale {
			t.Error("stale too early")
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		w.checks("whether it is revoked is not known: revocation list number 5", "is stale, it was issued 2 hours ago, on ")
		if l := w.list(w.crl); !l.Stale || !strings.Contains(l.String(), "STALE") || l.LastError != "" {
			t.Errorf("status: %s", l)
		}
		if w.reported() != before+1 {
			t.Errorf("%d reports of a list that became stale, want 1", w.reported()-before)
		}
		rename(t, w.crl, w.ca.CRL(t, testca.List{Number: 6}), 0o644)
		w.second()
		w.checks("", "")
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		w.checks("the deny list (number 2) is stale", "the deny list (number 2) is stale")
		if l := w.list(w.deny); !l.Stale {
			t.Errorf("status: %s", l)
		}
		lines := strings.Join(w.src.Status().Lines(), "\n")
		if !strings.Contains(lines, "every peer is refused because deny list number 2 is stale: issue it anew") {
			t.Errorf("an operator reads\n%s", lines)
		}
	})
}

func TestStatusInWords(t *testing.T) {
	inListWorld(t, func(c *certs.FilesConfig) { c.RevocationMaxAge = 2 * time.Hour }, func(t *testing.T, w *listWorld) {
		rename(t, w.crl, testca.CRLPEM(w.ca.CRL(t, testca.List{Number: 6, Revoked: w.alice.Chain[:1]}), w.ca.Sibling(t).CRL(t, testca.List{Number: 3})), 0o644)
		w.second()
		write(t, w.deny, []byte("number 2\nuser x\n"), 0o644)
		time.Sleep(90 * time.Minute)
		synctest.Wait()
		lines := w.src.Status().Lines()
		for i, want := range []string{
			"certificate for dns:one.example, issued by CN=testca intermediate ",
			"the last reload, 2000-01-01 01:30 UTC, failed, and the last good files stay in use: ",
			`ca.crl": revocation list number 6 of CN=testca intermediate `,
			`ca.crl": revocation list number 3 of CN=testca intermediate `,
			`deny": deny list number 1, 0 entries; its file cannot be taken up, this last good one stays in use: `,
			"peers of CN=testca intermediate ",
		} {
			if i >= len(lines) || !strings.Contains(lines[i], want) {
				t.Fatalf("line %d is not %q:\n%s", i, want, strings.Join(lines, "\n"))
			}
		}
		for i, want := range map[int]string{2: "1 entries, issued 1999-12-31 23:00 UTC, good until 2000-01-01 01:00 UTC; STALE", 3: "STALE; its signature is not checked yet", 5: "are refused because revocation list number 6 is stale: put the authority's newest list in its place"} {
			if !strings.Contains(lines[i], want) {
				t.Errorf("line %d is %q, want %q", i, lines[i], want)
			}
		}
	})
}

// TestStaleListsMayPass: insecure, asked for, and shown.
func TestStaleListsMayPass(t *testing.T) {
	inListWorld(t, func(c *certs.FilesConfig) { c.InsecureAllowStaleLists = true }, func(t *testing.T, w *listWorld) {
		rename(t, w.crl, w.ca.CRL(t, testca.List{Number: 6, Revoked: w.bob.Chain[:1], NextUpdate: time.Now().Add(time.Minute)}), 0o644)
		time.Sleep(time.Hour)
		synctest.Wait()
		w.checks("", "was revoked on")
		s := w.src.Status()
		text := strings.Join(s.Lines(), "\n")
		if !s.StaleListsPass || !w.list(w.crl).Stale || !strings.Contains(text, "INSECURE: revocation list number 6 is stale, and peers pass nevertheless, since InsecureAllowStaleLists is set") {
			t.Errorf("status: %s", text)
		}
	})
}

// TestForgedListBarsNoRealOne: the authority is known by peers only, so that a forged
// list with a huge number is taken at first. It lets nobody in, and must not keep the
// real one out.
func TestForgedListBarsNoRealOne(t *testing.T) {
	inListWorld(t, nil, func(t *testing.T, w *listWorld) {
		sibling := w.ca.Sibling(t)
		impostor := testca.New(t).Reissued(t, func(c *x509.Certificate) {
			c.RawSubject, c.SubjectKeyId = sibling.IntermediateCert().RawSubject, sibling.IntermediateCert().SubjectKeyId
		})
		carol := sibling.Client(t, "carol@a.example")
		carols := func() *validator.Denial {
			return certs.Recheck(carol.Chain, w.src.Current(), certs.ClientAuth, time.Now())
		}
		refused(t, "no list", carols(), certs.CheckRevocation, "there is no revocation list of its authority")
		rename(t, w.crl, impostor.CRL(t, testca.List{Number: 1 << 60, Revoked: carol.Chain[:1]}), 0o644)
		w.second()
		if l := w.list(w.crl); l.Signed || !strings.Contains(l.String(), "its signature is not checked yet") {
			t.Errorf("status: %s", l)
		}
		real := sibling.CRL(t, testca.List{Number: 2})
		rename(t, w.crl, real, 0o644)
		w.second()
		w.shows(w.crl, fmt.Sprint(int64(1)<<60), "is older than number", 2) // nobody can tell yet
		refused(t, "forged list", carols(), certs.CheckRevocation, "has a signature that is not by the key of")
		w.second()
		w.shows(w.crl, "2", "", 3)
		if d := carols(); d != nil {
			t.Error(d)
		}
		if !w.list(w.crl).Signed {
			t.Error("the signature has been checked by now")
		}
		// From now on the authority is known.
		rename(t, w.crl, impostor.CRL(t, testca.List{Number: 1 << 60}), 0o644)
		w.second()
		w.shows(w.crl, "2", "has a signature that is not by the key of", 3)
		rename(t, w.crl, sibling.CRL(t, testca.List{Number: 1}), 0o644)
		w.second()
		w.shows(w.crl, "2", "is older than number 2", 3)
	})
}

// TestListOfAReplacedAuthority: the authority is replaced by one of the same
// name with another key; the list that is still there is not its.
func TestListOfAReplacedAuthority(t *testing.T) {
	inListWorld(t, nil, func(t *testing.T, w *listWorld) {
		w.checks("", "")
		next := testca.New(t)
		rename(t, w.at, append(w.ca.RootPEM(), next.RootPEM()...), 0o644)
		w.second()
		w.checks("", "")
		refused(t, "new authority", certs.Recheck(next.Client(t, "x@a.example").Chain, w.src.Current(), certs.ClientAuth, time.Now()), certs.CheckRevocation, "there is no revocation list of its authority")
		rename(t, w.crl, testca.CRLPEM(w.ca.CRL(t, testca.List{Number: 6}), next.CRL(t, testca.List{Number: 1})), 0o644)
		w.second()
		w.checks("", "")
		if d := certs.Recheck(next.Client(t, "x@a.example").Chain, w.src.Current(), certs.ClientAuth, time.Now()); d != nil {
			t.Error(d)
		}
		rename(t, w.at, next.RootPEM(), 0o644)
		w.second()
		w.checks("which we do not trust", "which we do not trust")
	})
}

// TestListsHealByWaiting: a list from a machine whose clock is ahead.
func TestListsHealByWaiting(t *testing.T) {
	inListWorld(t, nil, func(t *testing.T, w *listWorld) {
		at := time.Now().Add(10 * time.Minute)
		rename(t, w.crl, w.ca.CRL(t, testca.List{Number: 6, ThisUpdate: at, NextUpdate: at.Add(time.Hour)}), 0o644)
		time.Sleep(4 * time.Minute)
		w.shows(w.crl, "5", "was issued in the future", 1)
		if n := w.reported(); n != 1 {
			t.Errorf("the same failure was reported %d times", n)
		}
		time.Sleep(2 * time.Minute)
		w.shows(w.crl, "6", "", 2)
	})
}

func TestTwoFilesOfOneAuthority(t *testing.T) {
	for name, first := range map[string]int64{"the other lags behind": 4, "the other differs": 6} {
		t.Run(name, func(t *testing.T) {
			var second string
			inListWorld(t, func(c *certs.FilesConfig) {
				second = c.CRLs[0]
				other := filepath.Join(filepath.Dir(second), "mirror.crl")
				c.CRLs = []string{other, second}
				ca, err := os.ReadFile(second)
				if err != nil {
					t.Fatal(err)
				}
				write(t, other, ca, 0o644)
			}, func(t *testing.T, w *listWorld) {
				mirror := filepath.Join(filepath.Dir(second), "mirror.crl")
				w.checks("", "")
				write(t, mirror, w.ca.CRL(t, testca.List{Number: 6, Revoked: w.alice.Chain[:1]}), 0o644)
				w.second()
				w.checks("number 6", "")
				if l := w.list(second); !l.Superseded || l.LastError != "" || !strings.Contains(l.String(), "not in force, there is one with a larger number") {
					t.Errorf("status: %s", l)
				}
				write(t, second, w.ca.CRL(t, testca.List{Number: first}), 0o644)
				w.second()
				w.checks("number 6", "")
				if l := w.list(second); l.LastError == "" {
					t.Errorf("status: %s", l)
				}
			})
		})
	}
}

// TestLaggingFileIsNotTheMeasure: of two files the second is older at the start. That
// does not make the older one the measure.
func TestLaggingFileIsNotTheMeasure(t *testing.T) {
	var newer string
	inListWorld(t, func(c *certs.FilesConfig) {
		newer = filepath.Join(filepath.Dir(c.CRLs[0]), "newer.crl")
		c.CRLs = []string{newer, c.CRLs[0]}
	}, func(t *testing.T, w *listWorld) {
		w.shows(newer, "9", "", 1)
		if l := w.list(w.crl); l.Number != "5" || !l.Superseded {
			t.Errorf("status: %s", l)
		}
		rename(t, newer, w.ca.CRL(t, testca.List{Number: 8}), 0o644)
		w.second()
		w.shows(newer, "9", "is older than number 9", 1)
	})
}

func TestFilesRefuseListsAtTheStart(t *testing.T) {
	ca := testca.New(t)
	dir := t.TempDir()
	root := write(t, filepath.Join(dir, "ca.crt"), ca.RootPEM(), 0o644)
	cert, key := ca.Server(t, "bank.example").WriteFiles(t, dir, "bank")
	impostor := testca.New(t).Reissued(t, func(c *x509.Certificate) {
		c.RawSubject, c.SubjectKeyId = ca.IntermediateCert().RawSubject, ca.IntermediateCert().SubjectKeyId
	})
	file := func(name string, data []byte) string { return write(t, filepath.Join(dir, name), data, 0o644) }
	good := file("good.crl", ca.CRL(t, testca.List{Number: 4}))
	for _, c := range []struct {
		name   string
		config certs.FilesConfig
		want   string
	}{
		{"good", certs.FilesConfig{CRLs: []string{good}, DenyList: file("deny", []byte("number 1"))}, ""},
		{"stale", certs.FilesConfig{CRLs: []string{file("stale.crl", ca.CRL(t, testca.List{ThisUpdate: time.Now().Add(-2 * time.Hour), NextUpdate: time.Now().Add(-time.Hour)}))}}, ""},
		{"older in a second file", certs.FilesConfig{CRLs: []string{good, file("older.crl", ca.CRL(t, testca.List{Number: 3}))}}, ""},
		{"missing", certs.FilesConfig{CRLs: []string{good, good + "x"}}, "revocation list file does not exist"},
		{"no name", certs.FilesConfig{CRLs: []string{""}}, "no revocation list file was named"},
		{"directory", certs.FilesConfig{CRLs: []string{dir}}, "is a directory"},
		{"missing deny list", certs.FilesConfig{DenyList: good + "x"}, "deny list file does not exist"},
		{"revocation list as deny list", certs.FilesConfig{DenyList: good}, "line 1: "},
		{"deny list as revocation list", certs.FilesConfig{CRLs: []string{file("d", []byte("number 1\n"))}}, "holds no PEM block"},
		{"forged", certs.FilesConfig{CRLs: []string{file("forged.crl", impostor.CRL(t, testca.List{Number: 4}))}}, "has a signature that is not by the key of"},
		{"from the future", certs.FilesConfig{CRLs: []string{file("future.crl", ca.CRL(t, testca.List{ThisUpdate: time.Now().Add(time.Hour)}))}}, "was issued in the future"},
		{"same number", certs.FilesConfig{CRLs: []string{good, file("same.crl", ca.CRL(t, testca.List{Number: 4, ThisUpdate: time.Now().Add(-2 * time.Hour)}))}}, "has the number of another list"},
		{"negative age", certs.FilesConfig{CRLs: []string{good}, RevocationMaxAge: -1}, "want none (0) or more"},
	} {
		c.config.Cert, c.config.Key, c.config.CA = cert, key, root
		src, err := certs.Files(c.config)
		if err == nil {
			src.Close()
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// TestLiveRevocation: a connection that is open learns within a second.
func TestLiveRevocation(t *testing.T) {
	inListWorld(t, nil, func(t *testing.T, w *listWorld) {
		server, err := certs.ServerConfig(w.src, certs.RecheckAfterHandshake())
		if err != nil {
			t.Fatal(err)
		}
		client := clientConfig(t, material(t, w.alice, w.ca), certs.Expect{Host: "one.example"})
		if s, c := meet(t, server, client); s != nil || c != nil {
			t.Fatalf("server %v, client %v", s, c)
		}
		changed, before := w.src.Changed(), w.src.Current()
		rename(t, w.crl, w.ca.CRL(t, testca.List{Number: 6, Revoked: w.alice.Chain[:1]}), 0o644)
		revokedAt := time.Now()
		<-changed
		if took := time.Since(revokedAt); took > time.Second {
			t.Errorf("it took %v", took)
		}
		refused(t, "live", certs.Recheck(w.alice.Chain, w.src.Current(), certs.ClientAuth, time.Now()), certs.CheckRevocation, "number 6")
		if d := certs.Recheck(w.alice.Chain, before, certs.ClientAuth, time.Now()); d != nil {
			t.Errorf("the earlier material has changed: %v", d)
		}
		if s, c := meet(t, server, client); s != nil || c != nil {
			t.Errorf("the handshake itself: server %v, client %v", s, c)
		}
		strict, err := certs.ServerConfig(w.src)
		if err != nil {
			t.Fatal(err)
		}
		s, _ := meet(t, strict, client)
		refused(t, "without Recheck", certs.ServerRefusal(s, w.src.Current()), certs.CheckRevocation, "number 6")
	})
}

func TestStaticShowsLists(t *testing.T) {
	ca := testca.New(t)
	der := ca.CRL(t, testca.List{Number: 12})
	m := withRevocations(t, material(t, ca.Server(t, "bank.example"), ca), certs.RevocationConfig{CRLs: crls(t, der), Deny: deny(t, "number 3\n")})
	s := certs.Static(m).Status()
	if len(s.Lists) != 2 || s.Lists[0].Number != "12" || !s.Lists[0].Signed || s.Lists[0].Deny || !s.Lists[1].Deny || s.Lists[1].Number != "3" || s.StaleListsPass {
		t.Errorf("status %+v", s.Lists)
	}
	if text := strings.Join(s.Lines(), "\n"); strings.Contains(text, "STALE") || strings.Contains(text, "INSECURE") || bytes.Count([]byte(text), []byte("\n")) != 2 {
		t.Errorf("an operator reads\n%s", text)
	}
}

// TestOurOwnRevocationIsShown: nobody would tell us but our own lists.
func TestOurOwnRevocationIsShown(t *testing.T) {
	ca := testca.New(t)
	server := ca.Server(t, "bank.example")
	m := material(t, server, ca)
	for name, c := range map[string]struct {
		config certs.RevocationConfig
		want   string
	}{
		"list":      {revokes(t, ca, server), "certificate for dns:bank.example: it was revoked on"},
		"authority": {certs.RevocationConfig{CRLs: crls(t, ca.CRL(t, testca.List{ByRoot: true, Revoked: []*x509.Certificate{ca.IntermediateCert()}}))}, "its authority CN=testca intermediate "},
		"deny list": {certs.RevocationConfig{Deny: deny(t, "number 1\nca "+spki(ca.RootCert()))}, "is on the deny list"},
		"nothing":   {revokes(t, ca, ca.Server(t, "shop.example")), ""},
		"no list":   {certs.RevocationConfig{CRLs: crls(t, ca.Sibling(t).CRL(t, testca.List{}))}, ""},
	} {
		s := certs.Static(withRevocations(t, m, c.config)).Status()
		text := strings.Join(s.Lines(), "\n")
		if !strings.Contains(s.OwnRevoked, c.want) || (c.want == "") != (s.OwnRevoked == "") || strings.Contains(text, "REVOKED: others will refuse our own "+s.OwnRevoked) != (c.want != "") {
			t.Errorf("%s: %q, want %q:\n%s", name, s.OwnRevoked, c.want, text)
		}
	}
}
