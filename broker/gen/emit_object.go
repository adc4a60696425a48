package gen

import (
	"fmt"
	"strings"
)

// writeObject writes the dispatcher.
func (e *emitter) writeObject() {
	e.printf("\n// %s makes an object of b that Daemon.Register takes: its methods are\n// those of %s and no others, and calling them needs no reflection.\n", e.export, e.typ)
	e.printf("func %s(b %s) *%s.Exported {\no := %s{b}\nreturn &%s.Exported{\nValue: b,\nInterface: %s,\nMethods: []%s.ExportedMethod{\n", e.export, e.typ, e.broker, e.object, e.broker, quote(e.typ), e.broker)
	for _, m := range e.of.methods {
		e.printf("{Name: %s, Signature: %s, ", quote(m.name), quote(m.signature()))
		if m.idempotent {
			e.printf("Idempotent: true, ")
		}
		if n := m.stream(); n > 0 {
			e.printf("Sends: %d, ", n)
		}
		if m.yields != nil {
			e.printf("Wants: true, ")
		}
		e.printf("Call: o.%s},\n", m.name)
	}
	e.printf("},\n}\n}\n")
	e.printf("\n// %s reads the arguments of a call, makes it, and writes its result.\ntype %s struct{ value %s }\n", e.object, e.object, e.typ)
	for _, m := range e.of.methods {
		e.objectMethod(m)
	}
}

func (e *emitter) objectMethod(m *method) {
	args := e.names.params(m, "o", "in", "d", "v", "err", "ctx", "out")
	ctx := "_"
	if m.takesCtx || m.stream() > 0 || m.yields != nil {
		ctx = "ctx"
	}
	e.printf("\nfunc (o %s) %s(%s %s.Context, in *%s.Invocation) error {\nd := in.Args()\n", e.object, m.name, ctx, e.context, e.broker)
	least, most := len(args), len(args)
	switch {
	case m.variadic:
		least, most = least-1, -1
	case m.stream() > 0:
		least, most = least-1, most-1
	}
	e.printf("d.Expect(%d, %d)\n", least, most)
	for i, p := range m.params {
		switch {
		case p.items != nil:
			args[i] = fmt.Sprintf("%s.ReadStream(ctx, in, %s)", e.broker, e.readFunction(p.items))
			continue
		case p.refers:
			e.printf("%s := in.Reference(%d)\n", args[i], i+1)
			continue
		}
		read := e.readExpression(e.coder(p.typ))
		if m.variadic && i == len(args)-1 {
			// Not nil, as reflection has it; and no room for more than what is read.
			e.printf("%s := %s.MakeRest[%s](d)\nfor d.Len() > 0 {\n%s = append(%s, %s)\n}\n", args[i], e.codec, e.names.typ(p.typ), args[i], args[i], read)
			args[i] += "..."
			continue
		}
		e.printf("%s := %s\n", args[i], read)
	}
	e.printf("if err := in.Decoded(); err != nil {\nreturn err\n}\n")
	if m.takesCtx {
		args = append([]string{"ctx"}, args...)
	}
	e.result(m, "o.value."+m.name+"("+strings.Join(args, ", ")+")")
}

// result writes the call and what becomes of its result.
func (e *emitter) result(m *method, call string) {
	switch {
	case m.out == nil && m.fails:
		e.printf("return %s\n}\n", call)
		return
	case m.out == nil:
		e.printf("%s\nreturn nil\n}\n", call)
		return
	case m.fails:
		e.printf("v, err := %s\nif err != nil {\nreturn err\n}\n", call)
	default:
		e.printf("v := %s\n", call)
	}
	switch {
	case m.yields != nil:
		e.printf("return %s.WriteStream(ctx, in, v, %s)\n}\n", e.broker, e.addFunction(m.yields))
		return
	case m.refers:
		e.printf("return in.ReturnReference(v)\n}\n")
		return
	}
	c := e.coder(m.out)
	if c.kind == bytesKind && c.exact() {
		e.printf("in.ReturnBytes(v)\nreturn nil\n}\n")
		return
	}
	expression, fails := e.appendExpression("in.Buffer()", c, "v")
	if !fails {
		e.printf("in.Return(%s)\nreturn nil\n}\n", expression)
		return
	}
	e.printf("out, err := %s\nif err != nil {\nreturn in.Fail(err)\n}\nin.Return(out)\nreturn nil\n}\n", expression)
}
