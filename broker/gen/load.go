package gen

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// source is a package as it was read and type-checked.
type source struct {
	fset  *token.FileSet
	files []*ast.File
	pkg   *types.Package
	dir   string
	wrong []types.Error // what did not type-check: perhaps only code that uses generated names
}

// listed is what the go command tells about a package.
type listed struct {
	ImportPath string
	Dir        string
	Name       string
	Export     string
	GoFiles    []string
	CgoFiles   []string
	ImportMap  map[string]string
	Error      *struct{ Err string }
}

// load reads the package in dir from its source, and what it imports from the export
// data of the go command's build cache. The standard library does both, so that there
// is no need for golang.org/x/tools/go/packages, which does the same.
//
// Our own earlier output is left out: it may be of another interface than today's.
func load(ctx context.Context, dir string) (*source, error) {
	list, err := goList(ctx, dir, "ImportPath,Dir,Name,GoFiles,CgoFiles,ImportMap,Error", "-e", "--", ".")
	if err != nil {
		return nil, err
	}
	p := list[0]
	s := &source{fset: token.NewFileSet(), dir: dir}
	for _, name := range slices.Concat(p.GoFiles, p.CgoFiles) {
		f, err := parseFile(s.fset, p.Dir, name)
		if err != nil {
			return nil, fmt.Errorf("gen: %w", err)
		}
		if f != nil {
			s.files = append(s.files, f)
		}
	}
	if len(s.files) == 0 {
		if p.Error != nil {
			return nil, fmt.Errorf("gen: package in %q: %s", dir, strings.TrimSpace(p.Error.Err))
		}
		return nil, fmt.Errorf("gen: package in %q has no Go files", dir)
	}
	lookup, err := exports(ctx, p, s.files)
	if err != nil {
		return nil, err
	}
	conf := types.Config{
		Importer:    importer.ForCompiler(s.fset, "gc", lookup),
		FakeImportC: true,
		Sizes:       types.SizesFor("gc", runtime.GOARCH),
		Error: func(err error) {
			var e types.Error
			if errors.As(err, &e) && !e.Soft {
				s.wrong = append(s.wrong, e)
			}
		},
	}
	s.pkg, _ = conf.Check(p.ImportPath, s.fset, s.files, nil)
	return s, nil
}

// parseFile returns nil for a file that this package has generated. Positions are
// given by the file's name alone, so that no output depends on where it was made.
func parseFile(fset *token.FileSet, dir, name string) (*ast.File, error) {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	if Generated(text) {
		return nil, nil
	}
	return parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
}

// Generated reports whether a file is output of this package.
func Generated(text []byte) bool {
	rest, ok := bytes.CutPrefix(text, []byte(Header))
	return ok && (len(rest) == 0 || rest[0] == '\n' || rest[0] == '\r')
}

// exports returns how the importer finds the export data of a package.
func exports(ctx context.Context, p *listed, files []*ast.File) (importer.Lookup, error) {
	var paths []string
	for _, f := range files {
		for _, spec := range f.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return nil, fmt.Errorf("gen: import %s: %w", spec.Path.Value, err)
			}
			if real, ok := p.ImportMap[path]; ok {
				path = real
			}
			if path != "C" && path != "unsafe" {
				paths = append(paths, path)
			}
		}
	}
	slices.Sort(paths)
	paths = slices.Compact(paths)
	data := map[string]*listed{}
	if len(paths) > 0 {
		args := append([]string{"-e", "-export", "-deps", "--"}, paths...)
		list, err := goList(ctx, p.Dir, "ImportPath,Export,Error", args...)
		if err != nil {
			return nil, err
		}
		for _, l := range list {
			data[l.ImportPath] = l
		}
	}
	return func(path string) (io.ReadCloser, error) {
		if real, ok := p.ImportMap[path]; ok {
			path = real
		}
		switch l := data[path]; {
		case l == nil:
			return nil, fmt.Errorf("package %q is not imported", path)
		case l.Export != "":
			return os.Open(l.Export)
		case l.Error != nil:
			return nil, errors.New(strings.TrimSpace(l.Error.Err))
		}
		return nil, fmt.Errorf("package %q does not compile", path)
	}, nil
}

// goList runs the go command, which alone knows modules, workspaces and vendoring.
func goList(ctx context.Context, dir, fields string, args ...string) ([]*listed, error) {
	c := exec.CommandContext(ctx, "go", append([]string{"list", "-json=" + fields}, args...)...)
	c.Dir = dir
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		if text := strings.TrimSpace(stderr.String()); text != "" {
			return nil, fmt.Errorf("gen: go list in %q: %s", dir, text)
		}
		return nil, fmt.Errorf("gen: go list in %q: %w", dir, err)
	}
	var list []*listed
	for d := json.NewDecoder(&stdout); ; {
		l := new(listed)
		if err := d.Decode(l); err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("gen: go list in %q: %w", dir, err)
		}
		list = append(list, l)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("gen: no package in %q", dir)
	}
	return list, nil
}
