package examples_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pyrossl/pyrossl/examples/internal/exampletest"
	"github.com/pyrossl/pyrossl/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

func TestQuickstart(t *testing.T)     { t.Parallel(); exampletest.New(t, "quickstart").Play() }
func TestQuickstartNoNS(t *testing.T) { t.Parallel(); exampletest.New(t, "quickstart-nons").Play() }
func TestSSL(t *testing.T)            { t.Parallel(); exampletest.New(t, "ssl").Play() }
func TestAuthenticate(t *testing.T)   { t.Parallel(); exampletest.New(t, "authenticate").Play() }
func TestUserPasswdAuth(t *testing.T) { t.Parallel(); exampletest.New(t, "user_passwd_auth").Play() }
func TestDenyHosts(t *testing.T)      { t.Parallel(); exampletest.New(t, "denyhosts").Play() }
func TestFactory(t *testing.T)        { t.Parallel(); exampletest.New(t, "factory").Play() }
func TestSessions(t *testing.T)       { t.Parallel(); exampletest.New(t, "sessions").AnyOrder().Play() }
func TestTLSTest(t *testing.T)        { t.Parallel(); exampletest.New(t, "tlstest").AnyOrder().Play() }
func TestOneway(t *testing.T)         { t.Parallel(); exampletest.New(t, "oneway").Play() }

func TestCallback(t *testing.T) {
	t.Parallel()
	e := exampletest.New(t, "callback")
	server := e.Start("server")
	bob := e.Begin("client -name bob@bank.example -listen")
	bob.Wait("Listening\n")
	e.Run("client")
	bob.Kill()
	bob.Printed()
	e.Run("client -name alice@bank.example")
	server.Stop()
	server.Printed()
}

// TestReadme: each program stands in the table, and so does each section.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows, sections []string
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "| ["); ok {
			name, _, _ = strings.Cut(name, "]")
			rows = append(rows, name)
		}
		if name, ok := strings.CutPrefix(line, "## "); ok {
			sections = append(sections, strings.TrimSpace(name))
		}
	}
	servers, err := filepath.Glob("*/server/main.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range servers {
		if name := strings.Split(filepath.ToSlash(file), "/")[0]; !slices.Contains(rows, name) {
			t.Errorf("the table of README.md has no row for %s", name)
		}
	}
	for _, name := range sections {
		if !slices.Contains(rows, name) {
			t.Errorf("the table of README.md has no row for its section %s", name)
		}
	}
}
