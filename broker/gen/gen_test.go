package gen

import (
	"bytes"
	"errors"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/pyrossl/pyrossl/broker/gen/internal/zoo"
	"github.com/pyrossl/pyrossl/codec"
	"github.com/pyrossl/pyrossl/internal/leakcheck"
	"github.com/pyrossl/pyrossl/validator"
	"github.com/pyrossl/pyrossl/validator/rulefile"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

func generate(t *testing.T, c Config) *Files {
	t.Helper()
	f, err := Generate(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestUpToDate: what is committed is what is generated, from wherever and however often.
func TestUpToDate(t *testing.T) {
	want, err := os.ReadFile(filepath.Join("internal", "zoo", "zoo_broker.go"))
	if err != nil {
		t.Fatal(err)
	}
	absolute, err := filepath.Abs(filepath.Join("internal", "zoo"))
	if err != nil {
		t.Fatal(err)
	}
	park := generate(t, Config{Dir: "internal/zoo", Interface: "Park"})
	if have, err := os.ReadFile(park.Path); err != nil || !bytes.Equal(have, park.Code) {
		t.Errorf("%s is not what is generated (%v)", park.Path, err)
	}
	for _, dir := range []string{"internal/zoo", absolute} {
		f := generate(t, Config{Dir: dir, Interface: "Zoo"})
		if !bytes.Equal(f.Code, want) {
			t.Errorf("from %s: internal/zoo/zoo_broker.go is not what is generated: go generate ./broker/gen/internal/zoo", dir)
		}
		if policy, err := os.ReadFile(filepath.Join("internal", "zoo", "zoo.yaml")); err != nil || !bytes.Equal(f.Policy, policy) {
			t.Errorf("from %s: internal/zoo/zoo.yaml is not what is generated (%v)", dir, err)
		}
		if f.Path != filepath.Join(dir, "zoo_broker.go") || len(f.Methods) != reflect.TypeFor[zoo.Zoo]().NumMethod() {
			t.Errorf("got path %s and %d methods", f.Path, len(f.Methods))
		}
	}
	t.Chdir(absolute)
	if f := generate(t, Config{Interface: "Zoo"}); !bytes.Equal(f.Code, want) || f.Path != "zoo_broker.go" {
		t.Errorf("in the directory itself something else is generated, for %s", f.Path)
	}
}

// reasons collects the gen.Errors of a refusal, by method.
func reasons(t *testing.T, err error) map[string]*Error {
	t.Helper()
	found := map[string]*Error{}
	var collect func(err error)
	collect = func(err error) {
		switch e := err.(type) {
		case nil:
		case *Error:
			found[e.Method] = e
		case interface{ Unwrap() []error }:
			for _, inner := range e.Unwrap() {
				collect(inner)
			}
		default:
			collect(errors.Unwrap(err))
		}
	}
	collect(err)
	return found
}

// TestRefusedTypes: a type that package codec refuses is refused here with the same
// words, and where the method stands.
func TestRefusedTypes(t *testing.T) {
	_, err := Generate(t.Context(), Config{Dir: "internal/zoo", Interface: "Cages"})
	refused := reasons(t, err)
	cages := reflect.TypeFor[zoo.Cages]()
	for m := range cages.Methods() {
		want := codec.CheckType(m.Type.In(0))
		if want == nil {
			t.Fatalf("package codec carries %v", m.Type.In(0))
		}
		got := refused["Cages."+m.Name]
		if got == nil {
			t.Errorf("%s is not refused, want %v", m.Name, want)
			continue
		}
		if reason := "argument 1: " + strings.TrimPrefix(want.Error(), "codec: "); got.Reason != reason {
			t.Errorf("%s:\ngot  %s\nwant %s", m.Name, got.Reason, reason)
		}
		if !strings.HasPrefix(got.Pos, "internal/zoo/cages.go:") {
			t.Errorf("%s is at %s, want a line of internal/zoo/cages.go", m.Name, got.Pos)
		}
	}
	if len(refused) != cages.NumMethod() {
		t.Errorf("%d methods are refused, want %d", len(refused), cages.NumMethod())
	}
}

func TestRefusedMethods(t *testing.T) {
	_, err := Generate(t.Context(), Config{Dir: "internal/zoo", Interface: "Zoos"})
	refused := reasons(t, err)
	for name, want := range map[string]string{
		"Two":     "argument 2: it takes a second stream, want at most one",
		"Rest":    "it takes a stream and a variable number of arguments",
		"Items":   "argument 1: items of its stream: chan int: chan int cannot be carried: a chan has no meaning in another process",
		"Yields":  "items of its stream: func(): func() cannot be carried: a func has no meaning in another process",
		"Proxies": "argument 1: []*broker.Proxy[]: broker.Proxy has no exported field: it would arrive empty",
		"Door":    "argument 1: interface { Close() error }: interface { Close() error } is an interface with methods: the receiver cannot know which type to make, want a concrete type or any",
	} {
		if got := refused["Zoos."+name]; got == nil || got.Reason != want {
			t.Errorf("%s:\ngot  %v\nwant %s", name, got, want)
		}
	}
	if len(refused) != reflect.TypeFor[zoo.Zoos]().NumMethod() {
		t.Errorf("%d methods are refused", len(refused))
	}
}

// TestPolicy: the skeleton is a policy as it stands, denies everything, and becomes an
// open one with a word.
func TestPolicy(t *testing.T) {
	f := generate(t, Config{Dir: "internal/zoo", Interface: "Zoo", Object: "the/zoo"})
	if !bytes.Contains(f.Policy, []byte("# Variadic(string, ...zoo.Cents) zoo.Cents\n")) {
		t.Errorf("the signatures are missing:\n%s", f.Policy)
	}
	for _, effect := range []string{"deny", "allow"} {
		rules, err := rulefile.ParseRules(bytes.ReplaceAll(f.Policy, []byte("effect: deny"), []byte("effect: "+effect)))
		if err != nil {
			t.Fatal(err)
		}
		authorizer, err := validator.NewRules(append(rules, validator.Rule{
			Name: "all", Effect: validator.Allow, Identities: []string{"*"}, Objects: []string{"other"}, Methods: []string{"*"},
		})...)
		if err != nil {
			t.Fatal(err)
		}
		for _, method := range f.Methods {
			d := authorizer.Authorize(t.Context(), validator.Request{Identity: &validator.Identity{Name: "alice"}, Object: "the/zoo", Method: method})
			if d.Allowed != (effect == "allow") || d.Rule != "the-zoo."+method {
				t.Errorf("effect %s, method %s: got %+v", effect, method, d)
			}
		}
	}
}

// TestPolicyNames: names that no rule can have, or say, still make a policy.
func TestPolicyNames(t *testing.T) {
	long := strings.Repeat("Long", 30)
	dir := write(t, map[string]string{"x.go": "package x\n\ntype Bank interface{ A(); Été(); " + long + "1(); " + long + "2() }\n"})
	f := generate(t, Config{Dir: dir, Interface: "Bank"})
	rules, err := rulefile.ParseRules(f.Policy)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := validator.NewRules(rules...); err != nil || len(rules) != 3 || rules[0].Objects[0] != "bank" || !bytes.Contains(f.Policy, []byte("# Été: no rule can name it")) {
		t.Errorf("got %v, %+v\n%s", err, rules, f.Policy)
	}
}

// write makes a module of its own in a temporary directory.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if files["go.mod"] == "" {
		files["go.mod"] = "module example.com/x\n\ngo 1.26\n"
	}
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestRefusedPackages: what is asked for must be there and make sense.
func TestRefusedPackages(t *testing.T) {
	const begin = "package x\n\nimport \"context\"\n\nvar _ context.Context\n\n"
	tests := []struct {
		name  string
		text  string
		iface string
		want  []string
	}{
		{"no such name", begin + "type Bank interface{ A() }\ntype Other interface{ B() }\n", "Bnak", []string{`package x has no type "Bnak"; its interfaces are Bank, Other`}},
		{"no interface at all", begin, "Bank", []string{`no type "Bank", and no interface at all`}},
		{"a struct", begin + "type Bank struct{}\n", "Bank", []string{"/x.go:7:6: Bank is not an interface type"}},
		{"a function", begin + "func Bank() {}\n", "Bank", []string{`no type "Bank"`}},
		{"no methods", begin + "type Bank interface{}\n", "Bank", []string{"x.go:7:6: Bank has no methods"}},
		{"generic", begin + "type Bank[T any] interface{ A(T) }\n", "Bank", []string{"x.go:7:6: Bank has type parameters"}},
		{"a constraint", begin + "type Bank interface{ ~int | ~string }\n", "Bank", []string{"x.go:7:6: Bank is a constraint"}},
		{"an unexported method", begin + "type Bank interface {\n\tA()\n\tb()\n}\n", "Bank", []string{"x.go:9:2: method Bank.b cannot be carried: it is not exported"}},
		{"a late context", begin + "type Bank interface { A(n int, ctx context.Context) }\n", "Bank", []string{"x.go:7:23: method Bank.A cannot be carried: its context is argument 2, want it first"}},
		{"two contexts", begin + "type Bank interface { A(a, b context.Context) }\n", "Bank", []string{"its context is argument 2, want it first"}},
		{"three results", begin + "type Bank interface { A() (int, int, error) }\n", "Bank", []string{"it returns 3 values, want at most one and an error"}},
		{"no error last", begin + "type Bank interface { A() (error, int) }\n", "Bank", []string{"its second result is int, want error"}},
		{"two errors", begin + "type Bank interface { A() (error, error) }\n", "Bank", []string{"it returns two errors"}},
		{"a channel", begin + "type Bank interface { A(context.Context, int, chan int) }\n", "Bank", []string{"argument 3: chan int: chan int cannot be carried: a chan has no meaning in another process"}},
		{"all reasons", begin + "type Bank interface {\n\tA(chan int)\n\tB(func())\n\tC()\n}\n", "Bank", []string{"x.go:8:2: method Bank.A", "x.go:9:2: method Bank.B"}},
		{"an unknown type", begin + "type Bank interface { A(Missing) }\n", "Bank", []string{"argument 1: its type does not type-check (", "x.go:7:25: undefined: Missing"}},
		{"a directive misspelt", begin + "type Bank interface {\n\t//pyrossl:idempotnet\n\tA()\n}\n", "Bank", []string{`x.go:8:2: the directive "//pyrossl:idempotnet" has no meaning here, want //pyrossl:idempotent`}},
		{"a directive elsewhere", begin + "//pyrossl:idempotent\ntype Bank interface { A() }\n", "Bank", []string{"x.go:7:1: the directive"}},
		{"a directive with more", begin + "type Bank interface {\n\t//pyrossl:idempotent really\n\tA()\n}\n", "Bank", []string{"x.go:8:2: the directive"}},
		{"a name of ours", begin + "type Bank interface { A() }\nfunc ExportBank() {}\n", "Bank", []string{"x.go:8:6: the package declares ExportBank, as the code for Bank would"}},
		{"another meaning", begin + "type Bank interface { A() }\nfunc append() {}\n", "Bank", []string{"x.go:8:6: the package declares append, which generated code needs as the language has it"}},
		{"no Go", "not Go", "Bank", []string{"x.go:1:1: expected 'package'"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Generate(t.Context(), Config{Dir: write(t, map[string]string{"x.go": test.text}), Interface: test.iface})
			if err == nil {
				t.Fatal("it was accepted")
			}
			if !strings.HasPrefix(err.Error(), "gen: ") {
				t.Errorf("got %v, want the prefix gen:", err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got  %v\nwant %s", err, want)
				}
			}
		})
	}
}

func TestRefusedConfig(t *testing.T) {
	dir := write(t, map[string]string{"x.go": "package x\n\ntype Bank interface{ A() }\n"})
	for _, test := range []struct {
		config Config
		want   string
	}{
		{Config{Dir: dir}, `interface "" is not a Go identifier`},
		{Config{Dir: dir, Interface: "x.Bank"}, `interface "x.Bank" is not a Go identifier`},
		{Config{Dir: dir, Interface: "Bank", Out: "../bank.go"}, `output "../bank.go", want the name of a Go file`},
		{Config{Dir: dir, Interface: "Bank", Out: "bank.txt"}, `output "bank.txt", want the name of a Go file`},
		{Config{Dir: dir, Interface: "Bank", Out: "bank_test.go"}, `output "bank_test.go"`},
		{Config{Dir: dir, Interface: "Bank", Object: "a\nb"}, `object "a\nb": no policy can name it`},
		{Config{Dir: filepath.Join(dir, "none"), Interface: "Bank"}, "none"},
		{Config{Dir: write(t, map[string]string{"x.txt": ""}), Interface: "Bank"}, "no Go files"},
	} {
		if _, err := Generate(t.Context(), test.config); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: got %v, want %s", test.config, err, test.want)
		}
	}
}

// TestStale: code that uses what was generated before, and is generated anew, does not
// have to compile; nor does what is left of another interface.
func TestStale(t *testing.T) {
	files := map[string]string{
		"bank.go":         "package x\n\ntype Bank interface{ A(Account) }\n\ntype Account struct{ Name string }\n",
		"use.go":          "package x\n\nvar _ = NewBankProxy(nil)\n\nvar _ int = \"wrong\"\n",
		"bank_broker.go":  Header + "\n\npackage x\n\ntype Account struct{ Old int }\n\nfunc bankPutAccount() {}\n",
		"other_broker.go": Header + "\r\n\npackage x\n\nthis is no Go",
	}
	with := generate(t, Config{Dir: write(t, files), Interface: "Bank"})
	delete(files, "bank_broker.go")
	delete(files, "other_broker.go")
	without := generate(t, Config{Dir: write(t, files), Interface: "Bank"})
	if !bytes.Equal(with.Code, without.Code) {
		t.Errorf("with the old files something else is generated:\n%s\n\n%s", with.Code, without.Code)
	}
	if !Generated(with.Code) || Generated([]byte(Header+" not\n")) || Generated([]byte("package x\n"+Header)) {
		t.Error("what is generated is told by its first line alone")
	}
	if _, err := parser.ParseFile(token.NewFileSet(), "", with.Code, parser.AllErrors); err != nil {
		t.Error(err)
	}
}

// TestVendored: types of packages that are found in another place than their path says.
func TestVendored(t *testing.T) {
	dir := write(t, map[string]string{
		"go.mod":                              "module example.com/x\n\ngo 1.26\n\nrequire example.com/money v1.0.0\n",
		"vendor/modules.txt":                  "# example.com/money v1.0.0\n## explicit; go 1.26\nexample.com/money\n",
		"vendor/example.com/money/money.go":   "package money\n\ntype Cents int64\n\ntype hidden struct{ A int }\n\ntype Public = hidden\n\ntype Inner interface{ Get() Public; Leak() hidden }\n",
		"x.go":                                "package x\n\nimport \"example.com/money\"\n\ntype Bank interface{ A(money.Cents, []money.Cents, money.Public) }\n\ntype Leak interface{ money.Inner }\n",
		"broken/broken.go":                    "package broken\n\nfunc f() { this is no Go }\n",
		"uses/uses.go":                        "package uses\n\nimport \"example.com/x/broken\"\n\ntype Bank interface{ A(broken.T); B(int) }\n",
		"vendor/example.com/money/ignored.md": "",
	})
	f := generate(t, Config{Dir: dir, Interface: "Bank"})
	for _, want := range []string{`"example.com/money"`, "A(ctx context.Context, arg1 money.Cents, arg2 []money.Cents, arg3 money.Public) (err error)", "money.hidden: it is a struct of another package"} {
		if !bytes.Contains(f.Code, []byte(want)) {
			t.Errorf("the output has no %s:\n%s", want, f.Code)
		}
	}
	_, err := Generate(t.Context(), Config{Dir: dir, Interface: "Leak"})
	if err == nil || !strings.Contains(err.Error(), "Leak uses types that only their own packages can name: money.hidden") {
		t.Errorf("got %v", err)
	}
	_, err = Generate(t.Context(), Config{Dir: filepath.Join(dir, "uses"), Interface: "Bank"})
	if err == nil || !strings.Contains(err.Error(), "its type does not type-check (") || !strings.Contains(err.Error(), "could not import example.com/x/broken") {
		t.Errorf("got %v", err)
	}
}

// TestNoGo: without the go command there is a reason, not a panic.
func TestNoGo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Generate(t.Context(), Config{Dir: "internal/zoo", Interface: "Zoo"})
	if err == nil || !strings.Contains(err.Error(), `"go"`) {
		t.Errorf("on %s: got %v", runtime.GOOS, err)
	}
}
