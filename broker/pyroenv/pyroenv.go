// Package pyroenv reads Pyro's configuration variables, PYRO_* and PYROSSL_*, out
// of an environment. Nothing else in this module looks at them: a program that
// wants them calls [Parse] and uses what it finds in its own configuration.
//
//	PYRO_HOST               name or address to listen on; all addresses if not set
//	PYRO_PORT               port to listen on, 7766 if not set; 0 takes a free one
//	PYRO_PUBLISHHOST        host in published URIs, for daemons behind NAT
//	PYRO_PUBLISHPORT        port in published URIs
//	PYRO_DNS_URI            0 allows an IP address as PYRO_PUBLISHHOST; 1 (default) wants a name
//	PYRO_MAXCONNECTIONS     authenticated connections at a time
//	PYRO_MAXHALFOPEN        connections at a time whose handshake is not over
//	PYRO_HANDSHAKE_TIMEOUT  time from accept to verdict: seconds, or "1500ms"; at most a minute
//	PYRO_MAXMESSAGE         bytes of a message, or "4MiB"; 64 KiB or more
//	PYRO_TRACELEVEL         1 logs errors, 2 warnings too, 3 everything
//	PYROSSL_CERTDIR         directory of the next three, where they are relative
//	PYROSSL_CA_CERT         file with the authorities to trust
//	PYROSSL_CERT            file with the certificate
//	PYROSSL_KEY             file with the private key
//
// Pyro's defaults are not ours: names are published unless said (PYRO_DNS_URI was
// 0), and the files of PYROSSL_* have no default names and never lie in the
// current directory by accident.
//
// The reading is strict. A variable that is not known is an error, since a
// misspelt limit is no limit. A value that cannot be read is an error. A variable
// set to the empty text is not set. Variables that ask for something unsafe are
// refused with the reason, an error that is [ErrUnsafe]:
//
//	PYROSSL_POSTCONNCHECK=0, PYROSSL_CRL, PYRO_XML_PICKLE, PYRO_GNOSIS_PARANOIA,
//	PYRO_PICKLE_FORMAT, PYRO_COMPRESSION=1, PYRO_DETAILED_TRACEBACK=1,
//	PYRO_MOBILE_CODE=1, PYRO_CONFIG_FILE, PYRO_TRACELEVEL=0
//
// Some ask for what does not exist here and would be missed, and are refused too:
//
//	PYRO_PORT_RANGE (other than 1), PYRO_MULTITHREADED=0, PYRO_ONEWAY_THREADED=0,
//	PYRO_NS_BC_ADDR, PYRO_NS_BC_PORT, PYRO_BC_RETRIES, PYRO_BC_TIMEOUT,
//	PYRO_NS2_HOSTNAME, PYRO_NS2_PORT, PYRO_NS2_BC_ADDR, PYRO_NS2_BC_PORT
//
// The rest of Pyro's variables have no effect. They are known, so that an
// environment made for Pyro can be kept; [Settings.Ignored] says which were set
// and why they mean nothing:
//
//	PYRO_STORAGE, PYRO_LOGFILE, PYRO_USER_LOGFILE, PYRO_USER_TRACELEVEL,
//	PYRO_STDLOGGING, PYRO_STDLOGGING_CFGFILE, PYRO_TCP_LISTEN_BACKLOG,
//	PYRO_SOCK_KEEPALIVE, PYRO_BROKEN_MSGWAITALL, PYRO_CHECKSUM,
//	PYRO_NS_HOSTNAME, PYRO_NS_PORT, PYRO_NS_DEFAULTGROUP, PYRO_NS_URIFILE,
//	PYRO_ES_QUEUESIZE, PYRO_ES_BLOCKQUEUE
//
// Parse opens no file and looks up no name.
package pyroenv

import (
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pyrossl/pyrossl/broker/uri"
)

// Settings are the values of the variables. A zero field was not set, except
// where it says otherwise; see also [Settings.IsSet].
type Settings struct {
	Host        string // an IP address or a name to listen on
	Port        uint16 // 0 may be meant: see Addr
	PublishHost string // a lower-case DNS name or an IP address, IPv6 without brackets
	PublishPort uint16

	AllowIPHosts     bool // PYRO_DNS_URI=0
	MaxConnections   int
	MaxHalfOpen      int
	HandshakeTimeout time.Duration
	MaxMessage       int // bytes
	TraceLevel       int // 1 to 3: see LogLevel

	// CA, Cert and Key are files, in PYROSSL_CERTDIR if they are relative to it.
	CA, Cert, Key string

	// Ignored are the variables that were set and have no effect here, by name.
	Ignored []Note

	certDir string
	set     map[string]bool
}

// A Note says why a variable has no effect.
type Note struct{ Name, Reason string }

// String is like "PYRO_SOCK_KEEPALIVE has no effect: ...".
func (n Note) String() string { return n.Name + " has no effect: " + n.Reason }

// IsSet reports whether a variable was there and not empty, so that a flag or a
// file can be told from the environment.
func (s Settings) IsSet(name string) bool { return s.set[name] }

// Addr is the host:port to listen on, or empty if neither PYRO_HOST nor PYRO_PORT
// was set.
func (s Settings) Addr() string {
	port := s.Port
	switch {
	case s.IsSet("PYRO_PORT"):
	case s.IsSet("PYRO_HOST"):
		port = uri.DefaultPort
	default:
		return ""
	}
	return net.JoinHostPort(s.Host, strconv.Itoa(int(port)))
}

// LogLevel is PYRO_TRACELEVEL for log/slog, and [slog.LevelInfo] if it was not set.
func (s Settings) LogLevel() slog.Level {
	switch s.TraceLevel {
	case 1:
		return slog.LevelError
	case 2:
		return slog.LevelWarn
	case 3:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// ErrUnsafe is in the error of a variable that asks for something unsafe.
var ErrUnsafe = errors.New("unsafe setting")

// An Error says what is wrong with a variable.
type Error struct {
	Name   string
	Value  string // empty if it does not matter, or is not ours to print
	Reason string
	Err    error // ErrUnsafe, or nil
}

// Error is like
//
//	pyroenv: PYRO_PORT "99999" is not 0–65535
func (e *Error) Error() string {
	text := "pyroenv: " + e.Name
	if e.Value != "" {
		text += " " + quote(e.Value)
	}
	return text + " " + e.Reason
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// quote cuts what is too long to be read.
func quote(s string) string {
	const most = 100
	if len(s) > most {
		return strconv.Quote(strings.ToValidUTF8(s[:most], "")) + "…"
	}
	return strconv.Quote(s)
}

// Parse reads an environment as [os.Environ] returns it: "NAME=value". Of several
// mistakes it reports the first by name, as an [*Error].
func Parse(environ []string) (Settings, error) {
	values, err := collect(environ)
	if err != nil {
		return Settings{}, err
	}
	s := Settings{set: make(map[string]bool)}
	for _, name := range sortedKeys(values) {
		value := values[name]
		read, known := variables[name]
		reason, without := ignored[name]
		if !known && !without {
			return Settings{}, unknown(name)
		}
		if value == "" {
			continue
		}
		if strings.TrimSpace(value) != value || strings.ContainsFunc(value, control) {
			// Not printed: it may be a key where its file's name belongs.
			return Settings{}, &Error{Name: name, Reason: "has white space around it, or control characters in it"}
		}
		s.set[name] = true
		if without {
			s.Ignored = append(s.Ignored, Note{Name: name, Reason: reason})
			continue
		}
		if err := read(&s, value); err != nil {
			err.Name = name
			return Settings{}, err
		}
	}
	if err := s.finish(); err != nil {
		return Settings{}, err
	}
	return s, nil
}

// collect keeps what is ours. The systems disagree about which of two values
// counts, so two different ones are an error.
func collect(environ []string) (map[string]string, error) {
	values := make(map[string]string)
	for _, line := range environ {
		name, value, ok := strings.Cut(line, "=")
		if !ok || !strings.HasPrefix(name, "PYRO_") && !strings.HasPrefix(name, "PYROSSL_") {
			continue
		}
		if before, again := values[name]; again && before != value {
			return nil, &Error{Name: printable(name), Reason: "is set twice, to different values"}
		}
		values[name] = value
	}
	return values, nil
}

// finish looks at what several variables mean together.
func (s *Settings) finish() *Error {
	if isIP(s.PublishHost) && !s.AllowIPHosts {
		return &Error{Name: "PYRO_PUBLISHHOST", Value: s.PublishHost,
			Reason: "is an address; publish a name that the certificate has, or set PYRO_DNS_URI=0 and have the address in the certificate"}
	}
	if s.certDir == "" {
		return nil
	}
	if s.CA == "" && s.Cert == "" && s.Key == "" {
		return &Error{Name: "PYROSSL_CERTDIR", Value: s.certDir,
			Reason: "is set alone; name the files in it with PYROSSL_CA_CERT, PYROSSL_CERT and PYROSSL_KEY"}
	}
	for _, file := range []*string{&s.CA, &s.Cert, &s.Key} {
		if *file != "" && !filepath.IsAbs(*file) {
			*file = filepath.Join(s.certDir, *file)
		}
	}
	return nil
}

func control(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }

// printable is a name that somebody else chose, fit for an error.
func printable(name string) string {
	if len(name) > 64 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return quote(name)
	}
	return name
}

func sortedKeys[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
