package gen

import (
	"fmt"
	"go/types"
	"strings"
)

// plainBytes refuses slices and arrays of a byte-like type that marshals itself.
func (c *carrier) plainBytes(t, elem types.Type, path string) string {
	if basic, ok := elem.Underlying().(*types.Basic); !ok || basic.Kind() != types.Uint8 {
		return ""
	}
	if own, _ := c.special(types.Unalias(elem), path); own == "" {
		return ""
	}
	return fmt.Sprintf("%s: %s would be carried as bytes, past the methods of %s", path, reflected(t), reflected(elem))
}

// The six methods by which a type has an encoding of its own.
var ownMethods = [3]struct{ kind, out, in string }{
	{"cbor", "MarshalCBOR", "UnmarshalCBOR"},
	{"binary", "MarshalBinary", "UnmarshalBinary"},
	{"text", "MarshalText", "UnmarshalText"},
}

// special recognizes the types that have an encoding of their own, and names it.
func (c *carrier) special(t types.Type, path string) (own, wrong string) {
	named, _ := t.(*types.Named)
	if named != nil && named.Obj().Pkg() != nil {
		switch named.Obj().Pkg().Path() + "." + named.Obj().Name() {
		case "time.Time":
			return "time", ""
		case "math/big.Int":
			return "bignum", ""
		case cborPath + ".Tag", cborPath + ".RawTag", cborPath + ".SimpleValue":
			return "", fmt.Sprintf("%s: %s cannot be carried: tags and simple values are not passed through", path, reflected(t))
		}
	}
	switch t.Underlying().(type) {
	case *types.Pointer, *types.Interface:
		return "", ""
	}
	for _, pair := range ownMethods {
		out, in := hasMethod(t, pair.out), hasMethod(t, pair.in)
		if pair.kind == "text" && own == "binary" {
			break // the second choice need not be complete
		}
		if out != in {
			has, lacks := pair.out, pair.in
			if in {
				has, lacks = lacks, has
			}
			return "", fmt.Sprintf("%s: %s has %s but not %s, want both", path, reflected(t), has, lacks)
		}
		if !out {
			continue
		}
		if wrong := promoted(t, pair.out, path); wrong != "" {
			return "", wrong
		}
		if pair.kind == "cbor" {
			return pair.kind, ""
		}
		own = pair.kind
	}
	return own, ""
}

const cborPath = "github.com/fxamacker/cbor/v2"

// hasMethod reports whether a pointer to t has one of the six methods, with the
// signature that counts.
func hasMethod(t types.Type, name string) bool {
	obj, _, _ := types.LookupFieldOrMethod(types.NewPointer(t), true, nil, name)
	f, ok := obj.(*types.Func)
	if !ok {
		return false
	}
	sig := f.Signature()
	bytes := types.NewSlice(types.Typ[types.Uint8])
	if strings.HasPrefix(name, "Unmarshal") {
		return !sig.Variadic() && sig.Params().Len() == 1 && types.Identical(sig.Params().At(0).Type(), bytes) &&
			sig.Results().Len() == 1 && types.Identical(sig.Results().At(0).Type(), errorType)
	}
	return sig.Params().Len() == 0 && sig.Results().Len() == 2 &&
		types.Identical(sig.Results().At(0).Type(), bytes) && types.Identical(sig.Results().At(1).Type(), errorType)
}

// promoted refuses a struct that takes its encoding from an embedded field and would
// lose its others.
func promoted(t types.Type, method, path string) string {
	s, ok := t.Underlying().(*types.Struct)
	if !ok || s.NumFields() < 2 {
		return ""
	}
	for f := range s.Fields() {
		if f.Embedded() && (hasMethod(f.Type(), method) || embeddedInterfaceHas(f.Type(), method)) {
			return fmt.Sprintf("%s: %s takes its encoding from the embedded %s and would lose its other fields, want a named field", path, reflected(t), reflected(f.Type()))
		}
	}
	return ""
}

// embeddedInterfaceHas is hasMethod for an embedded pointer or interface, of which a
// pointer has no methods.
func embeddedInterfaceHas(t types.Type, method string) bool {
	if p, ok := types.Unalias(t).(*types.Pointer); ok {
		return hasMethod(p.Elem(), method)
	}
	obj, _, _ := types.LookupFieldOrMethod(t, false, nil, method)
	_, ok := obj.(*types.Func)
	return ok
}
