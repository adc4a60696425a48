package leakcheck

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// open counts the open files of this process by what they are; nil where that cannot be
// seen. Of sockets and pipes the numbers are left out. What the runtime and the testing
// package open for themselves does not count.
func open() map[string]int {
	const dir = "/proc/self/fd"
	all, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	found := make(map[string]int)
	for _, fd := range all {
		what, err := os.Readlink(filepath.Join(dir, fd.Name()))
		if err != nil || strings.HasPrefix(what, "anon_inode:") || strings.HasPrefix(what, "/dev/") || strings.HasPrefix(what, "/proc/") || strings.Contains(what, "/cgroup/") {
			continue // closed meanwhile, a poller, standard streams, this directory
		}
		if kind, _, numbered := strings.Cut(what, ":["); numbered {
			what = "a " + kind
		}
		found[what]++
	}
	return found
}

// more lists what is open beyond what was.
func more(before map[string]int) string {
	if before == nil {
		return ""
	}
	var b strings.Builder
	now := open()
	for _, what := range slices.Sorted(maps.Keys(now)) {
		if n := now[what] - before[what]; n > 0 {
			fmt.Fprintf(&b, "open: %s, %d times more than before the tests\n", what, n)
		}
	}
	return b.String()
}
