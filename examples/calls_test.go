package examples_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/examples/internal/exampletest"
)

func TestExceptions(t *testing.T) {
	t.Parallel()
	exampletest.New(t, "exceptions").Play()
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	exampletest.New(t, "timeout").Play()
}

// The server is killed while it handles a call of each method, and started again.
func TestAutoreconnect(t *testing.T) {
	t.Parallel()
	e := exampletest.New(t, "autoreconnect")
	e.Hide(`server [0-9]+`, "server N")
	e.Hide(`(Look [12]: server N shows) [01]`, "$1 N") // beside Tick 2
	first := e.Start("server -pace")
	client := e.Begin("client")
	first.Wait("Look begins")
	first.Wait("Tick begins")
	first.Kill()
	client.Wait("Tick 1: connection lost")
	second := first.Again(e.Command("server").With())
	e.Compare("the client, line by line in order,", sorted(client.End()), sorted(e.Command("client").Shown()))
	if n := strings.Count(second.Stop(), "Tick begins"); n != 1 {
		t.Errorf("the second server was called %d times to tick, want 1: what may have run is not called again", n)
	}
}

func sorted(text string) string {
	lines := slices.Collect(strings.Lines(text))
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func TestMaxclients(t *testing.T) {
	t.Parallel()
	exampletest.New(t, "maxclients").Play()
}

func TestDisconnect(t *testing.T) {
	t.Parallel()
	exampletest.New(t, "disconnect").Play()
}

func TestProxysharing(t *testing.T) {
	t.Parallel()
	exampletest.New(t, "proxysharing").Play()
}

func TestAttributes(t *testing.T) {
	t.Parallel()
	exampletest.New(t, "attributes").Play()
}

// Memory of two digits, while more goes through, and small calls go on.
func TestHugetransfer(t *testing.T) {
	t.Parallel()
	e := exampletest.New(t, "hugetransfer")
	e.Hide(`[0-9]+ MiB/s, beside [1-9][0-9]* small calls, the longest of \S+`, "N MiB/s, beside N small calls")
	e.Hide(`client [1-9][0-9]? MiB, server [1-9][0-9]? MiB`, "client N MiB, server N MiB")
	e.Play()
}

func TestBenchmark(t *testing.T) {
	t.Parallel()
	e := exampletest.New(t, "benchmark")
	e.Hide(` +[0-9]+/s +[1-9][0-9]* calls`, " N/s N calls")
	e.Play()
}

func TestStresstest(t *testing.T) {
	t.Parallel()
	e := exampletest.New(t, "stresstest")
	e.Hide(`seed [0-9]+`, "seed N")
	e.Hide(` +[0-9]+ (calls|streams|more)`, " N $1")
	e.Hide(`added [1-9][0-9]*, and [0-9]+ of the [0-9]+`, "added N, and N of the N")
	e.Play()
}

// bar is what a terminal shows last of all that was written over each other.
const bar = `(\r?\[=* *\] [^\r\n]*)+`

// The second transfer is killed, the third goes on.
func TestFiletransfer(t *testing.T) {
	t.Parallel()
	e := exampletest.New(t, "filetransfer")
	e.Hide(bar, "[bar]")
	e.Hide(`going on at [1-9][0-9]* of`, "going on at N of")
	write(t, e, "files/hello.txt", []byte("hello\n"))
	write(t, e, "files/zeros", make([]byte, 8_000_000))
	e.Start("server")
	e.Run("client ls")
	e.Run("client get hello.txt")
	interrupt(t, e, e.Command("client -limit"), ".zeros.*.part")
	e.Run("client get zeros")
	if err := os.Rename(filepath.Join(e.Dir(), "zeros"), filepath.Join(e.Dir(), "copy")); err != nil {
		t.Fatal(err)
	}
	e.Run("client put copy")
	e.Run("client get ../pki")
}

// Content that is not the same all over arrives in both directions, in two parts.
func TestFiletransferResumes(t *testing.T) {
	t.Parallel()
	e := exampletest.New(t, "filetransfer")
	content := make([]byte, 4<<20)
	rand.NewChaCha8([32]byte{}).Read(content)
	write(t, e, "files/down", content)
	write(t, e, "up", content)
	e.Start("server")
	for _, c := range []struct{ command, file, parts, result string }{
		{"get", "down", ".down.*.part", "down"},
		{"put", "up", "files/.up.*.part", "files/up"},
	} {
		client := e.Command("client")
		part := interrupt(t, e, client.With("-limit", "1000", c.command, c.file), c.parts)
		if _, err := os.Stat(filepath.Join(e.Dir(), c.result)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s has its name before it is complete (%v)", c.result, err)
		}
		out := e.Output(client.With(c.command, c.file))
		// The server may not have noticed yet that the one before was killed.
		for end := time.Now().Add(time.Minute); strings.Contains(out, "being sent already") && time.Now().Before(end); {
			out = e.Output(client.With(c.command, c.file))
		}
		var at, size int
		if _, err := fmt.Sscanf(out, "going on at %d of %d bytes", &at, &size); err != nil || at == 0 || size != len(content) {
			t.Errorf("%s printed %q, want that it goes on", c.command, out)
		}
		if got, err := os.ReadFile(filepath.Join(e.Dir(), c.result)); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s has %d bytes (%v), want the %d that were there", c.result, len(got), err, len(content))
		}
		if _, err := os.Stat(part); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left behind (%v)", part, err)
		}
	}
}

// interrupt kills a transfer when something has arrived, and returns where that is.
func interrupt(t *testing.T, e *exampletest.Example, c exampletest.Command, parts string) string {
	t.Helper()
	p := e.BeginCommand(c)
	defer p.Kill()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		found, err := filepath.Glob(filepath.Join(e.Dir(), parts))
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 1 {
			if info, err := os.Stat(found[0]); err == nil && info.Size() > 0 {
				return found[0]
			}
		}
	}
	t.Fatalf("nothing has arrived in %s", parts)
	return ""
}

// Callers choose names, and get nothing that they should not.
func TestFiletransferNames(t *testing.T) {
	t.Parallel()
	e := exampletest.New(t, "filetransfer")
	for _, name := range []string{"files/hello.txt", "files/sub/below.txt", "files/.hidden", "files/sub/.hidden", "new.txt", ".new"} {
		write(t, e, name, []byte("hello\n"))
	}
	write(t, e, "large.txt", make([]byte, 1001))
	secret := filepath.Join(e.Dir(), "pki", "ca.crt")
	for link, to := range map[string]string{"out": "../pki/ca.crt", "in": "hello.txt", "abs": secret} {
		if err := os.Symlink(to, filepath.Join(e.Dir(), "files", link)); err != nil {
			t.Fatal(err)
		}
	}
	server := e.StartCommand(e.Command("server").With("-largest", "1000"))
	const none = "no such file"
	for _, c := range []struct{ who, command, name, want string }{
		{"alice", "get", "in", "got in"},
		{"alice", "get", "sub/below.txt", "got below.txt"},
		{"alice", "get", "hello.txt", "got hello.txt"},
		{"alice", "get", "hello.txt", "exists"},
		{"alice", "get", "sub/../hello.txt", none},
		{"alice", "get", "../pki/ca.crt", none},
		{"alice", "get", "sub/../../pki/ca.crt", none},
		{"alice", "get", secret, none},
		{"alice", "get", "out", none},
		{"alice", "get", "abs", none},
		{"alice", "get", "sub", none},
		{"alice", "get", ".hidden", none},
		{"alice", "get", "sub/.hidden", none},
		{"alice", "get", "", none},
		{"alice", "put", "new.txt", "put new.txt"},
		{"alice", "put", "new.txt", "the file exists"},
		{"alice", "put", ".new", "cannot be kept"},
		{"alice", "put", "large.txt", "at most 1000"},
		{"bob", "get", "new.txt", "exists"}, // he may read it, and has it
		{"bob", "put", "new.txt", "denied"},
	} {
		out := e.Output(e.Command("client").With("-name", c.who+"@bank.example", c.command, c.name))
		if !strings.Contains(out, c.want) {
			t.Errorf("%s: %s %q printed %q, want %q", c.who, c.command, c.name, out, c.want)
		}
		if strings.Contains(out, "escapes") || strings.Contains(out, "statat") {
			t.Errorf("%s %q tells what is the server's business: %q", c.command, c.name, out)
		}
	}
	server.Stop()
}

func write(t *testing.T, e *exampletest.Example, name string, content []byte) {
	t.Helper()
	name = filepath.Join(e.Dir(), filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
