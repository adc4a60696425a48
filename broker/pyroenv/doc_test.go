package pyroenv

import (
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"testing"
)

// TestDocumented holds the package's documentation to the tables: it names every
// variable that is known and no other.
func TestDocumented(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "pyroenv.go", nil, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		t.Fatal(err)
	}
	documented := regexp.MustCompile(`PYRO(SSL)?_[A-Z0-9_]+`).FindAllString(file.Doc.Text(), -1)
	for _, name := range append(sortedKeys(variables), sortedKeys(ignored)...) {
		if !slices.Contains(documented, name) {
			t.Errorf("%s is known but not documented", name)
		}
	}
	for _, name := range documented {
		if variables[name] == nil && ignored[name] == "" {
			t.Errorf("%s is documented but not known", name)
		}
	}
	for name := range ignored {
		if variables[name] != nil {
			t.Errorf("%s is both read and ignored", name)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"abc", "abc", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abd", 1}, {"abc", "bc", 1}, {"kitten", "sitting", 3},
	} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
