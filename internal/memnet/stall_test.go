package memnet_test

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyrossl/pyrossl/internal/memnet"
)

// silent checks that nothing reaches c for an hour.
func silent(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(time.Hour))
	readFails(t, c, os.ErrDeadlineExceeded)
	c.SetReadDeadline(time.Time{})
}

func TestStall(t *testing.T) {
	for _, tt := range []struct {
		name string
		test func(t *testing.T, a, b *memnet.Conn)
	}{
		{"bytes", func(t *testing.T, a, b *memnet.Conn) {
			write(t, a, "before")
			b.Stall()
			write(t, a, "during")
			read(t, b, "before")
			silent(t, b)
			write(t, b, "back")
			silent(t, a)
			a.Resume()
			read(t, b, "during")
			read(t, a, "back")
		}},
		{"full buffer", func(t *testing.T, a, b *memnet.Conn) {
			a.Stall()
			a.SetWriteDeadline(time.Now().Add(time.Minute))
			n, err := a.Write(make([]byte, 1<<20))
			if n != 64<<10 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("wrote %d, %v, want one buffer and a timeout", n, err)
			}
		}},
		{"close", func(t *testing.T, a, b *memnet.Conn) {
			a.Stall()
			write(t, a, "last words")
			a.Close()
			readFails(t, a, net.ErrClosed)
			silent(t, b)
			write(t, b, "is anybody there?")
			b.Resume()
			read(t, b, "last words")
			readEOF(t, b)
			writeFails(t, b, syscall.EPIPE)
		}},
		{"half close", func(t *testing.T, a, b *memnet.Conn) {
			a.Stall()
			a.CloseWrite()
			writeFails(t, a, syscall.EPIPE)
			silent(t, b)
			a.Resume()
			readEOF(t, b)
		}},
		{"abort", func(t *testing.T, a, b *memnet.Conn) {
			write(t, a, "arrived")
			a.Stall()
			a.Abort()
			read(t, b, "arrived")
			silent(t, b)
			b.Resume()
			readFails(t, b, syscall.ECONNRESET)
		}},
		{"resume wakes", func(t *testing.T, a, b *memnet.Conn) {
			a.Stall()
			write(t, a, "held")
			time.AfterFunc(time.Minute, a.Resume)
			start := time.Now()
			read(t, b, "held")
			if got := time.Since(start); got != time.Minute {
				t.Errorf("arrived after %v, want a minute", got)
			}
		}},
		{"close wakes its own", func(t *testing.T, a, b *memnet.Conn) {
			a.Stall()
			time.AfterFunc(time.Second, func() { a.Close() })
			blocked(t, a, net.ErrClosed, net.ErrClosed)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) { inBubble(t, tt.test) })
	}
}

func TestNetworkStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		bank, shop := listen(t, n, "bank.example:7766"), listen(t, n, ":7766")
		c, s := connect(t, n, bank, "bank.example:7766")
		other, otherServer := connect(t, n, shop, "shop.example:7766")
		n.Stall("bank.example:7766")
		write(t, c, "held")
		silent(t, s)
		write(t, other, "not held")
		read(t, otherServer, "not held")

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := n.Dial(ctx, "tcp", "bank.example:7766"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dialing into a black hole: got %v, want a timeout", err)
		}
		time.AfterFunc(time.Minute, func() { n.Resume("bank.example:7766") })
		connect(t, n, bank, "bank.example:7766")
		read(t, s, "held")

		// By a name that only the listener for every host answers.
		n.Stall("shop.example:7766")
		silent(t, otherServer)
		shop.Close()
		n.Resume(":7766") // also after its listener has gone
		write(t, other, "again")
		read(t, otherServer, "again")
	})
}

func TestNetworkReset(t *testing.T) {
	n := memnet.New()
	bank, shop := listen(t, n, "bank.example:7766"), listen(t, n, "shop.example:7766")
	c, s := connect(t, n, bank, "bank.example:7766")
	other, otherServer := connect(t, n, shop, "shop.example:7766")
	write(t, c, "lost")
	n.Stall("bank.example:7766")
	n.Reset("bank.example:7766")
	for _, end := range []net.Conn{c, s} {
		readFails(t, end, syscall.ECONNRESET)
		writeFails(t, end, syscall.EPIPE)
	}
	n.Resume("bank.example:7766")
	connect(t, n, bank, "bank.example:7766")
	write(t, other, "unharmed")
	read(t, otherServer, "unharmed")
	n.Reset("nobody.example:1")
}
