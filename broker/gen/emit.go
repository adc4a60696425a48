package gen

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strings"

	"github.com/pyrossl/pyrossl/codec"
)

const (
	brokerPath = "github.com/pyrossl/pyrossl/broker"
	codecPath  = "github.com/pyrossl/pyrossl/codec"
)

// emitter writes the output: each method's text goes to a buffer, and the functions
// for types, which any of them may ask for, are written once each and sorted.
type emitter struct {
	names *names
	plan  *planner
	of    *iface
	text  *bytes.Buffer

	typ, proxy, export, exported, object string // names

	context, broker, codec string // names of imports

	functions map[string]string // name -> text
	helpers   map[string]string // verb and type -> name
	reflected map[string]string // type -> why it is left to reflection
}

func emit(s *source, of *iface) ([]byte, error) {
	if err := s.predeclared(); err != nil {
		return nil, err
	}
	e := &emitter{
		names: newNames(s.pkg, of.name), plan: newPlanner(s.pkg), of: of, text: new(bytes.Buffer),
		functions: map[string]string{}, helpers: map[string]string{}, reflected: map[string]string{},
	}
	e.typ, e.proxy, e.export = of.name, e.names.top("*Proxy"), e.names.top("Export*")
	e.exported, e.object = e.names.top("*Idempotent"), lowerFirst(e.names.base)+"Object"
	e.names.given[e.object] = true
	e.names.given[e.names.top("New*Proxy")] = true
	for _, name := range slices.Sorted(maps.Keys(e.names.given)) {
		if obj := s.pkg.Scope().Lookup(name); obj != nil {
			return nil, fmt.Errorf("gen: %w", s.refuse(obj.Pos(), "", "the package declares %s, as the code for %s would, want another name", name, of.name))
		}
	}
	e.context = e.names.use("context", "context")
	e.broker = e.names.use(brokerPath, "broker")
	e.codec = e.names.use(codecPath, "codec")
	e.look()
	e.writeProxy()
	e.writeObject()
	if len(e.names.hidden) > 0 {
		return nil, fmt.Errorf("gen: %s uses types that only their own packages can name: %s", of.name, strings.Join(slices.Compact(slices.Sorted(slices.Values(e.names.hidden))), ", "))
	}
	return e.assemble(s)
}

// look gives names to all imports, so that no parameter takes one of them.
func (e *emitter) look() {
	seen := map[*coder]bool{}
	var visit func(c *coder)
	visit = func(c *coder) {
		if c == nil || seen[c] {
			return
		}
		seen[c] = true
		e.names.typ(c.typ)
		if c.kind == byReflection {
			return
		}
		visit(c.elem)
		visit(c.keys)
		for _, f := range c.fields {
			visit(f.coder)
		}
	}
	for _, m := range e.of.methods {
		for _, p := range m.params {
			switch {
			case p.items != nil:
				e.names.typ(p.typ)
				visit(e.coder(p.items))
			case !p.refers:
				visit(e.coder(p.typ))
			}
		}
		switch {
		case m.yields != nil:
			e.names.typ(m.out)
			visit(e.coder(m.yields))
		case m.out != nil && !m.refers:
			visit(e.coder(m.out))
		}
	}
}

// coder returns how an argument or a result is carried.
func (e *emitter) coder(t types.Type) *coder {
	c := e.plan.plan(t)
	if c.depth > codec.MaxDepth {
		return e.plan.reflect(t, "it nests deeper than %d", codec.MaxDepth)
	}
	return c
}

func (e *emitter) printf(format string, args ...any) { fmt.Fprintf(e.text, format, args...) }

// assemble puts the parts together and formats them. Imports that turned out not to
// be needed are left out.
func (e *emitter) assemble(s *source) ([]byte, error) {
	var body bytes.Buffer
	body.Write(e.text.Bytes())
	for _, name := range slices.Sorted(maps.Keys(e.functions)) {
		body.WriteString(e.functions[name])
	}
	used, err := selectors("package x\n" + body.String())
	if err != nil {
		return nil, fmt.Errorf("gen: internal error: the output does not parse: %w", err)
	}
	for path, name := range e.names.imports {
		if !used[name] {
			delete(e.names.imports, path)
		}
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s\n\n", Header)
	if len(e.reflected) > 0 {
		fmt.Fprintf(&out, "// Carried by reflection, the rest by the functions below:\n//\n")
		for _, t := range slices.Sorted(maps.Keys(e.reflected)) {
			fmt.Fprintf(&out, "//\t%s: %s\n", t, e.reflected[t])
		}
		out.WriteString("\n")
	}
	fmt.Fprintf(&out, "package %s\n\n%s\n", s.pkg.Name(), e.names.importBlock())
	out.Write(body.Bytes())
	formatted, err := format.Source(out.Bytes())
	if err != nil {
		return nil, fmt.Errorf("gen: internal error: the output cannot be formatted: %w", err)
	}
	return formatted, nil
}

// selectors finds the x of every x.y.
func selectors(text string) (map[string]bool, error) {
	f, err := parser.ParseFile(token.NewFileSet(), "", text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok {
				found[x.Name] = true
			}
		}
		return true
	})
	return found, nil
}

// predeclared refuses packages in which the words of the output mean something else.
func (s *source) predeclared() error {
	for _, name := range s.pkg.Scope().Names() {
		if types.Universe.Lookup(name) != nil {
			obj := s.pkg.Scope().Lookup(name)
			return fmt.Errorf("gen: %w", s.refuse(obj.Pos(), "", "the package declares %s, which generated code needs as the language has it", name))
		}
	}
	return nil
}
