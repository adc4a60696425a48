package gen

import (
	"bytes"
	"fmt"
	"go/types"
	"slices"
)

// coder is how a type is carried by generated code.
type coder struct {
	kind   kind
	typ    types.Type
	named  bool   // it takes a conversion from and to the basic type
	basic  string // of basic kinds: int64
	elem   *coder // of pointers, slices, arrays and maps
	keys   *coder // of maps
	length int64  // of arrays
	fields []coded
	tuple  bool   // a struct that is carried as an array
	why    string // of byReflection: the reason

	// What is known about every value of the type, as package codec counts.
	items int64 // at most; unbounded is more than codec.MaxItems
	depth int   // at most, but for what open says
	open  bool  // it may nest without end, or contain what we know nothing about
}

// coded is a struct field and how it is carried.
type coded struct {
	field
	*coder
}

type kind int

const (
	byReflection kind = iota
	boolKind
	intKind
	uintKind
	floatKind
	stringKind
	bytesKind
	byteArrayKind
	timeKind
	sliceKind
	arrayKind
	mapKind
	pointerKind
	structKind
)

const unbounded = 1 << 40

// planner finds the coders of types. Types of which it is not certain how package
// codec carries them are left to reflection, which knows.
type planner struct {
	pkg     *types.Package
	planned map[string]*coder
	begun   map[string]bool
	endless map[string]bool // types that contain themselves
}

func newPlanner(pkg *types.Package) *planner {
	return &planner{pkg: pkg, planned: map[string]*coder{}, begun: map[string]bool{}, endless: map[string]bool{}}
}

func (p *planner) reflect(t types.Type, format string, args ...any) *coder {
	return &coder{kind: byReflection, typ: t, why: fmt.Sprintf(format, args...), items: unbounded, open: true}
}

// plan returns the coder of a type that can be carried.
func (p *planner) plan(t types.Type) *coder {
	key := typeKey(t)
	if c, ok := p.planned[key]; ok {
		return c
	}
	const endless = "it contains itself, so that a value may nest without end"
	if p.begun[key] {
		p.endless[key] = true
		return p.reflect(t, endless)
	}
	p.begun[key] = true
	c := p.make(t)
	delete(p.begun, key)
	if p.endless[key] && c.kind != byReflection {
		c = p.reflect(t, endless)
	}
	p.planned[key] = c
	return c
}

func (p *planner) make(t types.Type) *coder {
	resolved := types.Unalias(t)
	carrier := carrier{seen: map[string]bool{}}
	own, _ := carrier.special(resolved, "")
	if own == "time" {
		return &coder{kind: timeKind, typ: t, items: 2}
	}
	if own != "" {
		return p.reflect(t, "it has an encoding of its own")
	}
	named, _ := resolved.(*types.Named)
	if named != nil && named.Obj().Pkg() != nil && named.Obj().Pkg().Path() == cborPath {
		return p.reflect(t, "it is a type of %s", cborPath)
	}
	switch u := resolved.Underlying().(type) {
	case *types.Basic:
		return p.makeBasic(t, u, named != nil)
	case *types.Slice:
		if isByte(u.Elem()) {
			return &coder{kind: bytesKind, typ: t, items: 1}
		}
		return p.container(sliceKind, t, u.Elem(), unbounded)
	case *types.Array:
		if isByte(u.Elem()) {
			return &coder{kind: byteArrayKind, typ: t, items: 1, length: u.Len()}
		}
		return p.container(arrayKind, t, u.Elem(), u.Len())
	case *types.Map:
		return p.makeMap(t, u)
	case *types.Pointer:
		return p.makePointer(t, u, named != nil)
	case *types.Struct:
		return p.makeStruct(t, named, u)
	}
	return p.reflect(t, "only the receiver's own type says what is in it")
}

// isByte is true for byte and uint8 only: a type of their kind may have methods.
func isByte(t types.Type) bool {
	basic, ok := types.Unalias(t).(*types.Basic)
	return ok && basic.Kind() == types.Uint8
}

func (p *planner) makeBasic(t types.Type, u *types.Basic, named bool) *coder {
	c := &coder{typ: t, named: named, basic: types.Typ[u.Kind()].Name(), items: 1}
	switch info := u.Info(); {
	case info&types.IsBoolean != 0:
		c.kind = boolKind
	case info&types.IsUnsigned != 0:
		c.kind = uintKind
	case info&types.IsInteger != 0:
		c.kind = intKind
	case info&types.IsFloat != 0:
		c.kind = floatKind
	case info&types.IsString != 0:
		c.kind = stringKind
	}
	return c
}

func (p *planner) container(k kind, t, elem types.Type, n int64) *coder {
	if basic, ok := elem.Underlying().(*types.Basic); ok && basic.Kind() == types.Uint8 && !isByte(elem) {
		return p.reflect(t, "its elements are bytes with a name of their own")
	}
	c := &coder{kind: k, typ: t, elem: p.plan(elem), length: n}
	c.items = unbounded
	if n == 0 || n < unbounded/c.elem.items {
		c.items = 1 + n*c.elem.items
	}
	c.depth, c.open = 1+c.elem.depth, c.elem.open
	return c
}

func (p *planner) makeMap(t types.Type, u *types.Map) *coder {
	key := p.plan(u.Key())
	if key.kind != stringKind {
		return p.reflect(t, "its keys are not strings")
	}
	c := &coder{kind: mapKind, typ: t, keys: key, elem: p.plan(u.Elem()), items: unbounded}
	c.depth, c.open = 1+c.elem.depth, c.elem.open
	return c
}

func (p *planner) makePointer(t types.Type, u *types.Pointer, named bool) *coder {
	elem := p.plan(u.Elem())
	if named || elem.kind == pointerKind || elem.kind == byReflection {
		return p.reflect(t, "it points to what is not generated")
	}
	return &coder{kind: pointerKind, typ: t, elem: elem, items: elem.items, depth: elem.depth, open: elem.open}
}

func (p *planner) makeStruct(t types.Type, named *types.Named, u *types.Struct) *coder {
	switch {
	case named == nil:
		return p.reflect(t, "it is a struct without a name")
	case named.TypeArgs().Len() > 0:
		return p.reflect(t, "it is an instance of a generic type")
	case named.Obj().Pkg() != p.pkg:
		return p.reflect(t, "it is a struct of another package")
	}
	c := &coder{kind: structKind, typ: t, items: 1, depth: 1}
	toArray, _, sure := layout(u)
	if !sure {
		return p.reflect(t, "a field named _ is embedded")
	}
	c.tuple = toArray
	carrier := carrier{seen: map[string]bool{}}
	fields, _ := carrier.structFields(t, "")
	slices.SortFunc(fields, func(x, y field) int {
		if toArray {
			return slices.Compare(x.index, y.index)
		}
		return bytes.Compare(x.key, y.key)
	})
	for _, f := range fields {
		of := p.plan(f.typ)
		if why := p.unsure(named, f, of, toArray); why != "" {
			return p.reflect(t, "field %s: %s", f.selector, why)
		}
		c.fields = append(c.fields, coded{f, of})
		c.items = min(unbounded, c.items+1+of.items)
		c.depth, c.open = max(c.depth, 1+of.depth), c.open || of.open
	}
	return c
}

// unsure says why a struct with this field is left to reflection.
func (p *planner) unsure(named *types.Named, f field, of *coder, toArray bool) string {
	if f.byPointer {
		return "it is promoted from an embedded pointer"
	}
	if hidden(named, f.index, p.pkg) {
		return "it is promoted from a field that another package hides"
	}
	if toArray {
		return "" // nothing is left out of an array
	}
	if f.omitEmpty && of.present("x") == "" || f.omitZero && (of.notZero("x") == "" || hasAnyMethod(f.typ, "IsZero")) {
		return "omitempty or omitzero of such a type is for reflection to judge"
	}
	return ""
}

// hidden reports whether the way to a promoted field leads through an unexported field
// of another package.
func hidden(t types.Type, index []int, pkg *types.Package) bool {
	for _, i := range index {
		f := t.Underlying().(*types.Struct).Field(i)
		if !f.Exported() && f.Pkg() != pkg {
			return true
		}
		t = f.Type()
	}
	return false
}

func hasAnyMethod(t types.Type, name string) bool {
	obj, _, _ := types.LookupFieldOrMethod(types.NewPointer(types.Unalias(t)), true, nil, name)
	if obj == nil {
		obj, _, _ = types.LookupFieldOrMethod(t, true, nil, name)
	}
	_, ok := obj.(*types.Func)
	return ok
}

// present is the condition under which omitempty keeps x, or "" if that is not certain.
func (c *coder) present(x string) string {
	switch c.kind {
	case boolKind:
		return x
	case intKind, uintKind, floatKind:
		return x + " != 0"
	case stringKind:
		return x + ` != ""`
	case bytesKind, sliceKind, mapKind:
		return "len(" + x + ") > 0"
	case pointerKind:
		return x + " != nil"
	case byReflection:
		if types.IsInterface(c.typ) {
			return x + " != nil"
		}
	}
	return ""
}

// notZero is the condition under which omitzero keeps x, or "" if that is not certain.
func (c *coder) notZero(x string) string {
	switch c.kind {
	case boolKind, intKind, uintKind, stringKind, pointerKind:
		return c.present(x)
	case bytesKind, sliceKind, mapKind:
		return x + " != nil"
	}
	return ""
}
