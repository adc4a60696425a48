package gen

import (
	"fmt"
	"go/token"
	"go/types"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// names gives out the identifiers of the output.
type names struct {
	pkg     *types.Package
	imports map[string]string // path -> name
	given   map[string]bool   // package-level names that the output declares
	prefix  string            // of helpers: bank
	base    string            // in exported and unexported names: Bank
	public  bool
	hidden  []string // types that the output would have to name and cannot
}

func newNames(pkg *types.Package, of string) *names {
	return &names{
		pkg: pkg, imports: map[string]string{}, given: map[string]bool{},
		prefix: lowerFirst(of), base: upperFirst(of), public: token.IsExported(of),
	}
}

// top is a package-level name such as New*Proxy, where * is the interface; it is
// exported if the interface is.
func (n *names) top(pattern string) string {
	name := strings.ReplaceAll(pattern, "*", n.base)
	if !n.public {
		name = lowerFirst(name)
	}
	n.given[name] = true
	return name
}

// helper is a package-level name that nobody else uses.
func (n *names) helper(verb, of string) string {
	name := n.prefix + verb + of
	for n.given[name] || n.pkg.Scope().Lookup(name) != nil {
		name += "_"
	}
	n.given[name] = true
	return name
}

// use returns the name by which the output refers to a package.
func (n *names) use(importPath, name string) string {
	if used, ok := n.imports[importPath]; ok {
		return used
	}
	taken := func(name string) bool {
		for _, other := range n.imports {
			if other == name {
				return true
			}
		}
		return n.pkg.Scope().Lookup(name) != nil || types.Universe.Lookup(name) != nil
	}
	for base, i := name, 2; taken(name); i++ {
		name = base + strconv.Itoa(i)
	}
	n.imports[importPath] = name
	return name
}

// typ prints a type for the output.
func (n *names) typ(t types.Type) string {
	n.nameable(t)
	return types.TypeString(t, func(p *types.Package) string {
		if p == n.pkg {
			return ""
		}
		return n.use(p.Path(), p.Name())
	})
}

// nameable looks for types of other packages that only those can name.
func (n *names) nameable(t types.Type) {
	var obj *types.TypeName
	var args *types.TypeList
	switch t := t.(type) {
	case *types.Alias:
		obj, args = t.Obj(), t.TypeArgs()
	case *types.Named:
		obj, args = t.Obj(), t.TypeArgs()
	case interface{ Elem() types.Type }:
		if m, ok := t.(*types.Map); ok {
			n.nameable(m.Key())
		}
		n.nameable(t.Elem())
	}
	if obj != nil && obj.Pkg() != nil && obj.Pkg() != n.pkg && !obj.Exported() {
		n.hidden = append(n.hidden, reflected(t))
	}
	for i := range args.Len() {
		n.nameable(args.At(i))
	}
}

// importBlock prints the imports, the standard library's first.
func (n *names) importBlock() string {
	var std, others []string
	for p, name := range n.imports {
		line := strconv.Quote(p)
		if name != path.Base(p) {
			line = name + " " + line
		}
		if first, _, _ := strings.Cut(p, "/"); strings.Contains(first, ".") {
			others = append(others, line)
		} else {
			std = append(std, line)
		}
	}
	byPath := func(x, y string) int { return strings.Compare(x[strings.Index(x, `"`):], y[strings.Index(y, `"`):]) }
	slices.SortFunc(std, byPath)
	slices.SortFunc(others, byPath)
	return "import (\n" + strings.Join(std, "\n") + "\n\n" + strings.Join(others, "\n") + "\n)\n"
}

// params gives the parameters of a method names that hide nothing the body uses.
func (n *names) params(m *method, locals ...string) []string {
	used := map[string]bool{}
	for _, l := range locals {
		used[l] = true
	}
	for _, name := range n.imports {
		used[name] = true
	}
	var out []string
	for i, p := range m.params {
		name := p.name
		if name == "" || name == "_" {
			name = fmt.Sprintf("arg%d", i+1)
		}
		for used[name] || n.given[name] || n.pkg.Scope().Lookup(name) != nil || types.Universe.Lookup(name) != nil {
			name += "_"
		}
		used[name] = true
		out = append(out, name)
	}
	return out
}

// describe makes a part of an identifier from a type: StringSlice for []string.
func describe(t types.Type, pkg *types.Package) string {
	switch t := types.Unalias(t).(type) {
	case *types.Basic:
		return upperFirst(types.Typ[t.Kind()].Name())
	case *types.Named:
		name := upperFirst(t.Obj().Name())
		if p := t.Obj().Pkg(); p != nil && p != pkg {
			name = upperFirst(p.Name()) + name
		}
		for i := range t.TypeArgs().Len() {
			name += "Of" + describe(t.TypeArgs().At(i), pkg)
		}
		return name
	case *types.Pointer:
		return describe(t.Elem(), pkg) + "Pointer"
	case *types.Slice:
		return describe(t.Elem(), pkg) + "Slice"
	case *types.Array:
		return describe(t.Elem(), pkg) + "Array" + strconv.FormatInt(t.Len(), 10)
	case *types.Map:
		return describe(t.Key(), pkg) + describe(t.Elem(), pkg) + "Map"
	case *types.Struct:
		return "Struct"
	}
	return "Any"
}

func upperFirst(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[size:]
}

// lowerFirst lowers the first letter, or the letters of an initialism: httpBank.
func lowerFirst(s string) string {
	runes := []rune(s)
	for i := range runes {
		if !unicode.IsUpper(runes[i]) || i > 0 && i+1 < len(runes) && unicode.IsLower(runes[i+1]) {
			break
		}
		runes[i] = unicode.ToLower(runes[i])
	}
	return string(runes)
}
