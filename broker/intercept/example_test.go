package intercept_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/brokertest"
	"github.com/pyrossl/pyrossl/broker/intercept"
)

type Greeter struct{}

func (Greeter) Hello(name string) string { return "hello " + name }

// A daemon that logs every call, counts it, and lets each identity make two at once and
// then one in a minute.
func Example() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == "time" || a.Key == "duration" {
			return slog.Attr{} // not the same each time
		}
		return a
	}}))
	metrics, err := intercept.NewMetrics(intercept.MetricsConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	rate, err := intercept.Rate(intercept.RateConfig{PerSecond: 1. / 60, Burst: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	w := brokertest.New(new(testing.T), brokertest.Config{
		Objects: map[string]any{"greeter": Greeter{}}, InMemory: true,
		Daemon: func(c *broker.Config) {
			c.Interceptors = []broker.Interceptor{intercept.Log(logger), metrics.Intercept, rate}
		},
	})
	defer w.Close()
	for range 3 {
		w.Proxy("alice", "greeter").Call(context.Background(), "Hello", nil, "world")
	}
	var b strings.Builder
	metrics.WriteMetrics(&b)
	for line := range strings.Lines(b.String()) {
		if strings.Contains(line, `object="greeter"`) && strings.Contains(line, "kind=") {
			fmt.Print(line)
		}
	}
	// Output:
	// level=INFO msg=call object=greeter method=Hello identity=alice kind=ok
	// level=INFO msg=call object=greeter method=Hello identity=alice kind=ok
	// level=WARN msg=call object=greeter method=Hello identity=alice kind="too many calls"
	// pyrossl_method_calls_total{direction="in",object="greeter",method="Hello",kind="ok"} 2
	// pyrossl_method_calls_total{direction="in",object="greeter",method="Hello",kind="too many calls"} 1
}

// At most ten calls of each method run side by side, whoever makes them.
func ExampleConcurrency() {
	limit, err := intercept.Concurrency(intercept.ConcurrencyConfig{Max: 10, Key: intercept.ByMethod})
	if err != nil {
		fmt.Println(err)
		return
	}
	config := broker.Config{Interceptors: []broker.Interceptor{limit}}
	fmt.Println(len(config.Interceptors))
	// Output: 1
}
