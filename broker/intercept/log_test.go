package intercept_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/intercept"
	"github.com/pyrossl/pyrossl/validator"
)

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) records(t *testing.T) (all []map[string]any) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	d := json.NewDecoder(bytes.NewReader(b.b.Bytes()))
	for {
		var r map[string]any
		if err := d.Decode(&r); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
}

var levels = map[string]string{"ok": "INFO", "failed": "INFO", "canceled": "INFO", "internal error": "ERROR"}

// TestLog makes calls end in every way, and compares what both sides log of them.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ours, theirs buffer
		w := newDesk(t, new(desk),
			[]broker.Interceptor{intercept.Log(slog.New(slog.NewJSONHandler(&ours, nil)))},
			[]broker.Interceptor{intercept.Log(slog.New(slog.NewJSONHandler(&theirs, nil)))})
		defer w.Close()
		all := ways(t, w)
		synctest.Wait()

		check := func(side string, log *buffer, kindOf func(way) string, keys ...string) {
			records := log.records(t)
			i := 0
			for _, way := range all {
				want := kindOf(way)
				if want == "" {
					continue
				}
				if i == len(records) {
					t.Fatalf("%s: %d records, want one for %+v too", side, i, way)
				}
				r := records[i]
				i++
				level := levels[want]
				if level == "" {
					level = "WARN"
				}
				if r["msg"] != "call" || r["method"] != way.method || r["kind"] != want || r["level"] != level {
					t.Errorf("%s: got %v, want method %s, kind %q, level %s", side, r, way.method, want, level)
				}
				delete(r, "incident")
				if got := slices.Sorted(maps.Keys(r)); !slices.Equal(got, keys) {
					t.Errorf("%s: keys %q, want %q", side, got, keys)
				}
			}
			if i != len(records) {
				t.Errorf("%s: %d records, want %d: %v", side, len(records), i, records[i:])
			}
		}
		check("object", &ours, func(w way) string { return w.object }, "duration", "identity", "kind", "level", "method", "msg", "object", "time")
		check("caller", &theirs, func(w way) string { return w.caller }, "duration", "kind", "level", "method", "msg", "object", "time", "uri")
		for _, log := range []*buffer{&ours, &theirs} {
			if strings.Contains(log.b.String(), "secret") {
				t.Error("an argument is in the log")
			}
		}
	})
}

func TestLogFields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log buffer
		i := intercept.Log(slog.New(slog.NewJSONHandler(&log, nil)))
		peer := &broker.Peer{Identity: validator.Identity{Name: "alice"}}
		ctx := broker.WithCorrelation(t.Context(), "order-7")
		wait := func(err error) func(context.Context) error {
			return func(context.Context) error { time.Sleep(3 * time.Second); return err }
		}
		i(ctx, &broker.CallInfo{Object: "desk", Method: "Echo", Peer: peer, Incoming: true, Oneway: true}, wait(nil))
		i(t.Context(), &broker.CallInfo{Object: "desk", Method: "Echo", URI: "PYROSSL://bank.example:7766/desk"}, wait(&broker.Error{Kind: broker.KindInternal, Incident: "7QX2-M4"}))
		i(t.Context(), &broker.CallInfo{Object: "desk", Method: "Echo", URI: "PYROSSL://bank.example:7766/desk"}, wait(&broker.ConnectionDeniedError{Incident: "9QX2-M4"}))
		i(t.Context(), &broker.CallInfo{Object: "desk", Method: "Echo", URI: "PYROSSL://bank.example:7766/desk"}, wait(errors.New("the client is closed")))
		func() {
			defer func() { recover() }()
			i(t.Context(), &broker.CallInfo{Object: "desk", Method: "Echo", Peer: peer, Incoming: true}, func(context.Context) error { panic("x") })
		}()
		// An incident that the object's side got from elsewhere is not the caller's.
		i(t.Context(), &broker.CallInfo{Object: "desk", Method: "Echo", Peer: peer, Incoming: true}, wait(&broker.Error{Kind: broker.KindInternal, Incident: "7QX2-M4"}))
		want := []map[string]any{
			{"level": "INFO", "msg": "call", "object": "desk", "method": "Echo", "identity": "alice", "kind": "ok", "duration": 3e9, "oneway": true, "correlation": "order-7"},
			{"level": "ERROR", "msg": "call", "object": "desk", "method": "Echo", "uri": "PYROSSL://bank.example:7766/desk", "kind": "internal error", "duration": 3e9, "incident": "7QX2-M4"},
			{"level": "WARN", "msg": "call", "object": "desk", "method": "Echo", "uri": "PYROSSL://bank.example:7766/desk", "kind": "connection denied", "duration": 3e9, "incident": "9QX2-M4"},
			{"level": "WARN", "msg": "call", "object": "desk", "method": "Echo", "uri": "PYROSSL://bank.example:7766/desk", "kind": "other", "duration": 3e9},
			{"level": "ERROR", "msg": "call", "object": "desk", "method": "Echo", "identity": "alice", "kind": "internal error", "duration": 0.},
			{"level": "INFO", "msg": "call", "object": "desk", "method": "Echo", "identity": "alice", "kind": "failed", "duration": 3e9},
		}
		for n, got := range log.records(t) {
			delete(got, "time")
			if n >= len(want) || !maps.Equal(got, want[n]) {
				t.Errorf("record %d: got %v, want %v", n, got, want[min(n, len(want)-1)])
			}
		}
	})
}
