package gen

import (
	"bytes"
	"path/filepath"
	"testing"
)

// TestNames compiles what is generated for packages whose names collide with those
// that the output would choose.
func TestNames(t *testing.T) {
	packages := map[string]struct {
		text, iface string
		want        []string
	}{
		"taken": {`package taken

import ctx "context"

const codec, broker, context = 1, 2, 3

type bankReadAccount struct{}

var bankPutAccount, bankAppendAccount, bankFillAccount bankReadAccount

type Bank interface {
	Open(c ctx.Context, account Account, codec2, broker2, context2, Bank, nil int, BankProxy string) (Account, error)
	Bytes(c ctx.Context, in, out, o []byte) ([]byte, error)
}

type Account struct{ Name string }

var (
	_ = codec + broker + context
	_ = []bankReadAccount{bankPutAccount, bankAppendAccount, bankFillAccount}
)
`, "Bank", []string{`codec2 "github.com/pyrossl/pyrossl/codec"`, "func bankReadAccount_(d *codec2.Decoder) Account {", "var _ Bank = (*BankProxy)(nil)"}},
		"lower": {`package lower

type door interface{ Open(key string) error }
`, "door", []string{"func newDoorProxy(p *broker.Proxy) *doorProxy", "func exportDoor(b door) *broker.Exported", "which takes no context"}},
		"initials": {`package initials

import "context"

type HTTPDoor interface {
	//pyrossl:idempotent
	Open(context.Context, string, ...string) error
}
`, "HTTPDoor", []string{"func HTTPDoorIdempotent() broker.ProxyOption", "type httpDoorObject struct", "Open(ctx context.Context, arg1 string, arg2 ...string) (err error)"}},
		"empty": {`package empty

type Bell interface{ Ring() }
`, "Bell", []string{"func (o bellObject) Ring(_ context.Context, in *broker.Invocation) error {"}},
		"same": {`package same

import (
	"io/fs"
	"text/template/parse"

	fs2 "example.com/x/same/fs"
)

type Tree interface {
	Mode(fs.FileMode, fs2.FileMode, parse.NodeType) (fs2.FileMode, error)
	inner
}

type inner interface {
	// Size has its directive in an interface that is embedded.
	//
	//pyrossl:idempotent
	Size([]fs.FileMode, []fs2.FileMode, struct{ A int }, struct{ B int }) int
}
`, "Tree", []string{`"io/fs"`, `"example.com/x/same/fs"`, "TreeIdempotent", "treeReadStruct(d)", "treeReadStruct_(d)"}},
		"deep": {`package deep

type (
	Four    [][][][]int
	Sixteen [][][][][][][][][][][][]Four
	Held    struct{ Fifteen [][][][][][][][][][][]Four }
	TooDeep struct{ S Sixteen }
)

type Well interface {
	Down(Sixteen, Held) (TooDeep, error)
}
`, "Well", []string{"//\tdeep.TooDeep: it nests deeper than 16\n\npackage", "func wellPutHeld(", "func wellPutSixteen("}},
		"main": {`package main

type (
	Alias = Account
	Account struct{ Name Name; Next Pair }
	Name = string
	Pair = [2]Number
	Number uint
)

type Bank interface {
	Open(Alias, *Alias, Name, []Name, Pair) (Pair, error)
}

func main() {}
`, "Bank", []string{"package main", "func bankReadAccount("}},
	}
	files := map[string]string{"same/fs/fs.go": "package fs\n\ntype FileMode int\n"}
	for name, p := range packages {
		files[name+"/"+name+".go"] = p.text
	}
	dir := module(t, files)
	for name, p := range packages {
		sub := filepath.Join(dir, name)
		f := generate(t, Config{Dir: sub, Interface: p.iface})
		for _, want := range p.want {
			if !bytes.Contains(f.Code, []byte(want)) {
				t.Errorf("%s: the output has no %s:\n%s", name, want, f.Code)
			}
		}
		replace(t, sub, filepath.Base(f.Path), string(f.Code))
		if again := generate(t, Config{Dir: sub, Interface: p.iface}); !bytes.Equal(again.Code, f.Code) {
			t.Errorf("%s: the second time something else is generated", name)
		}
	}
	run(t, dir, "vet", "./...")
}
