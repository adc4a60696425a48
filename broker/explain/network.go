package explain

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// maxAddresses bounds how many addresses of a host are tried.
const maxAddresses = 16

// lookUp asks for the addresses of the host.
func (d *diagnosis) lookUp(s *Step) {
	host := d.uri.Host
	if addr, err := netip.ParseAddr(host); err == nil {
		d.addresses = []string{d.at(addr)}
		s.skip(host + " is an address, and needs no look-up")
		s.fact("the server's certificate must have it as an IP name; a DNS name that looks like it does not count")
		return
	}
	ctx, cancel := d.bounded()
	defer cancel()
	addrs, err := d.options.Resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		s.unresolved(host, err)
		return
	}
	var texts []string
	for _, a := range addrs {
		a = a.Unmap()
		if text := a.String(); !slices.Contains(texts, text) && len(texts) < maxAddresses {
			texts = append(texts, text)
			d.addresses = append(d.addresses, d.at(a))
		}
	}
	s.ok(host + " is " + strings.Join(texts, ", "))
}

func (d *diagnosis) at(a netip.Addr) string {
	return net.JoinHostPort(a.String(), strconv.Itoa(int(d.uri.Port)))
}

// unresolved explains a look-up that failed.
func (s *Step) unresolved(host string, err error) {
	dns, ok := errors.AsType[*net.DNSError](err)
	switch {
	case ok && dns.IsNotFound:
		s.fail(fmt.Sprintf("there is no host %s (NXDOMAIN, or no address)", host), "a name that resolves to an address")
		s.fix(Client, "check the host in the URI for a misspelling, and the search domain of this machine")
		s.fix(Server, "enter the name in DNS, or publish the daemon under one that is there: broker serve --publish HOST:PORT")
	case timedOut(err) || ok && dns.IsTimeout:
		s.fail(fmt.Sprintf("no answer about %s in time", host), "an answer from the name servers of this machine")
		s.fix(Network, "see whether DNS can be reached from here: the servers in /etc/resolv.conf, port 53")
	default:
		s.fail(fmt.Sprintf("%s cannot be looked up: %v", host, err), "an answer from the name servers of this machine")
		s.fix(Network, "see which name server fails, and why")
	}
}

// connection is an attempt to reach one address.
type connection struct {
	address string
	conn    net.Conn
	err     error
}

// dialAll tries all addresses side by side.
func (d *diagnosis) dialAll() []connection {
	ctx, cancel := d.bounded()
	defer cancel()
	all := make([]connection, len(d.addresses))
	var wg sync.WaitGroup
	for i, address := range d.addresses {
		wg.Go(func() {
			conn, err := d.options.Dial(ctx, "tcp", address)
			all[i] = connection{address, conn, err}
		})
	}
	wg.Wait()
	return all
}

// connectTCP tries each address.
func (d *diagnosis) connectTCP(s *Step) {
	all := d.dialAll()
	var open, texts []string
	var worst error
	for _, c := range all {
		if c.err == nil {
			c.conn.Close()
			open = append(open, c.address)
			texts = append(texts, c.address+": connected")
			continue
		}
		texts = append(texts, c.address+": "+why(c.err))
		if worst == nil || !elsewhere(c.err) {
			worst = c.err
		}
	}
	d.addresses = open
	switch {
	case len(open) == len(all):
		s.ok(strings.Join(texts, "; "))
	case len(open) > 0:
		s.ok(strings.Join(texts, "; "))
		if !elsewhere(worst) {
			s.State = Warn
			s.fact("a client that tries another address first loses time, or does not connect")
			s.unreached(d.uri.Host, worst)
		}
	default:
		s.fail(strings.Join(texts, "; "), fmt.Sprintf("a daemon that listens at port %d", d.uri.Port))
		s.unreached(d.uri.Host, worst)
	}
}

// elsewhere reports whether an address is of a kind that this machine has no way to, such
// as IPv6 where there is none.
func elsewhere(err error) bool {
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)
}

// why says in a few words why nothing was reached.
func why(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused, nothing listens there"
	case timedOut(err):
		return "no answer in time"
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no way leads there"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "this machine does not allow it"
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	return err.Error()
}

// unreached says what to do about an address where nothing was reached.
func (s *Step) unreached(host string, err error) {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		s.fix(Client, "check the port in the URI against those that the daemon prints when it starts")
		s.fix(Server, "start the daemon, or have it listen at this address and not only on loopback: broker serve --listen")
	case timedOut(err):
		s.fix(Network, "let this port through: a firewall or a security group that drops packets looks like this")
		s.fix(Client, "check that "+host+" is the right host, and that it is up")
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		s.fix(Client, "let this program connect: a firewall or a sandbox on this machine forbids it")
	default:
		s.fix(Network, "see whether a way leads from this machine to "+host)
	}
}

func timedOut(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}
