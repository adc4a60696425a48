package gen

import (
	"go/ast"
	"go/token"
	"strings"
)

const directivePrefix = "//pyrossl:"

// directives finds the methods that are declared idempotent, by the position of their
// name. A directive that means nothing is an error: it would silently not count.
func (s *source) directives() (idempotent map[token.Pos]bool, refused []*Error) {
	idempotent = map[token.Pos]bool{}
	for _, f := range s.files {
		used := map[*ast.Comment]bool{}
		ast.Inspect(f, func(n ast.Node) bool {
			t, ok := n.(*ast.InterfaceType)
			if !ok {
				return true
			}
			for _, m := range t.Methods.List {
				if len(m.Names) == 0 || m.Doc == nil {
					continue
				}
				for _, c := range m.Doc.List {
					if strings.TrimRight(c.Text, " \t\r") == directivePrefix+"idempotent" {
						idempotent[m.Names[0].Pos()] = true
						used[c] = true
					}
				}
			}
			return true
		})
		for _, group := range f.Comments {
			for _, c := range group.List {
				if text, ok := strings.CutPrefix(c.Text, directivePrefix); ok && !used[c] {
					refused = append(refused, s.refuse(c.Pos(), "", "the directive %q has no meaning here, want %sidempotent in the comment of an interface's method", directivePrefix+text, directivePrefix))
				}
			}
		}
	}
	return idempotent, refused
}
