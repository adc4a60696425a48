package gen

import (
	"fmt"
	"go/types"
	"slices"
	"strconv"
	"strings"

	"github.com/pyrossl/pyrossl/codec"
)

// putStruct returns the function that appends a struct within a value. After an error
// what it returns is of no use.
func (e *emitter) putStruct(c *coder) string {
	return e.helper("Put", c.typ, func(b *strings.Builder, name, typ string) {
		var parts strings.Builder
		e.appendFields(&parts, c)
		fmt.Fprintf(b, "func %s(dst []byte, v *%s) ([]byte, error) {\n", name, typ)
		if strings.Contains(parts.String(), "err") {
			b.WriteString("var err error\n")
		}
		fmt.Fprintf(b, "%sreturn dst, nil\n}\n", parts.String())
	})
}

func (e *emitter) appendFields(b *strings.Builder, c *coder) {
	line := func(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }
	if c.tuple {
		line("dst = %s.AppendArrayHead(dst, %d)", e.codec, len(c.fields))
		for _, f := range c.fields {
			e.appendValue(b, f.coder, "v."+f.selector, 0)
		}
		return
	}
	always := 0
	for _, f := range c.fields {
		if f.keptIf() == "" {
			always++
		}
	}
	if always == len(c.fields) {
		line("dst = %s.AppendMapHead(dst, %d)", e.codec, always)
	} else {
		line("n := %d", always)
		for _, f := range c.fields {
			if kept := f.keptIf(); kept != "" {
				line("if %s { n++ }", kept)
			}
		}
		line("dst = %s.AppendMapHead(dst, n)", e.codec)
	}
	for _, f := range c.fields {
		kept := f.keptIf()
		if kept != "" {
			line("if %s {", kept)
		}
		line("dst = append(dst, %s...)", keyLiteral(f.key))
		e.appendValue(b, f.coder, "v."+f.selector, 0)
		if kept != "" {
			line("}")
		}
	}
}

// keptIf is the condition under which a field is written; empty is always.
func (f *coded) keptIf() string {
	x := "v." + f.selector
	var conditions []string
	if f.omitEmpty {
		conditions = append(conditions, f.present(x))
	}
	if f.omitZero {
		conditions = append(conditions, f.notZero(x))
	}
	return strings.Join(slices.Compact(conditions), " && ")
}

// keyLiteral prints an encoded key as Go, with its letters to be read.
func keyLiteral(key []byte) string {
	var b strings.Builder
	b.WriteByte('"')
	for i, c := range key {
		switch {
		case i == 0 || c < ' ' || c >= 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		case c == '"' || c == '\\':
			b.WriteString(`\` + string(rune(c)))
		default:
			b.WriteByte(c)
		}
	}
	return b.String() + `"`
}

// fillStruct returns the function that reads a struct within a value.
func (e *emitter) fillStruct(c *coder) string {
	return e.helper("Fill", c.typ, func(b *strings.Builder, name, typ string) {
		fmt.Fprintf(b, "func %s(d *%s.Decoder, v *%s) {\n", name, e.codec, typ)
		if c.tuple {
			fmt.Fprintf(b, "if !d.Tuple(%d) { return }\n", len(c.fields))
			for _, f := range c.fields {
				e.readValue(b, f.coder, "v."+f.selector, 0)
			}
			b.WriteString("}\n")
			return
		}
		b.WriteString("n := d.MapLen()\n")
		for _, f := range c.fields {
			fmt.Fprintf(b, "if d.Key(&n, %s) {\n", keyLiteral(f.key))
			e.readValue(b, f.coder, "v."+f.selector, 1)
			b.WriteString("}\n")
		}
		b.WriteString("d.Rest(n)\n}\n")
	})
}

// appendWhole returns the function that appends a whole argument or result: what its
// parts cannot append is handed to codec.Append, which finds the reason.
func (e *emitter) appendWhole(c *coder) string {
	return e.helper("Append", c.typ, func(b *strings.Builder, name, typ string) {
		v, x, put := "v "+typ, "v", ""
		switch c.kind {
		case structKind:
			v, x, put = "v *"+typ, "*v", e.putStruct(c)
		default:
			put = e.putOther(c)
		}
		fmt.Fprintf(b, "func %s(dst []byte, %s) ([]byte, error) {\nout, err := %s(dst, v)\n", name, v, put)
		fmt.Fprintf(b, "if err != nil%s {\nreturn %s.Append(dst, %s)\n}\nreturn out, nil\n}\n", e.mustCheck(c), e.codec, x)
	})
}

// mustCheck is the condition under which what was written is checked: for too many
// items, of which none is shorter than a byte, and where the depth is not known.
func (e *emitter) mustCheck(c *coder) string {
	check := fmt.Sprintf("%s.Check(out[len(dst):]) != nil", e.codec)
	switch {
	case c.open:
		return " || " + check
	case c.items > codec.MaxItems:
		return fmt.Sprintf(" || len(out)-len(dst) > %s.MaxItems && %s", e.codec, check)
	}
	return ""
}

func (e *emitter) putOther(c *coder) string {
	return e.helper("Put", c.typ, func(b *strings.Builder, name, typ string) {
		var parts strings.Builder
		e.appendValue(&parts, c, "v", 0)
		fmt.Fprintf(b, "func %s(dst []byte, v %s) ([]byte, error) {\n", name, typ)
		if strings.Contains(parts.String(), "err") {
			b.WriteString("var err error\n")
		}
		fmt.Fprintf(b, "%sreturn dst, nil\n}\n", parts.String())
	})
}

// readWhole returns the function that reads a whole argument or result.
func (e *emitter) readWhole(c *coder) string {
	return e.helper("Read", c.typ, func(b *strings.Builder, name, typ string) {
		fmt.Fprintf(b, "func %s(d *%s.Decoder) %s {\nvar v %s\n", name, e.codec, typ, typ)
		if c.kind == byReflection {
			e.note(c)
			b.WriteString("d.Value(&v)\nreturn v\n}\n")
			return
		}
		b.WriteString("d.Begin()\n")
		e.readValue(b, c, "v", 0)
		fmt.Fprintf(b, "if d.End() {\nreturn v\n}\nvar again %s\nd.Value(&again)\nreturn again\n}\n", typ)
	})
}

// exact reports whether the functions of package codec carry a type by themselves,
// with errors that name it.
func (c *coder) exact() bool {
	switch c.kind {
	case boolKind, intKind, uintKind, floatKind, stringKind:
		return !c.named
	case bytesKind:
		return reflected(c.typ) == "[]uint8"
	case timeKind:
		return true
	}
	return false
}

// readExpression reads a whole argument or result.
func (e *emitter) readExpression(c *coder) string {
	switch {
	case !c.exact():
		return e.readWhole(c) + "(d)"
	case c.kind == bytesKind:
		return "d.Bytes()"
	case c.kind == timeKind:
		return "d.Time()"
	}
	return "d." + decoderMethod(c) + "()"
}

// appendExpression appends a whole argument or result; fails says that it returns an
// error too.
func (e *emitter) appendExpression(dst string, c *coder, x string) (expression string, fails bool) {
	switch {
	case c.kind == boolKind || c.kind == intKind || c.kind == uintKind || c.kind == floatKind:
		return e.appendBasic(dst, c, x), false
	case c.kind == bytesKind:
		return fmt.Sprintf("%s.AppendBytes(%s, %s)", e.codec, dst, x), false
	case c.kind == byteArrayKind:
		return fmt.Sprintf("%s.AppendBytes(%s, %s[:])", e.codec, dst, x), false
	case c.kind == stringKind && c.exact():
		return fmt.Sprintf("%s.AppendString(%s, %s)", e.codec, dst, x), true
	case c.kind == timeKind:
		return fmt.Sprintf("%s.AppendTime(%s, %s)", e.codec, dst, x), true
	case c.kind == byReflection:
		e.note(c)
		return fmt.Sprintf("%s.Append(%s, %s)", e.codec, dst, x), true
	case c.kind == structKind:
		return fmt.Sprintf("%s(%s, &%s)", e.appendWhole(c), dst, x), true
	}
	return fmt.Sprintf("%s(%s, %s)", e.appendWhole(c), dst, x), true
}

// readFunction is a func(*codec.Decoder) T.
func (e *emitter) readFunction(t types.Type) string {
	c := e.coder(t)
	switch {
	case !c.exact():
		return e.readWhole(c)
	case c.kind == bytesKind:
		return "(*" + e.codec + ".Decoder).Bytes"
	case c.kind == timeKind:
		return "(*" + e.codec + ".Decoder).Time"
	}
	return "(*" + e.codec + ".Decoder)." + decoderMethod(c)
}

// addFunction is a func([]byte, T) ([]byte, error) that appends.
func (e *emitter) addFunction(t types.Type) string {
	expression, fails := e.appendExpression("dst", e.coder(t), "v")
	if !fails {
		expression += ", nil"
	}
	return fmt.Sprintf("func(dst []byte, v %s) ([]byte, error) { return %s }", e.names.typ(t), expression)
}

func quote(s string) string { return strconv.Quote(s) }
