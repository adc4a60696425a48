package brokertest_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/brokertest"
	"github.com/pyrossl/pyrossl/validator"
)

type greeter struct{}

func (greeter) Hello(ctx context.Context) string {
	id := broker.Caller(ctx).Identity
	return "hello " + strings.Join(append([]string{id.Name}, id.Roles...), " ")
}

func (greeter) Wait(ctx context.Context, seconds int) error {
	select {
	case <-time.After(time.Duration(seconds) * time.Second):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func objects() map[string]any { return map[string]any{"greeter": greeter{}} }

// TestWorld runs the same scenario over both networks.
func TestWorld(t *testing.T) {
	scenario := func(t *testing.T, inMemory bool) {
		var log bytes.Buffer
		w := brokertest.New(t, brokertest.Config{
			Objects: objects(), InMemory: inMemory, Log: &log,
			Roles: map[string][]string{"alice": {"teller"}},
			Rules: []validator.Rule{{Name: "tellers", Effect: validator.Allow, Roles: []string{"teller"}, Objects: []string{"greeter"}, Methods: []string{"*"}}},
		})
		var got string
		if err := w.Proxy("alice", "greeter").Call(t.Context(), "Hello", &got); err != nil || got != "hello alice teller" {
			t.Errorf("alice: %q, %v", got, err)
		}
		if err := w.Proxy("mallory", "greeter").Call(t.Context(), "Hello", &got); !errors.Is(err, broker.KindDenied) {
			t.Errorf("mallory: %v", err)
		}
		if first, second := w.Client("alice"), w.Client("alice"); first != second {
			t.Error("two clients of one name")
		}
		w.Close()
		if !strings.Contains(log.String(), "call denied") {
			t.Errorf("log: %s", log.String())
		}
	}
	t.Run("loopback", func(t *testing.T) { scenario(t, false) })
	t.Run("in memory", func(t *testing.T) { scenario(t, true) })
	t.Run("bubble", func(t *testing.T) { synctest.Test(t, func(t *testing.T) { scenario(t, true) }) })
}

// TestFakeTime lets an hour pass in a bubble: calls that wait, deadlines, and the
// heartbeats of an idle connection.
func TestFakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := brokertest.New(t, brokertest.Config{Objects: objects(), InMemory: true})
		defer w.Close()
		p := w.Proxy("alice", "greeter")
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := p.Call(ctx, "Wait", nil, 1800); err != nil {
			t.Errorf("half an hour: %v", err)
		}
		if err := p.Call(ctx, "Wait", nil, 3600); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("beyond the deadline: %v", err)
		}
		if took := time.Since(begin); took < time.Hour || took > time.Hour+time.Second {
			t.Errorf("took %v", took)
		}
		time.Sleep(time.Hour)
		if err := p.Call(t.Context(), "Wait", nil, 1); err != nil {
			t.Errorf("after an idle hour: %v", err)
		}
	})
}
