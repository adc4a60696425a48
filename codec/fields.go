package codec

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// field is one struct field as it is carried.
type field struct {
	name  string // the key, printed
	key   []byte // the key, encoded; empty with toarray
	shape *shape

	index  []int // as in reflect.Value.FieldByIndex
	typ    reflect.Type
	where  string // for errors
	tagged bool
}

func (b builder) buildStruct(s *shape, path string) error {
	fields, err := structFields(s.typ, path)
	if err != nil {
		return err
	}
	if blank, ok := s.typ.FieldByName("_"); ok {
		options := strings.Split(blank.Tag.Get("cbor"), ",")[1:]
		s.toArray = slices.Contains(options, "toarray")
		if slices.Contains(options, "toindefarray") {
			return &typeError{path, "toindefarray asks for an indefinite length, want toarray"}
		}
	}
	if len(fields) == 0 && slices.ContainsFunc(reflect.VisibleFields(s.typ), isHidden) {
		return &typeError{path, fmt.Sprintf("%s has no exported field: it would arrive empty", s.typ)}
	}
	// In the order of the wire, so that one walk over both finds each field.
	slices.SortFunc(fields, func(x, y field) int {
		if s.toArray {
			return slices.Compare(x.index, y.index)
		}
		return bytes.Compare(x.key, y.key)
	})
	for i := range fields {
		f := &fields[i]
		if f.shape, err = b.build(f.typ, path+"."+f.where); err != nil {
			return err
		}
	}
	s.fields = fields
	return nil
}

func isHidden(f reflect.StructField) bool { return f.Name != "_" && !f.IsExported() }

// structFields lists what a struct carries, by the rules of encoding/json: fields of
// embedded structs count as the outer struct's; of fields with one name the least
// deep wins, then the tagged one, and a tie drops them all.
func structFields(t reflect.Type, path string) ([]field, error) {
	type embedded struct {
		typ   reflect.Type
		index []int
	}
	var all []field
	seen := map[reflect.Type]bool{}
	for level := []embedded{{typ: t}}; len(level) > 0; {
		var deeper []embedded
		times := map[reflect.Type]int{}
		for _, e := range level {
			times[e.typ]++
		}
		for _, e := range level {
			if seen[e.typ] || times[e.typ] > 1 {
				continue
			}
			for i := range e.typ.NumField() {
				f := e.typ.Field(i)
				index := append(slices.Clone(e.index), i)
				inner, into, err := readField(f, index, path)
				if err != nil {
					return nil, err
				}
				if into != nil {
					deeper = append(deeper, embedded{into, index})
				} else if inner != nil {
					all = append(all, *inner)
				}
			}
		}
		for _, e := range level {
			seen[e.typ] = true
		}
		level = deeper
	}
	return dominant(all), nil
}

// readField returns the field that f is, or the struct type whose fields f inlines, or nothing.
func readField(f reflect.StructField, index []int, path string) (*field, reflect.Type, error) {
	target := f.Type
	for target.Kind() == reflect.Pointer {
		target = target.Elem()
	}
	isEmbedded := f.Anonymous && target.Kind() == reflect.Struct
	tag := f.Tag.Get("cbor")
	if tag == "" {
		tag = f.Tag.Get("json")
	}
	if tag == "-" || !f.IsExported() && !isEmbedded {
		return nil, nil, nil
	}
	name, options, _ := strings.Cut(tag, ",")
	if isEmbedded && name == "" {
		if !f.IsExported() && f.Type.Kind() == reflect.Pointer {
			return nil, nil, &typeError{path + "." + f.Name, "an embedded pointer to an unexported struct cannot be set, want the struct itself or an exported type"}
		}
		own := &shape{typ: target}
		if done, err := own.special(path + "." + f.Name); done || err != nil {
			return nil, nil, &typeError{path + "." + f.Name, fmt.Sprintf("embedded %s has an encoding of its own that inlining would lose, want a name in its tag", target)}
		}
		return nil, target, nil
	}
	if !f.IsExported() {
		return nil, nil, &typeError{path + "." + f.Name, "an unexported embedded struct cannot have a name in its tag, want it exported or without"}
	}
	out := &field{name: name, index: index, typ: f.Type, where: f.Name, tagged: tag != ""}
	if name == "" {
		out.name = f.Name
	}
	if slices.Contains(strings.Split(options, ","), "keyasint") {
		n, err := strconv.Atoi(out.name)
		if err != nil {
			return nil, nil, &typeError{path + "." + f.Name, fmt.Sprintf("keyasint with the name %q, want an integer", out.name)}
		}
		out.name = strconv.Itoa(n)
		out.key = appendInt(nil, int64(n))
	} else {
		out.key = append(appendHead(nil, majorText, uint64(len(out.name))), out.name...)
	}
	return out, nil, nil
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

// field returns the field with an encoded key, or nil.
func (s *shape) field(key []byte) *field {
	if s == nil || s.kind != shapeStruct || s.toArray {
		return nil
	}
	i, ok := slices.BinarySearchFunc(s.fields, key, func(f field, key []byte) int {
		return bytes.Compare(f.key, key)
	})
	if !ok {
		return nil
	}
	return &s.fields[i]
}

// names lists the keys of a struct for an error, the first few of them.
func (s *shape) names() string {
	const most = 8
	var names []string
	for _, f := range s.fields[:min(len(s.fields), most)] {
		names = append(names, f.name)
	}
	if len(s.fields) > most {
		names = append(names, "...")
	}
	if len(names) == 0 {
		return "none"
	}
	return "one of " + strings.Join(names, ", ")
}
