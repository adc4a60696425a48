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
	testscript.Main(leakcheck.Checked{M: m}, map[string]func(){"broker": main})
}

// TestScripts runs the command as users do. Beside testscript's own commands they
// have those of daemon_test.go.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("ESC", "\x1b")
			env.Setenv("GORACE", os.Getenv("GORACE"))
			env.Values[daemonsKey{}] = newDaemons(env)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"start":      cmdStart,
			"ends":       cmdEnds,
			"signal":     cmdSignal,
			"await":      cmdAwait,
			"exits":      cmdExits,
			"incident":   cmdIncident,
			"paste":      cmdPaste,
			"pki":        cmdPKI,
			"listen":     cmdListen,
			"secured":    cmdSecured,
			"doc":        cmdDoc,
			"docserve":   cmdDocServe,
			"hold":       cmdHold,
			"fetch":      cmdFetch,
			"found":      cmdFound,
			"transcript": cmdTranscript,
		},
	})
}
