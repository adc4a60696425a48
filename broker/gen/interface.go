package gen

import (
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// iface is an interface that can be generated for.
type iface struct {
	name    string
	file    string // where it is declared
	methods []*method
}

// method is one of its methods, as package broker sees it.
type method struct {
	name       string
	pos        token.Pos
	params     []param // without the context
	takesCtx   bool
	variadic   bool       // the last parameter's type is that of one argument
	out        types.Type // nil when it returns no value
	yields     types.Type // of the items, if out is a stream
	refers     bool       // out travels as a reference
	fails      bool       // its last result is an error
	idempotent bool
}

type param struct {
	name   string // as in the source; may be empty
	typ    types.Type
	items  types.Type // if it is a stream
	refers bool       // it travels as a reference
}

// stream returns which parameter is a stream, from 1, or 0.
func (m *method) stream() int {
	return 1 + slices.IndexFunc(m.params, func(p param) bool { return p.items != nil })
}

// Error says why a method cannot be generated.
type Error struct {
	Pos    string // file:line:column
	Method string // Bank.Deposit; empty if it is about the interface
	Reason string

	at token.Pos
}

func (e *Error) Error() string {
	text := e.Pos + ": "
	if e.Method != "" {
		text += "method " + e.Method + " cannot be carried: "
	}
	return text + e.Reason
}

func (s *source) refuse(pos token.Pos, method, format string, args ...any) *Error {
	return &Error{Pos: s.position(pos), Method: method, Reason: fmt.Sprintf(format, args...), at: pos}
}

// position prints a position; what is declared elsewhere has none that is the same
// everywhere.
func (s *source) position(pos token.Pos) string {
	p := s.fset.Position(pos)
	if !p.IsValid() {
		return "-"
	}
	if s.file(pos) == nil {
		return "-"
	}
	return fmt.Sprintf("%s:%d:%d", joinPath(s.dir, p.Filename), p.Line, p.Column)
}

// file returns the file of the package that pos is in, or nil.
func (s *source) file(pos token.Pos) *ast.File {
	for _, f := range s.files {
		if f.FileStart <= pos && pos < f.FileEnd {
			return f
		}
	}
	return nil
}

// findInterface looks up an interface and checks each of its methods.
func (s *source) findInterface(name string) (*iface, error) {
	obj, ok := s.pkg.Scope().Lookup(name).(*types.TypeName)
	if !ok {
		return nil, fmt.Errorf("gen: package %s has no type %q%s", s.pkg.Name(), name, s.didYouMean())
	}
	if named, ok := types.Unalias(obj.Type()).(*types.Named); ok && named.TypeParams().Len() > 0 {
		return nil, fmt.Errorf("gen: %w", s.refuse(obj.Pos(), "", "%s has type parameters, want an interface without", name))
	}
	t, ok := obj.Type().Underlying().(*types.Interface)
	if !ok {
		return nil, fmt.Errorf("gen: %w", s.refuse(obj.Pos(), "", "%s is not an interface type%s", name, s.didYouMean()))
	}
	if !t.IsMethodSet() {
		return nil, fmt.Errorf("gen: %w", s.refuse(obj.Pos(), "", "%s is a constraint and no type of values", name))
	}
	i := &iface{name: name, file: s.fset.Position(obj.Pos()).Filename}
	directives, refused := s.directives()
	for m := range t.Methods() {
		made, err := s.newMethod(name, m)
		if err != nil {
			refused = append(refused, err)
			continue
		}
		made.idempotent = directives[m.Pos()]
		i.methods = append(i.methods, made)
	}
	if len(refused) > 0 {
		slices.SortStableFunc(refused, func(x, y *Error) int { return int(x.at - y.at) })
		all := make([]error, len(refused))
		for n, e := range refused {
			all[n] = e
		}
		return nil, fmt.Errorf("gen: %w", errors.Join(all...))
	}
	if len(i.methods) == 0 {
		return nil, fmt.Errorf("gen: %w", s.refuse(obj.Pos(), "", "%s has no methods", name))
	}
	slices.SortFunc(i.methods, func(x, y *method) int { return strings.Compare(x.name, y.name) })
	return i, nil
}

// didYouMean lists the interfaces that there are.
func (s *source) didYouMean() string {
	var names []string
	scope := s.pkg.Scope()
	for _, name := range scope.Names() {
		if obj, ok := scope.Lookup(name).(*types.TypeName); ok && types.IsInterface(obj.Type()) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ", and no interface at all"
	}
	return "; its interfaces are " + strings.Join(names, ", ")
}

var errorType = types.Universe.Lookup("error").Type()

// newMethod applies the rules of Daemon.Register.
func (s *source) newMethod(of string, f *types.Func) (*method, *Error) {
	sig := f.Signature()
	m := &method{name: f.Name(), pos: f.Pos(), variadic: sig.Variadic()}
	refuse := func(format string, args ...any) (*method, *Error) {
		return nil, s.refuse(f.Pos(), of+"."+f.Name(), format, args...)
	}
	if !f.Exported() {
		return refuse("it is not exported")
	}
	for i := range sig.Params().Len() {
		v := sig.Params().At(i)
		if isNamed(v.Type(), "context", "Context") {
			if i > 0 {
				return refuse("its context is argument %d, want it first", i+1)
			}
			m.takesCtx = true
			continue
		}
		p := param{name: v.Name(), typ: v.Type(), items: itemsOf(v.Type()), refers: isProxy(v.Type())}
		if err := s.carried(p.typ, i+1); err != "" {
			return refuse("%s", err)
		}
		if p.items != nil && m.stream() > 0 {
			return refuse("argument %d: it takes a second stream, want at most one", i+1)
		}
		if m.variadic && i == sig.Params().Len()-1 {
			p.typ = p.typ.(*types.Slice).Elem()
		}
		m.params = append(m.params, p)
	}
	if m.stream() > 0 && m.variadic {
		return refuse("it takes a stream and a variable number of arguments")
	}
	return s.results(m, sig.Results(), refuse)
}

func (s *source) results(m *method, results *types.Tuple, refuse func(string, ...any) (*method, *Error)) (*method, *Error) {
	n := results.Len()
	if n > 2 {
		return refuse("it returns %d values, want at most one and an error", n)
	}
	if n == 0 {
		return m, nil
	}
	first, last := results.At(0).Type(), results.At(n-1).Type()
	m.fails = types.Identical(last, errorType)
	switch {
	case n == 2 && !m.fails:
		return refuse("its second result is %s, want error", reflected(last))
	case n == 2 && types.Identical(first, errorType):
		return refuse("it returns two errors")
	case n == 1 && m.fails:
		return m, nil
	}
	m.out, m.yields, m.refers = first, itemsOf(first), referenced(first)
	if err := s.carried(first, 0); err != "" {
		return refuse("%s", err)
	}
	return m, nil
}
