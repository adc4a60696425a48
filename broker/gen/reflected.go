package gen

import (
	"fmt"
	"go/types"
	"strconv"
	"strings"
)

// reflected prints a type as reflect.Type.String does: a method's signature reads the
// same whether its object was registered through generated code or not.
func reflected(t types.Type) string {
	switch t := types.Unalias(t).(type) {
	case *types.Basic:
		if t.Kind() == types.UnsafePointer {
			return "unsafe.Pointer"
		}
		return types.Typ[t.Kind()].Name() // uint8 for byte
	case *types.Named:
		return reflectedName(t)
	case *types.Pointer:
		return "*" + reflected(t.Elem())
	case *types.Slice:
		return "[]" + reflected(t.Elem())
	case *types.Array:
		return "[" + strconv.FormatInt(t.Len(), 10) + "]" + reflected(t.Elem())
	case *types.Map:
		return "map[" + reflected(t.Key()) + "]" + reflected(t.Elem())
	case *types.Chan:
		return [...]string{"chan ", "chan<- ", "<-chan "}[t.Dir()] + reflected(t.Elem())
	case *types.Struct:
		return reflectedStruct(t)
	case *types.Interface:
		return reflectedInterface(t)
	case *types.Signature:
		return "func" + reflectedSignature(t)
	}
	return t.String()
}

// reflectedName qualifies by the package's name, and type arguments by its whole path.
func reflectedName(t *types.Named) string {
	var b strings.Builder
	if p := t.Obj().Pkg(); p != nil {
		b.WriteString(p.Name() + ".")
	}
	b.WriteString(t.Obj().Name())
	for i := range t.TypeArgs().Len() {
		b.WriteByte("[,"[min(i, 1)])
		b.WriteString(types.TypeString(types.Unalias(t.TypeArgs().At(i)), nil))
	}
	if t.TypeArgs().Len() > 0 {
		b.WriteByte(']')
	}
	return b.String()
}

func reflectedStruct(t *types.Struct) string {
	if t.NumFields() == 0 {
		return "struct {}"
	}
	var fields []string
	for i := range t.NumFields() {
		f := t.Field(i)
		text := f.Name() + " " + reflected(f.Type())
		if f.Embedded() {
			text = reflected(f.Type())
		}
		if tag := t.Tag(i); tag != "" {
			text += " " + strconv.Quote(tag)
		}
		fields = append(fields, text)
	}
	return "struct { " + strings.Join(fields, "; ") + " }"
}

func reflectedInterface(t *types.Interface) string {
	if t.NumMethods() == 0 {
		return "interface {}"
	}
	var methods []string
	for m := range t.Methods() {
		methods = append(methods, m.Name()+reflectedSignature(m.Signature()))
	}
	return "interface { " + strings.Join(methods, "; ") + " }"
}

func reflectedSignature(t *types.Signature) string {
	var params []string
	for i := range t.Params().Len() {
		v := t.Params().At(i)
		if t.Variadic() && i == t.Params().Len()-1 {
			params = append(params, "..."+reflected(v.Type().(*types.Slice).Elem()))
			continue
		}
		params = append(params, reflected(v.Type()))
	}
	text := "(" + strings.Join(params, ", ") + ")"
	var results []string
	for v := range t.Results().Variables() {
		results = append(results, reflected(v.Type()))
	}
	switch len(results) {
	case 0:
		return text
	case 1:
		return text + " " + results[0]
	}
	return text + " (" + strings.Join(results, ", ") + ")"
}

// signature prints a method as package broker does, for Pyro.Daemon.Methods.
func (m *method) signature() string {
	var params []string
	for i, p := range m.params {
		text := spoken(p.typ, p.items, p.refers)
		if m.variadic && i == len(m.params)-1 {
			text = "..." + text
		}
		params = append(params, text)
	}
	text := m.name + "(" + strings.Join(params, ", ") + ")"
	if m.out != nil {
		text += " " + spoken(m.out, m.yields, m.refers)
	}
	return text
}

// spoken prints a type as a caller sees it.
func spoken(t, items types.Type, refers bool) string {
	switch {
	case items != nil:
		return "stream of " + reflected(items)
	case refers:
		return "reference"
	}
	return reflected(t)
}

func joinPath(dir, name string) string {
	if dir == "" || dir == "." {
		return name
	}
	return fmt.Sprintf("%s/%s", strings.TrimSuffix(strings.ReplaceAll(dir, "\\", "/"), "/"), name)
}
