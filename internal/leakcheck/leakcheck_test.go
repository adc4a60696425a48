package leakcheck_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/pyrossl/pyrossl/internal/leakcheck"
)

const leak = "LEAKCHECK_LEAK"

func TestMain(m *testing.M) { leakcheck.Main(m) }

// TestLeak leaves a goroutine behind, in a process that is asked to.
func TestLeak(t *testing.T) {
	if os.Getenv(leak) != "" {
		go func() { select {} }()
	}
}

// TestMainSees runs this test binary with and without a leak.
func TestMainSees(t *testing.T) {
	for _, test := range []struct {
		value string
		fails bool
	}{{"", false}, {"1", true}} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestLeak$")
		cmd.Env = append(os.Environ(), leak+"="+test.value)
		out, err := cmd.CombinedOutput()
		if (err != nil) != test.fails || strings.Contains(string(out), "goroutines left behind") != test.fails {
			t.Errorf("with %q: %v\n%s", test.value, err, out)
		}
	}
}
