package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v4"
)

// settings are what a daemon is run with. Flags come before the environment, the
// environment before the file of --config, and that before the defaults. A zero
// field is not set.
type settings struct {
	Listen     string        `yaml:"listen"`
	Publish    string        `yaml:"publish"`
	Cert       string        `yaml:"cert"`
	Key        string        `yaml:"key"`
	CA         string        `yaml:"ca"`
	Identities string        `yaml:"identities"`
	Policy     string        `yaml:"policy"`
	Drain      time.Duration `yaml:"drain"`
	lists      `yaml:",inline"`
	Record     string `yaml:"record"`
	Audit      string `yaml:"audit"`   // - for stdout
	Metrics    string `yaml:"metrics"` // HOST:PORT
	storage    `yaml:",inline"`

	// These have no flags.
	MaxConnections   int           `yaml:"max_connections"`
	MaxHandshakes    int           `yaml:"max_handshakes"`
	HandshakeTimeout time.Duration `yaml:"handshake_timeout"`
	MaxMessage       int           `yaml:"max_message"` // bytes
	LogLevel         string        `yaml:"log_level"`   // debug, info, warn or error
}

const configKeys = "listen, publish, cert, key, ca, identities, policy, drain, crl, deny_list, revocation_max_age, require_lists, " +
	"insecure_allow_stale_lists, record, audit, metrics, data, engine, sync, max_connections, max_handshakes, handshake_timeout, max_message and log_level"

func (s *settings) add(flags *pflag.FlagSet) {
	flags.StringVar(&s.Listen, "listen", "", "`HOST:PORT` to listen on (default :7766)")
	flags.StringVar(&s.Publish, "publish", "", "`HOST[:PORT]` for the URIs, if it is another")
	flags.StringVar(&s.Cert, "cert", "", "`FILE` with the daemon's certificate")
	flags.StringVar(&s.Key, "key", "", "`FILE` with its private key, mode 0600")
	flags.StringVar(&s.CA, "ca", "", "`FILE` with the CAs whose clients may connect")
	flags.StringVar(&s.Identities, "identities", "", "`FILE` that maps certificates to names and roles")
	flags.StringVar(&s.Policy, "policy", "", "`FILE` that says who may call what")
	flags.DurationVar(&s.Drain, "drain", 0, "time for calls in flight at the end (default 10s)")
	s.lists.add(flags)
	flags.StringVar(&s.Record, "record", "", "`FILE` that keeps incidents over restarts")
	flags.StringVar(&s.Audit, "audit", "", "`FILE` for decisions as JSON lines, - for stdout")
	flags.StringVar(&s.Metrics, "metrics", "", "`HOST:PORT` for metrics, by HTTPS with mutual TLS")
	s.storage.add(flags)
}

// over returns s with what is not set taken from below.
func (s settings) over(below settings) settings {
	take(&s.Listen, below.Listen)
	take(&s.Publish, below.Publish)
	take(&s.Cert, below.Cert)
	take(&s.Key, below.Key)
	take(&s.CA, below.CA)
	take(&s.Identities, below.Identities)
	take(&s.Policy, below.Policy)
	take(&s.Drain, below.Drain)
	s.lists = s.lists.over(below.lists)
	take(&s.Record, below.Record)
	take(&s.Audit, below.Audit)
	take(&s.Metrics, below.Metrics)
	s.storage = s.storage.over(below.storage)
	take(&s.MaxConnections, below.MaxConnections)
	take(&s.MaxHandshakes, below.MaxHandshakes)
	take(&s.HandshakeTimeout, below.HandshakeTimeout)
	take(&s.MaxMessage, below.MaxMessage)
	take(&s.LogLevel, below.LogLevel)
	return s
}

func take[T comparable](value *T, below T) {
	var unset T
	if *value == unset {
		*value = below
	}
}

// level is the least level to log.
func (s settings) level() (l slog.Level, err error) {
	if s.LogLevel != "" {
		err = l.UnmarshalText([]byte(s.LogLevel))
	}
	return l, err
}

// maxConfig is far more than a file of settings needs.
const maxConfig = 1 << 20

// readConfig reads a file of settings. An unknown key refuses it. Paths in it are
// relative to its own directory, so that it means the same from everywhere.
func readConfig(path string) (settings, error) {
	info, err := os.Stat(path)
	if err != nil {
		return settings{}, failed("check the name after --config", "config: %w", err)
	}
	if info.Size() > maxConfig {
		return settings{}, failed("is that the right file?", "config %q has %d bytes, want at most %d", path, info.Size(), maxConfig)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return settings{}, failed("check the name after --config", "config: %w", err)
	}
	s, err := parseConfig(data)
	if err != nil {
		return settings{}, failed("it takes "+configKeys, "config %q: %s", path, oneLine(err))
	}
	dir := filepath.Dir(path)
	paths := []*string{&s.Cert, &s.Key, &s.CA, &s.Identities, &s.Policy, &s.Deny, &s.Record, &s.Data}
	for i := range s.CRL {
		paths = append(paths, &s.CRL[i])
	}
	if s.Audit != toStdout {
		paths = append(paths, &s.Audit)
	}
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	return s, nil
}

// parseConfig reads YAML strictly. A setting that is there and zero would look as if
// it were not there, and means nothing good: it is refused.
func parseConfig(data []byte) (s settings, err error) {
	if strings.TrimSpace(string(data)) == "" {
		return s, errors.New("it is empty")
	}
	if err := yaml.Load(data, &s, yaml.WithKnownFields(), yaml.WithUniqueKeys()); err != nil {
		return s, err
	}
	var given map[string]any
	if err := yaml.Load(data, &given); err != nil {
		return s, err
	}
	for _, n := range []struct {
		key   string
		value int64
	}{
		{"drain", int64(s.Drain)}, {"max_connections", int64(s.MaxConnections)}, {"max_handshakes", int64(s.MaxHandshakes)},
		{"handshake_timeout", int64(s.HandshakeTimeout)}, {"max_message", int64(s.MaxMessage)},
		{"revocation_max_age", int64(s.MaxAge)},
	} {
		if v, ok := given[n.key]; ok && n.value <= 0 {
			return s, fmt.Errorf("%s is %v, want more than 0", n.key, v)
		}
	}
	if _, err := s.level(); err != nil {
		return s, fmt.Errorf("log_level is %q, want debug, info, warn or error", s.LogLevel)
	}
	return s, nil
}

// oneLine is an error's text without line breaks.
func oneLine(err error) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(err.Error(), "yaml: ", "")), " ")
}
