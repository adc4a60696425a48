package explain_test

import (
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker/explain"
)

// TestFiltered is a port that answers no SYN: its queue of connections is full, and the
// kernel drops what comes, as a firewall would.
func TestFiltered(t *testing.T) {
	sabotage{
		name: "filtered", step: "tcp", who: explain.Network, want: explain.Failed,
		texts: []string{"no answer in time", "firewall"},
		world: func(w *world) explain.Options {
			o := w.options(fmt.Sprintf("PYROSSL://%s:%d/bank", host, w.full()))
			o.Timeout = 500 * time.Millisecond
			return o
		},
	}.run(t)
}

// full is a port whose queue is full.
func (w *world) full() int {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		w.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		w.Fatal(err)
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		w.Fatal(err)
	}
	port := bound.(*syscall.SockaddrInet4).Port
	for range 16 { // until one gets no answer
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), 300*time.Millisecond)
		if err != nil {
			return port
		}
		w.Cleanup(func() { c.Close() })
	}
	w.Fatal("the queue does not fill")
	return 0
}
