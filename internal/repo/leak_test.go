package repo

import (
	"bytes"
	"path/filepath"
	"testing"
)

// TestLeaksAreLookedFor: the tests of each package fail if they leave something behind.
func TestLeaksAreLookedFor(t *testing.T) {
	for _, p := range packages(t) {
		files, err := filepath.Glob(filepath.Join("../..", p.short, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		found := len(files) == 0
		for _, f := range files {
			text := read(t, filepath.Join(p.short, filepath.Base(f)))
			found = found || bytes.Contains(text, []byte("leakcheck.Main(m)")) || bytes.Contains(text, []byte("leakcheck.Checked{M: m}"))
		}
		if !found {
			t.Errorf("no TestMain of package %s calls leakcheck.Main", p.short)
		}
	}
}
