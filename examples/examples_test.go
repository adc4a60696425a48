package examples_test

import (
	"testing"

	"github.com/pyrossl/pyrossl/examples/internal/exampletest"
	"github.com/pyrossl/pyrossl/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// played are the sections of the README that are run as they stand there. The others
// have tests of their own.
var played = []string{
	"quickstart", "quickstart-nons", "ssl", "authenticate", "user_passwd_auth", "denyhosts",
	"callback", "factory", "sessions", "tlstest", "oneway",
}

func TestPlay(t *testing.T) {
	for _, name := range played {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			exampletest.New(t, name).Play()
		})
	}
}
