package ca

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/pyrossl/pyrossl/internal/leakcheck"
)

// Some tests need processes: to end one in the middle of its work, and to have several
// at once. They are this binary, which is told by the environment what to do.
const (
	childRun = "CA_TEST_RUN" // words: an operation of childOps, the directory, arguments
	childEnd = "CA_TEST_END" // after how many steps that are on the disk the process ends
)

// endedShort is the exit code of a process that ended at childEnd.
const endedShort = 3

func TestMain(m *testing.M) {
	if words := os.Getenv(childRun); words != "" {
		os.Exit(child(strings.Split(words, "\n")))
	}
	leakcheck.Main(m)
}

func child(words []string) int {
	if end, err := strconv.Atoi(os.Getenv(childEnd)); err == nil {
		steps := 0
		reached = func(string, string) {
			if steps++; steps == end {
				os.Exit(endedShort) // no deferred function runs
			}
		}
	}
	if err := childOps[words[0]](words[1], words[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// childOps are what a process can be told to do.
var childOps = map[string]func(dir string, args []string) error{
	"issue": func(dir string, args []string) error {
		_, err := Ensure(dir, server(args[0]), EnsureOptions{})
		return err
	},
	"revoke": func(dir string, args []string) error {
		_, err := Revoke(dir, args[0], RevokeOptions{Key: true, Principal: true})
		return err
	},
	"readmit": func(dir string, args []string) error {
		_, err := Readmit(dir, args[0], CRLOptions{})
		return err
	},
	"crl": func(dir string, _ []string) error {
		_, err := WriteCRLs(dir, CRLOptions{})
		return err
	},
	"renew": func(dir string, args []string) error {
		_, err := RenewLeaves(dir, args, RenewOptions{})
		return err
	},
	"intermediate": func(dir string, _ []string) error {
		_, err := RenewIntermediate(dir, RenewOptions{Within: IntermediateTTL * 2})
		return err
	},
	"add": func(dir string, _ []string) error {
		_, err := RollAdd(dir, Options{})
		return err
	},
	"reissue": func(dir string, _ []string) error {
		_, err := RollReissue(dir, RenewOptions{})
		return err
	},
	"remove": func(dir string, _ []string) error {
		_, err := RollRemove(dir, RemoveOptions{})
		return err
	},
}

func childCommand(t *testing.T, words ...string) *exec.Cmd {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), binary)
	c.Env = append(os.Environ(), childRun+"="+strings.Join(words, "\n"), "GORACE=atexit_sleep_ms=10")
	return c
}

// endAt runs a process that ends after so many steps. It reports whether it had ended
// by itself before.
func endAt(t *testing.T, step int, words ...string) (done bool) {
	t.Helper()
	c := childCommand(t, words...)
	c.Env = append(c.Env, childEnd+"="+strconv.Itoa(step))
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return true
	case errors.As(err, &exit) && exit.ExitCode() == endedShort:
		return false
	}
	t.Fatalf("%q, to end after step %d: %v\n%s", words, step, err, out)
	return false
}

// atEachStep runs a process over and over, each time in a directory that prepare has
// made and to end one step later, and looks at what is left.
func atEachStep(t *testing.T, prepare func(t *testing.T) (dir string), look func(t *testing.T, dir string), words ...string) {
	t.Helper()
	const enough = 40
	for step := 1; step <= enough; step++ {
		done := false
		t.Run(strconv.Itoa(step), func(t *testing.T) {
			dir := prepare(t)
			done = endAt(t, step, append([]string{words[0], dir}, words[1:]...)...)
			look(t, dir)
		})
		if done {
			if step < 3 {
				t.Fatalf("%q took %d steps: nothing was cut short", words, step-1)
			}
			return
		}
	}
	t.Fatalf("%q takes more than %d steps", words, enough)
}
