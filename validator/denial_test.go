package validator

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestDenialText(t *testing.T) {
	cause := errors.New("local cause")
	d := &Denial{Code: DeniedSecurity, Check: CheckIdentity, Got: "a certificate for nobody", Want: "one name", RetryAfter: time.Second, Err: cause}
	if got, want := d.Error(), "security reasons: identity: a certificate for nobody, want one name"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(d, cause) {
		t.Error("the cause is lost")
	}
	for d, want := range map[*Denial]string{{}: "unspecified reason", {Code: DeniedServerTooBusy, Want: "fewer"}: "server too busy, want fewer", {Code: 9}: "unknown reason 9"} {
		if got := d.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestCodesArePyros(t *testing.T) {
	for i, want := range []string{"unspecified reason", "server too busy", "host blocked", "security reasons"} {
		if got := Code(i).String(); got != want {
			t.Errorf("code %d is %q, want %q", i, got, want)
		}
	}
}

// Every constant of type Check is in the catalogue, with all that it should say.
func TestCatalogueIsComplete(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "check.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared []Check
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && len(v.Names) == 1 && strings.HasPrefix(v.Names[0].Name, "Check") {
			text, _ := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			declared = append(declared, Check(text))
		}
		return true
	})
	if len(declared) < 14 || !slices.Equal(declared, Checks()) {
		t.Errorf("declared are %q, in the catalogue %q", declared, Checks())
	}
	unknown := Check("from the future")
	for _, c := range Checks() {
		for _, text := range []string{c.Text(), c.Who(), c.Fix()} {
			if text == "" || text == unknown.Text() || text == unknown.Who() || text == unknown.Fix() || strings.HasSuffix(text, ".") {
				t.Errorf("check %q says %q", c, text)
			}
		}
	}
	if unknown.Text() == "" || unknown.Who() == "" || unknown.Fix() == "" {
		t.Error("nothing is said of an unknown check")
	}
}
