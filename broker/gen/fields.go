package gen

import (
	"bytes"
	"fmt"
	"go/types"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pyrossl/pyrossl/codec"
)

// field is one struct field as package codec carries it.
type field struct {
	key       []byte // encoded
	typ       types.Type
	index     []int
	selector  string // from a value of the struct: Base.ID
	where     string
	tagged    bool
	omitEmpty bool
	omitZero  bool
	byPointer bool // it is promoted from an embedded pointer
}

// structFields lists what a struct carries, as codec does from a reflect.Type: fields
// of embedded structs count as the outer struct's; of fields with one key the least
// deep wins, then the tagged one, and a tie drops them all. The text says why the
// struct cannot be carried, or is empty.
func (c *carrier) structFields(t types.Type, path string) ([]field, string) {
	type embedded struct {
		typ       types.Type
		index     []int
		selector  string
		byPointer bool
	}
	var all []field
	seen := map[string]bool{}
	for level := []embedded{{typ: t}}; len(level) > 0; {
		var deeper []embedded
		times := map[string]int{}
		for _, e := range level {
			times[typeKey(e.typ)]++
		}
		for _, e := range level {
			if seen[typeKey(e.typ)] || times[typeKey(e.typ)] > 1 {
				continue
			}
			s := e.typ.Underlying().(*types.Struct)
			for i := range s.NumFields() {
				f, into, wrong := c.readField(s.Field(i), s.Tag(i), path)
				if wrong != "" {
					return nil, wrong
				}
				index := append(slices.Clone(e.index), i)
				_, pointer := s.Field(i).Type().Underlying().(*types.Pointer)
				if into != nil {
					deeper = append(deeper, embedded{into, index, e.selector + s.Field(i).Name() + ".", e.byPointer || pointer})
				} else if f != nil {
					f.index, f.selector, f.byPointer = index, e.selector+s.Field(i).Name(), e.byPointer
					all = append(all, *f)
				}
			}
		}
		for _, e := range level {
			seen[typeKey(e.typ)] = true
		}
		level = deeper
	}
	return dominant(all), ""
}

// readField returns the field that f is, or the struct type whose fields f inlines, or
// nothing.
func (c *carrier) readField(f *types.Var, rawTag, path string) (*field, types.Type, string) {
	target := types.Unalias(f.Type())
	for {
		p, ok := target.Underlying().(*types.Pointer)
		if !ok {
			break
		}
		target = types.Unalias(p.Elem())
	}
	_, isStruct := target.Underlying().(*types.Struct)
	isEmbedded := f.Embedded() && isStruct
	tag := reflect.StructTag(rawTag).Get("cbor")
	if tag == "" {
		tag = reflect.StructTag(rawTag).Get("json")
	}
	if tag == "-" || !f.Exported() && !isEmbedded {
		return nil, nil, ""
	}
	name, options, _ := strings.Cut(tag, ",")
	path += "." + f.Name()
	if isEmbedded && name == "" {
		if _, pointer := f.Type().Underlying().(*types.Pointer); !f.Exported() && pointer {
			return nil, nil, path + ": an embedded pointer to an unexported struct cannot be set, want the struct itself or an exported type"
		}
		if own, wrong := c.special(target, path); own != "" || wrong != "" {
			return nil, nil, fmt.Sprintf("%s: embedded %s has an encoding of its own that inlining would lose, want a name in its tag", path, reflected(target))
		}
		return nil, target, ""
	}
	if !f.Exported() {
		return nil, nil, path + ": an unexported embedded struct cannot have a name in its tag, want it exported or without"
	}
	if name == "" {
		name = f.Name()
	}
	out := &field{typ: f.Type(), where: f.Name(), tagged: tag != ""}
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "omitempty":
			out.omitEmpty = true
		case "omitzero":
			out.omitZero = true
		case "keyasint":
			n, err := strconv.Atoi(name)
			if err != nil {
				return nil, nil, fmt.Sprintf("%s: keyasint with the name %q, want an integer", path, name)
			}
			out.key = codec.AppendInt(nil, int64(n))
		}
	}
	if out.key == nil {
		key, err := codec.AppendString(nil, name)
		if err != nil {
			return nil, nil, fmt.Sprintf("%s: its name %q is not valid UTF-8", path, name)
		}
		out.key = key
	}
	return out, nil, ""
}

// dominant keeps one field of each key, or none.
func dominant(all []field) []field {
	slices.SortFunc(all, func(x, y field) int {
		if c := bytes.Compare(x.key, y.key); c != 0 {
			return c
		}
		if c := len(x.index) - len(y.index); c != 0 {
			return c
		}
		if x.tagged != y.tagged {
			if x.tagged {
				return -1
			}
			return 1
		}
		return slices.Compare(x.index, y.index)
	})
	var kept []field
	for i := 0; i < len(all); {
		j := i + 1
		for j < len(all) && bytes.Equal(all[i].key, all[j].key) {
			j++
		}
		if j == i+1 || len(all[i].index) < len(all[i+1].index) || all[i].tagged && !all[i+1].tagged {
			kept = append(kept, all[i])
		}
		i = j
	}
	return kept
}

// layout finds the field named _ whose tag says how the struct is laid out. sure is
// false where reflection might see another one.
func layout(s *types.Struct) (toArray, toIndefArray, sure bool) {
	found := false
	for i := range s.NumFields() {
		f := s.Field(i)
		if f.Name() == "_" && !found {
			found = true
			options := strings.Split(reflect.StructTag(s.Tag(i)).Get("cbor"), ",")[1:]
			toArray, toIndefArray = slices.Contains(options, "toarray"), slices.Contains(options, "toindefarray")
		}
	}
	if found {
		return toArray, toIndefArray, true
	}
	for i := range s.NumFields() {
		if s.Field(i).Embedded() && hasBlank(s.Field(i).Type(), map[string]bool{}) {
			return false, false, false
		}
	}
	return false, false, true
}

// hasBlank looks for a field named _ in a struct and all that it embeds.
func hasBlank(t types.Type, seen map[string]bool) bool {
	if p, ok := t.Underlying().(*types.Pointer); ok {
		t = p.Elem()
	}
	s, ok := t.Underlying().(*types.Struct)
	if !ok || seen[typeKey(t)] {
		return false
	}
	seen[typeKey(t)] = true
	for i := range s.NumFields() {
		f := s.Field(i)
		if f.Name() == "_" || f.Embedded() && hasBlank(f.Type(), seen) {
			return true
		}
	}
	return false
}
