package pyroenv_test

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker/pyroenv"
)

func parse(t *testing.T, environ ...string) pyroenv.Settings {
	t.Helper()
	s, err := pyroenv.Parse(environ)
	if err != nil {
		t.Fatalf("%q: %v", environ, err)
	}
	return s
}

func TestValues(t *testing.T) {
	host := func(s pyroenv.Settings) any { return s.Host }
	port := func(s pyroenv.Settings) any { return int(s.Port) }
	publish := func(s pyroenv.Settings) any { return s.PublishHost }
	timeout := func(s pyroenv.Settings) any { return s.HandshakeTimeout }
	message := func(s pyroenv.Settings) any { return s.MaxMessage }
	for _, tt := range []struct {
		environ string // separated by spaces
		field   func(pyroenv.Settings) any
		want    any
	}{
		{"PYRO_HOST=localhost", host, "localhost"},
		{"PYRO_HOST=Bank.Example", host, "bank.example"},
		{"PYRO_HOST=0.0.0.0", host, "0.0.0.0"},
		{"PYRO_HOST=::", host, "::"},
		{"PYRO_HOST=fe80::1%eth0", host, "fe80::1%eth0"},
		{"PYRO_PORT=0", port, 0},
		{"PYRO_PORT=65535", port, 65535},
		{"PYRO_PUBLISHHOST=Bank.Example", publish, "bank.example"},
		{"PYRO_PUBLISHHOST=192.0.2.1 PYRO_DNS_URI=0", publish, "192.0.2.1"},
		{"PYRO_PUBLISHHOST=2001:DB8::0:1 PYRO_DNS_URI=0", publish, "2001:db8::1"},
		{"PYRO_PUBLISHPORT=1", func(s pyroenv.Settings) any { return int(s.PublishPort) }, 1},
		{"", func(s pyroenv.Settings) any { return s.AllowIPHosts }, false},
		{"PYRO_DNS_URI=1", func(s pyroenv.Settings) any { return s.AllowIPHosts }, false},
		{"PYRO_DNS_URI=0", func(s pyroenv.Settings) any { return s.AllowIPHosts }, true},
		{"PYRO_MAXCONNECTIONS=200", func(s pyroenv.Settings) any { return s.MaxConnections }, 200},
		{"PYRO_MAXHALFOPEN=256", func(s pyroenv.Settings) any { return s.MaxHalfOpen }, 256},
		{"PYRO_HANDSHAKE_TIMEOUT=5", timeout, 5 * time.Second},
		{"PYRO_HANDSHAKE_TIMEOUT=2.5", timeout, 2500 * time.Millisecond},
		{"PYRO_HANDSHAKE_TIMEOUT=1500ms", timeout, 1500 * time.Millisecond},
		{"PYRO_HANDSHAKE_TIMEOUT=1m", timeout, time.Minute},
		{"PYRO_MAXMESSAGE=65536", message, 64 << 10},
		{"PYRO_MAXMESSAGE=64KiB", message, 64 << 10},
		{"PYRO_MAXMESSAGE=4MiB", message, 4 << 20},
		{"PYRO_MAXMESSAGE=1024MiB", message, 1 << 30},
		{"PYRO_TRACELEVEL=1", func(s pyroenv.Settings) any { return s.LogLevel() }, slog.LevelError},
		{"PYRO_TRACELEVEL=2", func(s pyroenv.Settings) any { return s.LogLevel() }, slog.LevelWarn},
		{"PYRO_TRACELEVEL=3", func(s pyroenv.Settings) any { return s.LogLevel() }, slog.LevelDebug},
		{"", func(s pyroenv.Settings) any { return s.LogLevel() }, slog.LevelInfo},
		{"PYROSSL_CERT=a.crt", func(s pyroenv.Settings) any { return s.Cert }, "a.crt"},
		{"PYROSSL_CERTDIR=/pki PYROSSL_CERT=a.crt", func(s pyroenv.Settings) any { return s.Cert }, "/pki/a.crt"},
		{"PYROSSL_CERTDIR=/pki PYROSSL_KEY=/keys/a.key", func(s pyroenv.Settings) any { return s.Key }, "/keys/a.key"},
		{"PYROSSL_CERTDIR=../pki PYROSSL_CA_CERT=ca.crt", func(s pyroenv.Settings) any { return s.CA }, "../pki/ca.crt"},
		{"PYROSSL_CERTDIR=/pki PYROSSL_CA_CERT=ca.crt", func(s pyroenv.Settings) any { return s.Cert + s.Key }, ""},
		{"PYRO_HOST=localhost", func(s pyroenv.Settings) any { return s.Addr() }, "localhost:7766"},
		{"PYRO_PORT=0", func(s pyroenv.Settings) any { return s.Addr() }, ":0"},
		{"PYRO_HOST=::1 PYRO_PORT=80", func(s pyroenv.Settings) any { return s.Addr() }, "[::1]:80"},
		{"PYRO_PUBLISHPORT=80", func(s pyroenv.Settings) any { return s.Addr() }, ""},
		{"PYRO_PORT=1 PYRO_PORT=1", port, 1},
	} {
		if got := tt.field(parse(t, strings.Fields(tt.environ)...)); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.environ, got, tt.want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		environ string
		name    string // of the variable that the error is about
		reason  string // part of it
		unsafe  bool
	}{
		{"PYRO_HOST=[::1]", "PYRO_HOST", "no brackets", false},
		{"PYRO_HOST=localhost:7766", "PYRO_HOST", "port has its own variable", false},
		{"PYRO_HOST=bank_1", "PYRO_HOST", "underscore", false},
		{"PYRO_PORT=65536", "PYRO_PORT", "is not 0–65535", false},
		{"PYRO_PORT=-1", "PYRO_PORT", "is not 0–65535", false},
		{"PYRO_PORT=+1", "PYRO_PORT", "is not 0–65535", false},
		{"PYRO_PORT=http", "PYRO_PORT", "is not 0–65535", false},
		{"PYRO_PORT=99999999999999999999", "PYRO_PORT", "is not 0–65535", false},
		{"PYRO_PUBLISHPORT=0", "PYRO_PUBLISHPORT", "is not 1–65535", false},
		{"PYRO_PUBLISHHOST=192.0.2.1", "PYRO_PUBLISHHOST", "PYRO_DNS_URI=0", false},
		{"PYRO_PUBLISHHOST=::1 PYRO_DNS_URI=1", "PYRO_PUBLISHHOST", "PYRO_DNS_URI=0", false},
		{"PYRO_PUBLISHHOST=0.0.0.0 PYRO_DNS_URI=0", "PYRO_PUBLISHHOST", "to listen on", false},
		{"PYRO_PUBLISHHOST=:: PYRO_DNS_URI=0", "PYRO_PUBLISHHOST", "to listen on", false},
		{"PYRO_PUBLISHHOST=fe80::1%eth0 PYRO_DNS_URI=0", "PYRO_PUBLISHHOST", "zone", false},
		{"PYRO_PUBLISHHOST=bank.example.", "PYRO_PUBLISHHOST", "dot", false},
		{"PYRO_PUBLISHHOST=bank.example/x", "PYRO_PUBLISHHOST", "not a host name", false},
		{"PYRO_PUBLISHHOST=*.example", "PYRO_PUBLISHHOST", "pattern", false},
		{"PYRO_DNS_URI=True", "PYRO_DNS_URI", "0 (addresses may be published) or 1", false},
		{"PYRO_MAXCONNECTIONS=0", "PYRO_MAXCONNECTIONS", "from 1 to", false},
		{"PYRO_MAXCONNECTIONS=1e3", "PYRO_MAXCONNECTIONS", "from 1 to", false},
		{"PYRO_MAXCONNECTIONS=1_000", "PYRO_MAXCONNECTIONS", "from 1 to", false},
		{"PYRO_MAXHALFOPEN=65537", "PYRO_MAXHALFOPEN", "from 1 to 65536", false},
		{"PYRO_HANDSHAKE_TIMEOUT=0", "PYRO_HANDSHAKE_TIMEOUT", "is not seconds", false},
		{"PYRO_HANDSHAKE_TIMEOUT=-5", "PYRO_HANDSHAKE_TIMEOUT", "is not seconds", false},
		{"PYRO_HANDSHAKE_TIMEOUT=61", "PYRO_HANDSHAKE_TIMEOUT", "is not seconds", false},
		{"PYRO_HANDSHAKE_TIMEOUT=None", "PYRO_HANDSHAKE_TIMEOUT", "is not seconds", false},
		{"PYRO_MAXMESSAGE=65535", "PYRO_MAXMESSAGE", "from 64KiB to 1024MiB", false},
		{"PYRO_MAXMESSAGE=1025MiB", "PYRO_MAXMESSAGE", "from 64KiB to 1024MiB", false},
		{"PYRO_MAXMESSAGE=4MB", "PYRO_MAXMESSAGE", "from 64KiB to 1024MiB", false},
		{"PYRO_MAXMESSAGE=MiB", "PYRO_MAXMESSAGE", "from 64KiB to 1024MiB", false},
		{"PYRO_MAXMESSAGE=9007199254740993MiB", "PYRO_MAXMESSAGE", "from 64KiB to 1024MiB", false},
		{"PYRO_TRACELEVEL=4", "PYRO_TRACELEVEL", "is not 1", false},
		{"PYROSSL_CERTDIR=/pki", "PYROSSL_CERTDIR", "set alone", false},

		{"PYRO_TRACELEVEL=0", "PYRO_TRACELEVEL", "without a trace", true},
		{"PYROSSL_POSTCONNCHECK=0", "PYROSSL_POSTCONNCHECK", "always made; unset it or set it to 1", true},
		{"PYROSSL_POSTCONNCHECK=no", "PYROSSL_POSTCONNCHECK", "always made", true},
		{"PYROSSL_CRL=/pki/crl.pem", "PYROSSL_CRL", "revoked", true},
		{"PYRO_XML_PICKLE=gnosis", "PYRO_XML_PICKLE", "pickle", true},
		{"PYRO_GNOSIS_PARANOIA=-1", "PYRO_GNOSIS_PARANOIA", "pickle", true},
		{"PYRO_GNOSIS_PARANOIA=0", "PYRO_GNOSIS_PARANOIA", "unset it", true},
		{"PYRO_PICKLE_FORMAT=2", "PYRO_PICKLE_FORMAT", "pickle", true},
		{"PYRO_COMPRESSION=1", "PYRO_COMPRESSION", "secrets", true},
		{"PYRO_DETAILED_TRACEBACK=1", "PYRO_DETAILED_TRACEBACK", "incident", true},
		{"PYRO_MOBILE_CODE=1", "PYRO_MOBILE_CODE", "code", true},
		{"PYRO_CONFIG_FILE=Pyro.conf", "PYRO_CONFIG_FILE", "--config", true},

		{"PYRO_PORT_RANGE=100", "PYRO_PORT_RANGE", "PYRO_PORT", false},
		{"PYRO_MULTITHREADED=0", "PYRO_MULTITHREADED", "same time", false},
		{"PYRO_ONEWAY_THREADED=0", "PYRO_ONEWAY_THREADED", "oneway", false},
		{"PYRO_NS_BC_ADDR=10.0.0.255", "PYRO_NS_BC_ADDR", "broadcast", false},
		{"PYRO_BC_TIMEOUT=2", "PYRO_BC_TIMEOUT", "broadcast", false},
		{"PYRO_NS2_HOSTNAME=ns2", "PYRO_NS2_HOSTNAME", "second name server", false},

		{"PYRO_MAXCONECTIONS=10", "PYRO_MAXCONECTIONS", "did you mean PYRO_MAXCONNECTIONS?", false},
		{"PYROSSL_CACERT=x", "PYROSSL_CACERT", "did you mean PYROSSL_CA_CERT?", false},
		{"PYRO_MAX_MESSAGE=x", "PYRO_MAX_MESSAGE", "did you mean PYRO_MAXMESSAGE?", false},
		{"PYRO_Q=", "PYRO_Q", "is not known", false}, // unknown, even if it is empty
		{"PYRO_=", "PYRO_", "is not known", false},
		{"PYROSSL_" + strings.Repeat("X", 100) + "=", `"PYROSSL_`, "is not known; every", false},
		{"PYRO_PORT=1 PYRO_PORT=2", "PYRO_PORT", "set twice", false},
		{"PYRO_PORT=x PYRO_HOST=*", "PYRO_HOST", "pattern", false}, // the first by name
	} {
		_, err := pyroenv.Parse(strings.Fields(tt.environ))
		var e *pyroenv.Error
		switch {
		case !errors.As(err, &e):
			t.Errorf("%s: got error %v", tt.environ, err)
		case !strings.HasPrefix(e.Name, tt.name) || !strings.Contains(e.Reason, tt.reason):
			t.Errorf("%s: got %v\nwant %s ... %s", tt.environ, err, tt.name, tt.reason)
		case errors.Is(err, pyroenv.ErrUnsafe) != tt.unsafe:
			t.Errorf("%s: unsafe is %v, want %v", tt.environ, !tt.unsafe, tt.unsafe)
		case !strings.HasPrefix(err.Error(), "pyroenv: "+tt.name):
			t.Errorf("%s: error text %q", tt.environ, err)
		}
	}
}

func TestSpaceAndControl(t *testing.T) {
	for _, value := range []string{" localhost", "localhost ", " ", "local\x00host", "-----BEGIN PRIVATE KEY-----\nMIGHAgEA\n", "a\xffb"} {
		for _, name := range []string{"PYRO_HOST", "PYROSSL_KEY", "PYRO_STORAGE"} {
			_, err := pyroenv.Parse([]string{name + "=" + value})
			if err == nil || !strings.HasPrefix(err.Error(), "pyroenv: "+name+" has white space") {
				t.Errorf("%s=%q: got %v, want a complaint that does not repeat it", name, value, err)
			}
		}
	}
}

// TestSecretsAreNotPrinted has a passphrase in a variable that is not known.
func TestSecretsAreNotPrinted(t *testing.T) {
	for _, environ := range [][]string{{"PYROSSL_PASSPHRASE=hunter2"}, {"PYRO_HMAC_KEY=hunter2"}, {"PYROSSL_KEY=hunter2\n"}, {"PYROSSL_KEY=hunter2", "PYROSSL_KEY=hunter2x"}} {
		if _, err := pyroenv.Parse(environ); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v, want an error without the value", err)
		}
	}
}

func TestHarmless(t *testing.T) {
	s := parse(t,
		"PYRO_COMPRESSION=0", "PYRO_DETAILED_TRACEBACK=0", "PYRO_MOBILE_CODE=0", "PYROSSL_POSTCONNCHECK=1",
		"PYRO_MULTITHREADED=1", "PYRO_ONEWAY_THREADED=1", "PYRO_PORT_RANGE=1",
		"PYRO_XML_PICKLE=", "PYRO_CONFIG_FILE=", // not set
		"PATH=/bin", "PYTHONPATH=x", "PYROSCOPE_KEY=x", "pyro_port=x", "XPYRO_PORT=x", "PYRO_PORT", "=C:=C:\\", "",
	)
	if len(s.Ignored) != 0 {
		t.Errorf("ignored %v, want nothing", s.Ignored)
	}
	if s.IsSet("PYRO_XML_PICKLE") || !s.IsSet("PYRO_COMPRESSION") || s.IsSet("PATH") {
		t.Error("IsSet does not know what was set")
	}
}

func TestIgnored(t *testing.T) {
	s := parse(t, "PYRO_STORAGE=/var/pyro", "PYRO_NS_HOSTNAME=ns.example", "PYRO_CHECKSUM=")
	if len(s.Ignored) != 2 || s.Ignored[0].Name != "PYRO_NS_HOSTNAME" || s.Ignored[1].Name != "PYRO_STORAGE" {
		t.Fatalf("got %v, want notes on two variables, by name", s.Ignored)
	}
	if text := s.Ignored[1].String(); !strings.Contains(text, "PYRO_STORAGE has no effect: ") || !strings.Contains(text, "PYROSSL_CERTDIR") {
		t.Errorf("got %q", text)
	}
}

func TestIsSet(t *testing.T) {
	s := parse(t, "PYRO_PORT=0", "PYRO_HOST=")
	if !s.IsSet("PYRO_PORT") || s.IsSet("PYRO_HOST") || s.IsSet("PYRO_PUBLISHHOST") {
		t.Error("IsSet: want PYRO_PORT alone")
	}
	if (pyroenv.Settings{}).IsSet("PYRO_PORT") {
		t.Error("IsSet of the zero Settings")
	}
}

// TestNothingIsOpened parses what names files that are not there.
func TestNothingIsOpened(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("Pyro.conf", []byte("PYRO_PORT=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := parse(t, "PYROSSL_CERTDIR=/nowhere", "PYROSSL_CERT=a", "PYROSSL_KEY=b")
	if s.Cert != "/nowhere/a" || s.IsSet("PYRO_PORT") || s.CA != "" {
		t.Errorf("got %+v", s)
	}
}
