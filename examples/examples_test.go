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
