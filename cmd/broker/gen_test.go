package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pyrossl/pyrossl/validator"
)

// TestGenScripts is TestScripts for a command that runs the go command, which is to
// find its build cache.
func TestGenScripts(t *testing.T) {
	out, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	caches := strings.Fields(string(out))
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/gen",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", os.Getenv("GORACE"))
			env.Setenv("GOCACHE", caches[0])
			env.Setenv("GOMODCACHE", caches[1])
			env.Setenv("GOFLAGS", "")
			env.Setenv("GOWORK", "off")
			env.Setenv("GOTOOLCHAIN", "local")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": cmdExits},
	})
}

func TestFirstDifference(t *testing.T) {
	for _, test := range []struct{ old, now, want string }{
		{"a\nb\n", "a\nc\n", `line 2 is "b", want "c"`},
		{"a\n", "a\nc\n", `line 2 is "", want "c"`},
		{"a", "a\n", `line 1 is "a", want "a"`},
		{"\x1b[2J" + strings.Repeat("x", 100) + "\n", "a\n", `line 1 is "\x1b[2J` + strings.Repeat("x", 56) + `…", want "a"`},
	} {
		if got := firstDifference([]byte(test.old), []byte(test.now)); got != test.want {
			t.Errorf("%q and %q: got %s, want %s", test.old, test.now, got, test.want)
		}
	}
}

func TestMentioned(t *testing.T) {
	rules := []validator.Rule{
		{Objects: []string{"bank"}, Methods: []string{"Get*", "Deposit"}},
		{Objects: []string{"va*", "box"}, Methods: []string{"*"}},
	}
	for name, want := range map[string]bool{
		"bank.Deposit": true, "bank.Deposits": false, "bank.GetAll": true, "bank.Withdraw": false,
		"vault.Anything": true, "v.Anything": false, "box.X": true, "boxes.X": false,
	} {
		object, method, _ := strings.Cut(name, ".")
		if got := mentioned(rules, object, method); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}
