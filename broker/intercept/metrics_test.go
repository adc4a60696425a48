package intercept_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/intercept"
)

const (
	total   = "pyrossl_method_calls_total"
	seconds = "pyrossl_method_seconds"
	running = "pyrossl_method_calls_running"
)

func newMetrics(t testing.TB, c intercept.MetricsConfig) *intercept.Metrics {
	t.Helper()
	m, err := intercept.NewMetrics(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// scrape writes and reads metrics.
func scrape(t testing.TB, m *intercept.Metrics) map[string]*family {
	t.Helper()
	var b strings.Builder
	if err := m.WriteMetrics(&b); err != nil {
		t.Fatal(err)
	}
	all, err := parse(b.String())
	if err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	return all
}

func about(direction, object, method string, more ...string) map[string]string {
	labels := map[string]string{"direction": direction, "object": object, "method": method}
	for i := 0; i < len(more); i += 2 {
		labels[more[i]] = more[i+1]
	}
	return labels
}

func wantValue(t *testing.T, f *family, name string, labels map[string]string, want float64) {
	t.Helper()
	if got, ok := f.get(name, labels); !ok || math.Abs(got-want) > 1e-9 {
		t.Errorf("%s%v is %v (there: %v), want %v", name, labels, got, ok, want)
	}
}

// TestMetrics makes calls end in every way, and reads the figures of both sides.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := newMetrics(t, intercept.MetricsConfig{}), newMetrics(t, intercept.MetricsConfig{})
		w := newDesk(t, new(desk), []broker.Interceptor{ours.Intercept}, []broker.Interceptor{theirs.Intercept})
		defer w.Close()
		all := ways(t, w)
		synctest.Wait()

		inside, outside := make(map[[2]string]float64), make(map[[2]string]float64)
		shows := map[string]bool{"ok": true, "failed": true, "internal error": true, "wrong arguments": true, "result does not fit": true}
		known := make(map[string]bool) // methods that the daemon has shown to have
		for _, way := range all {
			if way.object != "" {
				inside[[2]string{way.method, way.object}]++
			}
			method := way.method
			known[method] = known[method] || shows[way.caller]
			if !known[method] || way.caller == "no such object" {
				method = "_other"
			}
			outside[[2]string{method, way.caller}]++
		}
		check := func(direction string, m *intercept.Metrics, want map[[2]string]float64) {
			f := scrape(t, m)
			sum := make(map[string]float64)
			for key, n := range want {
				object := "desk"
				if key[0] == "_other" {
					object = key[0]
				}
				wantValue(t, f[total], total, about(direction, object, key[0], "kind", key[1]), n)
				sum[key[0]] += n
			}
			for method, n := range sum {
				object := "desk"
				if method == "_other" {
					object = method
				}
				wantValue(t, f[seconds], seconds+"_count", about(direction, object, method), n)
				wantValue(t, f[running], running, about(direction, object, method), 0)
			}
			for _, s := range f[total].samples {
				if key := [2]string{s.labels["method"], s.labels["kind"]}; s.value != want[key] {
					t.Errorf("%s: %v is %v, want %v", direction, s.labels, s.value, want[key])
				}
			}
		}
		check("in", ours, inside)
		check("out", theirs, outside)
	})
}

func TestMetricsDurations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMetrics(t, intercept.MetricsConfig{Buckets: []float64{0.5, 1, 2}})
		for _, d := range []time.Duration{100 * time.Millisecond, time.Second, time.Second + 1, 3 * time.Second} {
			m.Intercept(t.Context(), by("alice"), func(context.Context) error {
				f := scrape(t, m)
				wantValue(t, f[running], running, about("in", "desk", "Echo"), 1)
				time.Sleep(d)
				return nil
			})
		}
		f := scrape(t, m)
		for le, n := range map[string]float64{"0.5": 1, "1": 2, "2": 3, "+Inf": 4} {
			wantValue(t, f[seconds], seconds+"_bucket", about("in", "desk", "Echo", "le", le), n)
		}
		wantValue(t, f[seconds], seconds+"_sum", about("in", "desk", "Echo"), 5.100000001)
		wantValue(t, f[running], running, about("in", "desk", "Echo"), 0)
	})
}

func TestMetricsRefusesWrongConfigurations(t *testing.T) {
	for _, c := range []intercept.MetricsConfig{
		{Methods: -1}, {Buckets: []float64{1, 1}}, {Buckets: []float64{2, 1}}, {Buckets: []float64{math.NaN()}}, {Buckets: []float64{1, math.Inf(1)}},
	} {
		if _, err := intercept.NewMetrics(c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
	m := newMetrics(t, intercept.MetricsConfig{Buckets: []float64{}})
	m.Intercept(t.Context(), by("alice"), nothing)
	wantValue(t, scrape(t, m)[seconds], seconds+"_bucket", about("in", "desk", "Echo", "le", "+Inf"), 1)
}

// TestMetricsAreBounded: neither objects that come and go nor names that nobody has make
// the figures more than were allowed.
func TestMetricsAreBounded(t *testing.T) {
	m := newMetrics(t, intercept.MetricsConfig{Methods: 10})
	in := func(object string) *broker.CallInfo {
		return &broker.CallInfo{Object: object, Method: "Echo", Incoming: true}
	}
	out := func(object string) *broker.CallInfo {
		return &broker.CallInfo{Object: object, Method: "Echo", URI: "PYROSSL://bank.example:7766/" + object}
	}
	fail := func(kind broker.Kind) func(context.Context) error {
		return func(context.Context) error { return &broker.Error{Kind: kind} }
	}
	for i := range 1000 {
		for _, kind := range []broker.Kind{broker.KindNoObject, broker.KindNoMethod, broker.KindDenied, broker.KindUnreachable, broker.KindLost} {
			m.Intercept(t.Context(), out(fmt.Sprint("made-up-", i)), fail(kind))
		}
		m.Intercept(t.Context(), out(fmt.Sprint("made-up-", i)), func(context.Context) error { return &broker.ConnectionDeniedError{} })
		m.Intercept(t.Context(), out(fmt.Sprint("made-up-", i)), func(context.Context) error { return errors.New("some interceptor's") })
	}
	if n := len(scrape(t, m)[running].samples); n != 2 {
		t.Errorf("%d methods are told apart after calls of none that exists, want the 2 that stand for others", n)
	}
	wantValue(t, scrape(t, m)[total], total, about("out", "_other", "_other", "kind", "no such object"), 1000)
	wantValue(t, scrape(t, m)[total], total, about("out", "_other", "_other", "kind", "connection denied"), 1000)
	wantValue(t, scrape(t, m)[total], total, about("out", "_other", "_other", "kind", "other"), 1000)

	for i := range 1000 { // callbacks, whose names their clients choose
		object := fmt.Sprint("listener-", i, ".ABCDEFGH")
		m.Intercept(t.Context(), &broker.CallInfo{Object: object, Method: "Notify", URI: "PYROPEER:" + object}, nothing)
	}
	wantValue(t, scrape(t, m)[total], total, about("out", "_peer", "Notify", "kind", "ok"), 1000)
	m.Intercept(t.Context(), in("\xff"), nothing) // two such names would look the same
	for i := range 1000 {
		m.Intercept(t.Context(), in(fmt.Sprint("object-", i)), nothing)
		m.Intercept(t.Context(), out(fmt.Sprint("object-", i)), nothing)
	}
	f := scrape(t, m)
	if n := len(f[running].samples); n != 12 {
		t.Errorf("%d methods are told apart, want 10 and 2 that stand for others", n)
	}
	sum := 0.
	for _, s := range f[total].samples {
		if s.labels["kind"] == "ok" {
			sum += s.value
		}
	}
	if sum != 3001 {
		t.Errorf("%v calls are counted, want 3001", sum)
	}
}

// TestMetricsKnowEveryKind: each kind that there is has a figure and a text of its own.
func TestMetricsKnowEveryKind(t *testing.T) {
	seen := make(map[string]bool)
	for k := range 256 {
		kind := broker.Kind(k)
		if strings.HasPrefix(kind.String(), "kind ") {
			continue // there is none with this number
		}
		text := intercept.OutcomeText(intercept.OutcomeIndex(kind, kind.String()))
		if text != kind.String() || seen[text] {
			t.Errorf("kind %d is counted as %q, want %q", k, text, kind)
		}
		seen[text] = true
	}
	if len(seen) < 15 {
		t.Errorf("%d kinds found: that cannot be all", len(seen))
	}
	if text := intercept.OutcomeText(intercept.OutcomeIndex(200, "kind 200")); text != "other" {
		t.Errorf("a kind that nobody knows is counted as %q", text)
	}
}

func TestMetricsAfterPanic(t *testing.T) {
	m := newMetrics(t, intercept.MetricsConfig{})
	func() {
		defer func() { recover() }()
		m.Intercept(t.Context(), by("alice"), func(context.Context) error { panic("in an interceptor behind it") })
	}()
	f := scrape(t, m)
	wantValue(t, f[running], running, about("in", "desk", "Echo"), 0)
	wantValue(t, f[total], total, about("in", "desk", "Echo", "kind", "internal error"), 1)
}

// TestMetricsAtOnce reads while calls are counted: each answer is well-formed, and in the
// end no call is missing.
func TestMetricsAtOnce(t *testing.T) {
	m := newMetrics(t, intercept.MetricsConfig{Methods: 50})
	const callers, calls = 8, 500
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 0))
			for range calls {
				call := &broker.CallInfo{Object: "desk", Method: fmt.Sprint(r.IntN(100)), Incoming: r.IntN(2) == 0}
				m.Intercept(t.Context(), call, nothing)
			}
		})
	}
	for range 20 {
		scrape(t, m)
	}
	wg.Wait()
	f := scrape(t, m)
	sum, count := 0., 0.
	for _, s := range f[total].samples {
		sum += s.value
	}
	for _, s := range f[seconds].samples {
		if s.name == seconds+"_count" {
			count += s.value
		}
	}
	if sum != callers*calls || count != callers*calls {
		t.Errorf("%v calls and %v durations, want %d", sum, count, callers*calls)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestMetricsTellAboutTheirWriter(t *testing.T) {
	if err := newMetrics(t, intercept.MetricsConfig{}).WriteMetrics(brokenWriter{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
}

// TestMetricsBesideTheDaemons: one answer may hold both.
func TestMetricsBesideTheDaemons(t *testing.T) {
	m := newMetrics(t, intercept.MetricsConfig{})
	w := newDesk(t, new(desk), []broker.Interceptor{m.Intercept}, nil)
	var b strings.Builder
	if err := w.Daemon.WriteMetrics(&b); err != nil {
		t.Fatal(err)
	}
	for name := range scrape(t, m) {
		if strings.Contains(b.String(), " "+name+" ") {
			t.Errorf("%s is a family of the daemon's too", name)
		}
	}
}

// FuzzMetrics: whatever objects and methods are called, the answer can be read, and the
// names in it are theirs.
func FuzzMetrics(f *testing.F) {
	f.Add("desk", "Echo", true)
	f.Add("a\"b\\c\nd", `\n"`, true)
	f.Add("_other", "_other", false)
	f.Add("", "\xff\xfe", true)
	f.Add("} 1\n# TYPE x counter\n", "\r\u2028", false)
	f.Fuzz(func(t *testing.T, object, method string, incoming bool) {
		m := newMetrics(t, intercept.MetricsConfig{})
		m.Intercept(t.Context(), &broker.CallInfo{Object: object, Method: method, Incoming: incoming}, nothing)
		direction := "out"
		if incoming {
			direction = "in"
		}
		if strings.ToValidUTF8(object+method, "") != object+method {
			object, method = "_other", "_other"
		}
		wantValue(t, scrape(t, m)[total], total, about(direction, object, method, "kind", "ok"), 1)
	})
}

func BenchmarkMetrics(b *testing.B) {
	m := newMetrics(b, intercept.MetricsConfig{})
	call := by("alice")
	b.ReportAllocs()
	for b.Loop() {
		m.Intercept(b.Context(), call, nothing)
	}
}
