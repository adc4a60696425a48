package memnet_test

import (
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyrossl/pyrossl/internal/memnet"
)

func TestDeadlines(t *testing.T) {
	past, none := time.Unix(1, 0), time.Time{}
	for _, tt := range []struct {
		name string
		test func(t *testing.T, a, b *memnet.Conn)
	}{
		{"past", func(t *testing.T, a, b *memnet.Conn) {
			write(t, b, "waiting")
			a.SetDeadline(past)
			readFails(t, a, os.ErrDeadlineExceeded) // although there is something
			writeFails(t, a, os.ErrDeadlineExceeded)
			a.SetDeadline(none)
			read(t, a, "waiting")
			write(t, a, "fine")
		}},
		{"present", func(t *testing.T, a, b *memnet.Conn) {
			a.SetDeadline(time.Now())
			readFails(t, a, os.ErrDeadlineExceeded)
			writeFails(t, a, os.ErrDeadlineExceeded)
		}},
		{"future", func(t *testing.T, a, b *memnet.Conn) {
			a.SetDeadline(time.Now().Add(time.Second))
			blocked(t, a, os.ErrDeadlineExceeded, os.ErrDeadlineExceeded)
			readFails(t, a, os.ErrDeadlineExceeded)
		}},
		{"read only", func(t *testing.T, a, b *memnet.Conn) {
			a.SetReadDeadline(past)
			write(t, a, "fine")
			readFails(t, a, os.ErrDeadlineExceeded)
		}},
		{"write only", func(t *testing.T, a, b *memnet.Conn) {
			a.SetWriteDeadline(past)
			write(t, b, "fine")
			read(t, a, "fine")
			writeFails(t, a, os.ErrDeadlineExceeded)
		}},
		{"set while waiting", func(t *testing.T, a, b *memnet.Conn) {
			time.AfterFunc(time.Second, func() { a.SetDeadline(past) })
			blocked(t, a, os.ErrDeadlineExceeded, os.ErrDeadlineExceeded)
		}},
		{"moved later while waiting", func(t *testing.T, a, b *memnet.Conn) {
			start := time.Now()
			a.SetReadDeadline(start.Add(time.Second))
			time.AfterFunc(time.Second/2, func() { a.SetReadDeadline(start.Add(3 * time.Second)) })
			readFails(t, a, os.ErrDeadlineExceeded)
			if got := time.Since(start); got != 3*time.Second {
				t.Errorf("read waited %v, want 3s", got)
			}
		}},
		{"taken back", func(t *testing.T, a, b *memnet.Conn) {
			a.SetReadDeadline(time.Now().Add(time.Second))
			a.SetReadDeadline(none)
			time.AfterFunc(time.Hour, func() { b.Write([]byte("late")) })
			read(t, a, "late")
		}},
		{"partial write", func(t *testing.T, a, b *memnet.Conn) {
			a.SetWriteDeadline(time.Now().Add(time.Second))
			n, err := a.Write(make([]byte, 100<<10))
			if n != 64<<10 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("wrote %d, %v, want a full buffer and a timeout", n, err)
			}
		}},
		{"the other end has none", func(t *testing.T, a, b *memnet.Conn) {
			a.SetDeadline(past)
			write(t, b, "fine")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) { inBubble(t, tt.test) })
	}
}

// TestDurablyBlocked has an hour pass while calls wait: the bubble's clock only
// moves when every goroutine is durably blocked.
func TestDurablyBlocked(t *testing.T) {
	inBubble(t, func(t *testing.T, a, b *memnet.Conn) {
		go a.Read(make([]byte, 1))
		go a.Write(make([]byte, 1<<20))
		go a.Write(make([]byte, 1<<20))
		start := time.Now()
		time.Sleep(time.Hour)
		if got := time.Since(start); got != time.Hour {
			t.Errorf("%v went by, want an hour", got)
		}
		synctest.Wait()
	})
}
