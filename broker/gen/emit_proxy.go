package gen

import (
	"slices"
	"strconv"
	"strings"
)

// writeProxy writes the typed proxy.
func (e *emitter) writeProxy() {
	constructor := e.names.top("New*Proxy")
	e.printf("\n// %s calls the methods of a %s that a daemon exports.\n// It is safe for concurrent use. Its methods' errors are those of broker.Proxy.Call.\n", e.proxy, e.typ)
	e.printf("type %s struct {\nproxy *%s.Proxy\n}\n", e.proxy, e.broker)
	e.printf("\n// %s returns a %s that calls through p.\n", constructor, e.proxy)
	e.printf("func %s(p *%s.Proxy) *%s { return &%s{p} }\n", constructor, e.broker, e.proxy, e.proxy)
	if e.implements() {
		e.printf("\nvar _ %s = (*%s)(nil)\n", e.typ, e.proxy)
	}
	e.writeIdempotent()
	for _, m := range e.of.methods {
		e.proxyMethod(m)
	}
}

// implements reports whether the proxy's methods are the interface's.
func (e *emitter) implements() bool {
	for _, m := range e.of.methods {
		if !m.takesCtx || m.fails == (m.yields != nil) || m.refers && !isProxy(m.out) || slices.ContainsFunc(m.params, func(p param) bool { return p.refers }) {
			return false
		}
	}
	return true
}

func (e *emitter) writeIdempotent() {
	var names []string
	for _, m := range e.of.methods {
		if m.idempotent {
			names = append(names, quote(m.name))
		}
	}
	if len(names) == 0 {
		return
	}
	e.printf("\n// %s tells a proxy which methods of %s may be called again\n// after a lost connection.\n", e.exported, e.typ)
	e.printf("func %s() %s.ProxyOption { return %s.Idempotent(%s) }\n", e.exported, e.broker, e.broker, strings.Join(names, ", "))
}

func (e *emitter) proxyMethod(m *method) {
	params := e.names.params(m, "p", "r", "d", "v", "err", "ctx")
	e.printf("\n// %s calls %s.%s", m.name, e.typ, m.name)
	fails := m.fails || m.yields != nil // the error of a stream comes last in it
	switch {
	case !m.takesCtx && !fails:
		e.printf(", which takes no context and returns no error")
	case !m.takesCtx:
		e.printf(", which takes no context")
	case !fails:
		e.printf(", which returns no error")
	}
	e.printf(".\nfunc (p *%s) %s(ctx %s.Context", e.proxy, m.name, e.context)
	for i, p := range m.params {
		if p.refers {
			e.printf(", %s %s.Referable", params[i], e.broker)
			continue
		}
		typ := e.names.typ(p.typ)
		if m.variadic && i == len(params)-1 {
			typ = "..." + typ
		}
		e.printf(", %s %s", params[i], typ)
	}
	if m.yields != nil {
		e.proxyStream(m, params)
		return
	}
	switch {
	case m.out == nil:
		e.printf(") (err error) {\n")
	case m.refers:
		e.printf(") (v *%s.Proxy, err error) {\n", e.broker)
	default:
		e.printf(") (v %s, err error) {\n", e.names.typ(m.out))
	}
	e.request(m, params)
	if m.out == nil {
		e.printf("_, err = r.Call(ctx)\nreturn r.Close(err)\n}\n")
		return
	}
	if m.refers {
		e.printf("if _, err = r.Call(ctx); err == nil {\nv, err = r.Proxy()\n}\nreturn v, r.Close(err)\n}\n")
		return
	}
	e.printf("d, err := r.Call(ctx)\nif err != nil {\nreturn v, r.Close(err)\n}\n")
	e.printf("v = %s\nreturn v, r.Close(d.Err())\n}\n", e.readExpression(e.coder(m.out)))
}

// proxyStream writes the rest of a method that yields a stream: each range over it is a
// call of its own.
func (e *emitter) proxyStream(m *method, params []string) {
	e.printf(") %s {\nreturn %s.ReceiveStream(ctx, func() *%s.Request {\n", e.names.typ(m.out), e.broker, e.broker)
	for i, p := range m.params {
		if !p.refers && p.items == nil {
			if _, fails := e.appendExpression("r.Args", e.coder(p.typ), params[i]); fails {
				e.printf("var err error\n")
				break
			}
		}
	}
	e.request(m, params)
	e.printf("return r\n}, %s)\n}\n", e.readFunction(m.yields))
}

// request writes how a request is made of the arguments.
func (e *emitter) request(m *method, params []string) {
	e.printf("r := p.proxy.Request(%s)\n", quote(m.name))
	for i, p := range m.params {
		switch {
		case p.items != nil:
			e.printf("%s.SendStream(r, %s, %s)\n", e.broker, params[i], e.addFunction(p.items))
		case p.refers:
			e.printf("r.Reference(%s, %s)\n", m.ordinal(i), params[i])
		default:
			e.appendArgument(m, i, params[i])
		}
	}
}

// ordinal is the number of the ith argument, as reflection counts: a stream is none.
func (m *method) ordinal(i int) string {
	if n := m.stream(); n == 0 || n > i {
		i++
	}
	return strconv.Itoa(i)
}

// appendArgument writes how the ith argument gets into the request. Reflection numbers
// each of a variadic method's last arguments, and so do errors here.
func (e *emitter) appendArgument(m *method, i int, x string) {
	c := e.coder(m.params[i].typ)
	last := i == len(m.params)-1
	index := m.ordinal(i)
	if m.variadic && last {
		e.printf("for i := range %s {\n", x)
		defer e.printf("}\n")
		x, index = x+"[i]", index+"+i"
	}
	expression, fails := e.appendExpression("r.Args", c, x)
	switch {
	case c.kind == bytesKind && c.exact() && last && !m.variadic:
		e.printf("r.Bytes(%s)\n", x)
	case fails:
		e.printf("if r.Args, err = %s; err != nil {\nr.Fail(%s, err)\n}\n", expression, index)
	default:
		e.printf("r.Args = %s\n", expression)
	}
}
