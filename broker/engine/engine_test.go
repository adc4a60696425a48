package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pyrossl/pyrossl/broker/engine"
	"github.com/pyrossl/pyrossl/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

func open(t *testing.T, c engine.Config) *engine.Engine {
	t.Helper()
	c.Logger = slog.New(slog.DiscardHandler)
	e, err := engine.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func refused(t *testing.T, c engine.Config, is error, parts ...string) {
	t.Helper()
	c.Logger = slog.New(slog.DiscardHandler)
	e, err := engine.Open(t.Context(), c)
	if err == nil {
		e.Close()
		t.Fatalf("%+v was accepted", c)
	}
	if is != nil && !errors.Is(err, is) {
		t.Errorf("got %v, want %v", err, is)
	}
	for _, part := range append(parts, "engine: ") {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want %q in it", err, part)
		}
	}
}

// bucket makes a bucket with n keys.
func bucket(t *testing.T, e *engine.Engine, n int) jetstream.KeyValue {
	t.Helper()
	b, err := e.Bucket(t.Context(), jetstream.KeyValueConfig{Bucket: "names", History: 1})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := b.Create(t.Context(), fmt.Sprintf("k%d", i), []byte("value")); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// TestRestart: what was written is there when the engine is started again, under the same
// name.
func TestRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by", "the engine")
	e := open(t, engine.Config{Dir: dir})
	bucket(t, e, 100)
	name := e.Status(t.Context()).Server
	if err := errors.Join(e.Close(), e.Close()); err != nil {
		t.Fatal(err)
	}
	<-e.Done()
	e = open(t, engine.Config{Dir: dir, Sync: engine.Sync(time.Second)})
	b := bucket(t, e, 0)
	if _, err := b.Create(t.Context(), "k7", nil); !errors.Is(err, jetstream.ErrKeyExists) {
		t.Errorf("got %v, want %v", err, jetstream.ErrKeyExists)
	}
	st := e.Status(t.Context())
	if st.Server != name || st.Mode != "embedded" || !st.Connected || st.Sync != "1s" || st.Directory != dir || st.Streams != 1 || st.Store == 0 || st.MaxStore != 8<<30 || st.Error != "" {
		t.Errorf("got %+v, want the server %s", st, name)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
}

func TestRefusedDirectories(t *testing.T) {
	t.Run("none", func(t *testing.T) { refused(t, engine.Config{}, nil, "Config.Dir is empty") })
	t.Run("negative", func(t *testing.T) {
		refused(t, engine.Config{Dir: t.TempDir(), MaxStore: -1}, nil, "negative")
	})
	t.Run("in use", func(t *testing.T) {
		dir := t.TempDir()
		e := open(t, engine.Config{Dir: dir})
		refused(t, engine.Config{Dir: dir}, engine.ErrInUse, dir, "stop the other process")
		bucket(t, e, 1) // it goes on
	})
	t.Run("a file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "file")
		write(t, path, "")
		refused(t, engine.Config{Dir: path}, nil, path, "want a directory")
	})
	t.Run("below a file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "file")
		write(t, path, "")
		refused(t, engine.Config{Dir: filepath.Join(path, "dir")}, nil, path, "want a directory")
	})
	t.Run("not writable", func(t *testing.T) {
		refused(t, engine.Config{Dir: "/proc"}, nil, "/proc", "want a directory that can be written to")
	})
	t.Run("another's data", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "jetstream"), 0o700); err != nil {
			t.Fatal(err)
		}
		refused(t, engine.Config{Dir: dir}, nil, "it has data, but no engine.json")
	})
	t.Run("a manifest that says nothing", func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "engine.json"), "{")
		refused(t, engine.Config{Dir: dir}, nil, "engine.json cannot be read", "backup")
	})
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDamaged: a stream that is gone or cannot be read is not replaced by an empty one.
func TestDamaged(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(t *testing.T, stream string)
	}{
		{"removed", func(t *testing.T, stream string) {
			if err := os.RemoveAll(stream); err != nil {
				t.Fatal(err)
			}
		}},
		{"no configuration", func(t *testing.T, stream string) {
			if err := os.Remove(filepath.Join(stream, "meta.inf")); err != nil {
				t.Fatal(err)
			}
		}},
		{"another configuration", func(t *testing.T, stream string) { write(t, filepath.Join(stream, "meta.inf"), "{}") }},
		{"a message overwritten", func(t *testing.T, stream string) { overwrite(t, stream, 2000) }},
		{"the last message overwritten", func(t *testing.T, stream string) { overwrite(t, stream, -30) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			e := open(t, engine.Config{Dir: dir})
			bucket(t, e, 100)
			e.Close()
			found, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "KV_names"))
			if err != nil || len(found) != 1 {
				t.Fatal(found, err)
			}
			test.damage(t, found[0])
			refused(t, engine.Config{Dir: dir}, engine.ErrDamaged, "KV_names", "backup")
			refused(t, engine.Config{Dir: dir}, engine.ErrDamaged, "KV_names", "backup") // nor the second time
		})
	}
}

// overwrite damages a stream's file, from its end if the offset is negative.
func overwrite(t *testing.T, stream string, at int64) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(stream, "msgs", "1.blk"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		t.Fatal(err)
	} else if at < 0 {
		at += info.Size()
	}
	if _, err := f.WriteAt([]byte(strings.Repeat("x", 20)), at); err != nil {
		t.Fatal(err)
	}
}

// TestForget: what is removed on purpose is not missed.
func TestForget(t *testing.T) {
	dir := t.TempDir()
	e := open(t, engine.Config{Dir: dir})
	bucket(t, e, 1)
	for range 2 {
		if err := e.Forget(t.Context(), "KV_names"); err != nil {
			t.Fatal(err)
		}
	}
	e.Close()
	open(t, engine.Config{Dir: dir})
}

// TestFull: beyond MaxStore writes are refused, what is there stays, and there is room
// again when something goes.
func TestFull(t *testing.T) {
	e := open(t, engine.Config{Dir: t.TempDir(), MaxStore: 1 << 20})
	b := bucket(t, e, 10)
	big := make([]byte, 100_000)
	var err error
	for i := 0; i < 20 && err == nil; i++ {
		_, err = b.Put(t.Context(), fmt.Sprintf("big%d", i), big)
	}
	if err == nil || !strings.Contains(err.Error(), "insufficient") && !strings.Contains(err.Error(), "resource") {
		t.Errorf("got %v, want a refusal for lack of room", err)
	}
	if _, err := b.Get(t.Context(), "k3"); err != nil {
		t.Error(err)
	}
	if err := b.Purge(t.Context(), "big0"); err != nil {
		t.Logf("a purge needs room, too: %v", err)
	}
}

// TestSync reads what is printed.
func TestSync(t *testing.T) {
	for _, s := range []engine.Sync{engine.SyncAlways, engine.Sync(time.Minute)} {
		if got, err := engine.ParseSync(s.String()); err != nil || got != s {
			t.Errorf("%v: got %v, %v", s, got, err)
		}
	}
	for _, text := range []string{"", "0s", "-1s", "never", "1"} {
		if _, err := engine.ParseSync(text); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

// TestCanceled: an engine that is not wanted any more is not left behind.
func TestCanceled(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if e, err := engine.Open(ctx, engine.Config{Dir: dir, Logger: slog.New(slog.DiscardHandler)}); err == nil {
		e.Close()
		t.Error("it was opened")
	}
	open(t, engine.Config{Dir: dir})
}

// TestRace: many begin at once, and each name has one owner.
func TestRace(t *testing.T) {
	e := open(t, engine.Config{Dir: t.TempDir()})
	bucket(t, e, 0)
	var wg sync.WaitGroup
	won := make(chan int, 1000)
	for range 8 {
		wg.Go(func() {
			b, err := e.Bucket(t.Context(), jetstream.KeyValueConfig{Bucket: "names", History: 1})
			if err != nil {
				t.Error(err)
				return
			}
			for i := range 50 {
				if _, err := b.Create(t.Context(), fmt.Sprint("n", i), nil); err == nil {
					won <- i
				} else if !errors.Is(err, jetstream.ErrKeyExists) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if len(won) != 50 {
		t.Errorf("%d winners of 50 names", len(won))
	}
}
