package hello

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pyrossl/pyrossl/internal/testca"
)

const published = "PYROSSL://localhost:7766/greeter"

// The two programs are built and run as they are, but for the port: only whoever
// starts them can know that 7766 is free. A client that looks elsewhere is told the
// same by PORT in the URI, so here the sources are built with another one.
func TestHello(t *testing.T) {
	dir := t.TempDir()
	pki := filepath.Join(dir, "pki")
	if err := os.Mkdir(pki, 0o700); err != nil {
		t.Fatal(err)
	}
	ca := testca.New(t)
	ca.Server(t, "localhost").WriteFiles(t, pki, "localhost")
	ca.Client(t, "alice@bank.example").WriteFiles(t, pki, "alice@bank.example")
	if err := os.WriteFile(filepath.Join(pki, "ca.crt"), ca.RootPEM(), 0o644); err != nil {
		t.Fatal(err)
	}

	build(t, dir, "server", `PublishHost: "localhost"`, `Addr: "127.0.0.1:0", PublishHost: "localhost"`)
	server := exec.Command(filepath.Join(dir, "server.exe"))
	var stderr bytes.Buffer
	server.Dir, server.Stderr = dir, &stderr
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
	})
	uri, err := bufio.NewReader(stdout).ReadString('\n')
	if uri = strings.TrimSpace(uri); err != nil || !strings.HasPrefix(uri, "PYROSSL://localhost:") {
		server.Wait()
		t.Fatalf("the server printed %q (%v)\n%s", uri, err, stderr.String())
	}

	build(t, dir, "client", published, uri)
	client := exec.Command(filepath.Join(dir, "client.exe"))
	client.Dir = dir
	out, err := client.CombinedOutput()
	if want := "hello email:alice@bank.example from the README\n"; err != nil || string(out) != want {
		t.Errorf("the client printed %q (%v), want %q", out, err, want)
	}
}

// build builds a program with one piece of its text replaced.
func build(t *testing.T, dir, name, old, replacement string) {
	t.Helper()
	source, err := filepath.Abs(filepath.Join(name, "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), old) != 1 {
		t.Fatalf("%s does not have %q once", source, old)
	}
	changed := filepath.Join(dir, name+".go")
	overlay := filepath.Join(dir, name+".json")
	write(t, changed, strings.Replace(string(text), old, replacement, 1))
	write(t, overlay, `{"Replace": {`+quote(source)+`: `+quote(changed)+`}}`)
	c := exec.Command("go", "build", "-overlay", overlay, "-o", filepath.Join(dir, name+".exe"), "./"+name)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", c, err, out)
	}
}

func quote(s string) string { return `"` + filepath.ToSlash(s) + `"` }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
