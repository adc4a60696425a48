package memnet_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyrossl/pyrossl/internal/memnet"
)

func listen(t *testing.T, n *memnet.Network, addr string) net.Listener {
	t.Helper()
	l, err := n.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// connect makes a connection to addr, which l must answer.
func connect(t *testing.T, n *memnet.Network, l net.Listener, addr string) (client, server *memnet.Conn) {
	t.Helper()
	c, err := n.Dial(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	write(t, c, "hello")
	read(t, s, "hello")
	return c.(*memnet.Conn), s.(*memnet.Conn)
}

func TestWhoAnswers(t *testing.T) {
	for _, tt := range []struct {
		listen, dial string // dial "": the listener's own address
		ok           bool
	}{
		{"127.0.0.1:7766", "127.0.0.1:7766", true},
		{"127.0.0.1:7766", "localhost:7766", true},
		{"localhost:7766", "127.0.0.1:7766", true},
		{"127.0.0.1:7766", "127.0.0.1:7767", false},
		{"127.0.0.1:7766", "127.0.0.2:7766", false},
		{"127.0.0.1:7766", "bank.example:7766", false},
		{"127.0.0.1:0", "", true},
		{":0", "", true},
		{"bank.example:7766", "bank.example:7766", true},
		{"bank.example:7766", "BANK.example:7766", true},
		{"bank.example:7766", "shop.example:7766", false},
		{"bank.example:7766", "127.0.0.1:7766", false},
		{"bank.example:0", "", true},
		{":7766", "anything.example:7766", true},
		{"0.0.0.0:7766", "10.1.2.3:7766", true},
		{"[::]:7766", "[2001:db8::1]:7766", true},
		{"[::1]:7766", "[0::1]:7766", true},
		{"[::1]:7766", "127.0.0.1:7766", false},
	} {
		t.Run(tt.listen+" "+tt.dial, func(t *testing.T) {
			n := memnet.New()
			l := listen(t, n, tt.listen)
			addr := tt.dial
			if addr == "" {
				addr = l.Addr().String()
			}
			if tt.ok {
				c, s := connect(t, n, l, addr)
				if c.RemoteAddr().String() != s.LocalAddr().String() || c.LocalAddr().String() != s.RemoteAddr().String() {
					t.Errorf("addresses do not fit: %v->%v, %v->%v", c.LocalAddr(), c.RemoteAddr(), s.LocalAddr(), s.RemoteAddr())
				}
				return
			}
			_, err := n.Dial(t.Context(), "tcp", addr)
			var opErr *net.OpError
			if !errors.Is(err, syscall.ECONNREFUSED) || !errors.As(err, &opErr) || opErr.Op != "dial" {
				t.Errorf("got error %v, want a net.OpError with ECONNREFUSED", err)
			}
		})
	}
}

func TestMostExactListener(t *testing.T) {
	n := memnet.New()
	every, one := listen(t, n, ":7766"), listen(t, n, "bank.example:7766")
	connect(t, n, one, "bank.example:7766")
	connect(t, n, every, "shop.example:7766")
}

func TestListenErrors(t *testing.T) {
	n := memnet.New()
	l := listen(t, n, "127.0.0.1:7766")
	for _, addr := range []string{"127.0.0.1:7766", "localhost:7766"} {
		if _, err := n.Listen(addr); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("Listen(%q): got %v, want EADDRINUSE", addr, err)
		}
	}
	for _, addr := range []string{"", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1", "::1:7766"} {
		if _, err := n.Listen(addr); err == nil {
			t.Errorf("Listen(%q) succeeded", addr)
		}
		if _, err := n.Dial(t.Context(), "tcp", addr); err == nil || errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("Dial(%q): got %v, want a complaint about the address", addr, err)
		}
	}
	if _, err := n.Dial(t.Context(), "udp", "127.0.0.1:7766"); err == nil {
		t.Error("dialed udp")
	}
	l.Close()
	listen(t, n, "127.0.0.1:7766")
}

func TestListenerClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		l := listen(t, n, "bank.example:7766")
		open, _ := connect(t, n, l, "bank.example:7766")
		accepted := make(chan error)
		go func() {
			l.Accept() // the one that the dial below made
			l.Accept()
			_, err := l.Accept()
			accepted <- err
		}()
		if _, err := n.Dial(t.Context(), "tcp", "bank.example:7766"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		go l.Close()
		l.Close()
		if err := <-accepted; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: got %v, want net.ErrClosed", err)
		}
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("second Close: got %v, want net.ErrClosed", err)
		}
		if _, err := n.Dial(t.Context(), "tcp", "bank.example:7766"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("Dial after Close: got %v, want ECONNREFUSED", err)
		}
		write(t, open, "connections outlive their listener")
	})
}

func TestUnacceptedIsReset(t *testing.T) {
	n := memnet.New()
	l := listen(t, n, "127.0.0.1:0")
	c, err := n.Dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	write(t, c, "hello")
	l.Close()
	readFails(t, c, syscall.ECONNRESET)
}

// TestFullQueue fills the queue of connections that nobody accepts.
func TestFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		l := listen(t, n, "127.0.0.1:7766")
		dial := func(wait time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			defer cancel()
			_, err := n.Dial(ctx, "tcp", "127.0.0.1:7766")
			return err
		}
		made := 0
		for ; made < 10_000 && dial(time.Second) == nil; made++ {
		}
		if made != 128 {
			t.Errorf("%d connections were made, want 128", made)
		}
		err := dial(time.Second)
		var netErr net.Error
		if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &netErr) || !netErr.Timeout() {
			t.Errorf("got %v, want a timeout", err)
		}
		time.AfterFunc(time.Second, func() { l.Accept() })
		if err := dial(time.Minute); err != nil {
			t.Errorf("with room again: %v", err)
		}
		time.AfterFunc(time.Second, func() { l.Close() })
		if err := dial(time.Minute); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("listener closed meanwhile: got %v, want ECONNREFUSED", err)
		}
	})
}

func TestDialCancelled(t *testing.T) {
	n := memnet.New()
	listen(t, n, "127.0.0.1:7766")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.Dial(ctx, "tcp", "127.0.0.1:7766"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestDialFrom(t *testing.T) {
	n := memnet.New()
	l := listen(t, n, ":7766")
	for _, tt := range []struct{ from, to, want string }{
		{"10.1.2.3", "127.0.0.1:7766", "10.1.2.3"},
		{"2001:db8::7", "[::1]:7766", "2001:db8::7"},
		{"", "127.0.0.1:7766", "127.0.0.1"},
		{"", "bank.example:7766", "127.0.0.1"},
		{"", "[2001:db8::1]:7766", "::1"},
	} {
		var from netip.Addr
		if tt.from != "" {
			from = netip.MustParseAddr(tt.from)
		}
		if _, err := n.DialFrom(from)(t.Context(), "tcp", tt.to); err != nil {
			t.Fatal(err)
		}
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got := s.RemoteAddr().(*net.TCPAddr).IP.String(); got != tt.want {
			t.Errorf("from %q to %s: server sees %s, want %s", tt.from, tt.to, got, tt.want)
		}
	}
}
