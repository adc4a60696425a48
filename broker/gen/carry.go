package gen

import (
	"fmt"
	"go/types"
	"slices"
	"strings"
)

// carrier tells whether codec carries a type, by the rules and with the words of
// codec.CheckType, which works on a reflect.Type and so only where the type is linked.
type carrier struct {
	seen map[string]bool // types that were begun, so that a recursive one ends
}

// carried checks a method's argument or, if it is 0, its result. The text is the
// reason against it, or empty.
func (s *source) carried(t types.Type, argument int) string {
	what := "its result"
	if argument > 0 {
		what = fmt.Sprintf("argument %d", argument)
	}
	if hasInvalid(t, map[string]bool{}) {
		return what + ": its type does not type-check" + s.firstWrong()
	}
	if isProxy(t) || argument == 0 && referenced(t) {
		return ""
	}
	if items := itemsOf(t); items != nil {
		what, t = strings.TrimPrefix(what+": ", "its result: ")+"items of its stream", items
	}
	c := carrier{seen: map[string]bool{}}
	if wrong := c.check(t, reflected(t)); wrong != "" {
		return what + ": " + wrong
	}
	return ""
}

// referenced reports whether a result travels as a reference to an object.
func referenced(t types.Type) bool {
	if p, ok := types.Unalias(t).(*types.Pointer); ok && isNamed(p.Elem(), brokerPath, "Local") {
		return true
	}
	i, ok := t.Underlying().(*types.Interface)
	return isProxy(t) || ok && i.NumMethods() > 0 && !types.Identical(t, errorType)
}

func isProxy(t types.Type) bool {
	p, ok := types.Unalias(t).(*types.Pointer)
	return ok && isNamed(p.Elem(), brokerPath, "Proxy")
}

// itemsOf is the type of the items if t is an iter.Seq2[item, error], by any name, or nil.
func itemsOf(t types.Type) types.Type {
	f, ok := t.Underlying().(*types.Signature)
	if !ok || f.Params().Len() != 1 || f.Results().Len() != 0 || f.Variadic() {
		return nil
	}
	yield, ok := f.Params().At(0).Type().Underlying().(*types.Signature)
	if !ok || yield.Params().Len() != 2 || yield.Results().Len() != 1 || yield.Variadic() {
		return nil
	}
	more, ok := yield.Results().At(0).Type().Underlying().(*types.Basic)
	if !ok || more.Info()&types.IsBoolean == 0 || !types.Identical(yield.Params().At(1).Type(), errorType) {
		return nil
	}
	return yield.Params().At(0).Type()
}

func isNamed(t types.Type, path, name string) bool {
	named, ok := types.Unalias(t).(*types.Named)
	return ok && named.Obj().Pkg() != nil && named.Obj().Pkg().Path() == path && named.Obj().Name() == name
}

func (s *source) firstWrong() string {
	if len(s.wrong) == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s: %s)", s.position(s.wrong[0].Pos), s.wrong[0].Msg)
}

// typeKey identifies a type, instances of generic ones too.
func typeKey(t types.Type) string { return types.TypeString(types.Unalias(t), nil) }

func hasInvalid(t types.Type, seen map[string]bool) bool {
	t = types.Unalias(t)
	if named, ok := t.(*types.Named); ok {
		if seen[typeKey(t)] {
			return false
		}
		seen[typeKey(t)] = true
		for i := range named.TypeArgs().Len() {
			if hasInvalid(named.TypeArgs().At(i), seen) {
				return true
			}
		}
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return u.Kind() == types.Invalid
	case interface{ Elem() types.Type }: // pointers, slices, arrays, channels, maps
		if m, ok := u.(*types.Map); ok && hasInvalid(m.Key(), seen) {
			return true
		}
		return hasInvalid(u.Elem(), seen)
	case *types.Struct:
		for f := range u.Fields() {
			if hasInvalid(f.Type(), seen) {
				return true
			}
		}
	}
	return false
}

// check returns why t cannot be carried, or nothing.
func (c *carrier) check(t types.Type, path string) string {
	t = types.Unalias(t)
	if c.seen[typeKey(t)] {
		return ""
	}
	c.seen[typeKey(t)] = true
	if own, wrong := c.special(t, path); own != "" || wrong != "" {
		return wrong
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		if u.Info()&types.IsComplex != 0 || u.Kind() == types.Uintptr || u.Kind() == types.UnsafePointer {
			return path + ": " + noMeaning(t, u.Name())
		}
		return ""
	case *types.Interface:
		if u.NumMethods() > 0 {
			return fmt.Sprintf("%s: %s is an interface with methods: the receiver cannot know which type to make, want a concrete type or any", path, reflected(t))
		}
		return ""
	case *types.Pointer:
		if endlessPointer(t) {
			return fmt.Sprintf("%s: %s is a pointer to pointers, want a value at the end", path, reflected(t))
		}
		return c.check(u.Elem(), path)
	case *types.Slice:
		if wrong := c.check(u.Elem(), path+"[]"); wrong != "" {
			return wrong
		}
		return c.plainBytes(t, u.Elem(), path)
	case *types.Array:
		if wrong := c.check(u.Elem(), path+"[]"); wrong != "" {
			return wrong
		}
		return c.plainBytes(t, u.Elem(), path)
	case *types.Map:
		return c.checkMap(u, path)
	case *types.Struct:
		return c.checkStruct(t, u, path)
	case *types.Chan:
		return path + ": " + noMeaning(t, "chan")
	case *types.Signature:
		return path + ": " + noMeaning(t, "func")
	}
	return path + ": " + noMeaning(t, "type")
}

func noMeaning(t types.Type, kind string) string {
	if kind == "Pointer" {
		kind = "unsafe.Pointer"
	}
	return fmt.Sprintf("%s cannot be carried: a %s has no meaning in another process", reflected(t), kind)
}

func (c *carrier) checkMap(m *types.Map, path string) string {
	if wrong := c.check(m.Key(), path+"[key]"); wrong != "" {
		return wrong
	}
	own, _ := c.special(types.Unalias(m.Key()), path)
	basic, ok := m.Key().Underlying().(*types.Basic)
	switch {
	case own == "text" || own == "binary":
	case own == "" && ok && basic.Info()&(types.IsString|types.IsBoolean|types.IsInteger) != 0:
	default:
		return fmt.Sprintf("%s: map key %s cannot be carried, want a string, bool or integer, or a type with MarshalText or MarshalBinary", path, reflected(m.Key()))
	}
	return c.check(m.Elem(), path+"["+reflected(m.Key())+"]")
}

func (c *carrier) checkStruct(t types.Type, s *types.Struct, path string) string {
	fields, wrong := c.structFields(t, path)
	if wrong != "" {
		return wrong
	}
	if _, toIndefArray, _ := layout(s); toIndefArray {
		return path + ": toindefarray asks for an indefinite length, want toarray"
	}
	if len(fields) == 0 && hasHidden(s, map[string]bool{}) {
		return fmt.Sprintf("%s: %s has no exported field: it would arrive empty", path, reflected(t))
	}
	// In the order of the wire, as codec looks at them, so that of several reasons
	// both give the same.
	if toArray, _, _ := layout(s); toArray {
		slices.SortFunc(fields, func(x, y field) int { return slices.Compare(x.index, y.index) })
	}
	for _, f := range fields {
		if wrong := c.check(f.typ, path+"."+f.where); wrong != "" {
			return wrong
		}
	}
	return ""
}

// hasHidden looks for an unexported field, in embedded structs too.
func hasHidden(s *types.Struct, seen map[string]bool) bool {
	for f := range s.Fields() {
		if f.Name() != "_" && !f.Exported() {
			return true
		}
		t := f.Type()
		if p, ok := t.Underlying().(*types.Pointer); ok {
			t = p.Elem()
		}
		if inner, ok := t.Underlying().(*types.Struct); ok && f.Embedded() && !seen[typeKey(t)] {
			seen[typeKey(t)] = true
			if hasHidden(inner, seen) {
				return true
			}
		}
	}
	return false
}

func endlessPointer(t types.Type) bool {
	for hops := 0; ; hops++ {
		p, ok := t.Underlying().(*types.Pointer)
		if !ok {
			return hops > 4
		}
		if hops > 4 {
			return true
		}
		t = p.Elem()
	}
}
