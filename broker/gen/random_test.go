package gen

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// module makes a module that uses this one as it stands.
func module(t *testing.T, files map[string]string) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(mod), "module github.com/pyrossl/pyrossl", "module example.com/x", 1)
	files["go.mod"] = text + fmt.Sprintf("\nrequire github.com/pyrossl/pyrossl v0.0.0\n\nreplace github.com/pyrossl/pyrossl => %s\n", filepath.ToSlash(root))
	files["go.sum"] = string(sum)
	t.Setenv("GOFLAGS", "-mod=mod")
	t.Setenv("GOPROXY", "off")
	t.Setenv("GOWORK", "off")
	return write(t, files)
}

func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	c := exec.Command("go", args...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out[:min(len(out), 8000)])
	}
	return string(out)
}

// structs writes n struct types with all that decides what becomes of a field: tags
// good and bad, keys that collide, embedding by value and by pointer, at several depths.
func structs(r *rand.Rand, n int) string {
	var b strings.Builder
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	for i := range n {
		name := fmt.Sprintf("T%d", i)
		if i%7 == 6 {
			name = fmt.Sprintf("t%d", i) // to be embedded only
		}
		fmt.Fprintf(&b, "type %s struct {\n", name)
		if r.IntN(6) == 0 {
			fmt.Fprintf(&b, "_ struct{} `cbor:\"%s\"`\n", pick(",toarray", "toarray", "", "x,toarray,omitempty"))
		}
		embedded := map[int]bool{}
		for f := range 1 + r.IntN(6) {
			typ := pick("int", "int8", "uint32", "string", "bool", "float64", "float32", "[]byte", "[3]byte", "Number", "Words", "Flag",
				"[]string", "[][]int16", "map[string]int", "map[Word][]bool", "*int", "*string", "[2]uint8", "[2]int", "any", "time.Time", "*time.Time",
				"time.Duration", "Marked", "map[int]string", "[]*Number", "[0]int", "struct{}", "big.Int", "*big.Int", "IsZero")
			if i > 0 && r.IntN(3) == 0 {
				inner := r.IntN(i)
				of := fmt.Sprintf("T%d", inner)
				if inner%7 == 6 {
					of = fmt.Sprintf("t%d", inner)
				}
				if r.IntN(2) == 0 && !embedded[inner] {
					embedded[inner] = true
					fmt.Fprintf(&b, "%s%s %s\n", pick("", "", "*"), of, pick("", "", "", "`cbor:\"inner\"`", "`json:\",omitempty\"`", "`cbor:\"-\"`"))
					continue
				}
				typ = pick("", "*", "[]", "[]*", "map[string]", "[2]") + of
			}
			tag := pick("", "", `cbor:"a"`, `cbor:"b,omitempty"`, `json:"c"`, `json:"a,omitempty"`, `cbor:"" json:"d"`, `cbor:",omitempty"`, `cbor:",omitzero"`,
				`cbor:"1,keyasint"`, `cbor:"-7,keyasint,omitempty"`, `cbor:"300,keyasint"`, `cbor:"-"`, `cbor:"-,"`, `cbor:"e,omitempty,omitzero" json:"f"`, `json:",string"`, `yaml:"x"`)
			if tag != "" {
				tag = "`" + tag + "`"
			}
			field := fmt.Sprintf("F%d", f)
			if r.IntN(12) == 0 {
				field = fmt.Sprintf("f%d", f)
			}
			fmt.Fprintf(&b, "%s %s %s\n", field, typ, tag)
		}
		b.WriteString("}\n\n")
	}
	return b.String()
}

const randomTypes = `package zoo

import (
	"math/big"
	"time"
)

var (
	_ big.Int
	_ time.Time
)

type (
	Number int16
	Word   string
	Words  []Word
	Flag   bool
	Marked uint8
	IsZero int
)

func (m Marked) MarshalText() ([]byte, error)     { return []byte{'a' + byte(m)%26}, nil }
func (m *Marked) UnmarshalText(text []byte) error { *m = Marked(len(text)); return nil }
func (i IsZero) IsZero() bool                     { return i == 7 }

`

// TestRandomStructs generates code for structs that nobody would write, and compares
// it with reflection on random values and hostile bytes. Types that the generator
// refuses must be those that package codec refuses.
func TestRandomStructs(t *testing.T) {
	const n = 150
	r := rand.New(rand.NewPCG(11, 12))
	text := randomTypes + structs(r, n)
	methods := func(without map[string]*Error) (iface string, names []string) {
		for i := range n {
			if name := fmt.Sprintf("T%d", i); i%7 != 6 && without["Strange.M"+name] == nil {
				iface += fmt.Sprintf("\tM%s(%s) %s\n", name, name, name)
				names = append(names, name)
			}
		}
		return "type Strange interface {\n" + iface + "}\n", names
	}
	iface, _ := methods(nil)
	dir := module(t, map[string]string{"types.go": text, "strange.go": "package zoo\n\n" + iface})
	_, err := Generate(t.Context(), Config{Dir: dir, Interface: "Strange"})
	refused := reasons(t, err)
	iface, names := methods(refused)
	if len(refused) < 4 || len(names) < 60 {
		t.Fatalf("%d structs are refused and %d are not: both should be many; %v", len(refused), len(names), err)
	}
	replace(t, dir, "strange.go", "package zoo\n\n"+iface)
	f := generate(t, Config{Dir: dir, Interface: "Strange"})
	replace(t, dir, "strange_broker.go", string(f.Code))
	if again := generate(t, Config{Dir: dir, Interface: "Strange"}); !bytes.Equal(again.Code, f.Code) {
		t.Error("the second time something else is generated")
	}
	by := map[bool]int{}
	var harness strings.Builder
	for _, name := range names {
		generated := bytes.Contains(f.Code, []byte("func strangeAppend"+name+"("))
		by[generated]++
		appends := "pointer(strangeAppend" + name + ")"
		if !generated {
			appends = "func(dst []byte, v " + name + ") ([]byte, error) { return codec.Append(dst, v) }"
		}
		fmt.Fprintf(&harness, "\tnewWay(%s, strangeRead%s),\n", appends, name)
	}
	t.Logf("%d structs are refused, %d are generated, %d are left to reflection", len(refused), by[true], by[false])
	if by[true] < 30 || by[false] < 10 {
		t.Error("both should be many")
	}
	var uncarried strings.Builder
	for name := range refused {
		fmt.Fprintf(&uncarried, "\treflect.TypeFor[%s](),\n", strings.TrimPrefix(name, "Strange.M"))
	}
	for _, name := range []string{"random_test.go", "way_test.go"} {
		helper, err := os.ReadFile(filepath.Join("internal", "zoo", name))
		if err != nil {
			t.Fatal(err)
		}
		replace(t, dir, name, string(helper))
	}
	replace(t, dir, "strange_test.go", fmt.Sprintf(strangeTest, harness.String(), uncarried.String()))
	out := run(t, dir, "test", "-v", ".")
	if m := regexp.MustCompile(`(?m)^ok .*$`).FindString(out); m == "" {
		t.Errorf("got %s", out)
	}
}

func replace(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

const strangeTest = `package zoo

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/pyrossl/pyrossl/codec"
)

func TestStrange(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for _, w := range []way{
%s	} {
		w.compareAppends(t, r, 200)
		w.compareReads(t, r, 100)
	}
	for _, refused := range []reflect.Type{
%s	} {
		if codec.CheckType(refused) == nil {
			t.Errorf("package codec carries %%v", refused)
		}
	}
}
`
