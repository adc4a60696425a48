package repo

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
)

type source struct {
	name string // path from the root
	dir  string
	test bool
	file *ast.File
	fset *token.FileSet
}

// sources are all Go files of the module, on whatever system they are built.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	for _, name := range files(t) {
		if !strings.HasSuffix(name, ".go") || strings.HasPrefix(name, "bench/") || strings.Contains(name, "testdata/") {
			continue
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, name, read(t, name), parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, source{name: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), file: f, fset: fset})
	}
	return all
}

func TestOneDocCommentPerPackage(t *testing.T) {
	docs := make(map[string][]string)
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		if _, ok := docs[s.dir]; !ok {
			docs[s.dir] = nil
		}
		if s.file.Doc == nil {
			continue
		}
		docs[s.dir] = append(docs[s.dir], s.name)
		want := "Package " + s.file.Name.Name + " "
		if s.file.Name.Name == "main" {
			want = "Command " + path.Base(s.dir) + " "
		}
		if text := s.file.Doc.Text(); !strings.HasPrefix(text, want) {
			first, _, _ := strings.Cut(text, "\n")
			t.Errorf("%s: the comment begins %q, want %q", s.name, first, want)
		}
	}
	for dir, in := range docs {
		if len(in) != 1 {
			t.Errorf("package %s has %d doc comments %q, want one", dir, len(in), in)
		}
	}
}

// Commands and examples are what users could have written themselves: they import
// public packages only.
func TestCommandsImportNothingInternal(t *testing.T) {
	seen := 0
	for _, p := range packages(t) {
		if !strings.HasPrefix(p.short, "cmd/") && !strings.HasPrefix(p.short, "examples/") {
			continue
		}
		seen++
		for _, i := range p.imports {
			if !isStd(i) && slices.Contains(strings.Split(i, "/"), "internal") {
				t.Errorf("%s imports %s: if a command needs it, users need it", p.short, i)
			}
		}
	}
	if seen < 4 {
		t.Errorf("%d commands and examples found: that cannot be all", seen)
	}
}

// Whoever fills a tls.Config decides how safe a connection is, so only certs does.
func TestOnlyCertsFillsTLSConfigs(t *testing.T) {
	found := 0
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			lit, ok := n.(*ast.CompositeLit)
			if !ok || !isSelector(lit.Type, "tls", "Config") {
				return true
			}
			found++
			if s.dir != "certs" {
				t.Errorf("%s fills a tls.Config: only package certs does", s.fset.Position(lit.Pos()))
			}
			return true
		})
	}
	if found == 0 {
		t.Error("no tls.Config found at all: this test looks for the wrong thing")
	}
}

// unsafe are the hooks and settings that can undo what certs promises, wherever
// they are set; allowed says where one is set all the same, once, and why.
var (
	unsafe  = []string{"InsecureSkipVerify", "VerifyPeerCertificate", "KeyLogWriter", "SessionTicketKey"}
	allowed = map[string]string{
		"certs/tls.go InsecureSkipVerify":    "a pinned server has no host name to check; VerifyConnection verifies chain, purpose, dates and pin itself",
		"certs/probe.go InsecureSkipVerify":  "a look at a server for a diagnosis: nothing is sent to it, and no connection is left",
		"certs/engine.go InsecureSkipVerify": "nodes are known by principal and not by host, and roots change; VerifyConnection verifies chain, purpose, dates and principal itself",
	}
)

func TestNoUnsafeTLSSettings(t *testing.T) {
	used := make(map[string]int)
	report := func(s source, at token.Pos, setting string) {
		key := s.name + " " + setting
		if used[key]++; allowed[key] == "" || used[key] > 1 {
			t.Errorf("%s sets %s", s.fset.Position(at), setting)
		}
	}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr:
				if id, ok := n.Key.(*ast.Ident); ok && slices.Contains(unsafe, id.Name) {
					report(s, n.Pos(), id.Name)
				}
			case *ast.AssignStmt:
				for _, l := range n.Lhs {
					if sel, ok := l.(*ast.SelectorExpr); ok && slices.Contains(unsafe, sel.Sel.Name) {
						report(s, l.Pos(), sel.Sel.Name)
					}
				}
			}
			return true
		})
	}
	for key := range allowed {
		if used[key] == 0 {
			t.Errorf("%s is allowed, and not set any more", key)
		}
	}
}

// A skipped test proves nothing, and looks as if it did.
func TestNoTestIsSkipped(t *testing.T) {
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			receiver, _ := sel.X.(*ast.Ident)
			if receiver != nil && slices.Contains([]string{"t", "b", "tb", "f"}, receiver.Name) &&
				slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) {
				t.Errorf("%s skips", s.fset.Position(call.Pos()))
			}
			return true
		})
	}
}

func isSelector(e ast.Expr, pkg, name string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != name {
		return false
	}
	id, ok := sel.X.(*ast.Ident)
	return ok && id.Name == pkg
}
