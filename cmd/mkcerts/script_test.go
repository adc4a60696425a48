package main

import (
	"os"
	"testing"

	"github.com/pyrossl/pyrossl/internal/leakcheck"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	// The race detector would keep each of the many processes for a second at its end.
	os.Setenv("GORACE", "atexit_sleep_ms=10")
	testscript.Main(leakcheck.Checked{M: m}, map[string]func(){"mkcerts": main})
}

// TestScripts runs the command as users do.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", os.Getenv("GORACE"))
			return nil
		},
	})
}
