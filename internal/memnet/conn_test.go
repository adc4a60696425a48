package memnet_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyrossl/pyrossl/internal/memnet"
)

// inBubble runs a test of one connection under fake time. Every goroutine that a
// test forgets makes the bubble fail.
func inBubble(t *testing.T, f func(t *testing.T, a, b *memnet.Conn), opts ...memnet.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a, b := memnet.Pipe(opts...)
		defer a.Close()
		defer b.Close()
		f(t, a.(*memnet.Conn), b.(*memnet.Conn))
	})
}

func write(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if n, err := io.WriteString(c, s); n != len(s) || err != nil {
		t.Fatalf("writing %d bytes: got %d, %v", len(s), n, err)
	}
}

func read(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v, want %q", got[:n], err, want)
	}
}

// fails checks that an operation failed as TCP's does: with an OpError that says
// which operation it was, between which addresses, around want.
func fails(t *testing.T, c net.Conn, op string, err, want error) {
	t.Helper()
	var opErr *net.OpError
	switch {
	case !errors.Is(err, want):
		t.Fatalf("%s: got error %v, want %v", op, err, want)
	case !errors.As(err, &opErr) || opErr.Op != op || opErr.Net != "tcp" || opErr.Source != c.LocalAddr() || opErr.Addr != c.RemoteAddr():
		t.Fatalf("%s: got error %#v, want a net.OpError of this connection", op, err)
	case opErr.Timeout() != (want == os.ErrDeadlineExceeded):
		t.Fatalf("%s: error %v says timeout %v", op, err, opErr.Timeout())
	}
}

func readFails(t *testing.T, c net.Conn, want error) {
	t.Helper()
	n, err := c.Read(make([]byte, 8))
	if n != 0 {
		t.Fatalf("read %d bytes, want error %v", n, want)
	}
	fails(t, c, "read", err, want)
}

func writeFails(t *testing.T, c net.Conn, want error) {
	t.Helper()
	n, err := c.Write(make([]byte, 8))
	if n != 0 {
		t.Fatalf("wrote %d bytes, want error %v", n, want)
	}
	fails(t, c, "write", err, want)
}

func readEOF(t *testing.T, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 8)); n != 0 || err != io.EOF {
		t.Fatalf("got %d, %v, want io.EOF itself", n, err)
	}
}

func TestBothWays(t *testing.T) {
	inBubble(t, func(t *testing.T, a, b *memnet.Conn) {
		data := make([]byte, 1<<20) // many times the buffer
		for i := range data {
			data[i] = byte(rand.Uint32())
		}
		var wg sync.WaitGroup
		for _, c := range []net.Conn{a, b} {
			wg.Go(func() {
				for rest := data; len(rest) > 0; {
					n := min(len(rest), 1+rand.IntN(100_000))
					if m, err := c.Write(rest[:n]); m != n || err != nil {
						t.Errorf("write: %d of %d, %v", m, n, err)
						return
					}
					rest = rest[n:]
				}
			})
			wg.Go(func() {
				got := make([]byte, 0, len(data))
				for len(got) < len(data) {
					n, err := c.Read(got[len(got):min(cap(got), len(got)+1+rand.IntN(100_000))])
					if err != nil {
						t.Errorf("read: %v", err)
						return
					}
					got = got[:len(got)+n]
				}
				if !bytes.Equal(got, data) {
					t.Error("bytes were changed on their way")
				}
			})
		}
		wg.Wait()
	})
}

func TestBuffered(t *testing.T) {
	inBubble(t, func(t *testing.T, a, b *memnet.Conn) {
		write(t, a, "0123456789") // nobody reads
		var n int
		var err error
		done := false
		go func() {
			n, err = a.Write([]byte("abcdefghijkl"))
			done = true
		}()
		synctest.Wait()
		if done {
			t.Fatalf("a write beyond the buffer returned %d, %v before anybody read", n, err)
		}
		read(t, b, "0123456789abcdef")
		synctest.Wait()
		if !done || n != 12 || err != nil {
			t.Fatalf("after a read: done %v, wrote %d, %v", done, n, err)
		}
		read(t, b, "ghijkl")
	}, memnet.BufferSize(16))
}

func TestEmpty(t *testing.T) {
	inBubble(t, func(t *testing.T, a, b *memnet.Conn) {
		if n, err := a.Read(nil); n != 0 || err != nil {
			t.Errorf("empty read: %d, %v", n, err)
		}
		if n, err := a.Write(nil); n != 0 || err != nil {
			t.Errorf("empty write: %d, %v", n, err)
		}
		a.Close()
		if _, err := a.Read(nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("empty read after close: %v", err)
		}
	})
}

// TestEnds is what each end sees after one of them went away.
func TestEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		test func(t *testing.T, a, b *memnet.Conn)
	}{
		{"close", func(t *testing.T, a, b *memnet.Conn) {
			write(t, a, "bye")
			write(t, b, "unread")
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
			fails(t, a, "close", a.Close(), net.ErrClosed)
			fails(t, a, "close", a.CloseWrite(), net.ErrClosed)
			fails(t, a, "set", a.SetDeadline(time.Now()), net.ErrClosed)
			readFails(t, a, net.ErrClosed)
			writeFails(t, a, net.ErrClosed)
			writeFails(t, b, syscall.EPIPE)
			read(t, b, "bye")
			readEOF(t, b)
			readEOF(t, b)
		}},
		{"half close", func(t *testing.T, a, b *memnet.Conn) {
			write(t, a, "request")
			for range 2 {
				if err := a.CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			writeFails(t, a, syscall.EPIPE)
			read(t, b, "request")
			readEOF(t, b)
			write(t, b, "answer")
			read(t, a, "answer")
			b.Close()
			readEOF(t, a)
		}},
		{"abort", func(t *testing.T, a, b *memnet.Conn) {
			write(t, a, "lost")
			a.Abort()
			readFails(t, a, net.ErrClosed)
			readFails(t, b, syscall.ECONNRESET)
			readFails(t, b, syscall.ECONNRESET)
			writeFails(t, b, syscall.EPIPE)
			b.Close()
			readFails(t, b, net.ErrClosed)
		}},
		{"close wakes its own", func(t *testing.T, a, b *memnet.Conn) {
			time.AfterFunc(time.Second, func() { a.Close() })
			blocked(t, a, net.ErrClosed, net.ErrClosed)
		}},
		{"close wakes the peer", func(t *testing.T, a, b *memnet.Conn) {
			time.AfterFunc(time.Second, func() { b.Close() })
			blocked(t, a, io.EOF, syscall.EPIPE)
		}},
		{"abort wakes the peer", func(t *testing.T, a, b *memnet.Conn) {
			time.AfterFunc(time.Second, b.Abort)
			blocked(t, a, syscall.ECONNRESET, syscall.EPIPE)
		}},
		{"half close wakes its writer", func(t *testing.T, a, b *memnet.Conn) {
			time.AfterFunc(time.Second, func() { a.CloseWrite() })
			time.AfterFunc(2*time.Second, func() { b.CloseWrite() })
			blocked(t, a, io.EOF, syscall.EPIPE)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) { inBubble(t, tt.test) })
	}
}

// blocked makes a read and a write that wait and expects each to end with an
// error, not before a second has gone by.
func blocked(t *testing.T, c net.Conn, wantRead, wantWrite error) {
	t.Helper()
	start := time.Now()
	var wg sync.WaitGroup
	check := func(op string, err, want error) {
		if !errors.Is(err, want) || time.Since(start) < time.Second {
			t.Errorf("blocked %s: got error %v after %v, want %v after a second", op, err, time.Since(start), want)
		}
	}
	wg.Go(func() {
		_, err := c.Read(make([]byte, 1))
		check("read", err, wantRead)
	})
	for range 2 { // the second one waits for the first
		wg.Go(func() {
			_, err := c.Write(make([]byte, 100<<10))
			check("write", err, wantWrite)
		})
	}
	wg.Wait()
}

func TestResetUnread(t *testing.T) {
	inBubble(t, func(t *testing.T, a, b *memnet.Conn) {
		write(t, b, "too early")
		write(t, a, "the reason")
		a.Close()
		readFails(t, b, syscall.ECONNRESET)
	}, memnet.ResetUnread())
	inBubble(t, func(t *testing.T, a, b *memnet.Conn) {
		write(t, b, "question")
		read(t, a, "question")
		write(t, a, "the reason")
		a.Close()
		read(t, b, "the reason")
		readEOF(t, b)
	}, memnet.ResetUnread())
}

func TestErrorText(t *testing.T) {
	a, b := memnet.Pipe()
	b.Close()
	_, err := a.Write([]byte("x"))
	if want := "write: broken pipe"; err == nil || !strings.HasSuffix(err.Error(), want) || !strings.HasPrefix(err.Error(), "write tcp 127.0.0.1:") {
		t.Errorf("got %v, want %q between two addresses", err, want)
	}
}

func TestAddresses(t *testing.T) {
	a, b := memnet.Pipe()
	if a.LocalAddr().String() != b.RemoteAddr().String() || b.LocalAddr().String() != a.RemoteAddr().String() || a.LocalAddr().String() == b.LocalAddr().String() {
		t.Errorf("addresses do not fit: %v->%v, %v->%v", a.LocalAddr(), a.RemoteAddr(), b.LocalAddr(), b.RemoteAddr())
	}
	if _, ok := a.LocalAddr().(*net.TCPAddr); !ok {
		t.Errorf("local address is a %T", a.LocalAddr())
	}
}

// TestConcurrentWrites shows that writes are not mixed.
func TestConcurrentWrites(t *testing.T) {
	inBubble(t, func(t *testing.T, a, b *memnet.Conn) {
		const writers, size = 8, 1000
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() { write(t, a, strings.Repeat(string(rune('a'+i)), size)) })
		}
		wg.Go(func() {
			for range writers {
				got := make([]byte, size)
				if _, err := io.ReadFull(b, got); err != nil {
					t.Error(err)
					return
				}
				if strings.Trim(string(got), string(got[:1])) != "" {
					t.Errorf("two writes are mixed: %q", got)
				}
			}
		})
		wg.Wait()
	}, memnet.BufferSize(64))
}

// TestConcurrentMethods is for the race detector.
func TestConcurrentMethods(t *testing.T) {
	a, b := memnet.Pipe(memnet.BufferSize(100))
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() { a.Read(make([]byte, 64)) })
		wg.Go(func() { a.Write(make([]byte, 64)) })
		wg.Go(func() { b.Read(make([]byte, 64)) })
		wg.Go(func() { b.Write(make([]byte, 64)) })
		wg.Go(func() { a.SetDeadline(time.Now().Add(time.Duration(i) * time.Millisecond)) })
		wg.Go(func() { b.SetReadDeadline(time.Now().Add(time.Duration(i) * time.Millisecond)) })
		wg.Go(func() { b.SetWriteDeadline(time.Now().Add(time.Duration(i) * time.Millisecond)) })
		wg.Go(func() { a.(*memnet.Conn).Stall(); a.(*memnet.Conn).Resume() })
		wg.Go(func() { a.LocalAddr(); b.RemoteAddr() })
	}
	time.AfterFunc(60*time.Millisecond, func() {
		a.Close()
		b.(*memnet.Conn).Abort()
	})
	wg.Wait()
}
