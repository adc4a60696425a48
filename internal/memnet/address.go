package memnet

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Ports that are not asked for come from firstPort and up.
const firstPort = 40000

// An endpoint is a canonical address: host is lower case, or empty for a
// listener on every address.
type endpoint struct {
	host string
	port uint16
}

// resolve needs n.mu.
func (n *Network) resolve(host string) netip.Addr {
	if host == "" {
		return netip.IPv4Unspecified()
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip
	}
	if host == "localhost" {
		return loopback(netip.Addr{})
	}
	ip, ok := n.names[host]
	if !ok {
		i := len(n.names) + 1
		ip = netip.AddrFrom4([4]byte{127, byte(1 + i>>16), byte(i >> 8), byte(i)})
		n.names[host] = ip
	}
	return ip
}

// nextPort needs n.mu.
func (n *Network) nextPort() uint16 {
	n.lastPort = max(n.lastPort+1, firstPort)
	return n.lastPort
}

// freePort needs n.mu.
func (n *Network) freePort() uint16 {
	for {
		port, taken := n.nextPort(), false
		for at := range n.listeners {
			taken = taken || at.port == port
		}
		if !taken {
			return port
		}
	}
}

// loopback is the address that a connection to ip comes from.
func loopback(ip netip.Addr) netip.Addr {
	if ip.Is6() && !ip.Is4In6() {
		return netip.IPv6Loopback()
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

func parseEndpoint(addr string) (endpoint, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return endpoint{}, err
	}
	p, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return endpoint{}, &net.AddrError{Err: "invalid port", Addr: addr}
	}
	host = strings.ToLower(host)
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.Unmap().String()
		if ip.IsUnspecified() {
			host = ""
		}
	}
	return endpoint{host, uint16(p)}, nil
}
