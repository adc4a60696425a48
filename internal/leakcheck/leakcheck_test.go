package leakcheck_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/pyrossl/pyrossl/internal/leakcheck"
)

const leak = "LEAKCHECK_LEAK"

func TestMain(m *testing.M) { leakcheck.Main(m) }

// kept keeps what is left behind from being collected, which would close it.
var kept []any

// TestLeak leaves something behind, in a process that is asked to.
func TestLeak(t *testing.T) {
	switch os.Getenv(leak) {
	case "goroutine":
		go func() { select {} }()
	case "file":
		f, err := os.Create(filepath.Join(os.TempDir(), "leakcheck"))
		if err != nil {
			t.Fatal(err)
		}
		os.Remove(f.Name())
		kept = append(kept, f)
	case "socket":
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, l)
	}
}

// TestMainSees runs this test binary with and without leaks.
func TestMainSees(t *testing.T) {
	for _, test := range []struct{ leaks, text string }{
		{"", ""}, {"goroutine", "TestLeak.func1"}, {"file", "leakcheck (deleted), 1 times more"}, {"socket", "a socket, 1 times more"},
	} {
		if runtime.GOOS != "linux" && (test.leaks == "file" || test.leaks == "socket") {
			continue
		}
		t.Run(test.leaks, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run=^TestLeak$")
			cmd.Env = append(os.Environ(), leak+"="+test.leaks)
			out, err := cmd.CombinedOutput()
			if (err != nil) != (test.leaks != "") || !strings.Contains(string(out), test.text) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
