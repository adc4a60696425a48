package pyroenv_test

import (
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker/pyroenv"
)

// FuzzParse: whatever is accepted lies within the documented limits, does not
// depend on the order of the variables, and nothing panics.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"PYRO_HOST=::1\nPYRO_PORT=0\nPYRO_MAXMESSAGE=4MiB",
		"PYRO_PUBLISHHOST=192.0.2.1\nPYRO_DNS_URI=0\nPYRO_PUBLISHPORT=80",
		"PYROSSL_CERTDIR=/pki\nPYROSSL_CERT=a.crt\nPYROSSL_KEY=../b.key\nPYROSSL_CA_CERT=/ca.crt",
		"PYRO_HANDSHAKE_TIMEOUT=2.5\nPYRO_MAXHALFOPEN=1\nPYRO_MAXCONNECTIONS=1\nPYRO_TRACELEVEL=3",
		"PYRO_STORAGE=x\nPYRO_MOBILE_CODE=0", "PYRO_MAXCONECTIONS=1", "PYRO_COMPRESSION=1", "=", "PYRO_PORT=1\nPYRO_PORT=2",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		environ := strings.Split(text, "\n")
		s, err := pyroenv.Parse(environ)
		slices.Reverse(environ)
		again, err2 := pyroenv.Parse(environ)
		if (err == nil) != (err2 == nil) || err == nil && s.Addr()+s.PublishHost+s.Cert+s.Key+s.CA != again.Addr()+again.PublishHost+again.Cert+again.Key+again.CA {
			t.Errorf("%q: the order matters: %+v, %v; %+v, %v", text, s, err, again, err2)
		}
		if err != nil {
			if e := err.Error(); !strings.HasPrefix(e, "pyroenv: PYRO") && !strings.HasPrefix(e, `pyroenv: "PYRO`) || strings.Contains(e, "\n") {
				t.Errorf("%q: error %q", text, e)
			}
			return
		}
		check := func(ok bool, what string) {
			if !ok {
				t.Errorf("%q: %s: %+v", text, what, s)
			}
		}
		_, notIP := netip.ParseAddr(s.PublishHost)
		check(s.PublishHost == strings.ToLower(s.PublishHost) && !strings.ContainsAny(s.PublishHost, "[]/?%@ "), "publish host")
		check(s.AllowIPHosts || notIP != nil, "an address is published")
		check(s.MaxMessage == 0 || s.MaxMessage >= 64<<10 && s.MaxMessage <= 1<<30, "message size")
		check(s.HandshakeTimeout == 0 || s.HandshakeTimeout >= 10*time.Millisecond && s.HandshakeTimeout <= time.Minute, "timeout")
		check(s.MaxConnections >= 0 && s.MaxConnections <= 1_000_000 && s.MaxHalfOpen >= 0 && s.MaxHalfOpen <= 65_536, "connections")
		check(s.TraceLevel >= 0 && s.TraceLevel <= 3, "trace level")
		check((s.Addr() != "") == (s.IsSet("PYRO_HOST") || s.IsSet("PYRO_PORT")), "address")
		if s.Addr() != "" {
			host, _, err := net.SplitHostPort(s.Addr())
			check(err == nil && host == s.Host, "address")
		}
		if s.IsSet("PYROSSL_CERTDIR") {
			check(s.Cert+s.Key+s.CA != "", "directory of nothing")
			for _, file := range []string{s.Cert, s.Key, s.CA} {
				check(file == "" || file == filepath.Clean(file) || filepath.IsAbs(file), "file")
			}
		}
	})
}
