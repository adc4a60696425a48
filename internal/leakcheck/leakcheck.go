// Package leakcheck fails a test binary that leaves goroutines or open files behind.
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
// stack a function of this module stands, or a file or socket that was not open before,
// it prints which and exits with 1. Open files are seen on Linux only.
func Main(m *testing.M) { os.Exit(Checked{m}.Run()) }

// Checked is Main for who exits by itself, such as testscript.Main.
type Checked struct{ M *testing.M }

// Run runs the tests and returns the exit status.
func (c Checked) Run() int {
	before := open()
	code := c.M.Run()
	if code == 0 {
		if left := wait(before); left != "" {
			fmt.Fprintf(os.Stderr, "left behind:\n%s\n", left)
			code = 1
		}
	}
	return code
}

func wait(before map[string]int) (left string) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if left = ours() + more(before); left == "" {
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
