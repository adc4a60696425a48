// Package leakcheck fails a test binary that leaves goroutines behind.
//
// A package uses it in its TestMain:
//
//	func TestMain(m *testing.M) { leakcheck.Main(m) }
package leakcheck

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// patience is how long goroutines that are about to end may take for it.
const patience = 5 * time.Second

// Main runs the tests and exits. When they pass, but a goroutine is left in whose
// stack a function of this module stands, it prints the stacks and exits with 1.
func Main(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if left := wait(); left != "" {
			fmt.Fprintf(os.Stderr, "goroutines left behind:\n%s\n", left)
			code = 1
		}
	}
	os.Exit(code)
}

func wait() (left string) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if left = ours(); left == "" {
			return ""
		}
	}
	return left
}

// ours returns the stacks of goroutines of this module, but for the one that asks.
func ours() string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var left []string
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		if strings.Contains(stack, "github.com/pyrossl/pyrossl/") && !strings.Contains(stack, "leakcheck.") {
			left = append(left, stack)
		}
	}
	return strings.Join(left, "\n\n")
}
