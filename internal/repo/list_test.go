package repo

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/pyrossl/pyrossl"

// pkg is a package of this module as the go command sees it on any of the
// systems that we build for.
type pkg struct {
	short       string // path in the module
	dir         string
	imports     []string // ours by their path in the module
	testImports []string
}

// systems are where files with build constraints are looked for.
var systems = []string{"linux", "darwin", "windows"}

var list = sync.OnceValues(func() ([]pkg, error) {
	all := make(map[string]*pkg)
	for _, system := range systems {
		listed, err := goList(system)
		if err != nil {
			return nil, err
		}
		for _, l := range listed {
			p := all[l.short]
			if p == nil {
				p = &pkg{short: l.short, dir: l.dir}
				all[l.short] = p
			}
			p.imports = union(p.imports, l.imports)
			p.testImports = union(p.testImports, l.testImports)
		}
	}
	packages := make([]pkg, 0, len(all))
	for _, p := range all {
		packages = append(packages, *p)
	}
	slices.SortFunc(packages, func(a, b pkg) int { return strings.Compare(a.short, b.short) })
	return packages, nil
})

func packages(t *testing.T) []pkg {
	t.Helper()
	packages, err := list()
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) < 8 {
		t.Fatalf("the module has %d packages: that cannot be all", len(packages))
	}
	return packages
}

// goList has -e: whether everything compiles is not the question here.
func goList(system string) ([]pkg, error) {
	out, err := goCommand([]string{"GOOS=" + system}, "list", "-e", "-json=ImportPath,Dir,Imports,TestImports,XTestImports", "./...")
	if err != nil {
		return nil, err
	}
	var packages []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath, Dir                    string
			Imports, TestImports, XTestImports []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, err
		}
		packages = append(packages, pkg{
			short: short(p.ImportPath), dir: p.Dir,
			imports: shorten(p.Imports), testImports: shorten(slices.Concat(p.TestImports, p.XTestImports)),
		})
	}
}

// goCommand runs the go command in the root of the module.
func goCommand(env []string, args ...string) ([]byte, error) {
	root, err := findRoot()
	if err != nil {
		return nil, err
	}
	c := exec.Command("go", args...)
	c.Dir = root
	c.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		return nil, errors.New(c.String() + ": " + err.Error() + "\n" + stderr.String())
	}
	return out, nil
}

// findRoot returns the directory of go.mod: two above this one.
func findRoot() (string, error) {
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return "", err
	}
	_, err = os.Stat(filepath.Join(dir, "go.mod"))
	return dir, err
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := findRoot()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func short(path string) string { return strings.TrimPrefix(path, module+"/") }

func shorten(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = short(p)
	}
	return out
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
