package examples_test

import (
	"testing"

	"github.com/pyrossl/pyrossl/examples/internal/exampletest"
	"github.com/pyrossl/pyrossl/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

func TestQuickstart(t *testing.T) {
	t.Parallel()
	exampletest.New(t, "quickstart").Play()
}

func TestQuickstartNoNS(t *testing.T) {
	t.Parallel()
	exampletest.New(t, "quickstart-nons").Play()
}

func TestSSL(t *testing.T) {
	t.Parallel()
	exampletest.New(t, "ssl").Play()
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	exampletest.New(t, "authenticate").Play()
}

func TestUserPasswdAuth(t *testing.T) {
	t.Parallel()
	exampletest.New(t, "user_passwd_auth").Play()
}

func TestDenyHosts(t *testing.T) {
	t.Parallel()
	exampletest.New(t, "denyhosts").Play()
}
