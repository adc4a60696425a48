package gen

import (
	"fmt"
	"go/types"
	"strconv"
	"strings"
)

// appendValue writes the statements that append x, of a coder's type, to dst; at a
// failure they return dst and err.
func (e *emitter) appendValue(b *strings.Builder, c *coder, x string, level int) {
	line := func(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }
	may := func(function, x string) {
		line("if dst, err = %s(dst, %s); err != nil { return dst, err }", function, x)
	}
	i := "i" + number(level)
	switch c.kind {
	case byReflection:
		e.note(c)
		may(e.codec+".Append", x)
	case boolKind, intKind, uintKind, floatKind:
		line("dst = %s", e.appendBasic("dst", c, x))
	case stringKind:
		may(e.codec+".AppendString", convert("string", "string", c, x))
	case bytesKind:
		line("dst = %s.AppendBytes(dst, %s)", e.codec, x)
	case byteArrayKind:
		line("dst = %s.AppendBytes(dst, %s[:])", e.codec, operand(x))
	case timeKind:
		may(e.codec+".AppendTime", x)
	case sliceKind:
		line("if %s == nil { dst = %s.AppendNil(dst) } else {", x, e.codec)
		line("dst = %s.AppendArrayHead(dst, len(%s))", e.codec, x)
		line("for %s := range %s {", i, x)
		e.appendValue(b, c.elem, operand(x)+"["+i+"]", level+1)
		line("}\n}")
	case arrayKind:
		line("dst = %s.AppendArrayHead(dst, %d)", e.codec, c.length)
		line("for %s := range %s {", i, x)
		e.appendValue(b, c.elem, operand(x)+"["+i+"]", level+1)
		line("}")
	case mapKind:
		k, v := "k"+number(level), "e"+number(level)
		line("if %s == nil { dst = %s.AppendNil(dst) } else {", x, e.codec)
		line("dst = %s.AppendMapHead(dst, len(%s))", e.codec, x)
		line("for _, %s := range %s.SortedKeys(%s) {", k, e.codec, x)
		e.appendValue(b, c.keys, k, level+1)
		line("%s := %s[%s]", v, operand(x), k)
		e.appendValue(b, c.elem, v, level+1)
		line("}\n}")
	case pointerKind:
		line("if %s == nil { dst = %s.AppendNil(dst) } else {", x, e.codec)
		e.appendValue(b, c.elem, "*"+x, level)
		line("}")
	case structKind:
		may(e.putStruct(c), address(x))
	}
}

// appendBasic is the expression that appends what cannot fail.
func (e *emitter) appendBasic(dst string, c *coder, x string) string {
	switch c.kind {
	case boolKind:
		return fmt.Sprintf("%s.AppendBool(%s, %s)", e.codec, dst, convert("bool", "bool", c, x))
	case intKind:
		return fmt.Sprintf("%s.AppendInt(%s, %s)", e.codec, dst, convert("int64", "int64", c, x))
	case uintKind:
		return fmt.Sprintf("%s.AppendUint(%s, %s)", e.codec, dst, convert("uint64", "uint64", c, x))
	default:
		return fmt.Sprintf("%s.AppendFloat(%s, %s)", e.codec, dst, convert("float64", "float64", c, x))
	}
}

// readValue writes the statements that read into x.
func (e *emitter) readValue(b *strings.Builder, c *coder, x string, level int) {
	line := func(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }
	if read := e.readAtom(c); read != "" {
		line("%s = %s", x, read)
		return
	}
	i := "i" + number(level)
	open, shut := "", ""
	if level == 0 { // the only level that is no block of its own
		open, shut = "{\n", "\n}"
	}
	switch c.kind {
	case byReflection:
		e.note(c)
		v := "e" + number(level)
		line("%svar %s %s\nd.Value(&%s)\n%s = %s%s", open, v, e.names.typ(c.typ), v, x, v, shut)
	case byteArrayKind:
		line("d.Fill(%s[:])", operand(x))
	case sliceKind:
		line("%s = %s.MakeSlice[%s](d)", x, e.codec, e.names.typ(c.typ))
		line("for %s := range %s {", i, x)
		e.readValue(b, c.elem, operand(x)+"["+i+"]", level+1)
		line("}")
	case arrayKind:
		line("if d.Tuple(%d) {\nfor %s := range %s {", c.length, i, x)
		e.readValue(b, c.elem, operand(x)+"["+i+"]", level+1)
		line("}\n}")
	case mapKind:
		m, n, k, v := "m"+number(level), "n"+number(level), "k"+number(level), "e"+number(level)
		line("%s%s, %s := %s.MakeMap[%s](d)", open, m, n, e.codec, e.names.typ(c.typ))
		line("for ; %s > 0; %s-- {\n%s := %s", n, n, k, e.readAtom(c.keys))
		if read := e.readAtom(c.elem); read != "" {
			line("%s[%s] = %s\n}", m, k, read)
		} else {
			line("var %s %s", v, e.names.typ(c.elem.typ))
			e.readValue(b, c.elem, v, level+1)
			line("%s[%s] = %s\n}", m, k, v)
		}
		line("%s = %s%s", x, m, shut)
	case pointerKind:
		p := "p" + number(level)
		line("if %s := %s.New[%s](d); %s != nil {", p, e.codec, e.names.typ(c.elem.typ), p)
		e.readValue(b, c.elem, "*"+p, level+1)
		line("%s = %s\n}", x, p)
	case structKind:
		line("%s(d, %s)", e.fillStruct(c), address(x))
	}
}

// readAtom is the expression that reads what has no parts, or "".
func (e *emitter) readAtom(c *coder) string {
	switch c.kind {
	case boolKind, intKind, uintKind, floatKind, stringKind:
		if read := "d." + decoderMethod(c) + "()"; !c.named {
			return read
		} else {
			return e.names.typ(c.typ) + "(" + read + ")"
		}
	case bytesKind:
		return "d.Bytes()"
	case timeKind:
		return "d.Time()"
	}
	return ""
}

// decoderMethod is the Decoder's method for a basic type.
func decoderMethod(c *coder) string {
	if c.kind == stringKind {
		return "Text"
	}
	return upperFirst(c.basic)
}

func convert(to, basic string, c *coder, x string) string {
	if !c.named && c.basic == basic {
		return x
	}
	return to + "(" + x + ")"
}

// operand makes *p something that can be indexed.
func operand(x string) string {
	if strings.HasPrefix(x, "*") {
		return "(" + x + ")"
	}
	return x
}

func address(x string) string {
	if p, ok := strings.CutPrefix(x, "*"); ok {
		return p
	}
	return "&" + x
}

func number(level int) string {
	if level == 0 {
		return ""
	}
	return strconv.Itoa(level + 1)
}

// note keeps why a type is left to reflection, for the comment at the top.
func (e *emitter) note(c *coder) { e.reflected[reflected(c.typ)] = c.why }

// helper writes a function for a type once and returns its name.
func (e *emitter) helper(verb string, t types.Type, write func(b *strings.Builder, name, typ string)) string {
	key := verb + " " + typeKey(t)
	if name, ok := e.helpers[key]; ok {
		return name
	}
	name := e.names.helper(verb, describe(t, e.names.pkg))
	e.helpers[key] = name
	var b strings.Builder
	b.WriteString("\n")
	write(&b, name, e.names.typ(t))
	e.functions[name] = b.String()
	return name
}
