package exampletest

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

const readme = "# Examples\n" +
	"\n## bell\n\nRing it.\n\n```console\n$ go run ./examples/bell/server -addr localhost:7000\nPYROSSL://localhost:7000/bell\nding\n```\n" +
	"\n```sh\nnot a console\n```\n" +
	"\n```console\n$ echo two times | A=1 go run ./examples/bell/client -n 2 \\\n  -uri PYROSSL://localhost:7000/bell\n$ go run ./examples/bell/client\nrung\nexit status 1\n```\n" +
	"\n## whistle\n\n```console\n$ go run ./examples/whistle/client\n```\n"

func TestFindSection(t *testing.T) {
	s, err := findSection(readme, "bell")
	if err != nil {
		t.Fatal(err)
	}
	const client = "./examples/bell/client"
	want := section{name: "bell", blocks: [][]Command{
		{{line: "go run ./examples/bell/server -addr localhost:7000", program: "./examples/bell/server",
			args: []string{"-addr", "localhost:7000"}, output: "PYROSSL://localhost:7000/bell\nding\n"}},
		{{line: "echo two times | A=1 go run ./examples/bell/client -n 2 -uri PYROSSL://localhost:7000/bell", stdin: "two times\n", env: []string{"A=1"},
			program: client, args: []string{"-n", "2", "-uri", "PYROSSL://localhost:7000/bell"}},
			{line: "go run ./examples/bell/client", program: client, args: []string{}, output: "rung\nexit status 1\n"}},
	}}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
}

func TestWhatCannotBePlayed(t *testing.T) {
	for what, c := range map[string]struct{ section, want string }{
		"no such section":  {"\n## other\n", "no section"},
		"no block":         {"\n## bell\n\ntext\n", "no console block"},
		"output first":     {"\n## bell\n\n```console\nding\n```\n", `want "$ "`},
		"not go run":       {"\n## bell\n\n```console\n$ rm -r .\n```\n", "want [echo TEXT |]"},
		"not of this tree": {"\n## bell\n\n```console\n$ go run example.org/x\n```\n", "want [echo TEXT |]"},
	} {
		if _, err := findSection(c.section, "bell"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", what, err, c.want)
		}
	}
}

// TestPorts: programs run on ports that are free, and print those of the README.
func TestPorts(t *testing.T) {
	s, err := findSection(readme, "bell")
	if err != nil {
		t.Fatal(err)
	}
	server, explicit, plain := s.commands()[0], s.commands()[1], s.commands()[2]
	if got, want := fmt.Sprint(server.listening()), "[-addr 127.0.0.1:0]"; got != want {
		t.Errorf("the server is run with %s, want %s", got, want)
	}
	e := &Example{t: t, servers: []*Process{{command: server, uri: "PYROSSL://localhost:40000/bell"}}}
	if got, want := fmt.Sprint(explicit.calling(e.servers)), "[-n 2 -uri PYROSSL://localhost:40000/bell]"; got != want {
		t.Errorf("the client is run with %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(plain.calling(e.servers)), "[-uri PYROSSL://localhost:40000/bell]"; got != want {
		t.Errorf("the client is run with %s, want %s", got, want)
	}
	if got, want := e.plain("lost localhost:40000 and localhost:4000"), "lost localhost:7000 and localhost:4000"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestCompare: what differs is an error, and what is hidden does not differ.
func TestCompare(t *testing.T) {
	for what, c := range map[string]struct {
		got, want string
		fails     bool
	}{
		"the same":      {"ding\n", "ding\n", false},
		"another line":  {"ding\n", "dong\n", true},
		"nothing":       {"", "ding\n", true},
		"a line more":   {"ding\nexit status 1\n", "ding\n", true},
		"a hidden time": {"at 12:00\n", "at 17:30\n", false},
		"around it":     {"at 12:00\n", "by 17:30\n", true},
	} {
		r := &recorder{TB: t}
		e := &Example{t: r}
		e.Hide(`\d\d:\d\d`, "TIME")
		e.Compare(what, c.got, c.want)
		if r.failed != c.fails {
			t.Errorf("%s: failed is %v, want %v", what, r.failed, c.fails)
		}
	}
}

type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }
